"""How far off the time that a run says is left is, from tenth to tenth of the run.

`python -m benchmarks.estimate` extracts short clips of real faces with the sample's small random
networks, notes what is said every second, and holds that against what was left in truth.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.short_clips import SECONDS, write_copies, write_originals
from pipeline.cli.progress import Tally
from pipeline.dag.plan import StagePlan
from pipeline.runner.dask_engine import DaskEngine
from pipeline.runner.extract import extract
from pipeline.runner.types import Outcome
from pipeline.system.periodic import every

PARTITION = 8
FROM, MOST = 0.2, 0.3  # of the run; of what is left


class Noted:
    """What was said: seconds since the start of the run, and those that were said to be left."""

    def __init__(self) -> None:
        self.tally = Tally([])
        self.said: list[tuple[float, float | None]] = []

    def planned(self, plans: Sequence[StagePlan]) -> None:
        self.tally = Tally(plans)

    def finished(self, outcome: Outcome) -> None:
        assert not outcome.error, outcome.error
        self.tally.count(outcome)

    def look(self) -> None:
        """Note what would be said now."""
        if self.tally.totals:
            self.said.append((self.tally.elapsed_s, self.tally.left_s()))


def main() -> None:
    """A line for each tenth of the run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=160)
    options = parser.parse_args()
    noted = Noted()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        originals = write_originals(root / "originals")
        table = write_copies(root / "all", originals, options.clips, PARTITION)
        stages, cache = table.parent / "stages.yaml", str(root / "cache")
        with every(1.0, noted.look):
            extract(table, stages, DaskEngine(), cache, listener=noted)
    took_s = noted.tally.elapsed_s
    print(f"{options.clips} clips of {SECONDS} s in {took_s:.0f} s; load {os.getloadavg()[0]:.1f}")
    print(f"{'of the run':<12}{'left s':>8}{'said s':>8}{'off':>7}")
    worst = 0.0
    for tenth in range(1, 10):
        at_s, said = min(noted.said, key=lambda one: abs(one[0] - took_s * tenth / 10))
        left_s = took_s - at_s
        off = "" if said is None else f"{(said - left_s) / left_s:>+6.0%}"
        print(
            f"{tenth * 10:>3} %{left_s:>15.0f}{'–' if said is None else f'{said:.0f}':>8}{off:>7}"
        )
        if said is not None and FROM <= tenth / 10 <= 1 - FROM:
            worst = max(worst, abs(said - left_s) / left_s)
    kept = "kept" if worst <= MOST else "OVER"
    print(
        f"from {FROM:.0%} to {1 - FROM:.0%} of the run at most {worst:.0%} off   {MOST:.0%}: {kept}"
    )


if __name__ == "__main__":
    main()
