"""The page of one clip: true to the cache, escaped, good to look at."""

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from model.cli.group import main
from pipeline.encoders.openface_columns import AUS
from pipeline.faces.align import align
from pipeline.html import write_page
from pipeline.inspect import action_units, features, page, sound, tokens
from pipeline.inspect.stage_result import (
    DAMAGED,
    NOT_EXTRACTED,
    StageResult,
    results_of,
    row_number,
)
from pipeline.inspect.video_frame import frame_at
from pipeline.media.waveform import FULL_SCALE
from pipeline.media.write_mp4 import write_mp4
from pipeline.runner.extract import extract
from pipeline.runner.serial import run_serially
from pipeline.sample import footage, voice
from pipeline.stage.steps import STEPS
from pipeline.stage.transcript import read
from pipeline.store.cache import Cache, open_cache
from tests.support.browser import PHONE, Browser
from tests.support.paths import ROOT

HOSTILE = "<script>document.title='broken'</script>\"'&amp;{{ 7 * 7 }}"
LONG = f"{HOSTILE} " + "never in my life " * 3000
SILENT, FACELESS, GONE = "no/sound", "no/face", "gone"
SMALL = 2_000_000  # bytes: what a page of any clip fits into
SECONDS = 4.0
STAGES = ("faces", "resnet18", "action_units", "audio", "mfcc", "wav2vec2", "bert")


