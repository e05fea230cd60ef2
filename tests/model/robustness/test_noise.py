"""Curves over noise: what is extracted again, what of it is read, and what stays as it was."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner

from model.cli.group import main
from model.data.samples import Samples, load_samples
from model.robustness import folder, page
from model.robustness.curves import NOISE, Robustness, robustness
from model.robustness.noise import Noisy, noisy
from model.training.loop import train
from model.training.presets import preset
from pipeline.dag.spec import Stages
from pipeline.dag.task import Task
from pipeline.errors import UserError
from pipeline.runner.extract import extract
from pipeline.runner.serial import run_serially
from pipeline.runner.stop import Stop
from pipeline.runner.types import Engine, Outcome
from pipeline.store.cache import Cache, open_cache
from pipeline.store.dataset_cache import open_dataset
from tests.support.bad_media.making import LAUGHS, MAN, filmed, good

SPLITS = ("train", "test", "valid")
STAGES: dict[str, dict[str, Any]] = {
    "frames": {},
    "faces": {"needs": "frames", "device": "cpu"},
    "resnet18": {"needs": "faces", "weights": "random", "input_px": 32, "device": "cpu"},
    "audio": {},
    "mfcc": {"needs": "audio"},
    "bert": {"extractor": "tests.support.toys.letters"},
}
LEVELS: dict[str, list[float]] = {"snr_db": [-5, 10], "blur_px": [3], "occluded": [0.6]}
Talks = SimpleNamespace


def write_stages(path: Path, **changed: dict[str, Any]) -> None:
    stages = {name: {**own, **changed.get(name, {})} for name, own in STAGES.items()}
    path.write_text(yaml.safe_dump({"partition": 4, "stages": stages}))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine clips of half a second, three of them of each split, and their features."""
    where = tmp_path_factory.mktemp("noise")
    (where / "talks").mkdir()
    with (where / "talks" / "talks.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "video", "text", "label", "split"])
        for n in range(9):
            cut = (LAUGHS, MAN)[n % 2]
            make = good(lambda cut=cut, n=n: filmed(cut)[n : n + 7])  # type: ignore[misc]
            make(where / "talks" / f"{n}.mp4")
            rows.writerow([f"{n}", f"{n}.mp4", "so" * (n + 1), (n - 4) / 4, SPLITS[n % 3]])
    write_stages(where / "stages.yaml")
    extract(where / "talks/talks.csv", where / "stages.yaml", run_serially, str(where / "cache"))
    return where


@pytest.fixture
def talks(made: Path, tmp_path: Path) -> Talks:
    return copied(made, tmp_path)


def copied(made: Path, to: Path) -> Talks:
    """A copy of the cache, the clips that it is of, and its stages."""
    shutil.copytree(made / "cache", to / "cache")
    cache = open_dataset(made / "talks/talks.csv", str(to / "cache"))
    return Talks(
        table=made / "talks/talks.csv",
        cache=cache,
        samples=load_samples(cache),
        stages=Stages.load(made / "stages.yaml"),
        file=made / "stages.yaml",
        root=to / "cache",
    )


class Counting:
    """The plain loop, which counts its tasks and the clips that they compute."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def __call__(self, tasks: Sequence[Task], stop: Stop) -> Iterator[Outcome]:
        self.tasks += tasks
        yield from run_serially(tasks, stop)


def at_levels(
    talks: Talks, levels: dict[str, list[float]], engine: Engine = run_serially
) -> list[Noisy]:
    found, notes = noisy(talks.cache, talks.samples, talks.stages, engine, levels)
    assert notes == []
    return found


def fresh(talks: Talks, where: Path, **changed: dict[str, Any]) -> Samples:
    """All clips extracted with such settings, into a cache of their own."""
    write_stages(where / "stages.yaml", **changed)
    extract(talks.table, where / "stages.yaml", run_serially, str(where / "own"))
    return load_samples(open_cache(where / "own" / talks.cache.name))


def of_cache(cache: Cache) -> dict[str, Any]:
    files = [Path(cache.url) / name for name in ("clips.json", "current.json")]
    return {**{file.name: file.read_bytes() for file in files}, **dict(open_cache(cache.url))}


@pytest.mark.parametrize(
    ("levels", "stage", "modality"),
    [({"snr_db": [-5]}, "audio", "audio"), ({"blur_px": [3]}, "faces", "visual")],
)
def test_test_clips_are_what_the_whole_dataset_has_with_that_setting(
    talks: Talks, tmp_path: Path, levels: dict[str, list[float]], stage: str, modality: str
) -> None:
    [(setting, [level])] = levels.items()
    [found] = at_levels(talks, levels)
    expected = fresh(talks, tmp_path, **{stage: {"augment": {setting: level}}}).split("test").batch
    clean = talks.samples.split("test").batch
    for m in clean.features:
        assert torch.equal(found.batch.lengths[m], expected.lengths[m])
        assert torch.equal(found.batch.features[m], expected.features[m])
        assert torch.equal(found.batch.features[m], clean.features[m]) == (m != modality)


def test_the_cache_is_as_it_was_but_for_further_stores(talks: Talks) -> None:
    before = of_cache(talks.cache)
    at_levels(talks, {"snr_db": [0]})
    after = of_cache(talks.cache)
    assert before.keys() == after.keys()
    for name in ("clips.json", "current.json"):
        assert before[name] == after[name]
    assert extract(talks.table, talks.file, run_serially, str(talks.root)).outcomes == ()
    now = load_samples(open_dataset(talks.table, str(talks.root)))
    assert torch.equal(now.batch.features["audio"], talks.samples.batch.features["audio"])


def test_only_test_clips_and_what_changes_are_extracted_and_once(talks: Talks) -> None:
    first, again = Counting(), Counting()
    once = at_levels(talks, {"snr_db": [0, 10]}, first)
    assert {task.stage for task in first.tasks} == {"audio", "mfcc"}
    asked = {row.clip.id for task in first.tasks for row in task.rows if not row.removed}
    assert asked == set(talks.samples.split("test").ids)
    assert list(map(str, once)) == list(map(str, at_levels(talks, {"snr_db": [0, 10]}, again)))
    assert again.tasks == []
    more = at_levels(talks, {"snr_db": [10, 20]}, again)
    assert len(again.tasks) == len(first.tasks) / 2
    assert str(more[1]) == str(once[0])


def test_a_later_extraction_with_the_setting_computes_the_other_clips(
    talks: Talks, tmp_path: Path
) -> None:
    at_levels(talks, {"snr_db": [0]})
    write_stages(tmp_path / "noisy.yaml", audio={"augment": {"snr_db": 0}})
    done = extract(talks.table, tmp_path / "noisy.yaml", run_serially, str(talks.root))
    due = {plan.stage: plan.clips for plan in done.plans}
    assert (due["audio"], due["mfcc"], due["faces"]) == (6, 6, 0)
    expected = fresh(talks, tmp_path, audio={"augment": {"snr_db": 0}})
    found = load_samples(open_dataset(talks.table, str(talks.root)))
    assert torch.equal(found.batch.features["audio"], expected.batch.features["audio"])


def measured(talks: Talks, runs: Path) -> Robustness:
    found, notes = noisy(talks.cache, talks.samples, talks.stages, run_serially, LEVELS)
    own = preset("lf_dnn", "mosi")
    settings = own.with_options({"epochs": 2, "device": "cpu"})
    return robustness(
        talks.samples, own, settings, [NOISE], range(2), runs, noisy=found, notes=notes
    )


@pytest.fixture(scope="module")
def drawn(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Talks:
    """All curves, and a copy of the cache with what they were made of."""
    where = tmp_path_factory.mktemp("drawn")
    talks = copied(made, where)
    return Talks(**vars(talks), runs=where, found=measured(talks, where))


def test_each_point_is_the_model_on_these_clips_and_clean_ones_come_first(drawn: Talks) -> None:
    curves = drawn.found.curves
    assert [list(curve.points) for curve in curves] == [[inf, 10, -5], [0, 3], [0, 0.6]]
    whole = train(drawn.samples, drawn.found.settings.model_copy(update={"seed": 1}))
    assert all(next(iter(c.points.values()))[1] == whole.metrics["test"] for c in curves)
    [batch] = [one.batch for one in at_levels(drawn, {"snr_db": [-5]})]
    said = whole.predictor.predict(batch)
    errors = np.abs(said - drawn.samples.split("test").labels)
    assert curves[0].points[-5][1]["mae"] == pytest.approx(errors.mean(), abs=1e-6)


def test_what_is_there_is_neither_extracted_nor_trained_again(drawn: Talks) -> None:
    assert drawn.found.trained == 2
    again = measured(drawn, drawn.runs)
    assert again.trained == 0
    assert again.curves == drawn.found.curves


def test_the_area_is_the_mean_over_finite_levels(drawn: Talks) -> None:
    for curve in drawn.found.curves:
        finite = {x: y for x, y in zip(curve.points, curve.means("mae"), strict=True) if x != inf}
        assert curve.area("mae") == pytest.approx(np.mean(list(finite.values())))


def test_the_page_and_the_files_tell_every_level(drawn: Talks, tmp_path: Path) -> None:
    folder.write(drawn.found, tmp_path)
    shown = page.render(drawn.found)
    whats = ("SNR in dB, white noise", "blur of the face in px of 112", "share of the face covered")
    for words in (*whats, "Noise in the test clips", "clean", "its levels taken as 0 to 1"):
        assert words in shown
    curves = json.loads((tmp_path / "robustness.json").read_text())["curves"]
    assert [curve["what"] for curve in curves] == list(whats)
    assert [curve["shares"] for curve in curves] == [[None, 10, -5], [0, 3], [0, 0.6]]
    assert "noise,share of the face covered,0.6,seed 1," in (tmp_path / "curves.csv").read_text()


def test_other_stages_than_the_caches_are_refused_with_what_differs(
    talks: Talks, tmp_path: Path
) -> None:
    write_stages(tmp_path / "other.yaml", mfcc={"filters": 20})
    other = Stages.load(tmp_path / "other.yaml")
    with pytest.raises(UserError, match=r"stage 'mfcc' was made .*settings.filters: 26 → 20"):
        noisy(talks.cache, talks.samples, other, run_serially, LEVELS)


def test_a_stage_that_does_not_know_a_level_is_told(talks: Talks) -> None:
    samples = load_samples(talks.cache, chosen={"visual": []})
    found, notes = noisy(talks.cache, samples, talks.stages, run_serially, {"blur_px": [1, 2]})
    assert (found, notes) == ([], ["no curve of blur_px: no stage of the features has it"])


def test_the_command_goes_on_without_the_media_and_says_so(talks: Talks, tmp_path: Path) -> None:
    name = talks.table.stem
    where = ["--cache", str(talks.root), "--runs", str(tmp_path), "--stages", str(talks.file)]
    quick = ["--model", "lf_dnn", "--seeds", "1", "--epochs", "1", "--snr-db", "0"]
    none = ["--blur-px", "none", "--occluded", "none"]
    command = ["robustness", str(talks.table), *where, *quick, *none]
    done = CliRunner().invoke(main, [*command, "--curves", "noise"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / f"{name}-robustness-lf_dnn-regression" / "curves.csv").exists()
    moved = talks.table.parent / "1.mp4"
    moved.rename(moved.with_suffix(".away"))
    try:
        command[1] = name
        some = CliRunner().invoke(main, [*command, "--curves", "test,noise"])
        nothing = CliRunner().invoke(main, [*command, "--curves", "noise"])
    finally:
        moved.with_suffix(".away").rename(moved)
    assert some.exit_code == 1, some.output
    assert f"note: no curves of noise: 1 file of test clips not found: {moved}" in some.output
    assert "1 trainings done; written:" in some.output
    assert nothing.exit_code == 2
    assert f"1 file of test clips not found: {moved}" in nothing.output


@pytest.mark.parametrize("wrong", ["61", "loud", "-61"])
def test_a_level_beyond_its_limits_is_refused(talks: Talks, wrong: str) -> None:
    done = CliRunner().invoke(main, ["robustness", str(talks.table), "--snr-db", wrong])
    assert done.exit_code == 2
    assert "--snr-db" in done.output
