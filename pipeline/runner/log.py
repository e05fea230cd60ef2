"""What every run did, task by task: times, tracebacks and the like, kept out of the stores."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType

from pipeline.io.folder import Folder
from pipeline.runner.types import Outcome

FILE = "log.jsonl"
FOLDER = "logs"
PUT_EVERY_S = 30.0


def place(cache_url: str) -> str:
    """Where the runs of a cache are noted."""
    folder = Folder(cache_url)
    return f"{cache_url}/{FILE if folder.path is not None else FOLDER}"


class RunLog:
    """`log.jsonl` of a local cache; on object storage, where nothing is appended, a file a run."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._name = f"{time.strftime('%Y%m%dT%H%M%S')}-{time.time_ns() % 10**9:09d}.jsonl"
        self._lines: list[str] = []
        self._put = time.monotonic()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lines:
            self._put_lines()

    def add(self, outcome: Outcome) -> None:
        """Note an outcome."""
        told = asdict(replace(outcome, recordings=()))
        del told["recordings"]
        record = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **told}
        line = json.dumps(record, ensure_ascii=False) + "\n"
        if self._folder.path is not None:
            _append(self._folder.path / FILE, line.encode())
            return
        self._lines.append(line)
        if time.monotonic() - self._put >= PUT_EVERY_S:
            self._put_lines()

    def _put_lines(self) -> None:
        (self._folder / FOLDER).write(self._name, "".join(self._lines).encode())
        self._put = time.monotonic()


def _append(path: Path, line: bytes) -> None:
    with suppress(OSError), open(path, "ab+") as file:  # no log stops a run
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a run died in the middle of its line
                line = b"\n" + line
        file.write(line)
