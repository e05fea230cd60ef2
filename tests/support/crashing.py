"""Kills runs of `smp` for real: at a moment from outside, at a point of its code from inside.

`python -m tests.support.crashing extract …` is `smp extract …` that kills itself
with SIGKILL at the point that its environment names. The code of the pipeline knows nothing of it:
functions are wrapped from here, in the run and in its worker processes, which import this file too.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil

from pipeline.store.layout import LENGTHS
from tests.support.paths import ROOT

POINT, NTH, TOKEN, WORKER_ONLY = "CRASH_POINT", "CRASH_NTH", "CRASH_TOKEN", "CRASH_WORKER_ONLY"
VOLATILE = {"log.jsonl", ".lock", ".lease"}  # times and who runs: all else has to be equal
CHUNK, COMMIT = re.compile(r"/c/[\d/]+$"), re.compile(r"commits/\d+\.json$")


@dataclass(frozen=True)
class Point:
    """A point in the code: a function to be called, or back from, with such arguments."""

    owner: str
    function: str
    hits: Callable[..., object]
    after: bool = False


def _onto(pattern: str | re.Pattern[str]) -> Callable[..., object]:
    return lambda source, target, *_: re.search(pattern, str(target))


# In the order in which a run comes by.
POINTS = {
    "before the clips table": Point(
        "pipeline.store.clips_table.ClipsTable", "write", lambda *_: True
    ),
    "mid-rename of the clips table": Point("os", "replace", _onto(r"clips\.json$")),
    "after the clips table": Point("os", "replace", _onto(r"clips\.json$"), after=True),
    "mid-rename of zarr's metadata": Point("os", "replace", _onto(r"zarr\.json$")),
    "between metadata and its commit": Point(
        "pipeline.io.folder.Folder", "write", lambda s, name, *_: name.endswith("metadata.json")
    ),
    "mid-rename of current.json": Point("os", "replace", _onto(r"current\.json$")),
    "after the old commit went": Point(
        "pipeline.io.folder.Folder", "remove", lambda s, name: COMMIT.search(name), after=True
    ),
    "before data": Point(
        "pipeline.store.store.Store", "_write_rows", lambda s, name, *_: name == LENGTHS
    ),
    "half a chunk": Point("zarr.storage._local", "_put", lambda path, *_: CHUNK.search(str(path))),
    "mid-rename of a chunk": Point("os", "replace", _onto(CHUNK)),
    "after a chunk": Point("os", "replace", _onto(CHUNK), after=True),
    "old values half removed": Point("shutil", "rmtree", lambda path: "/codes/p" in str(path)),
    "between data and commit": Point(
        "pipeline.io.folder.Folder", "write", lambda s, name, *_: COMMIT.search(name)
    ),
    "mid-rename of a commit": Point("os", "replace", _onto(COMMIT)),
    "after a commit": Point("os", "replace", _onto(COMMIT), after=True),
}


def plant(point: Point, nth: int) -> None:
    """Wrap the point's function so that the process dies when it is hit for the nth time."""
    from importlib import import_module

    module, _, name = point.owner.rpartition(".")
    if not module or point.owner.startswith("zarr"):
        owner: Any = import_module(point.owner)
    else:
        owner = getattr(import_module(module), name)
    inner = getattr(owner, point.function)
    left = [nth]

    def outer(*arguments: Any, **named: Any) -> Any:
        left[0] -= bool(point.hits(*arguments))
        if left[0] or not point.hits(*arguments):
            return inner(*arguments, **named)
        if point.after:
            inner(*arguments, **named)
        _leave_half(point, arguments)
        _die()
        return None if point.after else inner(*arguments, **named)

    setattr(owner, point.function, outer)


def _leave_half(point: Point, arguments: Sequence[Any]) -> None:
    """What is left where the point is in the middle of a function that is not ours."""
    if point.function == "_put":
        path, content = arguments[0], arguments[1].to_bytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(f".{uuid4().hex}.partial").write_bytes(content[: len(content) // 2])
    if point.function == "rmtree":
        next(path for path in Path(arguments[0]).rglob("*") if path.is_file()).unlink()


def _die() -> None:
    """Kill the whole run, or this worker alone, unless that was done already."""
    in_worker = multiprocessing.parent_process() is not None
    if WORKER_ONLY in os.environ and not in_worker:
        return
    try:
        os.unlink(os.environ[TOKEN])
    except FileNotFoundError:
        return
    if in_worker and WORKER_ONLY not in os.environ:
        os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Kill:
    """When a run dies: at the nth hit of a point, or after so many seconds.

    worker_only: it is one worker process that dies, and the run should go on.
    """

    point: str = ""
    nth: int = 1
    after_s: float = 0.0
    worker_only: bool = False


def start(arguments: Sequence[str], kill: Kill | None = None, token: Path | None = None) -> Any:
    """Begin `smp …` in a process of its own, in a session of its own."""
    planted = {}
    if kill and kill.point:
        assert token is not None
        token.touch()
        planted = {POINT: kill.point, NTH: str(kill.nth), TOKEN: str(token)}
        planted |= {WORKER_ONLY: "1"} if kill.worker_only else {}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.crashing", *arguments],
        cwd=ROOT,
        env={**os.environ, **planted},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(arguments: Sequence[str], kill: Kill | None = None, token: Path | None = None) -> bool:
    """Run `smp …` to its end, with a kill on the way; whether that kill came about."""
    process = start(arguments, kill, token)
    killed = False
    if kill and kill.after_s:
        killed = _kill_after(process, kill)
    said, _ = process.communicate(timeout=600)
    if kill and kill.point:
        assert token is not None
        killed = not token.exists()
        token.unlink(missing_ok=True)
    dies = killed and not (kill and kill.worker_only)
    assert process.returncode == (-signal.SIGKILL if dies else 0), said
    return killed


def _kill_after(process: Any, kill: Kill) -> bool:
    try:
        process.wait(kill.after_s)
    except subprocess.TimeoutExpired:
        victims = workers_of(process.pid) if kill.worker_only else [psutil.Process(process.pid)]
        for victim in victims[:1]:
            victim.kill()
        return bool(victims)
    return False


def workers_of(pid: int) -> list[psutil.Process]:
    """The worker processes of a run."""
    try:
        children = psutil.Process(pid).children(recursive=True)
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []


def until_done(arguments: Sequence[str], kills: Iterable[Kill], token: Path) -> list[Kill]:
    """Run, be killed, run again, and at last to the end; the kills that came about."""
    done = [kill for kill in kills if run(arguments, kill, token)]
    run(arguments)
    return done


def gone(processes: Iterable[psutil.Process], within_s: float) -> bool:
    """Whether processes ended, waiting for them for so long."""
    _, alive = psutil.wait_procs(list(processes), timeout=within_s)
    return not alive


def files_of(cache_url: str) -> dict[str, bytes]:
    """Every file of a cache but for VOLATILE, by name."""
    files = [path for path in sorted(Path(cache_url).rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(cache_url)): path.read_bytes()
        for path in files
        if path.name not in VOLATILE
    }


def differences(a: dict[str, bytes], b: dict[str, bytes]) -> list[str]:
    """The files that are not the same in both."""
    return sorted(name for name in {*a, *b} if a.get(name) != b.get(name))


if POINT in os.environ:
    plant(POINTS[os.environ[POINT]], int(os.environ[NTH]))

if __name__ == "__main__":
    from model.cli.group import main

    main(prog_name="smp")
