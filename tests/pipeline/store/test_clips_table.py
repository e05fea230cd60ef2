"""The cache's table of clips: what comes back, and what is no table."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.dataset.clip import Clip
from pipeline.errors import DamagedError
from pipeline.io.file_digests import Seen
from pipeline.io.folder import Folder
from pipeline.io.hashing import sealed, unsealed
from pipeline.store.clip_rows import Row, StoredRows
from pipeline.store.clips_table import FILE, ClipsTable
from tests.conftest import Transcripts

CLIP = Clip("v/1", video="/talks/Raw/v/1.mp4", text="hm", label=0.5)
SEEN = Seen("/talks/Raw/v/1.mp4", (7, 1_000_000_007), "abc")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    row = Row(CLIP, {"video": "abc"}, files={"video": SEEN}, stale={"video": "video is gone: x"})
    ClipsTable("talks", "en", "/talks", (row,)).write(Folder(tmp_path))
    return Folder(tmp_path)


def test_a_table_comes_back_as_it_was_written(folder: Folder) -> None:
    table = ClipsTable.read(folder)
    assert table is not None
    [row] = table.rows
    assert (row.clip, row.files) == (CLIP, {"video": SEEN})
    assert row.why_stale(["video", "text"]) == "video is gone: x"
    assert row.why_stale(["audio", "text"]) == ""


def test_a_table_with_an_entry_a_clip_is_read_as_the_same(folder: Folder) -> None:
    """As versions wrote it that had no columns."""
    now = ClipsTable.read(folder)
    record = unsealed(folder.read(FILE) or b"")
    columns = {"label": [0.5], "annotation": [""], "labels": [{}], **record.pop("columns")}
    entry = {"audio": None, "removed": False, **{name: one for name, (one,) in columns.items()}}
    folder.write(FILE, sealed({**record, "format": 1, "clips": [entry]}, indent=1))
    assert ClipsTable.read(folder) == now
    assert now is not None
    now.write(folder)
    assert "columns" in unsealed(folder.read(FILE) or b"")


def test_a_run_with_nothing_to_do_makes_no_row_of_the_table(
    transcripts: Transcripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcripts.texts(["one", "two", "three"])
    transcripts.extract()
    made = []
    monkeypatch.setattr(StoredRows, "_row", lambda self, entry: made.append(entry))
    assert transcripts.extract().plans[0].tasks == ()
    assert made == []


def test_columns_of_other_lengths_are_damaged(folder: Folder) -> None:
    record = unsealed(folder.read(FILE) or b"")
    record["columns"]["text"].append("one more")
    folder.write(FILE, sealed(record))
    with pytest.raises(DamagedError, match="delete it and extract again"):
        ClipsTable.read(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("stamps", [1]),
        ("stamps", {"video": [1]}),
        ("stale", ["video"]),
        ("stale", {"video": 3}),
        ("digests", None),
        ("video", 3),
    ],
)
def test_a_sealed_table_of_something_else_is_damaged(
    folder: Folder, field: str, value: Any
) -> None:
    record = unsealed(folder.read(FILE) or b"")
    record["columns"][field] = [value]
    folder.write(FILE, sealed(record))
    with pytest.raises(DamagedError, match="delete it and extract again"):
        ClipsTable.read(folder)


def test_no_control_character_of_a_table_reaches_a_terminal(folder: Folder) -> None:
    record = unsealed(folder.read(FILE) or b"")
    record["columns"]["stale"] = [{"video": "gone: \x1b[2J"}]
    folder.write(FILE, sealed(record))
    table = ClipsTable.read(folder)
    assert table is not None
    assert table.rows[0].why_stale(["video"]) == "gone: \\u001b[2J"
