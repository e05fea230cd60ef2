"""The common steps: which rows are kept, and what averaging means."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stage.steps import pad, sample_indices, to_steps


@given(n=st.integers(0, 5000), steps=st.integers(1, 64))
def test_uniform_sampling_keeps_order_and_both_ends(n: int, steps: int) -> None:
    kept = sample_indices(n, steps)
    assert len(kept) == min(n, steps)
    if n > steps > 1:
        assert (kept[0], kept[-1]) == (0, n - 1)
        np.testing.assert_array_equal(kept, np.round(np.linspace(0, n - 1, steps)))
    assert (np.diff(kept) > 0).all()


@given(n=st.integers(1, 500))
def test_averaging_weighs_every_row_alike(n: int) -> None:
    rows = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
    averaged = to_steps(rows, "mean")
    assert averaged.dtype == np.float32
    np.testing.assert_allclose(averaged.mean(0), rows.mean(0), atol=1e-5)


def test_averaging_takes_equal_windows() -> None:
    rows = np.arange(64, dtype=np.float32)[:, None]
    assert to_steps(rows, "mean")[:, 0].tolist() == [0.5 + 2 * i for i in range(32)]


@pytest.mark.parametrize("sampling", ["uniform", "mean"])
def test_short_sequences_stay_and_are_padded_with_zeros(sampling: str) -> None:
    rows = np.ones((5, 2), np.float32)
    assert to_steps(rows, sampling).shape == (5, 2)  # type: ignore[arg-type]
    padded = pad(rows)
    assert padded.shape == (32, 2)
    assert padded[:5].all()
    assert not padded[5:].any()
