"""What stages from elsewhere may run: nothing but what is in the package, unless a person says so.

A stages file beside a dataset's table and the record in a run folder are data. What a person names
on the command line, or keeps in the folder they work in, is theirs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.dag.stage import built_in, extractor_class
from pipeline.errors import UserError
from pipeline.io.plugin import is_outside

VARIABLE = "SMP_TRUST"
Named = tuple[str, str, Mapping[str, Any]]  # a stage, its extractor and the settings it is given


def is_listed(path: Path) -> bool:
    """Whether the variable SMP_TRUST lists `path` or a folder above it."""
    listed = [
        Path(one).expanduser() for one in os.environ.get(VARIABLE, "").split(os.pathsep) if one
    ]
    real = path.resolve()
    return not {one.resolve() for one in listed}.isdisjoint((real, *real.parents))


def require_own(where: str, stages: Iterable[Named]) -> None:
    """UserError that shows all that the stages would run of what is not in the package.

    Nothing that is not in the package is imported to find out.
    """
    if told := [line for stage in stages for line in _foreign(*stage)]:
        raise UserError(
            f"{where} comes with data, and would run what is not in this package: "
            f"{'; '.join(told)}; add --trust if you wrote it"
        )


def _foreign(stage: str, extractor: str, given: Mapping[str, Any]) -> Iterator[str]:
    if is_outside(extractor):
        yield f"stage {stage!r} would import {extractor}"
    elif extractor in built_in():
        for setting, what in extractor_class(stage, extractor).Settings.code_settings().items():
            if given.get(setting) is not None:
                yield f"stage {stage!r} would {what} {given[setting]}"
