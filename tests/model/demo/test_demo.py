"""A clip dropped into the page of a trained model, in its functions and in a browser."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from model import load
from model.cli.group import main
from model.demo import serve
from model.demo.clip_page import clip_page
from model.inference.predict import TrainedModel
from pipeline.dataset.clip import SPLITS, Clip
from pipeline.media.write_mp4 import write_mp4
from pipeline.runner.extract import extract
from pipeline.runner.serial import run_serially
from pipeline.sample import footage, voice
from tests.support.browser import DESK, Browser

SECONDS = 2.0
SAID = "<b>What</b> a lovely day."


def film(path: Path) -> str:
    rng = np.random.default_rng(0)
    frames = list(footage.shown(footage.EXCERPTS[9], SECONDS, rng))
    spoken = voice.speak(SECONDS, 0.5, rng)
    write_mp4(path, frames, footage.FPS, spoken, voice.RATE_HZ, preset="ultrafast")
    return path.name


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """Trained on one film and a few texts, with random weights."""
    folder = tmp_path_factory.mktemp("demo")
    videos = [film(folder / "film.mp4")] + [""] * 5
    rows = [
        {"id": f"c{i}", "video": video, "text": f"text {i}", "label": i - 2, "split": SPLITS[i % 3]}
        for i, video in enumerate(videos)
    ]
    (folder / "talks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    stages = {
        "frames": {"fps": 5},
        "faces": {"needs": "frames", "detect_every": 8},
        "resnet18": {"needs": "faces", "weights": "random", "input_px": 64},
        "audio": {},
        "mfcc": {"needs": "audio"},
        "bert": {"weights": "random"},
    }
    (folder / "stages.yaml").write_text(yaml.safe_dump({"stages": stages}))
    data, cache = folder / "talks.jsonl", str(folder / "cache")
    extract(data, folder / "stages.yaml", run_serially, cache)
    where = ["--cache", cache, "--runs", str(folder / "runs"), "--epochs", "1", "--json"]
    done = CliRunner().invoke(main, ["train", str(data), *where], catch_exceptions=False)
    return load(json.loads(done.stdout)["run"])


@pytest.fixture(scope="module")
def video(model: TrainedModel) -> str:
    return str(model.dataset()["c0"].video)


def test_a_clip_is_shown_with_its_score_faces_words_and_times(model, video):
    clip = Clip("mine", video=video, text=SAID)
    html = clip_page(model, clip)
    [said] = model([clip])
    assert said.score is not None
    assert f"<dd>{said.score:+.2f}</dd>".replace("-", "−") in html
    assert f"<dd>{said.confidence:.2f}</dd>" in html
    assert 2 <= len(re.findall(r'alt="Face of step \d+, at [\d.]+ s"', html)) <= 32
    assert "People over time" in html
    assert "Waveform of the audio" in html
    assert "&lt;b&gt;What&lt;/b&gt; a lovely day." in html
    assert "random weights in resnet18, bert" in html


def test_what_a_clip_lacks_and_why_nothing_is_said_of_it_are_one_line(model, tmp_path):
    (tmp_path / "bad<i>.mp4").write_bytes(b"no video")
    told = serve.answer(model, str(tmp_path / "bad<i>.mp4"), SAID)
    assert re.fullmatch(r'<p role="alert">video can&#39;t be opened[^<\n]*</p>', told)
    assert serve.answer(model, None, "").startswith('<p role="alert">nothing to go by: ')
    assert "No visual: " in clip_page(model, Clip("text alone", text=SAID))


@pytest.fixture
def served(model: TrainedModel, tmp_path: Path, monkeypatch) -> Iterator[str]:
    for name in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED"):
        monkeypatch.setenv(name, "")  # so that what the server sets is taken back
    with socket.create_server(("127.0.0.1", 0)) as door:
        server = serve.server_of(model, str(tmp_path))
        thread = threading.Thread(target=server.run, args=([door],))
        thread.start()
        yield f"http://127.0.0.1:{door.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


def waited(browser: Browser, code: str, seconds: float = 60) -> object:
    """What the script returns, once that is something."""
    ends = time.monotonic() + seconds
    while not (found := browser.script(f"return {code}")) and time.monotonic() < ends:
        time.sleep(0.05)
    assert found, code
    return found


def test_a_clip_is_dropped_into_the_page_and_nothing_goes_beyond_this_machine(
    browser: Browser, served: str, video: str, tmp_path: Path, monkeypatch
):
    asked, lookup = [], socket.getaddrinfo

    def seen(host: Any, *rest: Any, **options: Any) -> object:
        asked.append(host)
        return lookup(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", seen)
    browser.show_as(DESK, "light")
    browser.driver.get(served)
    waited(browser, "document.querySelector('input[type=file]')")
    browser.driver.find_element("css selector", "input[type=file]").send_keys(video)
    waited(browser, "document.querySelector('video')")
    browser.driver.find_element("css selector", "textarea").send_keys(SAID)
    browser.driver.find_element("css selector", "button.primary").click()
    within = "document.querySelector('iframe')?.contentDocument"
    assert waited(browser, f"{within}?.querySelectorAll('.faces img').length")
    browser.screenshot("demo")
    said = browser.script(f"return {within}.querySelector('.transcript').textContent")
    assert said.strip() == SAID
    high, shown = browser.script(
        "const f = document.querySelector('iframe');"
        "return [f.contentDocument.body.offsetHeight, f.clientHeight]"
    )
    assert high == shown > 500
    assert browser.overflow_px() == 0
    assert [url for url in browser.requests() if not url.startswith((served, "blob:"))] == []
    hidden = "document.querySelector('button[aria-label^=Trim]').offsetParent === null"
    assert browser.script(f"return {hidden}")
    browser.console()
    browser.script("new Image().src = 'http://elsewhere.invalid/'")
    [refused] = [line for line in browser.console() if "elsewhere" in line]
    assert "violates the following Content Security Policy" in refused
    assert set(asked) <= {"localhost", "127.0.0.1"}
    assert [file.name for file in tmp_path.rglob("*.mp4")] == ["film.mp4"]


def test_an_address_that_is_taken_is_said_in_one_line(model):
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
        done = CliRunner().invoke(main, ["demo", str(model.run), "--port", str(port)])
    assert done.exit_code == 2
    assert f"Error: can't listen on 127.0.0.1:{port}: Address already in use" in done.stderr
