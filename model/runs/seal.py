"""A run folder's seal, written last: the size and the SHA-256 of every file that belongs to it.

It finds damage, not forgery: who can write the files can write the seal.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import DamagedError
from pipeline.io.atomic_write import sync
from pipeline.io.hashing import of_file, sealed, unsealed
from pipeline.messages import one_line

SEAL = "seal.json"
MARK = b'"sealed": true'  # in provenance.json: a run that lost its seal is not an old one
MOST_BYTES = 1 << 28  # of a table or a JSON file; 100,000 predictions are 5 MB
WAY_OUT = "restore the folder from a copy, or train again"


def write(run: Path) -> None:
    """Seal a folder as it is; its files and the seal are on disk when this returns."""
    files = {}
    for path in sorted(path for path in run.iterdir() if path.name != SEAL):
        sync(path)
        files[path.name] = {"bytes": path.stat().st_size, "sha256": of_file(path)}
    (run / SEAL).write_bytes(sealed({"files": files}, indent=2))
    sync(run / SEAL)
    sync(run)


def is_sealed(run: Path) -> bool:
    """False for a run from before there were seals, whose damage can't be seen."""
    return os.path.lexists(run / SEAL)


def check(run: Path, name: str) -> None:
    """Raise DamagedError where a file of a sealed run is not what was written."""
    if not is_sealed(run):
        return
    path, known = run / name, _entry(run, name)
    if not path.is_file():
        raise DamagedError(f"{path} is gone; {WAY_OUT}")
    if (size := path.stat().st_size) != known["bytes"]:
        raise DamagedError(f"{path} is damaged: {size} of {known['bytes']} bytes; {WAY_OUT}")
    if of_file(path) != known["sha256"]:
        raise DamagedError(f"{path} is damaged: it was changed after training; {WAY_OUT}")


def small_file(path: Path) -> bytes:
    """The content of a file; ValueError for what is none, as a device, or is absurdly large."""
    if not path.is_file():
        raise ValueError("it is no file")
    if (size := path.stat().st_size) > MOST_BYTES:
        raise ValueError(f"{size} bytes, at most {MOST_BYTES} are read")
    return path.read_bytes()


def _entry(run: Path, name: str) -> Mapping[str, Any]:
    path = run / SEAL
    try:
        entry = unsealed(small_file(path))["files"][name]
        return {"bytes": int(entry["bytes"]), "sha256": str(entry["sha256"])}
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise DamagedError(f"{path} is damaged: {one_line(error)}; {WAY_OUT}") from error
