"""Texts that share a pass on a processor."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.encoders import packing
from pipeline.encoders.bert import Network, loaded
from pipeline.encoders.precision import Precision
from pipeline.encoders.tokenizer import Tokens
from pipeline.system.process import THREADS_A_TASK
from pipeline.weights.repository import TEXT
from pipeline.weights.resolve import find

LENGTHS = (1, 2, 3, 4, 7, 8, 12, 15, 16, 17, 31, 40, 64, 120, 191, 192, 193, 250)


def network(precision: Precision = "float32") -> Network:
    return loaded(find("random", TEXT), "cpu", precision)


def texts() -> list[Tokens]:
    rng = np.random.default_rng(0)
    return [Tokens(rng.integers(3, 9000, n).tolist(), n, n) for n in LENGTHS]


def states(net: Network, said: list[Tokens]) -> list[np.ndarray]:
    return net.states(said, "last", most=1)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_no_text_depends_by_a_bit_on_those_beside_it(precision: Precision) -> None:
    net, said, rng = network(precision), texts(), np.random.default_rng(1)
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS_A_TASK)
    try:
        alone = [states(net, [text])[0] for text in said]
        for _ in range(8):
            chosen = rng.choice(len(said), rng.integers(2, 24))
            together = states(net, [said[i] for i in chosen])
            for i, got in zip(chosen, together, strict=True):
                np.testing.assert_array_equal(got, alone[i])
    finally:
        torch.set_num_threads(before)


def test_short_texts_share_passes_and_a_long_one_has_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net, sizes = replace(network(), rows=(packing.TOKENS,)), list[int]()
    forward = type(net.model).forward

    def counted(self: torch.nn.Module, input_ids: torch.Tensor, **given: object) -> object:
        sizes.append(input_ids.numel())
        return forward(self, input_ids, **given)

    monkeypatch.setattr(type(net.model), "forward", counted)
    states(net, [Tokens([5] * n, n, n) for n in (*[12] * 40, 300)])
    assert sorted(sizes) == [packing.TOKENS] * 3 + [300]


def test_rows_are_as_short_as_their_texts_where_that_changes_no_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = network()
    said = [Tokens([5] * n, n, n) for n in (3, 20)]
    if len(net.rows) > 1:  # on this processor
        long = states(replace(net, rows=(packing.TOKENS,)), said)
        for short, expected in zip(states(net, said), long, strict=True):
            np.testing.assert_array_equal(short, expected)
    linear = torch.nn.functional.linear
    by_rows = lambda x, w, b: linear(x, w, b) + len(x)  # noqa: E731
    monkeypatch.setattr("torch.nn.functional.linear", by_rows)
    assert packing.lengths(net.model, "float32") == (packing.TOKENS,)
    monkeypatch.setattr("torch.nn.functional.linear", lambda x, w, b: x @ w[:1].T * 0)
    assert packing.lengths(net.model, "float32") == (*packing.SHORT, packing.TOKENS)


def test_each_text_goes_where_there_is_room_for_it() -> None:
    assert packing.packed([3, 9, 4, 6, 12], room=10) == [[4], [1], [3, 2], [0]]
    assert packing.packed([]) == []


def test_networks_that_count_places_otherwise_are_left_alone() -> None:
    class Model:
        class config:  # noqa: N801
            model_type, is_decoder = "t5", False

        device = torch.device("cpu")

    assert not packing.made_for(Model())
