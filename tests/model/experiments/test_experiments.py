"""Compare and ablate: what is trained, what is found as done before, what a table says."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from model.cli.experiment import print_paper_table
from model.cli.group import main
from model.data.samples import Samples, load_samples
from model.data.truth import scored
from model.experiments import experiment as conducting
from model.experiments import identity, records, trainings
from model.experiments.ablate import ablation
from model.experiments.compare import comparison, every_model
from model.experiments.experiment import conduct
from model.experiments.folder import experiments_of
from model.experiments.formats import latex, markdown
from model.experiments.published import published
from model.experiments.records import Records, Result
from model.experiments.result import ExperimentResult
from model.experiments.table import MODEL, PUBLISHED, REFERENCE, Row, Table
from model.metrics import MOSI, SIMS, regression_references
from model.networks import names
from model.training import seeds as seeds_of
from model.training.settings import TrainSettings
from pipeline.errors import DamagedError, UserError
from pipeline.io import source_code
from pipeline.system import resources
from tests.model.test_metrics import SIMS_TEST
from tests.model.training.test_loop import Stage, cache_of, some_samples
from tests.support.processes import child, smp, wait_until

QUICK = {"epochs": 2, "device": "cpu"}
FAST = ["lf_dnn", "ef_lstm"]


def compared(samples: Samples, runs: Path, seeds: int = 2, **given: Any) -> ExperimentResult:
    models = given.pop("models", FAST)
    return conduct(comparison(samples, models, None, QUICK | given), samples, range(seeds), runs)


def trained(report: ExperimentResult) -> dict[str, list[int]]:
    return {outcome.entry.settings.model: outcome.trained for outcome in report.outcomes}


def values(report: ExperimentResult) -> list[Any]:
    rows = [row for row in report.table.rows if row.kind == MODEL]
    return [(row.label, {key: list(v) for key, v in row.values.items()}) for row in rows]


OBJECTIVES = (
    "choose", "classes", "joint", "labels", "objective", "polarity", "prediction", "score",
    "single_modality", "sums",
)  # fmt: skip


class TestResuming:
    def test_a_second_run_trains_nothing_and_says_the_same(self, tmp_path):
        samples = some_samples()
        once = compared(samples, tmp_path)
        again = compared(samples, tmp_path)
        assert trained(once) == {"lf_dnn": [0, 1], "ef_lstm": [0, 1]}
        assert trained(again) == {"lf_dnn": [], "ef_lstm": []}
        assert values(once) == values(again)
        assert markdown(once.table) == markdown(again.table)

    def test_only_missing_seeds_and_models_are_trained(self, tmp_path):
        samples = some_samples()
        compared(samples, tmp_path, models=["lf_dnn"])
        more = compared(samples, tmp_path, seeds=3)
        assert trained(more) == {"lf_dnn": [2], "ef_lstm": [0, 1, 2]}
        assert values(more) == values(compared(samples, tmp_path / "elsewhere", seeds=3))

    def test_a_record_that_is_damaged_or_cut_short_does_not_count(self, tmp_path):
        samples = some_samples()
        once = compared(samples, tmp_path, models=["lf_dnn"], seeds=3)
        records = sorted((tmp_path / "trained").iterdir())
        records[0].write_text(records[0].read_text()[:200])
        records[1].write_text(records[1].read_text().replace('"best_epoch": ', '"best_epoch": 1'))
        records[2].rename(records[2].with_suffix(".json.0123.partial"))
        again = compared(samples, tmp_path, models=["lf_dnn"], seeds=3)
        assert trained(again) == {"lf_dnn": [0, 1, 2]}
        assert values(once) == values(again)
        [outcome] = again.outcomes
        assert [damage.split(" is ") for damage in outcome.damaged] == [
            [str(records[0]), "damaged"], [str(records[1]), "damaged"],
        ]  # fmt: skip
        assert not compared(samples, tmp_path, models=["lf_dnn"], seeds=3).outcomes[0].damaged

    @pytest.mark.parametrize("content", ["[]", "1", "null", "{}", "[" * 100_000, '{"sha256": 1}'])
    def test_a_record_of_another_shape_is_trained_again(self, content, tmp_path):
        kept, name = Records(tmp_path), {"dataset": "d", "settings": {"model": "smp"}, "seed": 0}
        kept.write(name, Result({}, {}, {}, 1, 2, 3, []))
        [path] = tmp_path.iterdir()
        path.write_text(content)
        with pytest.raises(DamagedError, match=rf"{path} is damaged"):
            kept.read(name)

    def test_a_table_that_was_edited_is_told_and_not_shown(self, tmp_path):
        samples = replace(some_samples(), provenance={"dataset": "made"})
        made = compared(samples, tmp_path, models=["lf_dnn"])
        path = made.folder / "experiment.json"
        found, unreadable = experiments_of("made", tmp_path)
        assert [one.folder for one in found] == [made.folder]
        assert not unreadable
        content = json.loads(path.read_text())
        content["rows"][0]["label"] = "Another"
        path.write_text(json.dumps(content))
        found, [told] = experiments_of("made", tmp_path)
        assert not found
        assert told.startswith(f"{path} is no readable experiment (ValueError: its digest does no")
        del content["sha256"]  # as earlier versions wrote it
        path.write_text(json.dumps(content))
        assert experiments_of("made", tmp_path)[0][0].table.rows[0].label == "Another"

    @pytest.mark.parametrize(
        "what", ["features", "labels", "splits", "lengths", "epochs", "code", "version", "target"]
    )
    def test_nothing_is_used_again_where_anything_differs(self, what, tmp_path, monkeypatch):
        samples = some_samples()
        compared(samples, tmp_path, models=["lf_dnn"])
        given = {}
        if what == "features":
            samples.batch.features["text"][3, 0, 0] += 1e-6
        elif what == "labels":
            samples.labels[-1] += 1e-6
        elif what == "splits":
            samples.splits[:2] = samples.splits[1::-1]
            samples.splits[[0, 3]] = samples.splits[[3, 0]]
        elif what == "lengths":
            samples.batch.lengths["audio"][0] = 1 + samples.batch.lengths["audio"][0] % 7
        elif what == "epochs":
            given = {"epochs": 3}
        elif what == "code":
            monkeypatch.setattr(identity, "code_digest", lambda model: "another")
        elif what == "version":
            monkeypatch.setattr(identity, "version", lambda name: "0")
        elif what == "target":
            samples = replace(samples, target="T")
        assert trained(compared(samples, tmp_path, models=["lf_dnn"], **given)) == {
            "lf_dnn": [0, 1]
        }

    def test_a_models_code_is_that_of_its_own_file_and_of_what_all_share(self):
        digests = {model: identity.code_digest(model) for model in every_model()}
        assert len(set(digests.values())) == len(digests)

    @pytest.mark.parametrize(
        ("old", "new", "changes"),
        [
            ("patience: int", "impatience: int", True),
            ('"""How to train."""', '"""How one trains."""', False),
            ("# On the CPU", "# Where all can read it: on the CPU", False),
            ("resources.cores()", "cores()", False),
        ],
    )
    def test_code_counts_and_what_is_said_of_it_does_not(self, old, new, changes, monkeypatch):
        before = identity.code_digest.__wrapped__("smp")
        read = source_code._source

        def changed(module: str) -> str:
            return read(module).replace(old, new)

        assert any(
            changed(m) != read(m) for m in ("model.training.loop", "model.training.settings")
        )
        monkeypatch.setattr(source_code, "_source", changed)
        assert (identity.code_digest.__wrapped__("smp") != before) == changes

    def test_what_computes_counts_and_what_loads_and_shows_does_not(self, monkeypatch):
        monkeypatch.setattr(source_code, "code_digest", lambda modules: modules)
        assert identity.code_digest.__wrapped__("mult") == {
            *("model.data.batch", "model.data.by_modality", "model.data.scaler"),
            *("model.layers.attention", "model.layers.crossmodal", "model.layers.recurrent"),
            "model.networks.mult",
            *("model.data.left_out", "model.data.truth", "model.metrics", "model.network"),
            *(f"model.objectives.{name}" for name in OBJECTIVES),
            *(f"model.step.{n}" for n in ("adam", "dropout", "streams", "threads")),
            *("model.objectives", "model.step.flat", "model.step.together"),
            *("model.training.loop", "model.training.predictor", "model.training.settings"),
            *(
                f"model.finetune.{name}"
                for name in ("encoder", "network", "settings", "text_stage")
            ),
            "pipeline.stage.steps",
        }

    def test_a_result_survives_its_record_to_the_bit(self, tmp_path):
        nan = float("nan")
        result = Result(
            {"mae": 0.1 + 0.2},
            {"corr": nan},
            {"median score": {"corr": nan}},
            1,
            2,
            3,
            [[0.1], [nan]],
        )
        name = {"dataset": "made", "settings": {"model": "smp"}, "seed": 0}
        kept = Records(tmp_path)
        assert kept.read(name) is None
        kept.write(name, result)
        assert repr(kept.read(name)) == repr(result)
        assert kept.read({**name, "seed": 1}) is None

    def test_a_training_that_fails_costs_its_own_row(self, tmp_path, monkeypatch):
        real = seeds_of.train_seeds

        def failing(samples: Samples, settings: TrainSettings, *more: Any) -> Any:
            if settings.model == "ef_lstm":
                raise UserError("epoch 1: the loss is not finite")
            return real(samples, settings, *more)

        monkeypatch.setattr(trainings, "train_seeds", failing)
        report = compared(some_samples(), tmp_path)
        assert [outcome.entry.label for outcome in report.failed] == ["EF-LSTM"]
        assert "failed: EF-LSTM: epoch 1: the loss is not finite" in report.table.notes
        assert [row.label for row in report.table.rows if row.kind == MODEL] == ["LF-DNN"]
        with pytest.raises(UserError, match="not finite"):
            compared(some_samples(), tmp_path, models=["ef_lstm"])


def test_each_training_reads_the_test_split_once_after_its_last_epoch(tmp_path, monkeypatch):
    events: list[Any] = []
    split, train_seeds = Samples.split, seeds_of.train_seeds

    def watched(self: Samples, name: str) -> Any:
        if name == "test":
            events.append("test")
        return split(self, name)

    def announced(
        samples: Samples, settings: TrainSettings, seeds: Any, keep: Any, *more: Any
    ) -> Any:
        def on_epoch(seed: int, row: dict[str, float]) -> None:
            events.append((settings.model, seed))

        return train_seeds(samples, settings, seeds, keep, on_epoch, more[1])

    monkeypatch.setattr(Samples, "split", watched)
    monkeypatch.setattr(trainings, "train_seeds", announced)
    monkeypatch.setattr(resources, "cores", lambda: 1)  # in this process, where reads are seen
    monkeypatch.setattr(conducting, "linear_probes", lambda samples, task: {})  # models of its own
    samples = some_samples()
    compared(samples, tmp_path)
    phases = [event for event, _ in groupby(events)]
    each = [(model, seed) for model in FAST for seed in (0, 1)]
    assert phases == [phase for training in each for phase in (training, "test")]

    events.clear()
    compared(samples, tmp_path)
    assert not events, "what was trained before reads no test split again"


class TestTable:
    def table(self, *rows: Row, columns: tuple[str, ...] = ("acc2", "mae")) -> Table:
        return Table("made", columns, rows, ["a note"])

    def test_the_mean_and_the_sample_deviation_over_seeds(self):
        row = Row("SMP", {"acc2": [0.7, 0.8, 0.9]})
        assert self.table(row).cell(row, "acc2") == "80.00 ± 10.00"
        assert self.table(row).cell(row, "mae") == "–"
        assert self.table().cell(Row("SMP", {"acc2": [0.5]}), "acc2") == "50.00"
        assert self.table().cell(Row("SMP", {"acc2": [0.5, float("nan")]}), "acc2") == "–"

    def test_the_best_and_the_second_of_the_models_are_marked(self):
        a = Row("A", {"acc2": [0.7, 0.9], "mae": [0.3]})
        b = Row("B", {"acc2": [0.6], "mae": [0.2]})
        c = Row("C", {"acc2": [0.80004], "mae": [0.4]})
        best = Row("majority class", {"acc2": [0.95]}, REFERENCE)
        theirs = Row("published", {"acc2": [0.99], "mae": [0.1]}, PUBLISHED)
        table = self.table(a, b, c, best, theirs)
        ranks = {row.label: [table.rank(row, key) for key in table.columns] for row in table.rows}
        assert ranks == {
            "A": [1, 2],
            "B": [2, 1],
            "C": [1, None],
            "majority class": [None, None],
            "published": [None, None],
        }

    def test_groups_are_ranked_by_themselves_and_two_have_no_second(self):
        rows = [
            Row(x, {"acc2": [v]}, group=x[0]) for x, v in (("a1", 0.1), ("a2", 0.2), ("b", 0.3))
        ]
        table = self.table(*rows)
        assert [table.rank(row, "acc2") for row in rows] == [None, 1, None]

    def test_a_published_row_of_a_constant_is_seen_at_a_glance(self):
        references = [
            Row(name, {key: [value] for key, value in metrics.items()}, REFERENCE)
            for name, metrics in regression_references(SIMS_TEST, SIMS).items()
        ]
        rows, _ = published("compare", "sims")
        table = Table("CH-SIMS", ["acc2"], [*references, *rows])
        marked = [row.label for row in table.rows if table.label(row).endswith(" †")]
        assert marked == ["published: EF-LSTM"]

    def test_one_seed_that_answers_as_a_constant_is_marked(self):
        reference = Row("median score", {"acc2": [0.6], "f1": [0.5], "mae": [0.3]}, REFERENCE)
        row = Row("SMP", {"acc2": [0.7, 0.6], "f1": [0.7, 0.5], "mae": [0.1, 0.31]})
        crossed = Row("TFN", {"acc2": [0.7, 0.6], "f1": [0.5, 0.7], "mae": [0.3, 0.3]})
        table = self.table(reference, row, crossed)
        assert [table.label(r) for r in table.rows] == ["median score", "SMP †", "TFN"]

    def test_markdown_latex_and_terminal_show_the_same(self, capsys):
        a = Row("F_va", {"acc2": [0.7, 0.9]}, is_random=True)
        b, c = Row("B", {"acc2": [0.6]}), Row("C", {"acc2": [0.5]})
        table = self.table(a, b, c, columns=("acc2",))
        assert markdown(table).splitlines() == [
            "**made**",
            "",
            "|  | Acc-2 |",
            "| :-- | --: |",
            "| F_va * | **80.00 ± 14.14** |",
            "| B | <u>60.00</u> |",
            "| C | 50.00 |",
            "",
            "- a note",
        ]
        text = latex(table)
        assert r"F\_va * & \textbf{80.00 $\pm$ 14.14} \\" in text
        assert r"B & \underline{60.00} \\" in text
        assert text.count("{table}") == text.count("{tabular}") == 2
        print_paper_table(table)
        shown = capsys.readouterr().out
        for word in ("made", "F_va *", "80.00 ± 14.14", "60.00", "50.00", "a note"):
            assert word in shown


def test_the_papers_tables_are_entered_as_printed():
    for scale, key, best in (("mosi", "acc7", 0.3691), ("sims", "acc3", 0.6573)):
        rows, source = published("compare", scale)
        assert [row.label.removeprefix("published: ") for row in rows] == [
            "EF-LSTM",
            "LF-DNN",
            "MFN",
            "TFN",
            "MulT",
            "SMP",
        ]
        assert max(row.mean(key) for row in rows) == pytest.approx(best)
        assert "Zhu and J. Yu" in source
    assert len(published("fusion", "sims")[0]) == 6
    assert published("features", "sims") == ([], "")
    assert published("fusion", "mosi") == ([], "")


def test_by_default_the_papers_models_are_compared_and_by_all_every_one():
    papers = ["ef_lstm", "lf_dnn", "mfn", "tfn", "mult", "smp"]
    samples = some_samples()
    for models, compared in (([], papers), (["all"], [*sorted(set(names()) - {*papers}), *papers])):
        entries = comparison(samples, models, None, {}).entries
        assert [entry.settings.model for entry in entries] == compared


def test_numbers_of_the_toolkit_stand_beside_the_models_that_are_compared():
    experiment = comparison(some_samples(), ["self_mm", "smp"], None, {})
    labels = [row.label.removeprefix("published: ") for row in experiment.published]
    assert labels == ["EF-LSTM", "LF-DNN", "MFN", "TFN", "MulT", "SMP", "Self-MM"]
    assert "Zhu and J. Yu" in experiment.source
    assert "thuiar/MMSA" in experiment.source
    assert experiment.published[-1].mean("corr") == pytest.approx(0.7963)


@pytest.mark.parametrize(("scale", "mae"), [(MOSI, 0.683), (SIMS, 0.404)])
def test_numbers_of_its_authors_stand_beside_a_model_that_no_other_compares(scale, mae):
    experiment = comparison(replace(some_samples(), targets=scored(scale)), ["almt"], None, {})
    assert experiment.published[-1].label == "published: ALMT"
    assert experiment.published[-1].mean("mae") == pytest.approx(mae)
    assert "Zhang et al. 2023" in experiment.source


def test_a_preset_is_for_the_models_that_have_it():
    samples = some_samples()
    entries = comparison(samples, ["smp", "tfn"], "paper", {}).entries
    assert [entry.preset.name for entry in entries] == ["paper", "toolkit"]
    with pytest.raises(UserError, match="none of tfn has a preset 'paper'"):
        comparison(samples, ["tfn"], "paper", {})


CHANNELS = ("resnet18", "action_units", "mfcc", "wav2vec2", "bert")


def some_cache(*names: str) -> Any:
    random = np.random.default_rng(0)
    stages = [
        Stage(name, random.normal(size=(24, 6, 3)).astype(np.float32), [6] * 24, None)
        for name in names or CHANNELS
    ]
    cache = cache_of(*stages, label_T=np.linspace(-0.5, 1, 24).tolist())
    for table in (cache.clips,):
        table["split"] = ["train", "train", "valid", "test"] * 6
    return cache


class TestAblations:
    def conducted(self, what: str, cache: Any, runs: Path, **given: Any) -> ExperimentResult:
        samples = load_samples(cache, target=given.pop("target", ""))
        experiment = ablation(what, cache, samples, None, QUICK | given)
        return conduct(experiment, samples, range(1), runs)

    def widths(self, report: ExperimentResult) -> dict[str, dict[str, int]]:
        return {o.entry.label: o.entry.load().batch.widths for o in report.outcomes}

    def test_modalities_are_all_subsets(self, tmp_path):
        report = self.conducted("modalities", some_cache(), tmp_path)
        assert self.widths(report) == {
            "T": {"text": 3},
            "A": {"audio": 6},
            "V": {"visual": 6},
            "T + A": {"audio": 6, "text": 3},
            "T + V": {"visual": 6, "text": 3},
            "A + V": {"visual": 6, "audio": 6},
            "T + A + V": {"visual": 6, "audio": 6, "text": 3},
        }
        assert {o.entry.settings.model for o in report.outcomes} == {"smp"}

    def test_rows_with_fewer_clips_say_so_and_references_are_of_the_most(self, tmp_path):
        cache = some_cache("mfcc", "bert")
        cache["mfcc"].lengths[[3, 4]] = 0  # a test clip and one to train on
        report = self.conducted("modalities", cache, tmp_path)
        clips = {o.entry.label: o.splits["test"]["clips"] for o in report.outcomes}
        assert clips == {"T": 6, "A": 5, "T + A": 6}
        assert {o.entry.label: o.splits["train"]["left_out"] for o in report.outcomes} == {
            "T": 0, "A": 1, "T + A": 0,
        }  # fmt: skip
        assert any(note.startswith("Fewer test clips than 6: A 5.") for note in report.table.notes)
        content = json.loads((report.folder / "experiment.json").read_text())
        [row] = [row for row in content["rows"] if row["label"] == "A"]
        assert row["splits"]["test"] == {"clips": 5, "audio": 5, "left_out": 1}
        of_all = regression_references(load_samples(cache).split("test").labels, SIMS)
        [median] = [row for row in report.table.rows if row.label == "median score"]
        assert median.mean("mae") == of_all["median score"]["mae"]

    def test_features_are_channels_of_one_modality(self, tmp_path):
        report = self.conducted("features", some_cache(), tmp_path)
        assert self.widths(report) == {
            "ResNet18": {"visual": 3},
            "AUs": {"visual": 3},
            "ResNet18 + AUs": {"visual": 6},
            "MFCC": {"audio": 3},
            "Wav2Vec2": {"audio": 3},
            "MFCC + Wav2Vec2": {"audio": 6},
        }
        assert {row.group for row in report.table.rows if row.kind == MODEL} == {"visual", "audio"}

    def test_features_that_are_asked_for_are_compared_by_their_names(self, tmp_path):
        cache = some_cache("resnet18", "clip", "mfcc", "wavlm", "bert")
        asked = {"visual": ["resnet18", "clip"], "audio": ["mfcc", "wavlm"], "text": []}
        samples = load_samples(cache, chosen=asked)
        report = conduct(ablation("features", cache, samples, None, QUICK), samples, [0], tmp_path)
        labels = ["ResNet18", "clip", "ResNet18 + clip", "MFCC", "wavlm", "MFCC + wavlm"]
        assert list(self.widths(report)) == labels
        asked_for = "visual-resnet18+clip-audio-mfcc+wavlm-text-none"
        assert report.folder.name == f"made-ablate-features-regression-{asked_for}"
        assert "note: text: left out, as asked" in report.table.notes

    def test_features_of_text_are_compared_too(self, tmp_path):
        cache = some_cache("resnet18", "bert", "roberta")
        asked = {"visual": [], "audio": [], "text": ["bert", "roberta"]}
        samples = load_samples(cache, chosen=asked)
        experiment = ablation("features", cache, samples, None, QUICK)
        labels = ["bert", "roberta", "bert + roberta"]
        assert [entry.label for entry in experiment.entries] == labels
        assert {entry.group for entry in experiment.entries} == {"text"}
        assert not experiment.notes, "nothing that was asked for is lacking"

    def test_fusion_is_a_setting_of_the_same_model_and_gives_classes(self, tmp_path):
        report = self.conducted("fusion", some_cache(), tmp_path)
        assert [(o.entry.label, o.entry.settings.network["intra"]) for o in report.outcomes] == [
            ("F_va", False),
            ("F_v + F_a + F_va", True),
            ("F_vt", False),
            ("F_v + F_t + F_vt", True),
            ("F_at", False),
            ("F_a + F_t + F_at", True),
        ]
        assert report.table.columns == ["acc3", "f1"]
        assert any(row.label == "published: F_va" for row in report.table.rows)
        as_scores = self.conducted("fusion", some_cache(), tmp_path, task="regression")
        assert as_scores.table.columns[0] == "acc2"
        assert all(row.kind != PUBLISHED for row in as_scores.table.rows)

    def test_what_the_cache_lacks_is_left_out_and_noted(self, tmp_path):
        report = self.conducted("modalities", some_cache("bert", "mfcc"), tmp_path)
        assert list(self.widths(report)) == ["T", "A", "T + A"]
        assert any("left out" in note and "V, T + V" in note for note in report.table.notes)
        with pytest.raises(UserError, match="no features for any of the fusion"):
            self.conducted("fusion", some_cache("bert"), tmp_path)

    def test_a_modalitys_own_scores_are_a_target(self, tmp_path):
        report = self.conducted("modalities", some_cache("bert"), tmp_path, target="T")
        assert report.folder.name == "made-ablate-modalities-regression-T"
        assert " for scores of T;" in report.table.title
        plain = self.conducted("modalities", some_cache("bert"), tmp_path)
        assert plain.outcomes[0].trained == [0], "other labels are another training"


@pytest.fixture
def talks(lettered_talks, tmp_path):
    """The commands over a cached dataset that has transcripts and nothing else."""
    runs = tmp_path / "runs"

    def arguments(command: str, *options: str, runs: Path = runs) -> list[str]:
        where = ["--cache", lettered_talks.cache_root, "--runs", str(runs)]
        return [command, str(lettered_talks.folder), *where, *options]

    def run(*words: str, runs: Path = runs) -> SimpleNamespace:
        result = CliRunner().invoke(main, arguments(*words, runs=runs), catch_exceptions=False)
        return SimpleNamespace(code=result.exit_code, out=result.stdout, err=result.stderr)

    return SimpleNamespace(run=run, arguments=arguments, runs=runs)


class TestCommands:
    def test_the_device_is_told_where_it_is_no_processor(self, talks, monkeypatch):
        monkeypatch.setattr("pipeline.system.device.described", lambda device: f"{device} (H200)")
        done = talks.run("compare", "--models", "lf_dnn", "--seeds", "1", "--epochs", "1")
        assert (done.code, done.out.count("device: auto (H200)\n")) == (0, 1)

    def test_every_model_is_compared_on_transcripts_alone(self, talks):
        done = talks.run("compare", "--seeds", "2", "--epochs", "1")
        assert done.code == 0
        for word in ("EF-LSTM", "LF-DNN", "MFN", "TFN", "MulT", "SMP", "majority class"):
            assert word in done.out
        for word in (
            "median score",
            "published: MulT",
            "Table III",
            "were selected on the validation split alone",
        ):
            assert word in done.out
        assert "the test split was read once per training, after that" in done.out
        assert "SMP: preset 'tuned' for mosi, but epochs 1" in done.out
        assert "12 trainings done, 0 reused" in done.out
        folder = talks.runs / "talks-compare-regression"
        with (folder / "seeds.csv").open() as file:
            seeds = list(csv.DictReader(file))
        with (folder / "summary.csv").open() as file:
            summary = {row["row"]: row for row in csv.DictReader(file)}
        assert len(seeds) == 12
        mine = [float(row["test_mae"]) for row in seeds if row["model"] == "smp"]
        assert float(summary["SMP"]["mae_mean"]) == pytest.approx(np.mean(mine))
        assert float(summary["SMP"]["mae_std"]) == pytest.approx(np.std(mine, ddof=1))
        assert summary["published: MulT"]["kind"] == PUBLISHED
        assert "\\textbf{" in (folder / "table.tex").read_text()
        assert "**" in (folder / "table.md").read_text()
        assert float(summary["SMP"]["mae_low"]) < float(summary["SMP"]["mae_high"])
        about = json.loads((folder / "experiment.json").read_text())
        assert about["rows"][0]["preset"]["instead"] == {"epochs": 1}

    def test_json_is_one_object_and_nothing_else(self, talks):
        options = ["--seeds", "1", "--epochs", "1", "--models", "lf_dnn", "--json"]
        told = json.loads(talks.run("compare", *options, "--task", "classification").out)
        assert [row["label"] for row in told["rows"]] == [
            "LF-DNN",
            "linear probe, text",
            "majority class",
            "median score",
        ]
        assert told["rows"][0]["metrics"].keys() == {"acc3", "f1"}
        assert told["rows"][0]["metrics"]["f1"]["std"] is None

    def test_an_ablation_has_a_chart(self, talks, tmp_path):
        options = ["--seeds", "1", "--epochs", "1", "--out", str(tmp_path / "here")]
        done = talks.run("ablate", "modalities", *options)
        assert done.code == 0
        assert "T + A" in done.out
        content = (tmp_path / "here" / "chart.png").read_bytes()
        assert content.startswith(b"\x89PNG")

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (["compare", "--models", "spm"], "no model 'spm'"),
            (["compare", "--epochs", "0"], "setting epochs 0"),
            (["compare", "--set", "network.heads=3"], "has no setting 'network.heads'"),
            (["compare", "--audio", "mfcc"], "no stage 'mfcc'"),
            (["compare", "--preset", "best"], "has a preset 'best'"),
            (["ablate", "features"], "no features for any of the features"),
        ],
    )
    def test_a_users_error_is_one_line_and_code_2(self, talks, words, told):
        done = talks.run(*words)
        assert done.code == 2
        assert told in done.err
        assert len(done.err.strip().splitlines()) == 1

    def test_an_entry_that_fails_is_exit_code_1(self, talks, monkeypatch):
        options = ["--models", "lf_dnn,ef_lstm", "--seeds", "1", "--epochs", "1"]
        real = records.Result.of

        def fails(trained: Any) -> Result:
            if type(trained.predictor.network).__name__ == "EfLstm":
                raise UserError("no luck")
            return real(trained)

        monkeypatch.setattr(records.Result, "of", fails)
        done = talks.run("compare", *options)
        assert done.code == 1
        assert "failed: EF-LSTM: no luck" in done.out

    @pytest.mark.slow
    def test_a_killed_compare_goes_on_with_what_is_missing(self, talks, tmp_path):
        options = ["--models", "ef_lstm,lf_dnn", "--seeds", "3", "--epochs", "12"]
        records = talks.runs / "trained"
        with child(*smp(*talks.arguments("compare", *options))) as process:
            wait_until(lambda: list(records.glob("*.json")), process)
        kept = {path: path.read_bytes() for path in records.glob("*.json")}
        assert 1 <= len(kept) < 6
        assert not list(talks.runs.glob("talks-*")), "no table of an unfinished run"

        told = json.loads(talks.run("compare", *options, "--json").out)
        rows = [row for row in told["rows"] if row["kind"] == MODEL]
        assert sum(len(row["trained"]) for row in rows) == 6 - len(kept)
        assert sum(len(row["reused"]) for row in rows) == len(kept)
        assert {path: path.read_bytes() for path in kept} == kept
        fresh = json.loads(talks.run("compare", *options, "--json", runs=tmp_path / "fresh").out)
        assert [row["metrics"] for row in fresh["rows"]] == [row["metrics"] for row in told["rows"]]


def test_the_samples_digest_sees_every_bit_that_a_model_is_given():
    samples = some_samples()
    before = identity.digest_of(samples)
    assert identity.digest_of(some_samples()) == before
    samples.batch.features["audio"][-1, -1, -1] = torch.nextafter(
        samples.batch.features["audio"][-1, -1, -1], torch.tensor(9.0)
    )
    assert identity.digest_of(samples) != before
