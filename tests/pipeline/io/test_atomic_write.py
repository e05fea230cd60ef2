"""Files and folders that are there whole or not at all."""

import os
import time
from pathlib import Path

import pytest

from pipeline.io.atomic_write import DAY_S, PARTIAL, atomic_write, sweep


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_there_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    for content in ("old", "new"):
        with atomic_write(path) as part:
            part.write_text(content)
            assert PARTIAL.search(part.name)
            assert not path.exists() or path.read_text() == "old"
        assert path.read_text() == content
    assert names(path.parent) == ["file"]


def test_a_folder_is_there_once_it_is_whole(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "folder") as part:
        part.mkdir()
        (part / "file").write_text("content")
        assert names(tmp_path) == [part.name]
    assert names(tmp_path / "folder") == ["file"]


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_fails_leaves_what_was_there(tmp_path: Path, is_folder: bool) -> None:
    def fail() -> None:
        with atomic_write(tmp_path / "file") as part:
            part.mkdir() if is_folder else part.write_text("half")
            raise ZeroDivisionError

    (tmp_path / "file").write_text("old")
    with pytest.raises(ZeroDivisionError):
        fail()
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def test_what_is_there_stays_where_that_is_asked_for(tmp_path: Path) -> None:
    def write(content: str) -> None:
        with atomic_write(tmp_path / "file", replace=False) as part:
            part.write_text(content)

    write("first")
    with pytest.raises(FileExistsError):
        write("second")
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "first"


def test_what_the_dead_left_of_a_file_is_swept_and_nothing_else(tmp_path: Path) -> None:
    old, young, other = (tmp_path / f".{n}.{c * 32}.partial" for n, c in ("a0", "a1", "b0"))
    for path, age_s in ((old, DAY_S + 60), (young, 60), (other, DAY_S + 60)):
        path.write_text("half")
        os.utime(path, (time.time() - age_s,) * 2)
    sweep(tmp_path / "a")
    assert names(tmp_path) == sorted([young.name, other.name])
