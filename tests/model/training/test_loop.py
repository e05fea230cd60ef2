"""From a cache to a run folder: what is read, what is chosen on which split, what is kept."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import model
from model.cli.group import main
from model.data.batch import Batch, drop_features
from model.data.channels import read_modality
from model.data.left_out import LeftOut
from model.data.samples import Samples, load_samples
from model.data.truth import scored
from model.layers.align import align
from model.metrics import MOSI, SIMS
from model.runs import save, seal
from model.runs.save import save_run
from model.step.adam import Adam
from model.training import loop
from model.training.loop import train
from model.training.settings import TrainSettings
from pipeline.dataset.target import Target
from pipeline.errors import UserError
from pipeline.system.device import require
from tests.conftest import Transcripts
from tests.model.conftest import WORDS, lettered

STEPS = 8
WIDTHS = {"visual": 6, "audio": 5, "text": 4}
SMALL = {"width": 16, "heads": 2, "feedforward": 16}
QUICK = TrainSettings(network=SMALL, epochs=4, batch=8, lr=5e-3, device="cpu")
LONGER = QUICK.model_copy(update={"epochs": 20, "batch": 16, "lr": 1e-2})


def some_samples(clips: int = 60, seed: int = 0, signal: float = 1.0) -> Samples:
    """Noise that a clip's score shifts, in one modality more than in the others."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.rand(clips, generator=random) * 4 - 2
    features, lengths = {}, {}
    for strength, (m, width) in zip((0.2, 0.4, 1.0), WIDTHS.items(), strict=True):
        x = torch.randn(clips, STEPS, width, generator=random)
        x[..., :2] += signal * strength * labels[:, None, None]
        features[m], lengths[m] = x, torch.randint(0, STEPS + 1, (clips,), generator=random)
    splits = np.array(["train", "train", "train", "valid", "test"] * clips)[:clips]
    ids = [f"v/{i:04d}" for i in range(clips)]
    return Samples(
        "made", ids, Batch(features, lengths), labels.double().numpy(), splits, scored(MOSI)
    )


class Watched(Samples):
    """Notes every split that is read, and how many epochs had passed by then."""

    reads: list[tuple[str, int]]
    epochs: int

    def split(self, name: str):
        self.reads.append((name, self.epochs))
        return super().split(name)


def watched(samples: Samples) -> Watched:
    seen = Watched(**{name: getattr(samples, name) for name in samples.__dataclass_fields__})
    object.__setattr__(seen, "reads", [])
    object.__setattr__(seen, "epochs", 0)
    return seen


def test_the_test_split_is_read_once_after_the_last_epoch():
    samples = watched(some_samples())
    train(samples, QUICK, lambda row: object.__setattr__(samples, "epochs", int(row["epoch"])))
    assert [epoch for name, epoch in samples.reads if name == "test"] == [QUICK.epochs]


def test_nothing_but_its_own_metrics_depends_on_the_test_split():
    samples = some_samples()
    spoilt = some_samples()
    is_test = torch.from_numpy(spoilt.splits == "test")
    for x in spoilt.batch.features.values():
        x[is_test] = 1e3
    spoilt.labels[is_test.numpy()] = -3
    a, b = train(samples, QUICK), train(spoilt, QUICK)
    assert a.curve == b.curve
    assert a.metrics["valid"] == b.metrics["valid"]
    assert a.metrics["test"] != b.metrics["test"]
    for key, value in a.predictor.state_dict().items():
        assert torch.equal(value, b.predictor.state_dict()[key]), key


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_the_best_epoch_is_the_one_of_least_validation_loss(task):
    settings = QUICK.model_copy(update={"task": task, "epochs": 12, "lr": 2e-2})
    trained = train(some_samples(), settings)
    losses = [row["valid_loss"] for row in trained.curve]
    assert trained.best_epoch == 1 + int(np.argmin(losses))
    assert trained.best_epoch < 12, "the last epoch would be no choice"
    key = "mae" if task == "regression" else "acc3"
    best = trained.curve[trained.best_epoch - 1]
    assert trained.metrics["valid"][key] == pytest.approx(best[f"valid_{key}"], abs=1e-6)


def test_the_loss_of_scores_is_the_mean_absolute_error():
    for row in train(some_samples(), QUICK).curve:
        assert row["valid_loss"] == pytest.approx(row["valid_mae"], rel=1e-5)


