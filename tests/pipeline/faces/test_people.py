"""Tracks hold one person each; who is followed, and who came next, is told."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from pipeline.faces.align import SIZE_PX
from pipeline.faces.likeness import look
from pipeline.faces.people import COLUMNS, Choice, choose
from pipeline.faces.tracker import Face, Tracker


def face(time_s: float, who: int, x: float = 0, size: float = 50) -> Face:
    """A face whose look is that person's, with a little noise."""
    rng = np.random.default_rng(who)
    coarse = rng.integers(0, 256, (7, 7, 3), np.uint8)
    image = cv2.resize(coarse, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_LINEAR)
    noise = np.random.default_rng([who, round(100 * time_s)]).normal(0, 8, image.shape)
    box = np.array([x, 10, x + size, 10 + size], np.float32)
    shown = np.clip(image + noise, 0, 255).astype(np.uint8)
    return Face(time_s, box, np.zeros((5, 2), np.float32), 0.99, shown)


def seen(who: Sequence[int], cuts: Sequence[int] = (), keep: bool = False, **places) -> Tracker:
    """A face a frame, ten a second; 0 is nobody."""
    tracker = Tracker(0.3, 0.5, keep)
    for i, person in enumerate(who):
        tracker.add(i / 10, [face(i / 10, person, **places)] if person else [], i in cuts)
    return tracker


def spans(choice: Choice) -> list[list[float]]:
    return choice.summary()[:, :3].tolist()


def test_a_look_is_free_of_light_and_a_blank_face_has_none() -> None:
    image = face(0, 1).image
    assert look(image) @ look((image / 4).astype(np.uint8)) > 0.99
    assert look(image) @ look(face(0, 2).image) < 0.5
    assert not look(np.zeros_like(image)).any()


def test_another_person_in_the_same_place_begins_another_track() -> None:
    """A cut that nobody saw."""
    tracker = seen([1] * 6 + [2] * 8)
    assert [(t.begins_s, t.count) for t in tracker.tracks] == [(0, 6), (0.6, 8)]


def test_another_person_after_a_gap_begins_another_track() -> None:
    assert len(seen([1] * 6 + [0, 0, 0] + [2] * 6).tracks) == 2
    assert len(seen([1] * 6 + [0, 0, 0] + [1] * 6).tracks) == 1


def test_a_person_is_known_again_after_a_cut() -> None:
    tracker = seen([1] * 5 + [2] * 4 + [1] * 3 + [3] * 2, cuts=[5, 9, 12])
    choice = choose(tracker.tracks, relink=False)
    assert choice.people == [1, 2, 1, 3]
    assert tracker.cuts_s == [0.5, 0.9, 1.2]
    assert spans(choice) == [[0, 0.4, 5], [0.5, 0.8, 4], [0.9, 1.1, 3], [1.2, 1.3, 2]]
    assert choice.summary()[:, COLUMNS.index("is_chosen")].tolist() == [1, 0, 0, 0]
    assert choice.runner_up == pytest.approx(4 / 5)


def test_relinking_follows_a_person_over_cuts() -> None:
    who = [1] * 5 + [2] * 6 + [1] * 3
    assert [f.time_s for f in choose(seen(who, [5, 11]).tracks, relink=False).faces] == [
        i / 10 for i in range(5, 11)
    ]
    choice = choose(seen(who, [5, 11], keep=True).tracks, relink=True)
    assert [f.time_s for f in choice.faces] == [i / 10 for i in [*range(5), 11, 12, 13]]
    assert choice.runner_up == pytest.approx(6 / 8)


def test_who_is_seen_at_the_same_time_is_not_one_person() -> None:
    tracker = Tracker(0.3, 0.5)
    for i in range(6):
        tracker.add(i / 10, [face(i / 10, 1), face(i / 10, 1, x=200, size=40)])
    choice = choose(tracker.tracks, relink=True)
    assert choice.people == [1, 2]
    assert choice.runner_up == pytest.approx(40**2 / 50**2)


def test_one_person_alone_has_no_runner_up() -> None:
    assert choose(seen([1] * 5 + [1] * 4, cuts=[5]).tracks, relink=False).runner_up == 0


def test_faces_that_nobody_needs_are_let_go() -> None:
    tracker = seen([1] * 5 + [2] * 4 + [3] * 9, cuts=[5, 9])
    assert [len(t.faces) for t in tracker.tracks] == [5, 0, 9]  # the third may yet end as it is
    tracker.add(1.8, [], cut=True)
    assert [len(t.faces) for t in tracker.tracks] == [0, 0, 9]
    assert [t.count for t in tracker.tracks] == [5, 4, 9]
