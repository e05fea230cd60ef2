"""Runs killed with SIGKILL at points of their code and at random moments, resumed, compared.

A finished cache has to be equal to that of a run that was never interrupted, byte for byte: stores,
commits, clips.json and current.json; all but the log of times and the lock, `VOLATILE`.
`python -m benchmarks.chaos` takes some minutes and ends with exit code 1 where one file differs.
What becomes of damaged leases is asked by `benchmarks.lease_faults`.
"""

from __future__ import annotations

import csv
import platform
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from pipeline.sample.write import write_sample
from pipeline.system import resources
from tests.conftest import Transcripts
from tests.support.crashing import Kill, differences, files_of, run, until_done

TEXTS = [f"text number {i}" for i in range(24)]
CHANGED = [*TEXTS[:3], "changed", *TEXTS[4:], *(f"more {i}" for i in range(9))]
SAMPLE_CLIPS = 8
MODES: dict[str, list[str]] = {"in-process": [], "--workers 2": ["--workers", "2"]}


@dataclass(frozen=True)
class Trial:
    """One cache and the kills that its runs meet; changed: before and after clips changed too."""

    corpus: str
    mode: str
    name: str
    kills: Sequence[Kill]
    changed: bool = False


def at(*points: str, nth: int = 1, worker_only: bool = False) -> list[Kill]:
    """A kill at each point."""
    return [Kill(point, nth, worker_only=worker_only) for point in points]


def at_random(count: int, seed: int, worker_only: bool = False) -> list[Kill]:
    """Kills at random moments, as shares of the seconds that a whole run takes."""
    rng = random.Random(seed)
    return [Kill(after_s=rng.uniform(0.2, 0.8), worker_only=worker_only) for _ in range(count)]


TABLE = at(
    "before the clips table", "mid-rename of the clips table", "after the clips table"
)  # fmt: skip
METADATA = at(
    "mid-rename of zarr's metadata", "between metadata and its commit", "mid-rename of current.json"
)  # fmt: skip
DATA = at("before data", "half a chunk", "mid-rename of a chunk", "after a chunk")
COMMIT = at("between data and commit", "mid-rename of a commit", "after a commit")
AGAIN = at(
    "between metadata and its commit", "after the old commit went", "old values half removed",
    "mid-rename of a commit",
)  # fmt: skip
WORKER = at("half a chunk", "between data and commit", nth=2, worker_only=True)
TRIALS = [
    Trial("toys", "in-process", "clips table", TABLE),
    Trial("toys", "in-process", "store made, current.json", METADATA),
    Trial("toys", "in-process", "before and amid data", DATA),
    Trial("toys", "in-process", "data, commit, after it", COMMIT),
    Trial("toys", "in-process", "clips changed and added", AGAIN, changed=True),
    Trial("toys", "in-process", "random moments", at_random(6, 1)),
    Trial("toys", "--workers 2", "before and amid data", DATA),
    Trial("toys", "--workers 2", "data, commit, after it", COMMIT),
    Trial("toys", "--workers 2", "clips changed and added", AGAIN[1:], changed=True),
    Trial("toys", "--workers 2", "random moments", at_random(4, 2)),
    Trial("toys", "--workers 2", "one worker at a point", WORKER[:1]),
    Trial("toys", "--workers 2", "one worker at a point", WORKER[1:]),
    Trial(
        "sample", "in-process", "half a chunk, commit", [*at("half a chunk", nth=3), *COMMIT[:2]]
    ),
    Trial("sample", "in-process", "random moments", at_random(6, 3)),
    Trial("sample", "--workers 2", "random moments", at_random(6, 4)),
    Trial("sample", "--workers 2", "one worker, at random", at_random(1, 5, True)),
]


def main() -> None:
    """Do all trials and print a line for each."""
    print(f"{platform.machine()}, {resources.cores()} cores, Python {platform.python_version()}")
    heads = f"{'corpus':<8}{'mode':<13}{'killed at':<27}{'kills':>6}{'resumes':>9}{'identical':>11}"
    print(f"{heads}{'seconds':>9}", flush=True)
    kills = resumes = 0
    identical = True
    for trial in TRIALS:
        began = time.monotonic()
        came, differing = _try(trial)
        whole_runs = sum(kill.worker_only for kill in came)
        kills, resumes = kills + len(came), resumes + len(came) - whole_runs
        identical &= not differing
        row = f"{trial.corpus:<8}{trial.mode:<13}{trial.name:<27}{len(came):>6}"
        row += f"{len(came) - whole_runs:>9}{'no' if differing else 'yes':>11}"
        print(f"{row}{time.monotonic() - began:>9.0f}", *differing, flush=True)
    print(f"{'all':<48}{kills:>6}{resumes:>9}{'yes' if identical else 'NO':>11}")
    sys.exit(not identical)


def _try(trial: Trial) -> tuple[list[Kill], list[str]]:
    """The kills that came about, and the files that then were not as in an undisturbed run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        phases = _toys(folder, trial) if trial.corpus == "toys" else _sample(folder)
        came: list[Kill] = []
        for number, (dataset, stages) in enumerate(phases):
            words = ["extract", str(dataset), "--stages", str(stages), *MODES[trial.mode]]
            began = time.monotonic()
            run([*words, "--cache", str(folder / "whole")])
            seconds = time.monotonic() - began
            disturbed = trial.kills if number == trial.changed else ()
            kills = [replace(kill, after_s=kill.after_s * seconds) for kill in disturbed]
            came += until_done([*words, "--cache", str(folder / "killed")], kills, folder / "token")
        whole, killed = (files_of(str(folder / which)) for which in ("whole", "killed"))
        return came, differences(whole, killed)


def _toys(folder: Path, trial: Trial) -> Iterator[tuple[Path, Path]]:
    """Transcripts through two toy stages; then with one changed and some more."""
    transcripts = Transcripts(folder)
    transcripts.stages(letters={"extractor": "tests.support.toys.letters", "pause_s": 0.5})
    for texts in (TEXTS, CHANGED) if trial.changed else (TEXTS,):
        transcripts.texts(texts)
        yield transcripts.folder, transcripts.stages_file


def _sample(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Some clips of the built-in sample through all stages."""
    dataset = folder / "sample"
    write_sample(dataset)
    table = dataset / "label.csv"
    rows = list(csv.reader(table.read_text(encoding="utf-8").splitlines()))
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows[: 1 + SAMPLE_CLIPS])
    stages = dataset / "stages.yaml"
    stages.write_text(yaml.safe_dump({**yaml.safe_load(stages.read_text()), "partition": 4}))
    yield dataset, stages


if __name__ == "__main__":
    main()
