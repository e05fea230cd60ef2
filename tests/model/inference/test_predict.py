"""New clips through the stages of a run: the same numbers as in training, or a clear refusal."""

from __future__ import annotations

import csv
import json
import os
import pickle
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from safetensors.torch import save_file

from model import load
from model.cli.group import main
from model.metrics import MOSI, SIMS
from model.objectives import prediction
from model.objectives.prediction import POLARITIES
from model.runs import seal
from model.runs.run import find_run
from pipeline.dag.plan import StagePlan
from pipeline.dataset.clip import SPLITS, Clip
from pipeline.dataset.from_paths import clips_of, with_table
from pipeline.encoders import resnet18
from pipeline.errors import UserError
from pipeline.runner.extract import extract
from pipeline.runner.serial import run_serially
from pipeline.runner.types import Outcome
from pipeline.sample.write import FEWEST, SPECIAL, write_sample
from tests.support import feature_files
from tests.support.paths import SHARED

TALKING = SHARED / "talking_a.mp4"
PARTITION = 8  # so that a call has several
Run = SimpleNamespace


class Clips:
    """A listener that counts the clips of each plan, of all stages."""

    def __init__(self) -> None:
        self.planned_clips: list[int] = []

    def planned(self, plans: Sequence[StagePlan]) -> None:
        self.planned_clips.append(sum(plan.clips for plan in plans))

    def finished(self, outcome: Outcome) -> None:
        pass


def train(folder: Path, *options: str) -> Path:
    data, cache, runs = (str(folder / name) for name in ("sample", "cache", "runs"))
    where = ["--cache", cache, "--runs", runs, "--epochs", "3", "--json", *options]
    done = CliRunner().invoke(main, ["train", data, *where], catch_exceptions=False)
    return Path(json.loads(done.stdout)["run"])


