"""The most probable way of a known text through what a CTC network heard: forced alignment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.errors import ClipError

BLANK = -1  # in a path: a frame of no token
ANYTHING = 0.5  # the probability of letters that aren't known, as a share of the best token's
MOST_CELLS = 1 << 28  # bytes of steps back: ten minutes of fluent speech


def word_spans(
    log_probs: np.ndarray, words: Sequence[Sequence[int]], gaps: Sequence[int | None], blank: int
) -> tuple[np.ndarray, np.ndarray]:
    """The frames of each word, from one up to another, and the mean probability of its letters.

    words: the tokens of each, whose letters may all be unknown: then it lasts as long as its
    neighbours leave it, and its probability is 0. gaps: the token before each word, if any.
    Returns int64 [words, 2] and float32 [words].
    """
    # One more token, for whatever is heard; known letters and blanks explain better what they are.
    anything = log_probs.shape[1]
    heard = log_probs.max(axis=1, keepdims=True) + np.log(ANYTHING)
    judged = np.concatenate([log_probs, heard], axis=1)
    tokens: list[int] = []
    owners: list[int] = []
    for word, (letters, gap) in enumerate(zip(words, gaps, strict=True)):
        before = [] if gap is None else [gap]
        own = letters or [anything]
        tokens += [*before, *own]
        owners += [-1] * len(before) + [word] * len(own)
    path = best_path(judged, tokens, blank)
    frames = np.flatnonzero(path != BLANK)
    said, owner = np.array(tokens)[path[frames]], np.array(owners)[path[frames]]
    sure = np.where(said == anything, 0, np.exp(judged[frames, said]))
    spans = [
        (frames[owner == word][0], frames[owner == word][-1] + 1) for word in range(len(words))
    ]
    means = [sure[owner == word].mean() for word in range(len(words))]
    return np.array(spans), np.array(means, np.float32)


def best_path(log_probs: np.ndarray, tokens: Sequence[int], blank: int) -> np.ndarray:
    """For each frame the index of its token in `tokens`, or BLANK: int64 [frames].

    log_probs: float [frames, vocabulary]. Each token has a frame or several in a row, with blanks
    between tokens where they like and between equal ones where they must. Of all such paths it is
    the one with the largest product of probabilities. Raises ClipError where there is none, or the
    search would take too much memory. Source: Graves et al. 2006 for the paths, Viterbi 1967.
    """
    states = np.full(2 * len(tokens) + 1, blank)  # a blank, a token, a blank …
    states[1::2] = tokens
    frames, least = len(log_probs), _fewest_frames(tokens)
    if frames < least:
        raise ClipError(f"the sound is too short for its text: {frames} frames, at least {least}")
    if frames * len(states) > MOST_CELLS:
        raise ClipError(
            f"the sound is too long to align, {frames} frames and {len(tokens)} letters; cut the "
            "clip into shorter ones"
        )
    # From two states before: over a blank, from another token.
    leaps = np.full(len(states), False)
    leaps[3::2] = states[3::2] != states[1:-2:2]
    score = np.full(len(states), -np.inf)
    score[:2] = log_probs[0, states[:2]]
    steps = np.zeros((frames, len(states)), np.uint8)
    before = np.full((3, len(states)), -np.inf)  # the scores none, one and two states back
    for frame in range(1, frames):
        before[0], before[1, 1:] = score, score[:-1]
        before[2, 2:] = np.where(leaps[2:], score[:-2], -np.inf)
        steps[frame] = before.argmax(axis=0)
        score = before.max(axis=0) + log_probs[frame, states]
    state = len(states) - 1 - int(score[-2] > score[-1])  # it ends in the last token or after it
    path = np.empty(frames, np.int64)
    for frame in range(frames - 1, -1, -1):
        path[frame] = state
        state -= int(steps[frame, state])
    return np.where(path % 2, path // 2, BLANK)


def _fewest_frames(tokens: Sequence[int]) -> int:
    """One for each token, and for the blank between equal ones."""
    return len(tokens) + int(np.count_nonzero(np.diff(tokens) == 0))
