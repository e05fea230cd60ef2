"""ResNet18 features are torchvision's, from any whole checkpoint and from no other."""

import argparse
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file
from torchvision import models
from torchvision.transforms.v2 import functional as transforms

from pipeline.encoders import imagenet, resnet18
from pipeline.errors import UserError
from pipeline.extractors.resnet18 import Resnet18
from pipeline.stage.result import OK, ClipInputs, ClipResult
from tests.support.aligned_faces import aligned_faces, clips_of

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def reference() -> models.ResNet:
    """A whole torchvision ResNet18 whose normalisation does something."""
    generator = torch.Generator().manual_seed(3)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = models.resnet18(weights=None, num_classes=8).eval()
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1, generator=generator)
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5, generator=generator)
    return network


def prepared(faces: np.ndarray, size: int) -> torch.Tensor:
    x = torch.from_numpy(faces).permute(0, 3, 1, 2)
    x = transforms.to_dtype(transforms.to_image(x), torch.float32, scale=True)
    x = transforms.resize(x, [size, size], antialias=True)
    return transforms.normalize(x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def by_torchvision(network: models.ResNet, faces: np.ndarray, size: int) -> np.ndarray:
    """What torchvision gives before the classifier, its own preprocessing included."""
    x = prepared(faces, size)
    seen: list[torch.Tensor] = []
    hook = network.avgpool.register_forward_hook(lambda *call: seen.append(call[2].flatten(1)))
    with torch.inference_mode():
        network(x)
    hook.remove()
    return seen[0].numpy()


def prefixed(prefix: str) -> Callable[[models.ResNet], Tensors]:
    return lambda network: {prefix + name: t for name, t in network.state_dict().items()}


def numbered(prefix: str, last: int) -> Callable[[models.ResNet], Tensors]:
    """As networks that keep `Sequential(*resnet.children())` save it."""

    def save(network: models.ResNet) -> Tensors:
        backbone = torch.nn.Sequential(*list(network.children())[:last])
        head = {"fc.weight": torch.ones(8, 512), "cat_head0.0.weight": torch.ones(2, 2)}
        return {prefix + name: t for name, t in backbone.state_dict().items()} | head

    return save


STYLES: dict[str, tuple[Callable[[models.ResNet], Tensors], Callable[[Tensors], Any]]] = {
    "plain": (prefixed(""), lambda state: state),
    "data parallel": (prefixed("module."), lambda state: {"state_dict": state, "epoch": 3}),
    "backbone": (prefixed("backbone."), lambda state: {"model": state}),
    "lightning": (prefixed("model.net."), lambda state: {"state_dict": state, "version": "2"}),
    "encoder": (prefixed("module.encoder."), lambda state: {"model_state_dict": state}),
    "nested": (prefixed(""), lambda state: {"model": {"state_dict": state}}),
    "sequential": (numbered("features.", -2), lambda state: {"model_state_dict": state}),
    "sequential with pooling": (numbered("", -1), lambda state: state),
}


def extractor(weights: object, **settings) -> Resnet18:
    defaults = {"weights": str(weights), "input_px": 64, "device": "cpu"}
    return Resnet18(Resnet18.Settings(**{**defaults, **settings}))


def extract(stage: Resnet18, clips: list[ClipInputs]) -> list[ClipResult]:
    return list(stage.extract(clips))


def saved(folder: Path, content: Any) -> Path:
    path = folder / "checkpoint.pth"
    torch.save(content, path)
    return path


@pytest.mark.parametrize("style", STYLES)
def test_features_are_torchvisions_however_the_checkpoint_is_wrapped(
    style: str, reference: models.ResNet, tmp_path: Path
) -> None:
    spell, wrap = STYLES[style]
    stage = extractor(saved(tmp_path, wrap(spell(reference))))
    features = stage.features(aligned_faces())
    assert features == pytest.approx(by_torchvision(reference, aligned_faces(), 64), abs=1e-4)


@pytest.mark.parametrize("size", [112, 224])
def test_features_are_torchvisions_at_every_size(
    size: int, reference: models.ResNet, tmp_path: Path
) -> None:
    save_file(reference.state_dict(), tmp_path / "model.safetensors")
    features = extractor(tmp_path, input_px=size).features(aligned_faces()[:4])
    assert features.shape == (4, 512)
    assert features.dtype == np.float32
    assert features.std(axis=0).mean() > 1e-2
    expected = by_torchvision(reference, aligned_faces()[:4], size)
    assert features == pytest.approx(expected, abs=1e-4)


def test_the_hubs_layout_is_read(tmp_path: Path) -> None:
    config = transformers.ResNetConfig(
        embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic"
    )
    torch.manual_seed(1)
    network = transformers.ResNetForImageClassification(config).eval()
    network.save_pretrained(tmp_path)
    faces = aligned_faces()[:4]
    with torch.inference_mode():
        expected = network.resnet(prepared(faces, 64)).pooler_output.flatten(1).numpy()
    assert extractor(tmp_path).features(faces) == pytest.approx(expected, abs=1e-4)


def refused(path: Path, *words: str) -> None:
    with pytest.raises(UserError) as caught:
        extractor(path).features(aligned_faces()[:1])
    message = str(caught.value)
    assert "\n" not in message
    for word in (path.name, *words):
        assert word in message


def test_a_partial_checkpoint_is_refused(reference: models.ResNet, tmp_path: Path) -> None:
    state = prefixed("module.")(reference)
    del state["module.layer4.1.bn2.running_var"]
    path = saved(tmp_path, state)
    refused(path, "99 of the 100", "'module.layer4.1.bn2.running_var'")


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, {"state_dict": {"embedding": torch.ones(3)}})
    refused(path, "0 of the 100", "'conv1.weight'")