def recorded(run: Path) -> dict[str, dict[str, str]]:
    with (run / "predictions.csv").open(newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample, its features and two runs; the weights of ResNet18 are a file."""
    folder = tmp_path_factory.mktemp("predict")
    write_sample(folder / "sample", FEWEST)
    table = (folder / "sample" / "label.csv").read_text().splitlines()
    rows = [row.rpartition(",")[0] + f",{SPLITS[i % 3]}" for i, row in enumerate(table[1:])]
    (folder / "sample" / "label.csv").write_text("\n".join([table[0], *rows]) + "\n")
    weights = folder / "resnet18.safetensors"
    save_file(dict(resnet18.at_random("cpu").state_dict()), weights)
    stages = {
        "frames": {"fps": 5},
        "faces": {"needs": "frames", "detect_every": 8},
        "resnet18": {"needs": "faces", "weights": str(weights), "input_px": 64},
        "audio": {},
        "mfcc": {"needs": "audio", "coefficients": 10},
        "bert": {"weights": "random"},
    }
    spec = {"partition": PARTITION, "stages": stages}
    (folder / "sample" / "stages.yaml").write_text(yaml.safe_dump(spec))
    extract(
        folder / "sample",
        folder / "sample" / "stages.yaml",
        run_serially,
        cache_root=str(folder / "cache"),
    )
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    return train(folder)


@pytest.fixture
def predict(run: Path) -> Callable[..., Run]:
    """The command, with its exit code, output and, of JSON, the predictions by clip."""

    def call(*arguments: str, of: Path = run) -> Run:
        done = CliRunner().invoke(main, ["predict", str(of), *arguments], catch_exceptions=False)
        says = json.loads(done.stdout)["predictions"] if "--json" in arguments else []
        by_clip = {one["clip"]: one for one in says}
        return Run(code=done.exit_code, out=done.stdout, err=done.stderr, clips=by_clip)

    return call


def changed(run: Path, copy: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A run whose record of one thing is another."""
    shutil.copytree(run, copy)
    provenance = json.loads((copy / "provenance.json").read_text())
    change(provenance)
    (copy / "provenance.json").write_text(json.dumps(provenance))
    seal.write(copy)
    return copy


class TestSameAsInTraining:
    def test_a_datasets_own_clips_get_the_scores_that_training_recorded(self, predict, folder, run):
        done = predict(str(folder / "sample"), "--json")
        known = recorded(run)
        assert done.code == 0
        assert done.clips.keys() == known.keys()
        got = [one["score"] for one in done.clips.values()]
        want = [float(known[id]["prediction"]) for id in done.clips]
        np.testing.assert_allclose(got, want, atol=1e-5)
        assert np.ptp(got) > 0.1, "a model that tells clips apart"
        assert done.clips[SPECIAL["no sound"]]["missing"].keys() == {"audio"}
        assert done.clips[SPECIAL["no face"]]["missing"]["visual"].startswith("no face in ")

    def test_one_clip_by_itself_gets_the_score_that_it_gets_among_others(self, predict, run):
        id = next(id for id, row in recorded(run).items() if row["split"] == "test")
        alone = predict(id, "--json").clips[id]
        assert alone["score"] == pytest.approx(float(recorded(run)[id]["prediction"]), abs=1e-5)

    def test_a_classifier_gives_its_softmax(self, predict, folder):
        classifier = train(folder, "--task", "classification")
        id, row = next(iter(recorded(classifier).items()))
        said = predict(id, "--json", of=classifier).clips[id]
        assert said["score"] is None
        assert said["sentiment"] == row["prediction"]
        for name, share in said["probabilities"].items():
            assert share == pytest.approx(float(row[name]), abs=1e-5)
        assert said["confidence"] == said["probabilities"][said["sentiment"]]
        assert sum(said["probabilities"].values()) == pytest.approx(1)


class TestNewestRun:
    def test_a_dataset_stands_for_its_newest_run(self, folder, run, tmp_path, monkeypatch):
        runs = tmp_path / "runs"
        for k, name in enumerate(("sample-smp-seed0", "sample-smp-seed0-2", "other-smp-seed0")):
            copy = Path(shutil.copytree(run, runs / name))
            os.utime(copy / "metrics.json", (k, k))
        other = json.loads((runs / "other-smp-seed0" / "provenance.json").read_text())
        written = json.dumps({**other, "dataset": "other"})
        (runs / "other-smp-seed0" / "provenance.json").write_text(written)
        seal.write(runs / "other-smp-seed0")
        monkeypatch.chdir(tmp_path)
        for given in (str(folder / "sample"), "sample"):
            done = CliRunner().invoke(main, ["predict", given, "video_0001/0001", "--json"])
            assert json.loads(done.stdout)["run"] == "runs/sample-smp-seed0-2"
            assert f"newest run of {given}: runs/sample-smp-seed0-2" in done.stderr
        os.utime(runs / "sample-smp-seed0" / "metrics.json", (9, 9))
        assert find_run("sample", runs) == runs / "sample-smp-seed0"
        settings = json.loads((runs / "sample-smp-seed0" / "settings.json").read_text())
        settings["data"]["target"] = "T"
        (runs / "sample-smp-seed0" / "settings.json").write_text(json.dumps(settings))
        seal.write(runs / "sample-smp-seed0")
        assert find_run("sample", runs) == runs / "sample-smp-seed0-2", "of the clip's own score"
        assert find_run(runs / "other-smp-seed0", runs) == runs / "other-smp-seed0"

    def test_what_is_neither_a_run_nor_a_dataset_with_one_is_named(self, tmp_path):
        with pytest.raises(UserError, match=r"runs/spm is no run folder, and .* no run of 'spm'$"):
            find_run("runs/spm", tmp_path)
        (tmp_path / "spm").mkdir()
        (tmp_path / "spm" / "provenance.json").write_text("{")
        with pytest.raises(UserError, match="no run of 'a'; .*spm is no run folder: can't read"):
            find_run("a", tmp_path)


class TestClips:
    def test_a_file_that_cant_be_read_fails_alone(self, predict, run, tmp_path):
        bad, id = tmp_path / "bad.mp4", "video_0001/0001"
        bad.write_bytes(b"no video")
        gone = str(tmp_path / "gone.mp4")
        done = predict(str(bad), id, gone, "--json")
        assert done.code == 1
        assert "can't be opened" in done.clips[str(bad)]["error"]
        assert "not found" in done.clips[gone]["error"]
        assert done.clips[gone]["score"] is None
        want = float(recorded(run)[id]["prediction"])
        assert done.clips[id]["score"] == pytest.approx(want, abs=1e-5)
        told = predict(str(bad), id)
        assert told.code == 1
        assert f"{bad}: failed, video can't be opened" in told.err
        assert id in told.out

    def test_a_text_can_be_given_and_its_lack_is_named(self, predict, folder, run):
        known = load(run).dataset()
        clip = known["video_0001/0001"]
        with_text = predict(clip.video, "--text", clip.text, "--json").clips[clip.video]
        want = float(recorded(run)[clip.id]["prediction"])
        assert with_text["score"] == pytest.approx(want, abs=1e-5)
        assert with_text["missing"] == {}
        without = predict(clip.video, "--json").clips[clip.video]
        assert without["missing"] == {"text": "empty text"}
        assert without["score"] != with_text["score"]
        assert "no text, empty text: " in predict(clip.video).out

    def test_the_same_file_may_be_given_with_several_texts(self, run):
        clip = load(run).dataset()["video_0001/0001"]
        other = replace(clip, text="a text of its own")
        path = str(clip.video)
        first, second, third = load(run)([clip, other, path])
        assert len({first.score, second.score, third.score}) == 3
        assert [first.clip, second.clip, third.clip] == [clip.id, clip.id, path]

    def test_a_text_alone_is_enough_and_nothing_at_all_is_not(self, run):
        said, unsaid = load(run)([Clip("a", text="I love this film"), Clip("b")])
        assert said.missing.keys() == {"visual", "audio"}
        assert said.score is not None
        assert unsaid.score is None
        assert unsaid.error.startswith("nothing to go by: ")
        assert load(run)([]) == []

    def test_a_clip_that_has_nothing_is_left_out_and_the_others_are_predicted(
        self, predict, tmp_path
    ):
        table = tmp_path / "mixed.csv"
        table.write_text("id,video,text,label,split\na,,I love it,1,test\nb,,,1,test\n")
        done = predict(str(table), "--json")
        assert done.code == 1
        assert done.clips["a"]["score"] is not None
        assert done.clips["b"]["score"] is None
        told = predict(str(table))
        assert told.code == 1
        assert (
            "b: left out, nothing to go by: the dataset names no video for this clip; no media; "
            "empty text" in told.err
        )
        assert " a " in told.out

    def test_a_kept_cache_computes_only_what_is_new(self, run, tmp_path):
        model, cache = load(run), str(tmp_path / "kept")
        clips = list(model.dataset().values())
        watched = Clips()
        first = model(clips[:2], cache, watched)
        assert model(clips[:2], cache, watched) == first
        model(clips[2:3], cache, watched)
        assert model(clips[:3], cache, watched)[:2] == first
        assert watched.planned_clips == [10, 0, 5, 0], "clips times stages"

    def test_a_cache_of_something_else_is_left_alone(self, run, folder):
        with pytest.raises(UserError, match="holds another dataset"):
            load(run)([Clip("a", text="well")], str(folder / "cache" / "sample"))

    def test_without_the_datasets_cache_files_are_predicted_all_the_same(self, run, tmp_path):
        def change(provenance: dict[str, Any]) -> None:
            provenance["cache"] = str(tmp_path / "gone")

        model = load(changed(run, tmp_path / "moved", change))
        assert model.dataset() == {}
        [said] = model([Clip("a", text="I love this film")])
        assert said.score is not None


class TestRefusal:
    @pytest.mark.parametrize(
        ("field", "value", "told"),
        [("version", 99, "version: 99 → 1"), ("weights", "ab" * 32, "weights: abababab… → ")],
    )
    def test_other_code_or_weights_are_named_with_both_values(
        self, predict, run, tmp_path, field, value, told
    ):
        def change(provenance: dict[str, Any]) -> None:
            stage = provenance["extraction"]["stages"]["resnet18"]
            stage.update({field: value, "fingerprint": "of old"})

        done = predict("video_0001/0001", of=changed(run, tmp_path / "old", change))
        assert done.code == 2
        assert f"stage 'resnet18' is not what the model was trained on: {told}" in done.err

    def test_a_run_that_would_run_code_is_refused_unless_it_is_trusted(
        self, predict, run, tmp_path
    ):
        def change(provenance: dict[str, Any]) -> None:
            provenance["extraction"]["stages"]["mfcc"]["extractor"] = "tests.support.toys.letters"

        old = changed(run, tmp_path / "old", change)
        done = predict("video_0001/0001", of=old)
        assert done.code == 2
        assert f"{old} comes with data" in done.err
        assert "'mfcc' would import tests.support.toys.letters; add --trust" in done.err
        trusted = predict("video_0001/0001", "--trust", of=old)
        assert "stage 'mfcc': coefficients: Extra inputs" in trusted.err, "it was imported"

    @pytest.mark.parametrize("name", ["../mfcc", "a" * 65, ""])
    def test_a_record_with_a_stage_that_names_no_folder_is_refused(self, run, tmp_path, name):
        def change(provenance: dict[str, Any]) -> None:
            stages = provenance["extraction"]["stages"]
            stages[name] = stages.pop("mfcc")

        with pytest.raises(UserError, match="can't be a stage's name"):
            load(changed(run, tmp_path / "old", change))

    def test_a_setting_that_is_no_more_is_named(self, predict, run, tmp_path):
        def change(provenance: dict[str, Any]) -> None:
            provenance["extraction"]["stages"]["mfcc"]["settings"]["lifter"] = 22

        done = predict("video_0001/0001", of=changed(run, tmp_path / "old", change))
        assert done.code == 2
        assert "stage 'mfcc': lifter: " in done.err

    def test_weights_may_lie_elsewhere_but_must_be_the_same(self, folder, run, tmp_path):
        there, elsewhere = folder / "resnet18.safetensors", tmp_path / "moved.safetensors"
        there.rename(elsewhere)
        try:
            with pytest.raises(
                UserError, match="stage 'resnet18': weights .*no such file.*--weights"
            ):
                load(run)
            assert load(run, {"resnet18": str(elsewhere)}).stages["resnet18"]
        finally:
            elsewhere.rename(there)
        with pytest.raises(UserError, match="'resnet18' is not .*: weights: .* → .*random"):
            load(run, {"resnet18": "random"})
        with pytest.raises(UserError, match="no stage 'resnet'; there are frames, "):
            load(run, {"resnet": "random"})

    def test_a_run_that_does_not_tell_its_stages_is_refused(self, run, tmp_path):
        old = changed(run, tmp_path / "old", lambda provenance: provenance.pop("extraction"))
        with pytest.raises(UserError, match="does not say how its features were made"):
            load(old)
        with pytest.raises(UserError, match="is no run folder"):
            load(tmp_path)

    def test_features_that_were_imported_have_no_stages(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "talks.pkl").write_bytes(pickle.dumps(feature_files.mmsa()))
        assert CliRunner().invoke(main, ["import", "talks.pkl"]).exit_code == 0
        done = CliRunner().invoke(main, ["train", "talks", "--epochs", "1", "--json"])
        with pytest.raises(UserError, match="were imported"):
            load(json.loads(done.stdout)["run"])


def test_the_device_is_told_where_it_is_no_processor(predict, folder, monkeypatch):
    monkeypatch.setattr("pipeline.system.device.described", lambda device: f"{device} (H200)")
    done = predict("video_0001/0001", "--json")
    assert done.err.count("device: ") == 1
    assert "(H200)" in done.err


def test_options_that_do_not_go_together_are_refused(predict, folder, run):
    both = predict("video_0001/0001", "--text", "a", "--csv", "b.csv")
    several = predict("video_0001/0001", "video_0001/0002", "--text", "a")
    bare = predict("video_0001/0001", "--weights", "resnet18")
    assert (both.code, several.code, bare.code) == (2, 2, 2)
    assert "--text goes with one clip, not 2" in several.err
    assert "expected STAGE=WHERE" in bare.err


def likeliest(one: prediction.Prediction) -> list[str]:
    most = max(one.probabilities.values())
    return [name for name, share in one.probabilities.items() if share == most]


class TestConfidence:
    @pytest.mark.parametrize("scale", [MOSI, SIMS])
    def test_a_scores_class_is_the_likeliest_and_the_confidence_its_probability(self, scale):
        rng = np.random.default_rng(0)
        scores = np.linspace(-1.2 * scale.high, 1.2 * scale.high, 97)
        own = [POLARITIES[c] for c in scale.predicted_classes(scores)]
        ties = others = 0
        for clips in (0, 1, 2, 7, 100):
            for spread in (0.0, 0.05, 0.3, 2.0):
                residuals = rng.normal(0.1, spread * scale.high, clips)
                told = prediction.of_scores(scores, residuals, scale)
                for one, lies_in in zip(told, own, strict=True):
                    best = likeliest(one)
                    assert one.sentiment == (lies_in if lies_in in best else best[0])
                    assert one.confidence == max(one.probabilities.values())
                    assert sum(one.probabilities.values()) == pytest.approx(1)
                    ties += len(best) > 1
                    others += one.sentiment != lies_in
        assert min(ties, others) > 20, "the grid has both"

    def test_a_classifiers_class_is_the_likeliest_and_the_confidence_its_probability(self):
        shares = np.linspace(0, 1, 21)
        grid = np.array([(a, b, 1 - a - b) for a in shares for b in shares if a + b <= 1])
        for one in prediction.of_classes(grid):
            assert one.sentiment == likeliest(one)[0], "of equals the first"
            assert one.confidence == one.probabilities[one.sentiment]

    def test_what_lies_in_a_narrow_class_may_be_likelier_to_belong_beside_it(self):
        [said] = prediction.of_scores(np.array([0.0]), np.array([-0.4, 0.3, 0.5, 0.6]), SIMS)
        assert (said.score, said.sentiment, said.confidence) == (0.0, "positive", 4 / 7)

    def test_it_is_the_share_of_residuals_that_leave_the_class_as_it_is(self):
        [said] = prediction.of_scores(np.array([0.5]), np.array([-0.7, -0.45, 0.0, 0.3]), SIMS)
        assert said.sentiment == "positive"
        # of four, one makes it negative and one neutral; and every class has a vote of its own
        assert list(said.probabilities.values()) == pytest.approx([2 / 7, 2 / 7, 3 / 7])
        assert said.confidence == said.probabilities["positive"]

    @pytest.mark.parametrize("scale", [MOSI, SIMS])
    def test_it_is_about_how_often_the_class_is_right(self, scale):
        rng = np.random.default_rng(0)
        truth = rng.uniform(-scale.high, scale.high, 4000)
        scores = truth + rng.normal(0, scale.high / 4, 4000)
        residuals = (truth - scores)[:2000]
        said = list(prediction.of_scores(scores[2000:], residuals, scale))
        names = ("negative", "neutral", "positive")
        true = [names[c] for c in scale.predicted_classes(truth[2000:])]
        right = np.array([one.sentiment == t for one, t in zip(said, true, strict=True)])
        sure = np.array([one.confidence for one in said])
        assert right.mean() == pytest.approx(sure.mean(), abs=0.04)
        is_surer = sure > np.median(sure)
        assert right[is_surer].mean() > right[~is_surer].mean() + 0.1

    def test_few_clips_make_no_certainty(self):
        [said] = prediction.of_scores(np.array([1.0]), np.zeros(3), SIMS)
        assert said.confidence == pytest.approx(4 / 6)

    def test_what_rounds_to_nought_is_neutral_on_the_scale_of_mosi(self):
        scores = np.array([-0.6, -0.4, 0.4, 0.6])
        said = [one.sentiment for one in prediction.of_scores(scores, np.zeros(9), MOSI)]
        assert said == ["negative", "neutral", "neutral", "positive"]


class TestGiven:
    @pytest.fixture
    def videos(self, tmp_path: Path) -> Path:
        for name in ("b/0001.mp4", "a/0001.MOV", "a/note.txt", ".trash/0001.mp4"):
            (tmp_path / "films" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "films" / name).touch()
        return tmp_path / "films"

    def test_a_folder_is_every_video_below_in_order_and_once(self, videos):
        clips = clips_of([str(videos), str(videos / "b/0001.mp4")], dict)
        assert [Path(clip.id).relative_to(videos).as_posix() for clip in clips] == [
            "a/0001.MOV", "b/0001.mp4",
        ]  # fmt: skip
        (videos / "empty").mkdir()
        with pytest.raises(UserError, match="empty: no videos in this folder"):
            clips_of([str(videos / "empty")], dict)

    def test_a_known_clip_is_asked_for_only_where_there_is_no_file(self, videos, monkeypatch):
        monkeypatch.chdir(videos)
        known = {"b/0001.mp4": Clip("of the dataset"), "b/0001": Clip("of the dataset", text="x")}
        assert clips_of(["b/0001.mp4"], lambda: known)[0].id == "b/0001.mp4"
        assert clips_of(["b/0001"], lambda: known)[0].text == "x"

    @pytest.mark.parametrize(
        "table",
        [
            "id,text\na/0001,one\nb/0001,two\n",
            "file,text\na/0001.MOV,one\nfilms/b/0001.mp4,two\n",
            "video_id,clip_id,text\na,0001,one\nb,0001,two\n",
            "id,text\na/0001,one\nb/0001,two\nc/0001,three\n",
        ],
    )
    def test_a_tables_rows_find_their_clips(self, videos, table):
        path = videos.parent / "texts.csv"
        path.write_text(table)
        clips = with_table(clips_of([str(videos)], dict), path)
        assert [clip.text for clip in clips] == ["one", "two"]

    def test_a_table_may_name_sound(self, videos):
        path = videos / "texts.jsonl"
        row = {"file": "../films/b/0001.mp4", "text": "two", "audio": "b.wav"}
        path.write_text(json.dumps(row) + "\n")
        first, second = with_table(clips_of([str(videos)], dict), path)
        assert (first.text, first.audio) == ("", None)
        assert (second.text, second.audio) == ("two", str(videos / "b.wav"))

    @pytest.mark.parametrize(
        ("table", "told"),
        [
            ("id,text\n0001,one\n", "texts.csv:2: '0001' fits .*a/0001.MOV and .*b/0001.mp4"),
            ("id,text\nz,one\n", "no row matches a given clip, such as "),
            ("id,text\na/0001,one\na/0001,two\n", "texts.csv:3: .* already appears"),
            ("name,text\na/0001,one\n", "texts.csv:2: expected columns id or file, and text"),
        ],
    )
    def test_a_table_that_cant_be_right_is_refused(self, videos, table, told):
        path = videos.parent / "texts.csv"
        path.write_text(table)
        with pytest.raises(UserError, match=told):
            with_table(clips_of([str(videos)], dict), path)


@pytest.mark.skipif(not TALKING.exists(), reason="the real clips are not here")
def test_a_long_video_is_cut_and_predicted_utterance_by_utterance(predict, run, tmp_path):
    where = tmp_path / "page.html"
    cut = ["--segment", "--page", str(where), "--cache", str(tmp_path / "cache")]
    done = predict(str(TALKING), *cut)
    assert done.code == 0
    assert f"to see and hear it: {where}" in done.out
    assert "no text in 2 of 2: empty text" in done.out
    again = CliRunner().invoke(main, ["predict", str(run), str(TALKING), *cut, "--json"])
    first, last = json.loads(again.stdout)["spans"]
    assert 0 <= first["start_s"] < first["end_s"] <= last["start_s"] < last["end_s"] <= 8
    assert first["score"] != last["score"]
    assert first["missing"].keys() == {"text"}
    html = where.read_text()
    assert html.count("<li data-start=") == 2
    assert html.count('<img src="data:image/jpeg') == 2


def test_one_video_is_cut_and_its_texts_are_a_whispers(predict, tmp_path):
    assert "--segment goes with one VIDEO" in predict("a.mp4", "b.mp4", "--segment").err
    assert "go with --segment" in predict("a.mp4", "--asr", "random").err
    (bad := tmp_path / "bad.mp4").write_bytes(b"nothing")
    done = predict(str(bad), "--segment")
    assert done.code == 1
    assert f"{bad}: failed, " in done.err
