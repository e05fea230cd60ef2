"""The memory of digests is the same for many processes, bounded, and never in the way."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.io import digest_memory, file_digests
from pipeline.io.digest_memory import FIND, DigestMemory
from pipeline.io.file_digests import FileDigests
from pipeline.io.hashing import of_file

STAMP = (2**40, 2**63, 2**63, 2**64 - 1)  # an inode may take 64 bits
PROCESSES, EACH = 4, 12
AT_ONCE = f"""
import sys
from pathlib import Path
from pipeline.io.digest_memory import DigestMemory
for number in range({EACH}):
    memory = DigestMemory(Path(sys.argv[1]))
    memory.put(f"{{sys.argv[2]}}-{{number}}", (1, 2, 3, 4), sys.argv[2])
    memory.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "digests.sqlite"


def put(path: Path, **digests: str) -> None:
    memory = DigestMemory(path)
    for name, digest in digests.items():
        memory.put(name, STAMP, digest)
    memory.close()


def known(path: Path, *names: str) -> list[str | None]:
    memory = DigestMemory(path)
    try:
        return [memory.get(name, STAMP) for name in names]
    finally:
        memory.close()


def test_another_process_knows_what_one_has_learnt(path: Path) -> None:
    put(path, a="1", b="2")
    put(path, b="3")
    assert known(path, "a", "b", "c") == ["1", "3", None]
    assert DigestMemory(path).get("a", (0, 0, 0, 0)) is None


def test_processes_that_write_at_once_lose_nothing(path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", AT_ONCE, str(path)]
    writers = [
        subprocess.Popen([*command, str(number)], env=environment) for number in range(PROCESSES)
    ]
    assert [writer.wait() for writer in writers] == [0] * PROCESSES
    with sqlite3.connect(path) as memory:
        assert memory.execute("SELECT count(*) FROM seen").fetchone() == (PROCESSES * EACH,)


def test_a_look_up_searches_and_reads_no_other_file(path: Path) -> None:
    put(path, a="1")
    with sqlite3.connect(path) as memory:
        plan = memory.execute(f"EXPLAIN QUERY PLAN {FIND}", (b"", "")).fetchall()
    assert [step[3].split()[0] for step in plan] == ["SEARCH"]


def test_what_was_learnt_first_is_forgotten_first(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_memory, "KEPT", 2)
    put(path, a="1", b="2", c="3")
    put(path, b="4")
    put(path, d="5")
    assert known(path, "a", "b", "c", "d") == [None, "4", None, "5"]


def junk(content: bytes) -> bytes:
    return b"junk" * 1000


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def overwritten(content: bytes) -> bytes:
    return content[:100] + bytes(len(content) - 100)


@pytest.mark.parametrize("damage", [junk, half, overwritten])
def test_a_damaged_memory_is_made_anew(path: Path, damage: object) -> None:
    put(path, **{f"file {number}": "1" for number in range(500)})
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    assert known(path, "file 1") == [None]
    put(path, a="2")
    assert known(path, "a", "file 1") == ["2", None]


def test_a_memory_that_can_not_be_written_or_opened_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "digests", tmp_path / "folder"):
        put(path, a="1")
        assert known(path, "a") == [None]


def test_what_one_has_learnt_it_knows_though_nothing_can_be_kept(tmp_path: Path) -> None:
    memory = DigestMemory(tmp_path)
    memory.put("a", STAMP, "1")
    memory.save()
    assert memory.get("a", STAMP) == "1"


def test_files_of_any_name_have_a_digest_that_is_remembered(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_digests, "CLOCK_S", -1.0)  # remember new files at once
    file = path.parent.parent / os.fsdecode(b"\xff clip.mp4")
    file.write_text("film")
    reads = 0

    def counted(file: Path) -> str:
        nonlocal reads
        reads += 1
        return of_file(file)

    for _ in range(2):
        with FileDigests(path) as digests:
            assert digests.of(file, counted) == of_file(file)
    assert reads == 1
