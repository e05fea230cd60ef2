"""Files that readers must read or refuse, damaged at random: `python -m benchmarks.fuzz [READER…]`.

Each reader is given valid files made by code, changed by seeded mutations. A value, or an error
that is meant for people, is right; any other error, more than 2 s, more than 1 GB or the end of the
process is a find: it is printed with the command that repeats it, and the exit code is 1.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import click

from benchmarks import fuzz_readers
from pipeline.errors import ClipError, UserError
from pipeline.io.hashing import sealed

MOST_S, MOST_MB, HANG_S = 2.0, 1024, 20
REFUSALS = (UserError, ClipError)
TOKENS = (
    b"\0", b"\xff" * 4, b"\xff\xff\xff\x7f", b"-1", b"9" * 30, b"1e999", b"nan", b"\r", b"\n", b'"',
    b",", b"[", b"{", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\x1b[31m", b"../", b"null",
    b"\xe2\x80\xae",
)  # fmt: skip
SHAPES: Sequence[Any] = (
    None, True, 0, -1, 10**20, 1e999, "", "../x", "\ud800", [], {}, [[]], {"a": {}},
)  # fmt: skip


@dataclass
class Outcome:
    """What became of a reader's inputs. finds: the first number of each kind of find."""

    inputs: int = 0
    seconds: float = 0.0
    slowest_s: float = 0.0
    peak_mb: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    finds: dict[str, int] = field(default_factory=dict)


def mutated(content: bytes, random: Random, tokens: Sequence[bytes]) -> bytes:
    """A file changed in a few places."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        at, length = random.randrange(len(changed) + 1), random.choice((1, 4, 64))
        piece = bytes(changed[at : at + length])
        match random.randrange(7):
            case 0 if piece:
                changed[at] ^= 1 << random.randrange(8)
            case 1:
                changed[at : at + 1] = random.randbytes(1)
            case 2:
                del changed[at : at + length]
            case 3:
                changed[at:at] = piece * random.choice((1, 9, 1000))
            case 4:
                changed[at:at] = random.choice((*TOKENS, *tokens))
            case 5:
                changed[at : at + length] = random.choice((*TOKENS, *tokens))
            case 6 if random.random() < 0.3:
                del changed[at:]
    return bytes(changed)


def reshaped(content: bytes, random: Random) -> bytes:
    """A record with one value of another shape, sealed again."""
    record = json.loads(content)
    del record["sha256"]
    at = record
    while True:
        key = random.choice(list(at if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], (dict, list)) or not at[key] or random.random() < 0.2:
            break
        at = at[key]
    at[key] = random.choice(SHAPES)
    return sealed(record)


def put(reader: fuzz_readers.Reader, folder: Path, seed: int, number: int) -> None:
    """Write an input: the same for the same numbers."""
    random = Random(f"{reader.name} {seed} {number}")
    files = reader.files[random.randrange(len(reader.files))]
    for name, content in files.items():
        (folder / name).write_bytes(content)
    name = random.choice(list(files))
    is_record = reader.sealed and random.random() < 0.5
    content = files[name]
    changed = reshaped(content, random) if is_record else mutated(content, random, reader.tokens)
    (folder / name).write_bytes(changed)


def _fuzz(
    reader: fuzz_readers.Reader, folder: Path, seed: int, seconds: float, to: Connection
) -> None:
    """The whole of a reader, in a process of its own; `number` says where it is."""
    out = Outcome()
    started, before_mb = time.monotonic(), _peak_mb()
    os.environ["XDG_CACHE_HOME"] = str(folder.parent / "home")
    signal.signal(signal.SIGALRM, _too_slow)
    warnings.simplefilter("ignore")
    while time.monotonic() - started < seconds:
        put(reader, folder, seed, out.inputs)
        (folder.parent / "number").write_text(str(out.inputs))
        kind, took_s, grown_mb = _one(reader, folder)
        out.kinds[kind if kind in ("read", "refused") else "finds"] += 1
        out.slowest_s = max(out.slowest_s, took_s)
        if kind not in ("read", "refused"):
            out.finds.setdefault(kind, out.inputs)
        if took_s > MOST_S:
            out.finds.setdefault(f"took more than {MOST_S:g} s", out.inputs)
        if grown_mb > MOST_MB:
            out.finds.setdefault(f"took more than {MOST_MB} MB", out.inputs)
        out.inputs += 1
    out.seconds, out.peak_mb = time.monotonic() - started, _peak_mb() - before_mb
    to.send(out)


def _one(reader: fuzz_readers.Reader, folder: Path) -> tuple[str, float, float]:
    """What became of an input, how long it took, and by how much the peak of memory rose."""
    before_mb, started = _peak_mb(), time.monotonic()
    signal.alarm(HANG_S)
    try:
        reader.read(folder)
        kind = "read"
    except REFUSALS:
        kind = "refused"
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
    finally:
        signal.alarm(0)
    return kind, time.monotonic() - started, _peak_mb() - before_mb


def _too_slow(*_: object) -> None:
    raise TimeoutError


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fuzzed(reader: fuzz_readers.Reader, seed: int, seconds: float) -> Outcome:
    """A reader's outcome; where its process ended, the input at which it did is a find."""
    context = multiprocessing.get_context("fork")
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "made"
        folder.mkdir()
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=_fuzz, args=(reader, folder, seed, seconds, there))
        child.start()
        there.close()
        out = Outcome()
        with suppress(EOFError):
            if here.poll(seconds + 2 * HANG_S):
                return here.recv()
        child.kill()
        child.join()
        out.inputs = int((Path(temporary) / "number").read_text()) + 1
        out.finds["the process hung or ended"] = out.inputs - 1
        return out


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(fuzz_readers.MAKERS)))
@click.option("--seconds", default=60.0, show_default=True, help="For each reader.")
@click.option("--seed", default=0, show_default=True)
@click.option("--input", "number", type=int, help="Read this input of one reader, with traceback.")
def main(names: Sequence[str], seconds: float, seed: int, number: int | None) -> None:
    """Give the readers NAMES, by default all, damaged files; exit code 1 if any is a find."""
    finds = 0
    if number is None:
        click.echo(f"{'reader':14}{'inputs':>9}{'read':>9}{'refused':>9}{'slowest s':>11}{'MB':>6}")
    for name in names or fuzz_readers.MAKERS:
        reader = fuzz_readers.MAKERS[name](name)
        if number is not None:
            folder = Path(f"fuzz-{name}-{seed}-{number}")
            folder.mkdir(exist_ok=True)
            put(reader, folder, seed, number)
            click.echo(f"the input is in {folder}; reading it")
            click.echo(repr(reader.read(folder))[:1000])
            continue
        out = fuzzed(reader, seed, seconds)
        counts = f"{out.inputs:9,}{out.kinds['read']:9,}{out.kinds['refused']:9,}"
        click.echo(f"{name:14}{counts}{out.slowest_s:11.2f}{out.peak_mb:6.0f}")
        for kind, at in out.finds.items():
            click.echo(f"  {kind}: python -m benchmarks.fuzz {name} --seed {seed} --input {at}")
        finds += len(out.finds)
    sys.exit(1 if finds else 0)


if __name__ == "__main__":
    main()
