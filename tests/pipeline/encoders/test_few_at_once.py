"""Networks on a few pictures at a time: the same answers, in the same order."""

import pytest
import torch

from pipeline.encoders import py_feat_random, resnet18
from pipeline.encoders.few_at_once import PICTURES, FewAtOnce


@pytest.mark.parametrize("pictures", [1, PICTURES, 2 * PICTURES + 1])
def test_pictures_come_back_as_the_network_gives_them(pictures: int) -> None:
    x = torch.rand(pictures, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network = resnet18.at_random("cpu")
    with torch.inference_mode():
        torch.testing.assert_close(FewAtOnce(network)(x), network(x), atol=1e-6, rtol=1e-6)


def test_of_layers_each_comes_back_whole() -> None:
    backbone = py_feat_random.multitask("cpu").model.model.backbone
    x = torch.rand(2 * PICTURES + 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found, whole = FewAtOnce(backbone)(x), backbone(x)
    assert len(found) == len(whole)
    for layer, of in zip(found, whole, strict=True):
        torch.testing.assert_close(layer, of, atol=1e-6, rtol=1e-6)


def test_no_more_than_a_few_go_through_the_network_together() -> None:
    seen: list[int] = []

    class Counting(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(len(x))
            return x.flatten(1)

    FewAtOnce(Counting())(torch.zeros(2 * PICTURES + 1, 3, 2, 2))
    assert seen == [PICTURES, PICTURES, 1]