@pytest.mark.parametrize(("deeper", "key"), [("resnet34", "layer2.2.bn2"), ("resnet50", "layer1")])
def test_a_deeper_resnet_is_refused(deeper: str, key: str, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        network = models.get_model(deeper, weights=None)
    refused(saved(tmp_path, network.state_dict()), "ResNet18", key)


def test_two_backbones_in_one_file_are_refused(reference: models.ResNet, tmp_path: Path) -> None:
    other = {name: tensor * 2 for name, tensor in prefixed("teacher.")(reference).items()}
    both = prefixed("student.")(reference) | other
    refused(saved(tmp_path, both), "2 networks that fit a ResNet18", "'student.'", "'teacher.'")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_a_garbled_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "garbled.pth"
    path.write_bytes(content)
    refused(path)


def test_a_folder_with_several_checkpoints_needs_a_name(
    reference: models.ResNet, tmp_path: Path
) -> None:
    save_file(reference.state_dict(), tmp_path / "affectnet8.safetensors")
    save_file({"other": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"affectnet8\.safetensors and other\.safetensors.*`file`"):
        extractor(tmp_path).weights()
    named = extractor(tmp_path, file="affectnet8.safetensors")
    assert named.features(aligned_faces()[:1]).shape == (1, 512)
    elsewhere = tmp_path / "same.safetensors"
    elsewhere.write_bytes((tmp_path / "affectnet8.safetensors").read_bytes())
    assert extractor(elsewhere).weights().digest == named.weights().digest


def test_in_a_folder_the_safetensors_come_first(reference: models.ResNet, tmp_path: Path) -> None:
    save_file(reference.state_dict(), tmp_path / "net.safetensors")
    saved(tmp_path, {"state_dict": {"other": torch.ones(1)}})
    found = extractor(tmp_path).weights()
    assert found.path == tmp_path / "net.safetensors"
    torch.save({"net": reference.state_dict(), "epoch": 3}, tmp_path / "same.pt")
    assert extractor(tmp_path, file="same.pt").weights().digest == found.digest
    state = {name: tensor * 2 for name, tensor in reference.state_dict().items()}
    torch.save(state, tmp_path / "other.pt")
    assert extractor(tmp_path, file="other.pt").weights().digest != found.digest


def test_a_pickled_network_beside_a_recorder_is_read(
    reference: models.ResNet, tmp_path: Path
) -> None:
    path = saved(tmp_path, {"model": reference, "args": argparse.Namespace(lr=1)})
    features = extractor(path).features(aligned_faces()[:2])
    assert features == pytest.approx(by_torchvision(reference, aligned_faces()[:2], 64), abs=1e-4)


def test_imagenet_weights_are_those_that_torchvision_keeps(
    reference: models.ResNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    kept = tmp_path / "hub" / "checkpoints" / imagenet.FILE
    kept.parent.mkdir(parents=True)
    torch.save(reference.state_dict(), kept)
    stage = extractor("imagenet")
    assert stage.weights().id == "imagenet"
    expected = by_torchvision(reference, aligned_faces()[:2], 64)
    assert stage.features(aligned_faces()[:2]) == pytest.approx(expected, abs=1e-4)


def test_imagenet_weights_that_are_not_to_be_had_are_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(UserError, match=f"{imagenet.FILE}.*no network.*`random`") as caught:
        extractor("imagenet").weights()
    assert "\n" not in str(caught.value)


def test_each_clip_gets_its_own_faces_rows() -> None:
    clips = clips_of(3, 1, 14)
    results = extract(extractor("random", batch_size=5), clips)
    assert [(result.state, result.length) for result in results] == [(OK, 3), (OK, 1), (OK, 14)]
    for clip, result in zip(clips, results, strict=True):
        (alone,) = extract(extractor("random", batch_size=64), [clip])
        declared = extractor("random").writes()["features"]
        declared.check("features", result.rows["features"], steps=len(clip.rows["images"]))
        assert result.rows["features"] == pytest.approx(alone.rows["features"], abs=1e-5)


def test_random_weights_are_always_the_same_and_leave_the_dice_alone() -> None:
    before = torch.random.get_rng_state()
    made: list[Mapping[str, torch.Tensor]] = []

    def make() -> None:
        made.append(resnet18.at_random("cpu").state_dict())

    threads = [threading.Thread(target=make) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(before, torch.random.get_rng_state())
    for state in made[1:]:
        assert all(torch.equal(made[0][name], tensor) for name, tensor in state.items())


def test_speed_settings_change_no_identity() -> None:
    settings = extractor("random", batch_size=3, device="cuda", file="x.pth").settings
    assert settings.affecting_results() == extractor("random").settings.affecting_results()
