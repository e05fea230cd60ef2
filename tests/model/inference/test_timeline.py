"""The page of a long video: what it says of each utterance, and that it follows the video."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from model.inference.timeline import Part
from model.inference.timeline_page import clock, page
from model.metrics import MOSI
from model.objectives.prediction import Prediction
from model.objectives.score import Score
from pipeline.html import write_page
from pipeline.media.write_mp4 import write_mp4
from pipeline.segment.segment import Utterance
from tests.support.browser import DESK, PHONE, Browser

FACE = np.full((112, 112, 3), 128, np.uint8)
MODEL: Any = SimpleNamespace(
    run="runs/a", predictor=SimpleNamespace(objective=Score(name="sentiment", scale=MOSI))
)
SCORED = [
    Part(
        Utterance(0.5, 1.5, "So <b>good</b>", 0.9, 0.8),
        Prediction("a/1", 1.25, "positive", 0.7),
        [FACE, FACE],
    ),
    Part(
        Utterance(2.0, 3.0, "", 0.9),
        Prediction("a/2", -0.5, "negative", 0.6, missing={"text": "empty text"}),
    ),
    Part(Utterance(3.0, 4.0, "", 0.9), Prediction("a/3", error="no steps")),
]


def test_times_are_read_as_a_player_shows_them() -> None:
    assert [clock(s) for s in (0, 75.25, 599.96, 3723.4)] == [
        "0:00.0",
        "1:15.2",
        "9:59.9",
        "1:02:03.4",
    ]


def test_every_utterance_is_told_with_its_text_and_what_is_missing() -> None:
    html = page(Path("films/a b.mp4"), Path("pages/a.html"), MODEL, SCORED, ["a note"])
    assert 'src="../films/a%20b.mp4"' in html
    assert "So &lt;b&gt;good&lt;/b&gt;" in html
    assert "+1.250, positive, 0.70" in html
    assert "without text" in html
    assert "no steps" in html
    assert "a note" in html
    assert html.count('class="line s1"') == 3
    assert html.count('d=""') == 1  # nothing is drawn where nothing is said
    assert ">−2<" in html  # the curve is on the scale of the scores


def test_a_classifiers_probabilities_are_a_line_each() -> None:
    said = Prediction("a", None, "sad", 0.8, {"sad": 0.8, "glad": 0.2})
    html = page(Path("a.mp4"), Path("a.html"), MODEL, [Part(SCORED[0].utterance, said)], [])
    assert html.count('class="line s') == 2
    assert '<span class="key s2">glad</span>' in html


@pytest.mark.parametrize(("size", "scheme"), [(DESK, "light"), (PHONE, "dark")])
def test_the_page_follows_the_video(
    tmp_path: Path, browser: Browser, size: tuple[int, int], scheme: str
) -> None:
    video = tmp_path / "a.mp4"
    write_mp4(video, iter(np.zeros((100, 64, 64, 3), np.uint8)), 25)
    where = write_page(page(video, tmp_path / "a.html", MODEL, SCORED, []), tmp_path / "a.html")
    browser.open(where, size, scheme)
    told = browser.driver.execute_async_script(
        """
        const done = arguments[0], video = document.querySelector("video");
        const tell = () => done([
          [...document.querySelectorAll(".parts li")].map((row) => row.className),
          document.querySelector(".now").getAttribute("transform"), video.duration]);
        const seek = () => {
          video.addEventListener("seeked", tell, { once: true });
          video.currentTime = 2.5;
        };
        if (video.readyState) seek(); else video.addEventListener("loadedmetadata", seek);
        """
    )
    assert told[0] == ["", "playing", ""]
    assert told[1] == f"translate({40 + 2.5 / 4 * 850} 0)"
    assert told[2] == pytest.approx(4, abs=0.1)
    assert browser.console() == []
    assert browser.overflow_px() <= 0
