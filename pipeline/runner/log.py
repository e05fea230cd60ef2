"""A log of every run, task by task: times, states, tracebacks."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from pipeline.errors import UserError
from pipeline.io.folder import Folder
from pipeline.runner.types import Outcome

FILE = "log.jsonl"
FOLDER = "logs"
PUT_EVERY_S = 30.0


def place(cache_url: str) -> str:
    """The log of a cache's runs, a file or a folder."""
    folder = Folder(cache_url)
    return f"{cache_url}/{FILE if folder.path is not None else FOLDER}"


class RunLog:
    """`log.jsonl` of a local cache; on object storage, where nothing is appended, a file a run."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._name = f"{time.strftime('%Y%m%dT%H%M%S')}-{time.time_ns() % 10**9:09d}.jsonl"
        self._lines: list[str] = []
        self._put = time.monotonic()

    def add(self, outcome: Outcome) -> None:
        """Note an outcome."""
        told = asdict(replace(outcome, recordings=()))
        record = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **told}
        del record["recordings"]
        line = json.dumps(record, ensure_ascii=False) + "\n"
        if self._folder.path is not None:
            _append(self._folder.path / FILE, line.encode())
            return
        self._lines.append(line)
        if time.monotonic() - self._put >= PUT_EVERY_S:
            self.close()

    def close(self) -> None:
        """Write what is not written yet."""
        if self._lines:
            with suppress(UserError):  # no log stops a run
                (self._folder / FOLDER).write(self._name, "".join(self._lines).encode())
        self._put = time.monotonic()


def _append(path: Path, line: bytes) -> None:
    with suppress(OSError), open(path, "ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a run died in the middle of its line
                line = b"\n" + line
        file.write(line)
