"""How long one clip may keep a stage that decodes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pipeline.errors import ClipError

DEFAULT_S = 600.0  # a clip of ten minutes decodes in a few seconds

Step = TypeVar("Step")


@dataclass(frozen=True)
class TimeLimit:
    """How long decoding may take, in seconds, and the stage whose `time_limit_s` that is."""

    stage: str
    seconds: float

    def within(self, steps: Iterable[Step], path: str) -> Iterator[Step]:
        """`steps` as they are made; ClipError once making them has taken too long in all.

        What the taker of a step does meanwhile is not counted.
        """
        spent_s, remaining = 0.0, iter(steps)
        while True:
            begun_s = time.monotonic()
            try:
                step = next(remaining)
            except StopIteration:
                return
            spent_s += time.monotonic() - begun_s
            if spent_s > self.seconds:
                raise self.exceeded(path)
            yield step

    def exceeded(self, path: str) -> ClipError:
        """What to tell the user of a clip that takes too long."""
        return ClipError(
            f"decoding took longer than the limit of {self.seconds:g} s; to wait longer, raise "
            f"`time_limit_s` of {self.stage} in stages.yaml and run `smp extract --retry`: {path}"
        )
