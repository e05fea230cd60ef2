"""Dropout: what is dropped, how much the rest grows, and when nothing is done."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from model.step.dropout import LEVELS, Dropout
from model.step.streams import Streams, drawing_from

MANY = 400_001  # no multiple of the four values of a draw


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
def test_a_share_p_is_zero_and_the_rest_is_scaled_by_what_is_kept(p):
    torch.manual_seed(0)
    x = torch.full((MANY,), 3.0)
    y = Dropout(p)(x)
    kept = y[y != 0]
    share = round((1 - p) * LEVELS) / LEVELS
    assert kept.unique().tolist() == pytest.approx([3 / share], rel=1e-6)
    assert len(kept) / MANY == pytest.approx(share, abs=4 * (p * (1 - p) / MANY) ** 0.5)
    assert y.double().mean().item() == pytest.approx(3.0, rel=0.02)


def test_the_gradient_is_that_of_what_was_kept():
    torch.manual_seed(0)
    x = torch.randn(40, 25, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert x.grad is not None
    assert set(x.grad.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(y, x * x.grad)


def test_places_are_dropped_independently_of_their_neighbours():
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(100_000)) > 0).float()
    for apart in (1, 2, 3, 4):
        both = torch.stack([kept[:-apart], kept[apart:]])
        assert torch.corrcoef(both)[0, 1].abs() < 0.02


def test_in_evaluation_and_without_p_x_itself_is_given():
    x = torch.ones(3)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_a_generator_of_ones_own_gives_the_same_draws_and_leaves_torchs_alone():
    x, module = torch.ones(50), Dropout(0.5)
    before = torch.get_rng_state()
    drawn = []
    for _ in range(2):
        with drawing_from(Streams([Generator().manual_seed(1)])):
            drawn.append(module(x))
    assert torch.equal(*drawn)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(module(x), drawn[0])
