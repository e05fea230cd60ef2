"""What a run costs on a home that has seen many files, beside one on a new home.

`python -m benchmarks.history` extracts the same texts on both in turn, with real weights whose
digest is remembered there. Time is that of the processor, the least of `REPEATS` runs after a first
one, which loads libraries and network.
"""

from __future__ import annotations

import csv
import os
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import yaml

from benchmarks.mosi_text import ENCODER
from pipeline.io.digest_memory import DigestMemory
from pipeline.runner.extract import extract
from pipeline.runner.serial import run_serially

FILES = 100_000
CLIPS, PARTITION = 128, 4
REPEATS = 5
LIMIT = 1.02


def main() -> None:
    """Make both homes and the texts, then run on one home and the other."""
    package = find_spec(ENCODER)
    if package is None or package.origin is None:
        print(f"skipped: no package {ENCODER}; `make env` installs it")
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write(root, Path(package.origin).with_name("model"))
        homes = {"new home": root / "new", "old home": root / "old"}
        _see(homes["old home"])
        times: dict[str, list[float]] = {name: [] for name in homes}
        for repeat in range(REPEATS + 1):
            for name, home in sorted(homes.items(), reverse=bool(repeat % 2)):
                times[name].append(_cpu_s(root, home, f"{name} {repeat}"))
    new, old = (min(runs[1:]) for runs in times.values())
    kept = "kept" if old / new <= LIMIT else "OVER"
    print(f"{CLIPS} texts in {CLIPS // PARTITION} partitions; the least of {REPEATS} runs")
    print(f"{'':<26}{'CPU s':>8}\n{'new home':<26}{new:>8.2f}")
    print(f"home that saw {FILES:,}{'':<5}{old:>8.2f}\nratio{old / new:>29.3f}", end="")
    print(f"   limit {LIMIT}: {kept}")


def _see(home: Path) -> None:
    """Remember so many files that there are not."""
    memory = DigestMemory(home / "smp" / "digests.sqlite")
    for number in range(FILES):
        stamp = (number, number, number, number)
        memory.put(f"/data/of/some/older/study/{number:06d}.mp4", stamp, f"{number:064x}")
    memory.close()


def _write(root: Path, encoder: Path) -> None:
    with (root / "texts.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "text", "label", "split"])
        rows.writerows([f"{i:04d}", f"what clip {i} says", 0.0, "train"] for i in range(CLIPS))
    spec = {"partition": PARTITION, "stages": {"bert": {"weights": str(encoder)}}}
    (root / "stages.yaml").write_text(yaml.safe_dump(spec))


def _cpu_s(root: Path, home: Path, cache: str) -> float:
    """Seconds of the processor of one extraction in this process."""
    os.environ["XDG_CACHE_HOME"], began = str(home), time.process_time()
    extract(root / "texts.csv", root / "stages.yaml", run_serially, str(root / cache))
    return time.process_time() - began


if __name__ == "__main__":
    main()