def test_the_loss_of_classes_is_the_cross_entropy():
    samples = some_samples()
    trained = train(samples, QUICK.model_copy(update={"task": "classification"}))
    classes = MOSI.three_classes(samples.split("valid").labels)
    likely = trained.predictions["valid"][np.arange(len(classes)), classes]
    best = trained.curve[trained.best_epoch - 1]
    assert best["valid_loss"] == pytest.approx(-np.log(likely).mean(), rel=1e-4)


def test_the_training_loss_is_the_mean_over_clips_whatever_the_batches():
    still = {"network": {**SMALL, "dropout": 0.0}, "lr": 1e-12, "epochs": 1}
    losses = [
        train(some_samples(), QUICK.model_copy(update={**still, "batch": batch})).curve[0]
        for batch in (36, 8, 35)
    ]
    assert losses[0]["train_loss"] > 0.1
    for other in losses[1:]:
        assert other["train_loss"] == pytest.approx(losses[0]["train_loss"], rel=1e-4)


def test_every_step_is_taken_with_gradients_of_the_given_norm_at_most(monkeypatch):
    norms: list[float] = []

    class Watching(Adam):
        def __init__(self, parameters: Any, *settings: float) -> None:
            self.parameters = list(parameters)
            super().__init__(self.parameters, *settings)

        def step(self) -> None:
            gradients = [p.grad.flatten() for p in self.parameters if p.grad is not None]
            norms.append(float(torch.cat(gradients).norm()))
            super().step()

    monkeypatch.setattr("model.network.Adam", Watching)
    train(some_samples(), QUICK.model_copy(update={"clip_norm": 0.01}))
    assert len(norms) == QUICK.epochs * 5, "36 clips, 8 at a time"
    assert max(norms) == pytest.approx(0.01, rel=1e-3)


def test_patience_stops_early_and_keeps_the_best():
    settings = QUICK.model_copy(update={"epochs": 60, "lr": 2e-2, "patience": 3})
    trained = train(some_samples(), settings)
    assert len(trained.curve) == trained.best_epoch + 3 < 60


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    torch.manual_seed(1)
    a = train(some_samples(), QUICK)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    b = train(some_samples(), QUICK)
    assert torch.equal(torch.get_rng_state(), state), "torch's own generator was disturbed"
    c = train(some_samples(), QUICK.model_copy(update={"seed": 1}))
    assert a.curve == b.curve
    assert np.array_equal(a.predictions["test"], b.predictions["test"])
    assert not np.array_equal(a.predictions["test"], c.predictions["test"])


def test_a_dropped_feature_is_gone_from_a_whole_clip_and_made_up_for_by_the_others():
    torch.manual_seed(0)
    lengths = {"text": torch.full((40,), STEPS)}
    x = drop_features(Batch({"text": torch.ones(40, STEPS, 50)}, lengths), 0.4).features["text"]
    assert torch.equal(x, x[:, :1].expand_as(x))
    assert x.unique().tolist() == pytest.approx([0, 1 / 0.6])
    assert not torch.equal(x[0], x[1]), "clips lose different features"
    assert x.mean() == pytest.approx(1, abs=0.1)


def test_feature_dropout_makes_a_training_and_no_prediction_depend_on_chance():
    samples = some_samples()
    trained = train(samples, QUICK.model_copy(update={"feature_dropout": 0.5}))
    assert trained.curve != train(samples, QUICK).curve
    again = trained.predictor.predict(samples.split("test").batch)
    assert np.array_equal(trained.predictions["test"], again)


def test_training_beats_every_reference_where_there_is_a_signal():
    trained = train(some_samples(clips=150), LONGER)
    mine = trained.metrics["test"]
    assert mine["mae"] < 0.7 * trained.references["median score"]["mae"]
    assert mine["corr"] > 0.7
    assert mine["acc2"] > trained.references["majority class"]["acc2"] + 0.1


def test_class_mode_gives_probabilities_and_beats_the_majority():
    settings = LONGER.model_copy(update={"task": "classification"})
    trained = train(some_samples(clips=150), settings)
    chances = trained.predictions["test"]
    assert chances.shape == (30, 3)
    np.testing.assert_allclose(chances.sum(-1), 1, atol=1e-6)
    assert trained.metrics["test"]["acc3"] > trained.references["majority class"]["acc3"] + 0.1


