"""SMP on CMU-MOSI's transcripts: frozen features of MiniLM against an encoder that learns too."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.mosi_text import DATASET, transcripts
from benchmarks.paired import told
from model.cli.experiment import print_paper_table
from model.data.samples import Samples, load_samples
from model.experiments.bootstrap import Answers, resampled
from model.experiments.compare import comparison
from model.experiments.experiment import conduct
from model.experiments.finetuned import with_fine_tuned
from model.experiments.trainings import EntryOutcome
from model.finetune.text_stage import with_tokens
from model.objectives.choose import objective_of

WAYS = {
    "lora": {"rank": 8, "lr": 5e-4, "after": 2},
    "whole": {"lr": 6e-5, "after": 2},
}


def main() -> None:
    """Print both on test, and the paired differences with their 95 % intervals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mosi", type=Path, default=DATASET, help="folder with label.csv")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="of finished trainings")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=14, help="of an encoder that learns")
    parser.add_argument("--way", choices=list(WAYS), default="lora", help="which weights learn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not (cache := transcripts(options.mosi, Path(folder))):
            return
        samples = with_tokens(load_samples(cache), cache)
    frozen = comparison(samples, ["smp"], None, {"device": "cpu"})
    given = {"epochs": options.epochs, "patience": 4, "batch": 16, "finetune": WAYS[options.way]}
    both = with_fine_tuned(frozen, given)
    report = conduct(both, samples, range(options.seeds), options.runs, show=_show)
    print_paper_table(report.table)
    for outcome in report.outcomes:
        ends = (f"{own.best_epoch} of {own.epochs}" for own in outcome.results.values())
        print(f"{outcome.entry.label}: best epochs {', '.join(ends)}")
    _print_differences(report.outcomes, samples)


def _show(done: float, what: str) -> None:
    print(f"{done:.2f} trainings done: {what}", file=sys.stderr, flush=True)


def _print_differences(outcomes: Sequence[EntryOutcome], samples: Samples) -> None:
    """By a paired bootstrap over test clips and seeds."""
    objective = objective_of(samples.targets)
    truth = objective.truth(samples.split("test").labels)
    rows = np.arange(len(truth))
    said = [np.array([own.predicted for own in one.results.values()]) for one in outcomes]
    frozen, learnt = resampled([Answers(rows, own) for own in said], truth, objective)
    for key in ("acc2", "corr", "mae"):
        print(f"fine-tuned - frozen: {told(key, learnt[key] - frozen[key])}")


if __name__ == "__main__":
    main()
