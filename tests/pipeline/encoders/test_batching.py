"""Batches: of similar lengths, within their limits, and given back in the order of the rows."""

import numpy as np

from pipeline.encoders.batching import by_length, in_batches


def test_batches_hold_similar_lengths_within_their_limits() -> None:
    lengths = [5, 1, 9, 1, 5, 100]
    assert by_length(lengths, 2, 1000) == [[1, 3], [0, 4], [2, 5]]
    assert by_length(lengths, 9, 20) == [[1, 3, 0, 4], [2], [5]]
    assert by_length(lengths, 9, 19) == [[1, 3, 0], [4, 2], [5]]
    assert by_length(lengths, 9, 1000, equal=True) == [[1, 3], [0, 4], [2], [5]]
    assert by_length([], 2, 10) == []


def test_rows_come_back_in_their_order() -> None:
    rows = [np.full(n, n) for n in (5, 1, 9, 1, 5)]
    batches: list[int] = []

    def forward(some: list[int]) -> list[np.ndarray]:
        batches.append(len(some))
        return [rows[i] * 2 for i in some]

    found = in_batches(forward, [len(row) for row in rows], 2, 1000)
    assert batches == [2, 2, 1]
    assert all(np.array_equal(a, 2 * b) for a, b in zip(found, rows, strict=True))
