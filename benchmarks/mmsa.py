"""The toolkit MMSA beside this project: its models and ours, trained on one file of features."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import paired
from benchmarks.mosi_text import DATASET, transcripts
from model.data.batch import Batch
from model.data.bundled import bundled
from model.data.samples import Samples, load_samples
from model.data.scaler import Scaler
from model.experiments.bootstrap import Answers, resampled
from model.objectives.choose import objective_of
from model.objectives.objective import Objective
from model.training.loop import in_columns, train
from model.training.presets import preset
from pipeline.formats import feature_pickle
from pipeline.formats.bundle import Bundle
from pipeline.formats.import_cache import make_cache
from pipeline.formats.mmsa import Mmsa
from pipeline.store.cache import Cache, open_cache

SIDE = Path(__file__).with_name("mmsa_side.py")
MODELS = ("lmf", "misa", "self_mm", "tfn", "lf_dnn")
MADE = {"visual": 20, "audio": 5}  # as wide as MMSA's features of CMU-MOSI
METRICS = {"mae": "MAE", "corr": "Corr", "acc2": "Non0_acc_2", "acc2_nonneg": "Has0_acc_2"}
METRICS |= {"f1": "Non0_F1_score", "acc7": "Mult_acc_7"}  # ours, and what MMSA calls them
LACKING = """skipped: set --mmsa-python, or MMSA_PYTHON, to the Python of an environment with MMSA:
  python -m venv mmsa && mmsa/bin/pip install MMSA"""


@dataclass(frozen=True)
class Side:
    """What the trainings of one side said of the test clips, [seeds, clips, 1], and took."""

    said: np.ndarray
    weights: int
    epochs: list[tuple[int, int]]
    seconds: list[float]


def main() -> None:
    """Print both sides' metrics by our definitions, and the paired differences with intervals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="features in MMSA's format, scores ±3")
    parser.add_argument(
        "--mmsa-python",
        type=Path,
        default=os.environ.get("MMSA_PYTHON"),
        help="the Python that has MMSA; by default $MMSA_PYTHON",
    )
    parser.add_argument("--mosi", type=Path, default=DATASET, help="folder with label.csv")
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--raw", action="store_true", help="MiniLM's values as they are")
    options = parser.parse_args()
    if options.mmsa_python is None or not options.mmsa_python.is_file():
        print(LACKING)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = options.file or made_file(options.mosi, Path(folder), options.raw)
        if file:
            _compare(file, Path(folder), options)


def made_file(mosi: Path, folder: Path, is_raw: bool) -> Path | None:
    """An export of CMU-MOSI's transcripts; None, told, where they aren't there.

    Their media aren't to be had. Stand-ins for sound and picture are random projections of the
    text's steps with as much noise, so that each modality tells something and text the most.
    Standardised, unless `is_raw`, since our trainings are and MMSA's aren't.
    """
    if not (cache := transcripts(mosi, folder)):
        return None
    file, bundle = folder / "mosi.pkl", _with_stand_ins(cache)
    for note in Mmsa().write(bundle if is_raw else _standardised(bundle), file):
        print(f"note: {note}")
    return file


def _with_stand_ins(cache: Cache) -> Bundle:
    bundle, _ = bundled(cache, {})
    text, lengths = bundle.features["text"], bundle.lengths["text"]
    real = np.arange(text.shape[1]) < lengths[:, None]
    random, features = np.random.default_rng(0), {"text": text}
    for modality, width in MADE.items():
        values = text @ random.standard_normal((text.shape[2], width), np.float32)
        values = values / values[real].std() + random.standard_normal(values.shape, np.float32)
        features[modality] = np.where(real[..., None], values, 0).astype(np.float32)
    return replace(bundle, features=features, lengths=dict.fromkeys(features, lengths))


def _standardised(bundle: Bundle) -> Bundle:
    batch = Batch(
        {m: torch.from_numpy(x) for m, x in bundle.features.items()},
        {m: torch.from_numpy(n) for m, n in bundle.lengths.items()},
    )
    fitted = batch[torch.tensor([clip.split == "train" for clip in bundle.clips])]
    scaled = Scaler(batch.widths).fit(fitted)(batch)
    return replace(bundle, features={m: x.numpy() for m, x in scaled.features.items()})


