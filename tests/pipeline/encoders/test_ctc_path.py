"""Forced alignment against every path there is, and against torchaudio where that is installed."""

import itertools

import numpy as np
import pytest

from pipeline.encoders import ctc_path
from pipeline.encoders.ctc_path import BLANK, best_path, word_spans
from pipeline.errors import ClipError


def heard(frames: int, tokens: int, seed: int = 0) -> np.ndarray:
    """Log probabilities of noise, float32 [frames, tokens]."""
    scores = np.random.default_rng(seed).normal(0, 2, (frames, tokens))
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)), np.float32)


def collapsed(labels: tuple[int, ...], blank: int) -> list[int]:
    return [label for label, _ in itertools.groupby(labels) if label != blank]


def brute_force(log_probs: np.ndarray, tokens: list[int], blank: int) -> tuple[int, ...]:
    """Of all ways to label the frames that read as the tokens, the most probable one."""
    frames, vocabulary = log_probs.shape
    ways = itertools.product(range(vocabulary), repeat=frames)
    return max(
        (labels for labels in ways if collapsed(labels, blank) == tokens),
        key=lambda labels: log_probs[np.arange(frames), labels].sum(dtype=np.float64),
    )


@pytest.mark.parametrize("tokens", [[1], [1, 2], [2, 2], [1, 2, 1], [2, 2, 1], [1, 1, 1]])
@pytest.mark.parametrize("blank", [0, 3])
@pytest.mark.parametrize("seed", range(3))
def test_the_path_is_the_best_of_all(tokens: list[int], blank: int, seed: int) -> None:
    log_probs = heard(6, 4, seed)
    path = best_path(log_probs, tokens, blank)
    labels = tuple(blank if at == BLANK else tokens[at] for at in path.tolist())
    assert labels == brute_force(log_probs, tokens, blank)
    assert sorted(set(path.tolist()) - {BLANK}) == list(range(len(tokens)))
    assert (np.diff(path[path != BLANK]) >= 0).all()


def test_torchaudio_finds_the_same_path() -> None:
    torchaudio = pytest.importorskip("torchaudio")
    torch = pytest.importorskip("torch")
    log_probs, tokens = heard(200, 30), np.random.default_rng(1).integers(1, 30, 40)
    given = torch.from_numpy(log_probs)[None], torch.from_numpy(tokens)[None].int()
    labels = torchaudio.functional.forced_align(*given, blank=0)[0][0].numpy()
    path = best_path(log_probs, tokens.tolist(), 0)
    np.testing.assert_array_equal(np.where(path == BLANK, 0, tokens[path]), labels)


def test_as_many_frames_as_it_takes_are_enough_and_one_less_is_told() -> None:
    assert best_path(heard(4, 3), [1, 1, 2], 0).tolist() == [0, BLANK, 1, 2]
    with pytest.raises(ClipError, match="too short for its text: 3 frames, at least 4"):
        best_path(heard(3, 3), [1, 1, 2], 0)


def test_what_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctc_path, "MOST_CELLS", 19)
    with pytest.raises(ClipError, match="too long to align, 4 frames and 2 letters"):
        best_path(heard(4, 3), [1, 2], 0)


def planted(labels: str, alphabet: str, sure: float = 0.9) -> np.ndarray:
    """Frames each of which is heard as one letter, and hardly as another."""
    others = (1 - sure) / (len(alphabet) - 1)
    found = np.full((len(labels), len(alphabet)), others)
    found[np.arange(len(labels)), [alphabet.index(label) for label in labels]] = sure
    return np.asarray(np.log(found), np.float32)


def test_a_word_lasts_from_its_first_letter_to_its_last_and_is_as_sure_as_they_are() -> None:
    log_probs = planted("--a-bb-|--c-", "-|abc")
    spans, sure = word_spans(log_probs, [[2, 3], [4]], [None, 1], blank=0)
    assert spans.tolist() == [[2, 6], [10, 11]]
    np.testing.assert_allclose(sure, [0.9, 0.9], rtol=1e-6)


def test_a_word_without_known_letters_lies_where_its_neighbours_leave_room() -> None:
    log_probs = planted("aa-bbb-d-bdb--cc-", "-|abcd")
    spans, sure = word_spans(log_probs, [[2], [], [4]], [None, None, None], blank=0)
    assert spans.tolist() == [[0, 2], [3, 12], [14, 16]]
    assert sure[1] == 0