def film(path: Path, cut: footage.Excerpt, has_sound: bool = True) -> str:
    rng = np.random.default_rng(0)
    frames = list(footage.shown(cut, SECONDS, rng))
    spoken = voice.speak(SECONDS, 0.5, rng) if has_sound else None
    write_mp4(path, frames, footage.FPS, spoken, voice.RATE_HZ, preset="ultrafast")
    return path.name


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset `talks.jsonl` and its cache: a hostile clip, and three that lack something."""
    folder = tmp_path_factory.mktemp("inspect")
    face = film(folder / "face.mp4", footage.EXCERPTS[9])
    shutil.copy(folder / face, folder / "gone.mp4")
    clips = {
        HOSTILE: (face, LONG),
        SILENT: (film(folder / "silent.mp4", footage.EXCERPTS[8], has_sound=False), "A quiet one."),
        FACELESS: (film(folder / "faceless.mp4", footage.NO_FACE), ""),
        GONE: ("gone.mp4", "好坏 it was"),
    }
    rows = [
        {"id": id, "video": video, "text": text, "label": "-0.8", "split": "valid"}
        for id, (video, text) in clips.items()
    ]
    (folder / "talks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    stages = ROOT / "pipeline/sample/stages.yaml"
    (folder / "stages.yaml").write_text(stages.read_text())
    done = extract(
        folder / "talks.jsonl", folder / "stages.yaml", run_serially, str(folder / "cache")
    )
    assert [outcome.error for outcome in done.outcomes] == [""] * len(STAGES)
    (folder / "gone.mp4").unlink()
    return folder


@pytest.fixture(scope="module")
def cache(world: Path) -> Cache:
    return open_cache(world / "cache" / "talks")


def smp(world: Path, clip: str, *options: object) -> Result:
    where = ["inspect", world / "talks.jsonl", clip, "--cache", world / "cache"]
    return CliRunner().invoke(main, [str(argument) for argument in [*where, *options]])


def written(world: Path, clip: str, tmp_path: Path, *options: object) -> Path:
    path = tmp_path / "page.html"
    done = smp(world, clip, "--output", path, *options)
    assert done.exit_code == 0, done.output
    assert path.stat().st_size < SMALL
    return path


def found(cache: Cache, clip: str) -> dict[str, StageResult]:
    return {f.stage: f for f in results_of(cache, row_number(cache.table, clip))}


def texts(browser: Browser, selector: str) -> list[str]:
    code = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent.trim())"
    return list(browser.script(code, selector))


# ---- in a browser ------------------------------------------------------------------------------


def test_a_hostile_clip_shows_as_text_with_all_its_faces(
    browser: Browser, world: Path, tmp_path: Path
) -> None:
    browser.open(written(world, HOSTILE, tmp_path))
    assert browser.script("return document.title") == f"{HOSTILE} · talks"
    assert texts(browser, "h1") == [HOSTILE]
    assert texts(browser, "blockquote")[0].startswith(HOSTILE)
    assert browser.script("return document.querySelectorAll('script').length") == 1
    faces = (
        "return [...document.querySelectorAll('.faces img')].filter((face) =>"
        " face.naturalWidth === 112 && face.getBoundingClientRect().width > 40"
        " && face.alt.startsWith('Face of step'))"
    )
    assert len(browser.script(faces)) == STEPS
    assert len(texts(browser, ".frame .box")) == 1
    assert len(texts(browser, ".frame .point")) == 5
    assert browser.console() == []
    assert browser.requests() == []


def test_the_page_fits_a_phone_and_is_there_for_a_screen_reader(
    browser: Browser, world: Path, tmp_path: Path
) -> None:
    browser.open(written(world, HOSTILE, tmp_path), PHONE)
    assert browser.overflow_px() == 0
    levels = [int(name[1]) for name in browser.script(
        "return [...document.querySelectorAll('h1, h2, h3')].map((e) => e.tagName)"
    )]  # fmt: skip
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    unnamed = "return document.querySelectorAll('img:not([alt]), svg:not([aria-label])').length"
    assert browser.script(unnamed) == 0
    broken = (
        "return [...document.querySelectorAll('nav a, th a')].filter((link) =>"
        " !document.querySelector(link.hash)).length"
    )
    assert browser.script(broken) == 0


@pytest.mark.parametrize(("clip", "name"), [(HOSTILE, "inspect"), (SILENT, "inspect-no-sound")])
def test_screenshots_are_kept_in_light_and_dark(
    browser: Browser, world: Path, tmp_path: Path, clip: str, name: str
) -> None:
    browser.open(written(world, clip, tmp_path))
    for kind, picture in browser.screenshots(name).items():
        assert picture.std() > 10, kind
        assert (np.median(picture) > 128) == kind.startswith("light")


@pytest.mark.parametrize(
    ("clip", "reasons"),
    [
        (SILENT, {"audio": "no sound stream", "mfcc": "audio: no sound", "wav2vec2": "audio: no"}),
        (
            FACELESS,
            {
                "faces": "no face in 40 frames",
                "resnet18": "faces: no face",
                "action_units": "faces: no face",
                "bert": "empty text",
            },
        ),
    ],
)
def test_what_a_clip_lacks_says_why_instead_of_a_picture(
    browser: Browser, world: Path, tmp_path: Path, clip: str, reasons: dict[str, str]
) -> None:
    browser.open(written(world, clip, tmp_path))
    for number, stage in enumerate(STAGES, 1):
        section = f"#stage-{number}"
        drawn = len(texts(browser, f"{section} svg, {section} img, {section} .heat"))
        state = texts(browser, f"{section} .state")
        if stage in reasons:
            assert (drawn, state) == (0, ["missing"]), stage
            assert texts(browser, f"{section} .absent")[0].startswith(reasons[stage])
        else:
            assert drawn
            assert state == ["ok"]
    assert browser.console() == []


# ---- true to the cache -------------------------------------------------------------------------


def test_the_frame_is_the_one_in_which_the_face_was_found(cache: Cache) -> None:
    faces = found(cache, SILENT)["faces"]
    row = cache.table.rows[row_number(cache.table, SILENT)]
    for step in (0, 17, STEPS - 1):
        _, rgb = frame_at(row, float(faces.rows["times"][step]), faces.identity)
        again = align(rgb, faces.rows["landmarks"][step])
        np.testing.assert_array_equal(again, faces.rows["images"][step])


def test_the_frame_is_that_of_the_time_asked_for(world: Path, cache: Cache, tmp_path: Path) -> None:
    times = found(cache, SILENT)["faces"].rows["times"]
    html = written(world, SILENT, tmp_path, "--at", "2.03").read_text()
    nearest = int(np.abs(times - 2.03).argmin())
    assert f"step {nearest + 1}, {times[nearest]:.2f} s" in html


def test_without_its_source_or_with_another_a_page_says_so(
    world: Path, cache: Cache, tmp_path: Path
) -> None:
    html = written(world, GONE, tmp_path).read_text()
    assert "No frame: the video is gone: " in html
    assert html.count('alt="Face of step') == STEPS
    (world / "gone.mp4").write_bytes((world / "silent.mp4").read_bytes())
    html = written(world, GONE, tmp_path).read_text()
    (world / "gone.mp4").unlink()
    assert "No frame: the video has changed since it was extracted: " in html


def test_units_are_named_and_are_those_that_were_stored(cache: Cache) -> None:
    finding = found(cache, HOSTILE)["action_units"]
    units = action_units.panel(finding).units
    stored = finding.rows["features"]
    assert [unit.code for unit in units][::16] == ["AU01", "AU45"]
    assert {int(unit.code[2:]): unit.meaning for unit in units} == action_units.MEANING
    for i, unit in enumerate(units):
        assert list(unit.presences) == (stored[:, i] == 1).tolist()
        np.testing.assert_allclose(unit.intensities, stored[:, len(AUS) + i], atol=1e-3)


def test_tokens_lead_to_their_steps_the_special_ones_too(cache: Cache) -> None:
    short = tokens.tokens(found(cache, GONE)["bert"], "好坏 it was")
    assert [(t.text, t.steps) for t in short] == [
        ("[CLS]", (0,)), ("好", (1,)), ("坏", (2,)), ("it", (3,)), ("was", (4,)), ("[SEP]", (5,)),
    ]  # fmt: skip
    assert [t.is_special for t in short] == [True, False, False, False, False, True]
    long = tokens.tokens(found(cache, HOSTILE)["bert"], LONG)
    assert len(long) == 512, "as many as the network takes"
    assert [t.steps for t in long if t.steps] == [(step,) for step in range(STEPS)]
    assert long[0].steps == (0,)
    assert long[-1].steps == (STEPS - 1,)


def test_averaged_tokens_are_part_of_every_step_that_they_touch(cache: Cache) -> None:
    found_ = found(cache, GONE)["bert"]
    mean = tokens._taken(48, STEPS, "mean")
    assert [list(of) for of in mean[:3]] == [[0, 1], [1, 2], [3, 4]]
    assert {token for of in mean for token in of} == set(range(48))
    assert found_.length == 6


def test_tokens_that_do_not_fit_what_was_stored_are_not_shown(cache: Cache) -> None:
    panel = tokens.panel(found(cache, GONE)["bert"], "another text, and a longer one")
    assert panel.tokens == ()
    assert panel.why_not == "9 tokens give 9 steps, not 6"


def test_a_waveform_keeps_its_peaks_however_long_it_is() -> None:
    samples = np.zeros(10_000_019, np.int16)
    samples[1_234_567], samples[9_999_999] = 20_000, -30_000
    peaks = sound.envelope(samples)
    assert peaks.shape == (sound.COLUMNS, 2)
    assert (peaks.max(), peaks.min()) == (20_000 / FULL_SCALE, -30_000 / FULL_SCALE)
    assert len(sound.envelope(np.ones(3, np.int16))) == 3


def test_a_heat_map_scales_each_channel_by_itself() -> None:
    rows = np.array([[1.0, 5.0, 0.0], [3.0, 5.0, -2.0], [2.0, 5.0, -1.0]], np.float32)
    np.testing.assert_allclose(features.heat(rows), np.array([[0, 1, 0.5], [0, 0, 0], [1, 0, 0.5]]))
    many = features.heat(np.random.default_rng(0).normal(size=(32, 1000)), tallest=96)
    assert many.shape == (96, 32)
    assert (many.min(), many.max()) == (0, 1)


def test_each_number_says_where_it_comes_from(cache: Cache, world: Path, tmp_path: Path) -> None:
    html = written(world, SILENT, tmp_path).read_text()
    row = cache.table.rows[row_number(cache.table, SILENT)]
    for finding in found(cache, SILENT).values():
        assert finding.identity["fingerprint"] in html
        assert finding.key in html
        assert finding.url in html
    assert row.digests["video"] in html
    assert str(world / "silent.mp4") in html
    assert found(cache, SILENT)["faces"].identity["weights"] in html
    assert "partition 0, row 1" in html


def test_one_row_is_read_as_the_whole_partition_is(cache: Cache) -> None:
    for view in cache.values():
        for number, whole in enumerate(view.store.rows(0)):
            one = view.store.row(number)
            assert (one.state, one.length, one.reason) == (whole.state, whole.length, whole.reason)
            for name, values in whole.rows.items():
                np.testing.assert_array_equal(one.rows[name], values)


def test_words_that_were_heard_are_shown_as_such(
    browser: Browser, world: Path, tmp_path: Path
) -> None:
    spec = {
        "audio": {},
        "asr": {"needs": "audio", "weights": "random"},
        "tencent": {"needs": "asr", "weights": "random"},
        "bert": {"needs": "asr", "weights": "random"},
    }
    (stages := tmp_path / "heard.yaml").write_text(yaml.safe_dump({"stages": spec}))
    root = str(tmp_path / "cache")
    extract(world / "talks.jsonl", stages, run_serially, root)
    cache = open_cache(f"{root}/talks")
    by_stage = found(cache, FACELESS)
    heard = read(by_stage["asr"].rows["transcript"])
    assert heard.strip()
    browser.open(write_page(page.inspect(cache, FACELESS), tmp_path / "heard.html"))
    assert texts(browser, "blockquote") == [heard.strip()] * 2
    assert texts(browser, ".lead .note") == ["Not in the dataset: recognised by the stage asr."]
    for stage in ("tencent", "bert"):
        number = list(by_stage).index(stage) + 1
        shown = texts(browser, f"#stage-{number} .tokens .step")
        assert [text for text in shown if text != "·"] == [
            str(step + 1) for step in range(by_stage[stage].length)
        ]
    assert browser.console() == []


# ---- a cache that is not whole -----------------------------------------------------------------


@pytest.fixture
def copy(world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world / "cache" / "talks", tmp_path / "cache" / "talks"))


def test_a_stage_that_is_not_done_or_damaged_costs_itself_alone(copy: Path) -> None:
    shutil.rmtree(next(copy.glob("mfcc/*.zarr")))
    next(copy.glob("bert/*.zarr/commits/00000.json")).unlink()
    chunk = next(path for path in copy.glob("resnet18/*.zarr/features/c/**/*") if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[::-1])
    next(copy.glob("audio/*.zarr/samples/p00000/c/0")).unlink()
    cache = open_cache(copy)
    states = {stage: finding.state for stage, finding in found(cache, HOSTILE).items()}
    assert states == {
        "faces": "ok", "resnet18": DAMAGED, "action_units": "ok", "audio": DAMAGED,
        "mfcc": NOT_EXTRACTED, "wav2vec2": "ok", "bert": NOT_EXTRACTED,
    }  # fmt: skip
    html = page.inspect(cache, HOSTILE)
    assert "--repair" in html
    assert html.count('alt="Face of step') == STEPS


def test_another_stages_file_shows_its_own_stores(world: Path, tmp_path: Path) -> None:
    spec = yaml.safe_load((world / "stages.yaml").read_text())
    spec["stages"]["mfcc"]["coefficients"] = 20
    (other := tmp_path / "other.yaml").write_text(yaml.safe_dump(spec))
    html = written(world, SILENT, tmp_path, "--stages", other).read_text()
    assert re.findall(r'<span class="state \w+">([a-z ]+)</span>', html).count(NOT_EXTRACTED) == 2


def test_an_unknown_clip_is_told_with_the_closest_ids(world: Path) -> None:
    done = smp(world, "no/sonud")
    assert done.exit_code == 2
    assert (
        done.output == "Error: talks: no clip 'no/sonud' among 4; closest: 'no/sound', 'no/face'\n"
    )
    assert "the first: '<script>" in smp(world, "zzz").output


def test_a_dataset_that_was_not_extracted_is_told(world: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        main, ["inspect", str(world / "talks.jsonl"), "a", "--cache", str(tmp_path)]
    )
    assert done.exit_code == 2
    assert "nothing extracted yet; run `smp extract` " in done.output


def test_a_page_is_named_after_its_clip_and_stays_in_its_folder(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert smp(world, SILENT).exit_code == 0
    assert smp(world, HOSTILE).exit_code == 0
    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert names == [
        "talks-no-sound.html",
        "talks-script-document.title-broken-script-amp-7-7.html",
    ]