def _compare(file: Path, folder: Path, options: argparse.Namespace) -> None:
    source = feature_pickle.read(file)
    make_cache(source, url := str(folder / "imported"), "mmsa")
    samples = load_samples(open_cache(url))
    objective = objective_of(samples.targets)
    truth = objective.truth(samples.split("test").labels)
    apart = 0.0
    for model in options.models:
        theirs, told = _theirs(file, folder, model, options)
        sides = {"ours": _ours(samples, model, options.seeds), "MMSA": theirs}
        for name, side in sides.items():
            _print_side(f"{model:<8} {name}", side, truth, objective)
        rows = np.arange(len(truth))
        answers = [Answers(rows, side.said) for side in sides.values()]
        own, other = resampled(answers, truth, objective)
        for key in ("mae", "corr", "acc2"):
            line = paired.told(key, own[key] - other[key])
            print(f"{model:<8} ours - MMSA  {line}", flush=True)
        apart = max(apart, _apart(theirs, told, truth, objective))
    print(f"MMSA's own metrics of its answers are at most {apart:.5f} from those above")


def _ours(samples: Samples, model: str, seeds: int) -> Side:
    settings = preset(model, "mosi", "toolkit").with_options({"device": "cpu"})
    said, epochs, seconds, weights = [], [], [], 0
    for seed in range(seeds):
        started = time.process_time()
        trained = train(samples, settings.model_copy(update={"seed": seed}))
        seconds.append(time.process_time() - started)
        said.append(in_columns(trained.predictions["test"]))
        epochs.append((trained.best_epoch, len(trained.curve)))
        weights = sum(weight.numel() for weight in trained.predictor.network.parameters())
    return Side(np.stack(said), weights, epochs, seconds)


def _theirs(
    file: Path, folder: Path, model: str, options: argparse.Namespace
) -> tuple[Side, list[dict[str, float]]]:
    """MMSA's side, and its own metrics by seed."""
    seeds, answers = ",".join(map(str, range(options.seeds))), folder / "answers.json"
    copied = shutil.copy(SIDE, folder)  # beside no module of this project
    command = [options.mmsa_python, copied, file, model, seeds, answers]
    subprocess.run(command, check=True, env={**os.environ, "TQDM_DISABLE": "1"})
    found: dict[str, Any] = json.loads(answers.read_text())
    said = np.array(found["said"])[..., None]
    epochs = list(zip(found["best"], found["epochs"], strict=True))
    return Side(said, found["weights"][0], epochs, found["seconds"]), found["told"]


def _print_side(name: str, side: Side, truth: np.ndarray, objective: Objective) -> None:
    measured = [objective.measure(truth, said, warn=False) for said in side.said]
    told = []
    for key in METRICS:
        values = np.array([m[key] for m in measured]) * paired.UNITS.get(key, 100)
        digits = 3 if key in paired.UNITS else 1
        told.append(f"{key} {values.mean():.{digits}f} ± {_deviation(values):.{digits}f}")
    epochs = " ".join(f"{best}/{all_}" for best, all_ in side.epochs)
    cost = f"{side.weights:,} weights, best of epochs {epochs}, {np.mean(side.seconds):.0f} s each"
    print(f"{name:<14}{'  '.join(told)}\n{'':<14}{cost}", flush=True)


def _deviation(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def _apart(
    side: Side, told: list[dict[str, float]], truth: np.ndarray, objective: Objective
) -> float:
    """How far MMSA's metrics are from ours of the same answers, at most."""
    apart = 0.0
    for said, theirs in zip(side.said, told, strict=True):
        measured = objective.measure(truth, said, warn=False)
        apart = max(apart, *(abs(measured[key] - theirs[of]) for key, of in METRICS.items()))
    return apart


if __name__ == "__main__":
    main()
