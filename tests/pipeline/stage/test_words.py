"""Which rows belong to a word, and their means, against plain loops."""

import numpy as np

from pipeline.stage.words import means, overlapping, within


def test_rows_lie_in_the_word_that_is_said_then() -> None:
    at_s = np.array([0.0, 0.1, 0.2, 0.3, 0.4])
    words = np.array([[0.1, 0.3], [0.3, 0.4], [0.4, 9.0]])
    belong = within(at_s, words)
    assert [np.flatnonzero(row).tolist() for row in belong] == [[1, 2], [3], [4]]


def test_a_word_during_which_no_row_is_has_the_nearest() -> None:
    at_s = np.array([0.0, 1.0, 2.0])
    belong = within(at_s, np.array([[0.4, 0.45], [1.7, 1.8], [5.0, 6.0]]))
    assert [np.flatnonzero(row).tolist() for row in belong] == [[0], [2], [2]]


def test_tokens_belong_to_the_word_whose_characters_they_are() -> None:
    text = "[CLS] un|believ|able , 很好"  # a token may be part of a word, a mark, or two words
    places = np.array([[0, 0], [0, 2], [2, 8], [8, 12], [12, 13], [14, 16], [0, 0]])
    belong = overlapping(places, np.array([[0, 12], [14, 15], [15, 16]]))
    assert [np.flatnonzero(row).tolist() for row in belong] == [[1, 2, 3], [5], [5]], text


def test_means_are_those_of_a_plain_loop_and_zero_where_there_is_nothing() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 3)).astype(np.float32)
    belong = rng.random((9, 40)) < 0.2
    belong[4] = False
    found = means(rows, belong)
    for word, own in enumerate(belong):
        expected = rows[own].mean(axis=0) if own.any() else np.zeros(3)
        np.testing.assert_allclose(found[word], expected, rtol=1e-5, atol=1e-7)
    assert found.dtype == np.float32
