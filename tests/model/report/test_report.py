"""`smp report`: its numbers, at every stage of the work, and its page in a real browser."""

import re
from dataclasses import replace
from html import unescape
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver.common.keys import Keys

from model.metrics import MOSI, SIMS
from model.objectives.objective import Confusion, Objective
from model.objectives.polarity import Polarity
from model.objectives.prediction import of_scores
from model.objectives.score import Score
from model.report import coverage, dataset, health, overview, predictions, training
from model.report.context import ReportContext
from model.report.page import render
from model.runs.predictions import validated
from model.runs.run import Run, chosen
from pipeline.dataset.clip import Clip
from pipeline.dataset.target import Target
from pipeline.html.numbers import plain
from pipeline.store.cache import open_cache
from pipeline.store.status import Problem, StageStatus, status
from tests.support.browser import PHONE, Browser
from tests.support.reported import (
    CLIPS,
    CONSTANT,
    EXPLODING,
    HOSTILE,
    NAME,
    NAN,
    NO_TEXT,
    REASON,
    SAID,
    Reported,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """Extracted, trained, compared."""
    made = Reported(tmp_path_factory.mktemp("whole"))
    made.extract()
    made.smp("train", "--epochs", "3", "--scale", "sims")
    made.smp("compare", "--models", "smp,lf_dnn", "--seeds", "2", "--epochs", "2")
    return made


@pytest.fixture(scope="module")
def page(whole: Reported) -> Path:
    return whole.report()


@pytest.fixture
def fresh(tmp_path: Path) -> Reported:
    return Reported(tmp_path)


@pytest.fixture
def opened(browser: Browser, page: Path) -> Browser:
    browser.open(page)
    return browser


def context_of(made: Reported) -> ReportContext:
    cache = open_cache(str(made.cache_root / NAME))
    clips, targets = made.clips, cache.targets
    return ReportContext(
        NAME, str(made.folder), {}, "en", clips, cache, status(cache), targets=targets
    )


def text_of(page: Path) -> str:
    """What a page says, without markup."""
    text = re.sub(r"<(style|script).*?</\1>|<[^>]+>", " ", page.read_text(), flags=re.S)
    return " ".join(unescape(text).split())


class TestHealth:
    def test_planted_channels_are_found_and_no_other(self, whole: Reported) -> None:
        stages = {stage.stage: stage for stage in health.section(context_of(whole)).content.stages}
        planted = stages["planted"].channels
        assert (planted.constant, planted.nan, planted.exploding) == (
            [CONSTANT],
            [NAN],
            [EXPLODING],
        )
        assert planted.steps == CLIPS * 3, "padding is not read"
        assert stages["bert"].findings == []
        assert stages["bert"].channels.clips == CLIPS - 1, "what failed has no features"

    def test_norms_are_those_of_whole_clips(self) -> None:
        channels = health.Channels(2)
        channels.add([np.array([[3, 4], [6, 8]], np.float32)])
        channels.add([np.array([[np.inf, 1]], np.float32)])
        assert channels.norms == [7.5], "of a clip that holds infinity there is none"
        assert channels.nan == [0]

    def test_one_channel_alone_explodes_from_a_million_on(self) -> None:
        channels = health.Channels(1)
        channels.add([np.array([[2e6], [0]], np.float32)])
        assert channels.exploding == [0]

    def test_one_step_is_not_constant(self) -> None:
        channels = health.Channels(1)
        channels.add([np.ones((1, 1), np.float32)])
        assert channels.constant == []

    def test_damage_is_told_and_costs_no_other_stage(self, fresh: Reported) -> None:
        fresh.extract()
        for chunk in (fresh.cache_root / NAME / "planted").rglob("features/c/1/*/*"):
            chunk.write_bytes(chunk.read_bytes()[:-9])
        found = {stage.stage: stage for stage in health.section(context_of(fresh)).content.stages}
        assert "is damaged" in found["planted"].damage
        assert found["bert"].channels.clips == CLIPS - 1
        assert "smp verify" in text_of(fresh.report())


class TestCoverage:
    def test_states_are_counted(self, whole: Reported) -> None:
        found = {s.stage: s for s in coverage.section(context_of(whole)).content.stages}
        faces, bert = found["faces"], found["bert"]
        assert (faces.ok, faces.missing, faces.failed, faces.todo) == (CLIPS - 1, 1, 0, 0)
        assert (bert.ok, bert.missing, bert.failed, bert.todo) == (CLIPS - 1, 0, 1, 0)

    def test_what_failed_comes_first(self, whole: Reported) -> None:
        problems = coverage.section(context_of(whole)).content.problems
        assert [(p.clip, p.state) for p in problems] == [
            (f"v/{NO_TEXT:02d}", "failed"),
            (HOSTILE, "missing"),
            ("v/00", "note"),
        ]

    def test_what_was_not_extracted_is_to_do(self, fresh: Reported) -> None:
        fresh.extract(partitions=[0, 2])
        found = coverage.section(context_of(fresh)).content
        assert [stage.todo for stage in found.stages] == [CLIPS - 16] * 3
        assert len(found.faces) == 15

    def test_thousands_of_problems_make_a_page_of_a_few_megabytes(self) -> None:
        clips = [Clip(f"a long name of a video, number {i}/{i}") for i in range(7000)]
        problems = tuple(Problem(c.id, "missing", "the dataset names no video") for c in clips)
        stage = StageStatus("faces", "f", (1, 1), {"ok": 0, "missing": 7000, "failed": 0},
                            problems, (), (), None, 0)  # fmt: skip
        html = render(ReportContext("many", "many", {}, "en", clips, None, [stage]))
        assert len(html.encode()) < 3e6
        assert "2,000 more are not listed here" in " ".join(html.split())


def confused(objective: Objective, rows: list[dict[str, str]]) -> list[Confusion]:
    truth, said = objective.read(rows)
    return objective.confusions(truth, objective.answers(said))


class TestNumbers:
    def test_every_label_is_in_one_column(self) -> None:
        counts = dataset.count([-1, -0.9, -0.55, 0, 1], [-1, -0.5, 0, 0.5, 1])
        assert counts == [2, 1, 1, 0, 1]

    def test_classes_and_labels_are_counted_by_split(self) -> None:
        targets = (
            Target(name="emotion", kind="classes", classes=("joy", "anger")),
            Target(name="moods", kind="labels", columns=("label_sad", "label_glad"), range=(0, 3)),
        )
        clips = [
            Clip("0", classes={"emotion": "joy"}, labels={"sad": 0, "glad": 2}, split="train"),
            Clip("1", classes={"emotion": "anger"}, split="test"),
            Clip("2", labels={"sad": 1, "glad": 0.5}, split=""),
        ]
        context = ReportContext("few", "few", {}, "en", clips, targets=targets)
        emotion, moods = dataset.section(context).content["counts"]
        assert emotion.rows == {"joy": [1, 0, 0, 1], "anger": [0, 0, 1, 1]}
        assert moods.rows == {"sad": [0, 0, 0, 1], "glad": [1, 0, 0, 2]}
        html = render(context)
        assert not [said for said in ("No clip has a label", "mean score") if said in html]

    def test_confusion_has_the_finest_classes_of_the_scale(self) -> None:
        rows = [{"label": "-2.6", "prediction": "1.2"}, {"label": "3", "prediction": "9"}]
        [found] = confused(Score(name="label", scale=MOSI), rows)
        assert (found.counts[0, 4], found.counts[6, 6], found.counts.sum()) == (1, 1, 2)
        rows = [{"label": "-0.8", "prediction": "0.1"}, {"label": "0.2", "prediction": "0.71"}]
        [found] = confused(Score(name="label", scale=SIMS), rows)
        assert (found.counts[0, 2], found.counts[3, 4], found.counts.sum()) == (1, 1, 2)
        rows = [{"label": "neutral", "negative": "0", "neutral": "0.1", "positive": "0.9"}]
        [found] = confused(Polarity(name="label", scale=SIMS), rows)
        assert found.counts[1, 2] == 1

    def test_best_and_worst_are_by_the_error_on_test(self, whole: Reported) -> None:
        run = Run.read(whole.runs / f"{NAME}-smp-seed0")
        found = predictions.section(replace(context_of(whole), runs=[run])).content
        errors = sorted(
            abs(float(row["label"]) - float(row["prediction"]))
            for row in run.predictions
            if row["split"] == "test"
        )
        assert [clip.error for clip in found["best"]] == errors[:5]
        assert [clip.error for clip in found["worst"]] == errors[-5:][::-1]
        assert not {c.clip for c in found["best"]} & {c.clip for c in found["worst"]}

    def test_a_clip_is_told_as_predict_tells_it(self, whole: Reported) -> None:
        run = Run.read(whole.runs / f"{NAME}-smp-seed0")
        row = next(row for row in run.predictions if row["split"] == "test")
        known = validated(run.predictions, run.objective)
        off = (known.truth - known.answers)[:, 0]
        [told] = of_scores(np.array([float(row["prediction"])]), off, SIMS)
        [shown] = predictions.told(run, [row])
        assert shown.said == f"{told.sentiment}, {plain(told.confidence)}"
        shares = {"negative": "0.2", "neutral": "0.3", "positive": "0.5"}
        settings = {**run.settings, "train": {**run.settings["train"], "task": "classification"}}
        of_classes = Run(Path("b"), settings, run.metrics, run.provenance, (), (), 0)
        [shown] = predictions.told(of_classes, [{**row, "label": "neutral", **shares}])
        assert (shown.truth, shown.prediction, shown.said) == ("neutral", "positive", "0.50")

    def test_a_run_is_chosen_by_validation_and_never_by_test(self, whole: Reported) -> None:
        run = Run.read(whole.runs / f"{NAME}-smp-seed0")
        tempting = {**run.metrics, "test": {"mae": 0.0}, "valid": {"mae": 9.0}}
        other = Run(Path("b"), run.settings, tempting, run.provenance, (), (), 0)
        assert chosen([other, run]) is run
        assert chosen([]) is None

    def test_runs_on_other_features_are_marked(self, whole: Reported) -> None:
        run = Run.read(whole.runs / f"{NAME}-smp-seed0")
        found = replace(context_of(whole), runs=[run])
        now = training.section(found).content
        assert list(now.is_current) == [True]
        gone = training.section(replace(found, stages=())).content
        assert list(gone.is_current) == [False]

    def test_the_overview_names_what_comes_next(self, whole: Reported, fresh: Reported) -> None:
        before = ReportContext(
            "talks", "a folder", {"cache": "s3://b", "runs": "r"}, "en", fresh.clips
        )
        assert overview.section(before).content["next"] == [
            ("Nothing is extracted yet.", "smp extract 'a folder' --cache s3://b")
        ]
        after = overview.section(context_of(whole)).content
        assert after["next"][0][1].startswith("smp train ")
        assert after["random_stages"] == ["faces", "bert", "planted"]


class TestStagesOfTheWork:
    def test_before_extraction_every_part_names_its_command(self, fresh: Reported) -> None:
        told = text_of(fresh.report())
        for words in ("Nothing is extracted yet", "no features yet", "No model is trained yet",
                      "No models are compared yet", "no predictions yet"):  # fmt: skip
            assert words in told
        for command in ("extract", "train", "compare", "ablate"):
            assert f"smp {command} '{fresh.folder}'" in told
        assert "clips 30 " in told

    def test_half_extracted_features_are_examined_so_far(self, fresh: Reported) -> None:
        fresh.extract(partitions=[1])
        told = text_of(fresh.report())
        assert "Not every clip went through every stage yet" in told
        assert "stages extracted 0/3" in told

    def test_an_unreadable_run_is_named_and_left_out(self, fresh: Reported) -> None:
        broken = fresh.runs / "x-smp-seed0"
        broken.mkdir(parents=True)
        (broken / "provenance.json").write_text("{")
        told = text_of(fresh.report(exit_code=1))
        assert f"{broken} is no run folder: can't read settings.json" in told
        assert "No model is trained yet" in told


class TestPage:
    def test_names_and_transcripts_show_as_text(self, opened: Browser) -> None:
        assert opened.script("return document.title") == f"{NAME} – report"
        seen = opened.script("return document.body.textContent")
        for words in (NAME, HOSTILE, SAID, REASON):
            assert words in seen
        assert opened.script("return document.querySelectorAll('script').length") == 1
        assert (
            opened.script(
                "return document.querySelectorAll('img[src=x], b, main i:not([class])').length"
            )
            == 0
        )

    def test_it_is_whole_without_a_network_and_without_errors(self, opened: Browser) -> None:
        assert opened.console() == []
        assert opened.requests() == []
        loaded = "return [...document.images].every((image) => image.naturalWidth > 0)"
        assert opened.script(loaded)
        assert opened.script("return document.images.length") >= 24 + 5

    def test_problems_are_filtered_by_keyboard(self, opened: Browser) -> None:
        shown = (
            "return [...document.querySelectorAll('#problems tbody tr')]"
            ".filter((row) => row.offsetParent).map((row) => row.cells[0].textContent)"
        )
        output = opened.driver.find_element("css selector", ".filter output")
        assert (len(opened.script(shown)), output.text) == (3, "3 of 3 problems")
        search = opened.driver.find_element("css selector", ".filter input")
        search.send_keys("<SCRIPT")
        assert (opened.script(shown), output.text) == ([HOSTILE], "1 of 3 problems")
        search.send_keys(Keys.BACKSPACE * 7, Keys.TAB, "bert")  # on to the stage
        assert (len(opened.script(shown)), output.text) == (2, "2 of 3 problems")
        opened.driver.switch_to.active_element.send_keys(Keys.TAB, "note")  # on to the state
        assert (opened.script(shown), output.text) == (["v/00"], "1 of 3 problems")
        opened.driver.switch_to.active_element.send_keys(Keys.TAB, Keys.TAB, Keys.ENTER)
        sorted_by = "return document.querySelector('#problems [aria-sort]').textContent"
        assert opened.script(sorted_by) == "clip", "the first heading comes after the table's own"

    def test_its_structure_is_told_to_those_who_do_not_see_it(self, opened: Browser) -> None:
        def count(selector: str) -> int:
            return len(opened.driver.find_elements("css selector", selector))

        headings = "return [...document.querySelectorAll('h1,h2,h3,h4')].map((h) => +h.tagName[1])"
        levels = opened.script(headings)
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(b <= a + 1 for a, b in pairwise(levels))
        assert [count(f"body > {tag}") for tag in ("header", "nav", "main", "footer")] == [1] * 4
        assert count("main > section") == count("main > section[aria-labelledby]") == 8
        assert count("table") == count("table > caption")
        assert count("thead th") == count("thead th[scope=col]")
        assert count("tbody th") == count("tbody th[scope=row]")
        assert count("img") == count("img[alt]:not([alt=''])")
        assert count("svg") == count("svg[role=img][aria-label]")
        assert count("input, select") == count("label input, label select")
        ids = opened.script("return [...document.querySelectorAll('[id]')].map((e) => e.id)")
        assert len(ids) == len(set(ids))
        linked = "return [...document.querySelectorAll('nav a')].every((a) => $(a))".replace(
            "$(a)", "document.getElementById(a.hash.slice(1))"
        )
        assert opened.script(linked)

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_all_text_is_readable(self, browser: Browser, page: Path, scheme: str) -> None:
        browser.open(page, scheme=scheme)
        poor = browser.script(CONTRAST)
        assert poor == []

    def test_it_fits_a_phone(self, browser: Browser, page: Path) -> None:
        browser.open(page, PHONE)
        browser.script("document.querySelectorAll('details').forEach((d) => { d.open = true })")
        assert browser.overflow_px() == 0

    def test_screenshots_are_kept_and_show_something(self, opened: Browser) -> None:
        taken = opened.screenshots("report")
        assert set(taken) == {"light-desk", "light-phone", "dark-desk", "dark-phone"}
        for name, picture in taken.items():
            assert picture.std() > 8, name
            assert (picture.mean() > 128) == name.startswith("light")


# Every element with text of its own whose contrast with what is behind it is below 4.5.
CONTRAST = """
const parse = (colour) => {
  const n = colour.match(/[\\d.]+/g).map(Number);
  const rgb = colour.startsWith("color(") ? n.slice(0, 3) : n.slice(0, 3).map((c) => c / 255);
  return { rgb, alpha: n[3] ?? 1 };
};
const luminance = ({ rgb }) => rgb
  .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (e) => {
  for (; e; e = e.parentElement) {
    const found = parse(getComputedStyle(e).backgroundColor);
    if (found.alpha === 1) return found;
  }
};
const poor = [];
for (const e of document.querySelectorAll("body *:not(script)")) {
  const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!own || !e.getClientRects().length) continue;
  const style = getComputedStyle(e);
  const front = parse(e instanceof SVGElement ? style.fill : style.color);
  const [low, high] = [luminance(front), luminance(behind(e))].sort((a, b) => a - b);
  const ratio = (high + 0.05) / (low + 0.05);
  if (ratio < 4.5) poor.push(`${e.tagName} ${e.textContent.slice(0, 30)} ${ratio.toFixed(2)}`);
}
return poor;
"""
