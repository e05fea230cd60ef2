"""All tracks lie on the sound's time axis, the one that is followed apart, with the cuts."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.html import templates
from pipeline.inspect import page
from pipeline.inspect.sound import SoundPanel
from pipeline.inspect.stage_result import StageResult
from pipeline.inspect.timeline import MOST, quality, timeline


def finding(table: list[list[float]], cuts_s: list[float]) -> StageResult:
    rows = {"track_table": np.array(table), "cut_times": np.array(cuts_s)}
    return StageResult("faces", {"extractor": "faces"}, "ok", rows=rows)


TWO = finding(
    [
        [0, 1.16, 30, 300, 0.99, 2, 0],
        [1.2, 2.6, 36, 500, 0.99, 1, 1],
        [2.64, 3.5, 22, 200, 0.9, 2, 0],
    ],
    [1.2, 2.64],
)
SOUND = SoundPanel("M0 0L480 0Z", 480, 2.0, ())


def test_a_person_has_a_lane_with_all_tracks() -> None:
    line = timeline(TWO, SOUND)
    assert line is not None
    assert [(lane.name, lane.is_chosen, lane.faces) for lane in line.lanes] == [
        ("Person 1", True, 36),
        ("Person 2", False, 52),
    ]
    assert [span[0] for span in line.lanes[1].spans] == [0, 2.64]
    assert [lane.share for lane in line.lanes] == [0.5, 0.5]


def test_sound_that_is_shorter_fills_its_part_of_the_axis() -> None:
    line = timeline(TWO, SOUND)
    assert line is not None
    assert line.duration_s == 3.5
    assert line.sound_columns == pytest.approx(480 * 3.5 / 2)
    silent = timeline(TWO, None)
    assert silent is not None
    assert (silent.outline, silent.sound_columns) == ("", 0)


def test_a_crowd_is_cut_short() -> None:
    line = timeline(finding([[i, i + 1, 5, 9, 0.9, i + 1, i == 0] for i in range(9)], []), None)
    assert line is not None
    assert (len(line.lanes), line.more) == (MOST, 9 - MOST)


def test_a_cache_of_an_older_version_has_none() -> None:
    assert timeline(StageResult("faces", {"extractor": "faces"}, "ok"), SOUND) is None
    assert quality({}) == ()


def test_it_is_drawn_with_the_followed_one_apart_and_a_tick_a_cut() -> None:
    panels = templates(Path(page.__file__).parent).get_template("panels.html").module
    html = str(panels.timeline(timeline(TWO, SOUND)))  # type: ignore[attr-defined]
    assert html.count('<rect class="present"') == 1
    assert html.count('<rect class="weak"') == 2
    assert html.count('class="cut"') == 2 * 2  # in each of two lanes
    assert "Person 1, selected" in html
    assert "M0 0L480 0Z" in html
