"""What it costs that a read holds every file against the commit that vouches for it."""

from __future__ import annotations

import argparse
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.made_cache import WIDTHS, write_cache
from model.data.channels import read_modality
from pipeline.dag.stage import default_channels
from pipeline.io.folder import Folder
from pipeline.store.cache import open_cache
from pipeline.store.commit import Commit
from pipeline.store.layout import COMMITS
from pipeline.store.vouched import VouchedStore
from pipeline.system import resources


def main() -> None:
    """Print what each way to load takes, beside loading without a check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=2200)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    print(f"{platform.machine()}, {resources.cores()} cores; {options.rounds} interleaved rounds\n")
    with tempfile.TemporaryDirectory() as folder:
        now, earlier = Path(folder, "now"), Path(folder, "earlier")
        write_cache(now, options.clips)
        shutil.copytree(now, earlier)
        _as_before(earlier)
        size = sum(f.stat().st_size for f in now.rglob("*") if f.is_file())
        print(f"loading {options.clips} clips, {size / 1e6:.0f} MB")
        _compare(
            options.rounds,
            unchecked=lambda: _unchecked(now),
            checked=lambda: load(now),
            sampled=lambda: load(earlier),
        )


def load(cache_url: Path) -> None:
    """Every modality of a cache, as a training loads it."""
    cache = open_cache(cache_url)
    for stages in default_channels().values():
        read_modality([cache[stage] for stage in stages], np.ones(len(cache.table.rows), bool))


def _unchecked(cache_url: Path) -> None:
    with patch.object(VouchedStore, "check", lambda *_: None):
        load(cache_url)


def _as_before(cache_url: Path) -> None:
    """Commits as they were before they had checksums of chunks: a sample is hashed then."""
    for stage in WIDTHS:
        folder = Folder(f"{next((cache_url / stage).iterdir())}/{COMMITS}")
        for name, content in folder.read_all(".json").items():
            commit = Commit.from_bytes(content)
            folder.write(name, Commit(commit.rows, commit.files).to_bytes())


def _compare(rounds: int, **ways: Callable[[], None]) -> None:
    """The least seconds of each way and its median of the processor's, beside the first way's."""
    least = dict.fromkeys(ways, float("inf"))
    busy: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            began, was_busy = time.perf_counter(), time.process_time()
            run()
            least[name] = min(least[name], time.perf_counter() - began)
            busy[name].append(time.process_time() - was_busy)
    first = next(iter(ways))
    for name in ways:
        cpu, base = (statistics.median(busy[way]) for way in (name, first))
        wall = least[name] / least[first] - 1
        print(f"  {name:<10}{least[name]:8.3f} s {wall:+7.1%}   processor {cpu:.3f} s", end="")
        print(f" {cpu / base - 1:+7.1%}")


if __name__ == "__main__":
    main()