def test_a_loss_that_runs_away_is_told_with_the_way_out():
    with pytest.raises(UserError, match=r"epoch \d+: the loss is not finite; try lr"):
        train(some_samples(), QUICK.model_copy(update={"lr": 1e30}))


def test_an_empty_split_is_told():
    samples = some_samples()
    without = replace(samples, splits=np.where(samples.splits == "valid", "train", samples.splits))
    with pytest.raises(UserError, match="valid split"):
        train(without, QUICK)


def test_a_device_that_is_not_there_is_told():
    with pytest.raises(UserError, match="tpu9"):
        train(some_samples(), QUICK.model_copy(update={"device": "tpu9"}))


class TestRunFolder:
    @pytest.mark.parametrize("task", ["regression", "classification"])
    def test_a_reloaded_model_gives_the_same_predictions_to_the_bit(self, tmp_path, task):
        samples, settings = some_samples(), QUICK.model_copy(update={"task": task})
        trained = train(samples, settings)
        folder = save_run(trained, samples, settings, tmp_path)
        again = model.load_model(folder).predict(samples.split("test").batch)
        assert np.array_equal(again, trained.predictions["test"])

    def test_everything_about_a_run_is_in_its_folder(self, tmp_path):
        samples = some_samples()
        trained = train(samples, QUICK)
        folder = save_run(trained, samples, QUICK, tmp_path / "runs")
        assert folder == tmp_path / "runs" / "made-smp-seed0"
        settings = json.loads((folder / "settings.json").read_text())
        assert TrainSettings(**settings["train"]) == QUICK
        assert settings["model"]["widths"] == WIDTHS
        measured = json.loads((folder / "metrics.json").read_text())
        assert measured["test"]["mae"] == trained.metrics["test"]["mae"]
        assert measured["references"]["majority class"]["corr"] is None
        with (folder / "curve.csv").open() as file:
            curve = list(csv.DictReader(file))
        assert [int(row["epoch"]) for row in curve] == [1, 2, 3, 4]
        assert float(curve[2]["valid_mae"]) == trained.curve[2]["valid_mae"]
        rows = pd.read_csv(folder / "predictions.csv")
        tested = rows[rows["split"] == "test"]
        assert tested["id"].tolist() == list(samples.split("test").ids)
        mae = (tested["label"] - tested["prediction"]).abs().mean()
        assert mae == pytest.approx(measured["test"]["mae"], abs=1e-12)

    def test_an_earlier_run_is_never_overwritten(self, tmp_path):
        samples = some_samples()
        trained = train(samples, QUICK.model_copy(update={"epochs": 1}))
        names = [save_run(trained, samples, QUICK, tmp_path).name for _ in range(3)]
        assert names == ["made-smp-seed0", "made-smp-seed0-2", "made-smp-seed0-3"]
        assert sorted(p.name for p in tmp_path.iterdir()) == names, "no half-written folder stays"

    def test_a_run_that_can_not_be_written_leaves_nothing(self, tmp_path, monkeypatch):
        samples = some_samples()
        trained = train(samples, QUICK.model_copy(update={"epochs": 1}))

        def no_space(*args: object, **more: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(save, "save_file", no_space)
        with pytest.raises(OSError, match="No space"):
            save_run(trained, samples, QUICK, tmp_path)
        assert not list(tmp_path.iterdir())

    def test_a_folder_that_is_no_run_is_told(self, tmp_path):
        with pytest.raises(UserError, match="no run folder"):
            model.load_model(tmp_path)
        (tmp_path / "weights.safetensors").write_bytes(b"not weights")
        with pytest.raises(UserError, match="no run folder"):
            model.load_model(tmp_path)

    def test_a_run_of_an_earlier_version_of_the_model_is_told(self, tmp_path):
        samples = some_samples()
        trained = train(samples, QUICK.model_copy(update={"epochs": 1}))
        folder = save_run(trained, samples, QUICK, tmp_path)
        path = folder / "weights.safetensors"
        with safe_open(path, framework="pt") as file:
            about = file.metadata()
        weights = load_file(path)
        weights["network.contexts.text.weight"] = weights.popitem()[1]
        save_file(weights, path, about)
        seal.write(folder)
        with pytest.raises(UserError, match="another version of 'smp'; train it again"):
            model.load_model(folder)

    def test_a_run_on_channels_that_were_joined_otherwise_is_told(self, tmp_path):
        samples = replace(some_samples(), channels={"visual": ["resnet18", "action_units"]})
        trained = train(samples, QUICK.model_copy(update={"epochs": 1}))
        folder = save_run(trained, samples, QUICK, tmp_path)
        model.load_model(folder)
        settings = json.loads((folder / "settings.json").read_text())
        del settings["data"]["version"]  # as runs of before
        (folder / "settings.json").write_text(json.dumps(settings))
        seal.write(folder)
        with pytest.raises(UserError, match="version 1 put its channels side by side.*train it"):
            model.load_model(folder)
        settings["data"]["channels"] = {"visual": ["resnet18"]}
        (folder / "settings.json").write_text(json.dumps(settings))
        seal.write(folder)
        model.load_model(folder)


class Stage:
    """A stage's features as a cache gives them."""

    def __init__(self, name: str, features: np.ndarray, lengths: list[int], weights: str | None):
        self.name = name
        self.fingerprint = f"print of {name}"
        self.lengths = np.array(lengths)
        self.reasons = ["" if length else f"no {name}" for length in lengths]
        self.doubts = [""] * len(lengths)
        self.stale = [""] * len(lengths)
        self.identity: dict[str, Any] = {"extractor": name}
        self.random_weights = [name] if weights == "random" else []
        self.attributes = {"weights": {"id": weights, "digest": weights}}
        self.shape, self.width, self.by_word = features.shape, features.shape[-1], False
        self._features = features

    def read(self, out: np.ndarray) -> None:
        out[:] = self._features


def counting(
    name: str,
    lengths: list[int],
    width: int = 1,
    weights: str | None = None,
    steps: int = STEPS,
) -> Any:
    """Features that are 1, 2, 3 … in time and zero where padded."""
    features = np.zeros((len(lengths), steps, width), np.float32)
    for i, length in enumerate(lengths):
        features[i, :length] = np.arange(1, length + 1)[:, None]
    return Stage(name, features, lengths, weights)


class Stages(dict[str, Stage]):
    """A cache with as many clips as the stages given, all of them labelled."""

    def __init__(self, *stages: Stage, **columns: list):
        super().__init__({stage.name: stage for stage in stages})
        n = len(stages[0].lengths) if stages else 3
        made = {
            "id": [f"clip{i}" for i in range(n)],
            "label": np.linspace(-1, 1, n),
            "split": (["train", "valid", "test"] * n)[:n],
        }
        self.clips = pd.DataFrame({**made, **columns})
        self.url, self.name = "cache/made", "made"
        scores = [column for column in map(str, self.clips) if column.startswith("label")]
        self.targets = [Target(name=c.removeprefix("label_"), columns=(c,)) for c in scores]
        self.command, self.imported_from = "smp extract", None
        self.table = SimpleNamespace(root="/talks")


def cache_of(*stages: Stage, **columns: list) -> Any:
    return Stages(*stages, **columns)


class TestSamples:
    def test_channels_without_rows_of_steps_or_with_other_steps_are_refused(self):
        image, short = counting("image", [3, 4, 5]), counting("short", [3, 4, 5])
        image.width = None
        with pytest.raises(UserError, match="'image' has no features of \\[steps, width\\]"):
            load_samples(cache_of(image), chosen={"visual": ["image"]})
        short.shape = (3, 16, 1)
        with pytest.raises(UserError, match="'short' has 16 steps and 'bert' 8; run `smp extract`"):
            load_samples(
                cache_of(counting("bert", [3, 4, 5]), short), chosen={"text": ["bert", "short"]}
            )

    def test_channels_lie_side_by_side_over_the_same_time(self):
        long, short = counting("long", [8, 7, 2, 0]), counting("short", [4, 7, 0, 3], width=2)
        x, lengths = read_modality([long, short], np.full(4, True))
        assert lengths.tolist() == [8, 7, 2, 3]
        assert x.shape == (4, STEPS, 3)
        assert x[0, :, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
        assert x[0, :, 1].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
        assert np.array_equal(x[1, :, 0], x[1, :, 2])
        assert np.isnan(x[2, :2, 1:]).all()
        assert np.isnan(x[3, :3, 0]).all()
        assert not x[2, 2:].any(), "padding stays zero"

    def test_there_is_one_rule_for_the_nearest_step(self):
        """Channels within a modality and modalities side by side, over all pairs of lengths."""
        pairs = [(own, longest) for longest in range(2, 33) for own in range(1, longest)]
        assert len(pairs) == 496
        short, long = (counting(name, list(own), steps=32) for name, own in
                       zip(("short", "long"), zip(*pairs, strict=True), strict=True))  # fmt: skip
        joined, lengths = read_modality([short, long], np.full(len(pairs), True))
        of = {"visual": short, "audio": long}
        features = {m: torch.from_numpy(stage._features) for m, stage in of.items()}
        batch = Batch(features, {m: torch.from_numpy(stage.lengths) for m, stage in of.items()})
        aligned, longest = align(batch, of)
        for i, (own, length) in enumerate(pairs):
            steps = [Fraction(k * (own - 1), length - 1) for k in range(length)]
            nearest = [math.floor(step + Fraction(1, 2)) for step in steps]
            assert joined[i, :length, 0].tolist() == [1 + step for step in nearest]
            assert aligned["visual"][i, :length, 0].tolist() == [1 + step for step in nearest]
            between = [nearest.count(step) for step in range(1, own - 1)]
            assert not between or max(between) - min(between) <= 1
            if length == 32:  # sampled: in the middle between two there is none
                assert nearest == np.rint(np.linspace(0, own - 1, length)).tolist()
        assert lengths.tolist() == longest.tolist()

    def test_a_cache_of_transcripts_alone_is_valid(self):
        samples = load_samples(cache_of(counting("bert", [3, 4, 5])))
        assert samples.batch.widths == {"text": 1}
        assert any(note.startswith("visual: the cache has no resnet18") for note in samples.notes)
        assert samples.scale is SIMS

    def test_a_modality_that_no_clip_has_is_left_out_and_told(self):
        cache = cache_of(counting("bert", [3, 4, 5]), counting("mfcc", [0, 0, 0]))
        samples = load_samples(cache)
        assert samples.batch.widths == {"text": 1}
        assert "audio: no clip has it, the model is built without" in samples.notes

    def test_clips_without_a_label_are_left_out_and_counted(self):
        cache = cache_of(counting("bert", [3, 4, 5]), label=[0.5, float("nan"), -0.5])
        samples = load_samples(cache)
        assert samples.ids == ["clip0", "clip2"]
        assert samples.batch.lengths["text"].tolist() == [3, 5]
        assert "1 of 3 clips have no label and are left out" in samples.notes

    def test_a_modalitys_own_score_can_be_the_target(self):
        cache = cache_of(counting("bert", [3, 4, 5]), label_T=[0.5, 0.2, -0.5])
        assert load_samples(cache, target="T").labels.tolist() == [0.5, 0.2, -0.5]
        with pytest.raises(UserError, match=r"no labels for 'V'; there are T"):
            load_samples(cache, target="V")

    def test_channels_can_be_chosen(self):
        cache = cache_of(counting("bert", [3, 4, 5]), counting("mfcc", [2, 3, 4], width=2))
        samples = load_samples(cache, channels={"audio": ["mfcc"]})
        assert samples.batch.widths == {"audio": 2}
        assert samples.provenance["stages"].keys() == {"mfcc"}

    def test_the_text_is_bert_unless_other_stages_are_named(self):
        bert, tencent = counting("bert", [3, 4, 5]), counting("tencent", [2, 0, 5], width=2)
        assert load_samples(cache_of(bert, tencent)).channels == {"text": ["bert"]}
        alone = load_samples(cache_of(bert, tencent), chosen={"text": ["tencent"]})
        assert (alone.channels, alone.batch.widths) == ({"text": ["tencent"]}, {"text": 2})
        both = load_samples(cache_of(bert, tencent), chosen={"text": ["bert", "tencent"]})
        assert both.batch.widths == {"text": 3}
        assert both.provenance["stages"].keys() == {"bert", "tencent"}

    def test_word_vectors_are_the_text_where_there_is_no_bert(self):
        samples = load_samples(cache_of(counting("tencent", [3, 4, 5])))
        assert samples.channels == {"text": ["tencent"]}
        assert "text: the cache has no bert" in samples.notes

    def test_the_table_counts_clips_and_what_they_have(self):
        cache = cache_of(counting("bert", [3, 4, 5, 0]), counting("mfcc", [2, 0, 4, 1]))
        assert load_samples(cache).table() == {
            "train": {"clips": 2, "audio": 2, "text": 1, "left_out": 0},
            "valid": {"clips": 1, "audio": 0, "text": 1, "left_out": 0},
            "test": {"clips": 1, "audio": 1, "text": 1, "left_out": 0},
        }

    def test_a_clip_that_has_nothing_is_left_out_counted_and_named(self):
        mfcc, bert = counting("mfcc", [0, 4, 3, 0, 2, 0]), counting("bert", [3, 4, 0, 0, 5, 0])
        samples = load_samples(cache_of(bert, mfcc))
        assert samples.ids == ["clip0", "clip1", "clip2", "clip4"], "one modality is enough"
        assert samples.labels.tolist() == pytest.approx([-1, -0.6, -0.2, 0.6])
        assert samples.batch.has_any.all()
        assert samples.batch.lengths["text"].tolist() == [3, 4, 0, 5]
        assert samples.batch.features["text"][3, :5, 0].tolist() == [1, 2, 3, 4, 5]
        assert samples.left_out == [
            LeftOut("clip3", "train", "audio: no mfcc; text: no bert"),
            LeftOut("clip5", "test", "audio: no mfcc; text: no bert"),
        ]
        assert [row["left_out"] for row in samples.table().values()] == [1, 0, 1]
        said = "2 clips have nothing to go by and are left out (1 train, 1 test): clip3, clip5"
        assert said in samples.notes

    def test_what_is_nothing_depends_on_what_is_read(self):
        cache = cache_of(counting("mfcc", [0, 4, 3]), counting("bert", [3, 4, 0]))
        assert not load_samples(cache).left_out
        [alone] = load_samples(cache, channels={"text": ["bert"]}).left_out
        assert (alone.clip, alone.why) == ("clip2", "text: no bert")

    def test_doubtful_clips_are_counted_by_the_stage_where_the_doubt_arose(self):
        faces, resnet18 = counting("faces", [3] * 6), counting("resnet18", [3] * 5 + [0])
        resnet18.identity = {"upstream": {"faces": {"fingerprint": faces.fingerprint}}}
        faces.doubts = ["", "half a face", "blurred", "blurred", "", "blurred"]
        bert = counting("bert", [1] * 5 + [0])
        bert.doubts[4] = "unknown words"
        cache = cache_of(faces, resnet18, bert)
        told = "doubtful clips, whose features may mislead: "
        expected = f"{told}faces (1 valid, 1 test, 1 train); bert (1 valid)"
        assert expected in load_samples(cache).notes, "the last clip is left out"
        faces.fingerprint = "of settings that changed since"
        assert f"{told}bert (1 valid)" in load_samples(cache).notes
        bert.doubts[4] = ""
        assert not any("doubtful" in note for note in load_samples(cache).notes)

    def test_random_weights_are_named(self):
        cache = cache_of(counting("bert", [3, 4], weights="random"), counting("mfcc", [2, 3]))
        assert load_samples(cache).random_stages == ["bert"]

    def test_features_that_are_not_finite_are_refused(self):
        stage = counting("bert", [3, 4])
        stage._features[1, 2, 0] = np.inf
        with pytest.raises(UserError, match="'bert': the features of 1 clips"):
            load_samples(cache_of(stage))

    def test_stale_clips_are_trained_on_and_counted(self):
        faces, bert = counting("resnet18", [3, 4, 5, 6]), counting("bert", [3, 4, 5, 6])
        faces.stale = ["", "video is gone: a.mp4", "video is gone: b.mp4", ""]
        samples = load_samples(cache_of(faces, bert))
        told = "stale clips, whose features stand though their files are gone: 1 valid, 1 test"
        assert told in samples.notes
        assert len(samples.ids) == 4

    def test_a_cache_without_features_is_told(self):
        with pytest.raises(UserError, match="smp extract"):
            load_samples(cache_of())

    def test_no_labels_at_all_are_told(self):
        with pytest.raises(UserError, match="no clip has a label"):
            load_samples(cache_of(counting("bert", [3]), label=[float("nan")]))


@pytest.fixture
def trained_on_transcripts(lettered_talks, tmp_path):
    """The command over a real cache."""

    def run(*options: str, talks: Transcripts = lettered_talks) -> SimpleNamespace:
        where = ["--cache", talks.cache_root, "--runs", str(tmp_path / "runs")]
        arguments = ["train", str(talks.folder), *where, "--epochs", "3", *options]
        result = CliRunner().invoke(main, arguments, catch_exceptions=False)
        return SimpleNamespace(code=result.exit_code, out=result.stdout, err=result.stderr)

    return run


class TestCommand:
    def test_train_prints_results_beside_the_references(self, trained_on_transcripts):
        done = trained_on_transcripts()
        assert done.code == 0
        for word in ("MAE", "Corr", "Acc-2", "F1", "majority class", "median score"):
            assert word in done.out
        assert "talks-smp-seed0" in done.out
        assert "the cache has no resnet18" in done.out

    def test_a_clip_that_has_nothing_is_named_wherever_the_numbers_are(
        self, trained_on_transcripts, tmp_path
    ):
        words = ["" if i in (4, 5, 6) else text for i, text in enumerate(WORDS)]
        talks = lettered(tmp_path, words)
        done = trained_on_transcripts(talks=talks)
        said = (
            "nothing to go by and are left out (1 valid, 1 test, 1 train): v/0004, v/0005, v/0006"
        )
        assert f"note: 3 clips have {said}" in done.out
        assert "the 9 test clips" in done.out
        folder = Path(done.out.split("run folder: ")[1].strip())
        measured = json.loads((folder / "metrics.json").read_text())
        assert measured["left_out"]["test"] == {"v/0005": "text: empty text"}
        assert measured["splits"]["test"] == {"clips": 9, "text": 9, "left_out": 1}
        assert any(said in note for note in measured["notes"])
        predicted = {row["id"] for row in csv.DictReader((folder / "predictions.csv").open())}
        assert not predicted & {"v/0004", "v/0005", "v/0006"}
        assert len(predicted) == 27
        told = json.loads(trained_on_transcripts("--json", talks=talks).out)
        assert told["left_out"] == measured["left_out"]
        where = ["--cache", talks.cache_root, "--runs", str(folder.parent)]
        dataset = str(talks.folder)
        quick = ["--models", "lf_dnn", "--seeds", "1", "--epochs", "1"]
        table = CliRunner().invoke(main, ["compare", dataset, *where, *quick]).output
        assert "9 test clips" in table
        assert f"note: 3 clips have {said}" in table
        CliRunner().invoke(main, ["report", dataset, *where], catch_exceptions=False)
        [page] = folder.parent.glob("*-report.html")
        text = " ".join(page.read_text().split())
        assert f"Left out of {folder.name}, as they have nothing to go by: 1 valid, 1 test" in text
        assert "for the 9 test clips; 1 more had nothing to go by and is left out." in text

    def test_a_second_run_says_which_folder_it_wrote_and_that_the_first_stays(
        self, trained_on_transcripts, tmp_path
    ):
        first, second = trained_on_transcripts().out, trained_on_transcripts().out
        runs = tmp_path / "runs"
        assert first.endswith(f"run folder: {runs}/talks-smp-seed0\n")
        assert "earlier run" not in first
        assert f"an earlier run is kept in {runs}/talks-smp-seed0\n" in second
        assert second.endswith(f"run folder: {runs}/talks-smp-seed0-2\n")

    def test_json_is_one_object_and_nothing_else(self, trained_on_transcripts):
        done = trained_on_transcripts("--json", "--seed", "5")
        told = json.loads(done.out)
        assert Path(told["run"]).name == "talks-smp-seed5"
        assert {"mae", "corr", "acc2", "f1"} <= told["test"].keys()
        assert told["references"]["median score"]["corr"] is None
        assert model.load_model(told["run"]).network.widths == {"text": 2}

    def test_the_datasets_preset_is_taken_told_and_recorded(self, trained_on_transcripts):
        done = trained_on_transcripts("--model", "tfn", "--lr", "0.004")
        told = "tfn: preset 'toolkit' for mosi, but epochs 3, lr 0.004\n"
        assert told in done.out
        folder = Path(done.out.split("run folder: ")[1].strip())
        used = json.loads((folder / "settings.json").read_text())
        assert used["preset"]["name"] == "toolkit"
        assert used["preset"]["source"] == "MMSA, tfn; early stop 8"
        assert used["preset"]["instead"] == {"epochs": 3, "lr": 0.004}
        assert used["train"]["lr"] == 0.004
        assert used["train"]["batch"] == 32, "the rest is the preset's"
        assert used["train"]["network"]["text_out"] == 32

    def test_a_preset_can_be_named(self, trained_on_transcripts):
        done = trained_on_transcripts("--preset", "paper")
        assert "smp: preset 'paper' for mosi, but epochs 3\n" in done.out
        folder = Path(done.out.split("run folder: ")[1].strip())
        used = json.loads((folder / "settings.json").read_text())["train"]
        assert (used["lr"], used["batch"], used["epochs"]) == (1e-5, 64, 3)

    def test_any_setting_is_given_by_name_or_in_a_file(self, trained_on_transcripts, tmp_path):
        file = tmp_path / "settings.yaml"
        file.write_text("feature_dropout: 0.2\nlr: 0.1\nnetwork: {width: 8, heads: 2}\n")
        options = ["--settings", str(file), "--set", "network.width=16", "--set", "lr=0.5"]
        told = trained_on_transcripts(*options, "--lr", "0.01", "--json").out
        used = json.loads((Path(json.loads(told)["run"]) / "settings.json").read_text())["train"]
        assert (used["lr"], used["feature_dropout"]) == (0.01, 0.2)
        assert (used["network"]["width"], used["network"]["heads"]) == (16, 2)
        assert used["network"]["kernel"] == 3, "the rest is the preset's"

    def test_any_stage_is_trained_on_by_its_name(self, trained_on_transcripts):
        told = json.loads(
            trained_on_transcripts("--audio", "letters", "--text", "none", "--json").out
        )
        used = json.loads((Path(told["run"]) / "settings.json").read_text())["data"]
        assert used["channels"] == {"audio": ["letters"]}
        assert model.load_model(told["run"]).network.widths == {"audio": 2}

    def test_classes_are_a_task(self, trained_on_transcripts):
        told = json.loads(trained_on_transcripts("--json", "--task", "classification").out)
        assert told["test"].keys() == {"acc3", "f1"}

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (["--model", "spm"], "no model 'spm'"),
            (["--target", "V"], "no labels for 'V'"),
            (["--epochs", "0"], "setting epochs 0: input"),
            (["--lr", "-1"], "setting lr -1"),
            (["--clip-norm", "0"], "setting clip_norm 0"),
            (["--set", "network.width"], "expected NAME=VALUE"),
            (["--set", "seed=3"], "--set: give `seed` as --seed"),
            (["--settings", "no.yaml"], "no.yaml can't be read"),
            (["--text", "none"], "no features to train on"),
            (["--text", "glove"], "no stage 'glove'"),
            (["--preset", "best"], "smp has no preset 'best'; there are tuned, paper"),
        ],
    )
    def test_a_users_error_is_one_line_and_code_2(self, trained_on_transcripts, options, told):
        done = trained_on_transcripts(*options)
        assert done.code == 2
        assert told in done.err
        assert len(done.err.strip().splitlines()) == 1

    @pytest.mark.parametrize("device", ["mps", "xpu", "cuda:99"])
    def test_a_device_that_is_not_there_is_one_line_and_code_2(
        self, trained_on_transcripts, device
    ):
        done = trained_on_transcripts("--device", device)
        assert done.code == 2
        assert done.err.startswith(f"Error: device '{device}' can't be used on ")
        assert len(done.err.strip().splitlines()) == 1

    @pytest.mark.parametrize("device", ["cuda", "auto"])
    def test_a_gpu_that_does_not_start_is_one_line_and_code_2(
        self, trained_on_transcripts, device, monkeypatch
    ):
        def fails() -> None:
            raise RuntimeError("CUDA driver initialization failed.\nSee the log.")

        require.cache_clear()  # of the machine's own answer
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "_lazy_init", fails)
        done = trained_on_transcripts("--device", device)
        assert done.code == 2
        assert "device 'cuda' can't be used on " in done.err
        assert "CUDA driver initialization failed; set `device` to auto or cpu" in done.err
        assert len(done.err.strip().splitlines()) == 1

    @pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried")])
    def test_out_of_memory_is_one_line_and_code_1(self, trained_on_transcripts, error, monkeypatch):
        def fails(*given: object) -> None:
            raise error

        monkeypatch.setattr(loop, "train", fails)
        done = trained_on_transcripts("--batch", "8")
        assert done.code == 1
        assert "Error: out of memory: training 'smp' with batches of 8 on" in done.err
        assert "try --batch 4, a smaller model or another --device" in done.err
        assert len(done.err.strip().splitlines()) == 1
