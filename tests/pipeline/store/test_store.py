"""The store: what is written is what is read, and nothing else counts."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr

from pipeline.errors import DamagedError, UserError
from pipeline.stage.field import Field
from pipeline.stage.result import ClipResult
from pipeline.store.store import Store

FIELDS = {
    "features": Field(("step", 3), "float32"),
    "images": Field(("step", 4, 4, 3), "uint8"),
    "samples": Field(("sample",), "int16", ragged=True),
    "count": Field((), "int32"),
}


def make(tmp_path: Path, clips: int = 5, fields: dict[str, Field] = FIELDS) -> Store:
    url = str(tmp_path / "stage" / "0123abcd.zarr")
    return Store.create(url, fields, 8, 2, clips, {"stage": "stage"})


def result(seed: int, length: int = 8) -> ClipResult:
    rng = np.random.default_rng(seed)
    rows = {
        "features": rng.normal(size=(length, 3)).astype(np.float32),
        "images": rng.integers(0, 255, (length, 4, 4, 3), np.uint8),
        "samples": rng.integers(-99, 99, 10 * seed, np.int16),
        "count": np.array(seed, np.int32),
    }
    return ClipResult.ok(rows, length, note="a note" if seed == 1 else "")


def same(a: ClipResult, b: ClipResult) -> bool:
    rows = all(np.array_equal(a.rows[name], b.rows[name]) for name in FIELDS)
    return rows and (a.state, a.length, a.reason) == (b.state, b.length, b.reason)


def test_a_store_that_is_not_there_stays_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no store"):
        Store(str(tmp_path / "stage" / "0123abcd.zarr")).group  # noqa: B018
    assert list(tmp_path.iterdir()) == []


def test_a_partition_reads_back_as_it_was_written(tmp_path: Path) -> None:
    written = [result(1, 3), result(2)]
    make(tmp_path).write(1, ["a@1", "b@2"], written)
    store = Store(str(tmp_path / "stage" / "0123abcd.zarr"))
    assert all(same(a, b) for a, b in zip(store.rows(1), written, strict=True))
    assert store.fields == FIELDS
    assert store.attributes["stage"] == "stage"
    assert list(store.commits()) == [1]
    np.testing.assert_array_equal(store.read()[2, :3], written[0].rows["features"])
    assert not store.read()[2, 3:].any()


def test_a_store_that_stays_open_reads_whole_what_is_longer_now(tmp_path: Path) -> None:
    writer, shorter, longer = make(tmp_path), [result(1), result(2)], [result(4), result(9)]
    reader = Store(str(tmp_path / "stage" / "0123abcd.zarr"))
    for written in (shorter, longer, shorter):
        writer.write(1, ["a@1", "b@2"], written)
        for store in (reader, writer):
            assert all(same(a, b) for a, b in zip(store.rows(1), written, strict=True))


def test_what_was_never_written_does_not_pass_for_a_zero(tmp_path: Path) -> None:
    store = make(tmp_path)
    store.write(0, ["a@1", "b@1"], [result(1), ClipResult.missing("none")])
    assert np.isnan(store.read()[2:]).all()
    assert not store.read()[1].any()
    assert store.commit(1) is None


def test_a_partition_may_be_written_again_and_may_grow(tmp_path: Path) -> None:
    store = make(tmp_path)
    store.write(2, ["e@1"], [result(5)])
    store = make(tmp_path, clips=7)
    assert store.clips == 7
    assert same(next(iter(store.rows(2))), result(5))
    store.write(2, ["e@1", "f@1"], [result(5), result(6)])
    store.write(3, ["g@1"], [result(7)])
    assert [r.rows["count"] for p in (2, 3) for r in store.rows(p)] == [5, 6, 7]


def test_a_damaged_chunk_is_an_error_and_not_a_number(tmp_path: Path) -> None:
    store = make(tmp_path)
    store.write(0, ["a@1", "b@1"], [result(1), result(2)])
    chunk = tmp_path / "stage/0123abcd.zarr/features/c/0/0/0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(DamagedError, match=r"is damaged .*checksum.*smp verify"):
        store.read()
    with pytest.raises(DamagedError, match="partition 0 is damaged"):
        list(store.rows(0))
    store.write(0, ["a@1", "b@1"], [result(1), result(2)])
    np.testing.assert_array_equal(store.read()[1], result(2).rows["features"])


def test_a_chunk_that_is_gone_is_an_error_and_not_the_fill_value(tmp_path: Path) -> None:
    store = make(tmp_path)
    store.write(0, ["a@1", "b@1"], [result(1), result(2)])
    (tmp_path / "stage/0123abcd.zarr/images/c/0/0/0/0/0").unlink()
    with pytest.raises(DamagedError, match="partition 0 is damaged .*images/c/0/0/0/0/0 is gone"):
        store.read("images")
    with pytest.raises(DamagedError, match="is gone"):
        list(store.rows(0))


def test_lengths_other_than_those_of_the_commits_are_an_error(tmp_path: Path) -> None:
    store = make(tmp_path)
    store.write(1, ["a@1", "b@1"], [result(1, 3), ClipResult.missing("none")])
    store.require_lengths(np.array([3, 0]), [2, 3])
    commit = store.commit(1)
    assert commit is not None
    longer = replace(commit, rows=(replace(commit.rows[0], length=4), commit.rows[1]))
    store.folder.write("commits/00001.json", longer.to_bytes())
    with pytest.raises(DamagedError, match=r"partition 1 is damaged .*lengths are not those"):
        list(store.rows(1))
    with pytest.raises(DamagedError, match="lengths are not those of its commits"):
        store.require_lengths(np.array([4, 0]), [2, 3])
    zarr.open_array(tmp_path / "stage/0123abcd.zarr/lengths")[2:4] = [4, 0]
    with pytest.raises(DamagedError, match="lengths/c/1 is not what was written"):
        store.require_lengths(np.array([4, 0]), [2, 3])


def test_a_damaged_commit_vouches_for_nothing_and_says_so(tmp_path: Path) -> None:
    store = make(tmp_path)
    store.write(0, ["a@1", "b@1"], [result(1), result(2)])
    commit = tmp_path / "stage/0123abcd.zarr/commits/00000.json"
    commit.write_text(commit.read_text().replace('"ok", 8', '"ok", 7', 1))
    found = store.commits()[0]
    assert found.damage == "damaged commit (its digest does not fit)"
    assert found.rows == ()
    with pytest.raises(UserError, match="partition 0: damaged commit"):
        list(store.rows(0))


def test_a_row_that_is_not_what_was_declared_is_refused(tmp_path: Path) -> None:
    wrong = result(1)
    rows = {**wrong.rows, "features": np.zeros((8, 4), np.float32)}
    with pytest.raises(TypeError, match=r"'features' was declared \('step', 3\)"):
        make(tmp_path).write(0, ["a@1"], [ClipResult.ok(rows, 8)])


def test_chunks_are_whole_partitions_or_a_divisor_of_one(tmp_path: Path) -> None:
    faces = {"images": Field(("step", 112, 112, 3), "uint8")}
    Store.create(str(tmp_path / "faces.zarr"), faces, 32, 32, 40, {})
    chunks = zarr.open_array(tmp_path / "faces.zarr/images", mode="r").chunks
    assert 32 % chunks[0] == 0
    assert np.prod(chunks) <= 16 << 20
    Store.create(
        str(tmp_path / "bert.zarr"), {"f": Field(("step", 768), "float32")}, 32, 32, 40, {}
    )
    assert zarr.open_array(tmp_path / "bert.zarr/f", mode="r").chunks == (32, 32, 768)


def test_any_zarr_reader_finds_named_axes_and_provenance(tmp_path: Path) -> None:
    make(tmp_path).write(0, ["a@1", "b@1"], [result(1), result(2)])
    group = zarr.open_group(str(tmp_path / "stage/0123abcd.zarr"), mode="r")
    assert group.attrs["stage"] == "stage"
    array = json.loads((tmp_path / "stage/0123abcd.zarr/features/zarr.json").read_text())
    assert array["dimension_names"] == ["clip", "step", None]
    assert array["codecs"][-1]["name"] == "crc32c"


def test_what_is_added_to_what_a_store_says_of_itself_is_vouched_for(tmp_path: Path) -> None:
    written = [result(1, 3), result(2)]
    make(tmp_path).write(1, ["a@1", "b@2"], written)
    url = str(tmp_path / "stage" / "0123abcd.zarr")
    Store(url).tell({"engine": {"difference": 2e-7}})
    store = Store(url)
    assert store.attributes["engine"] == {"difference": 2e-7}
    assert store.attributes["stage"] == "stage"
    assert all(same(a, b) for a, b in zip(store.rows(1), written, strict=True))
    assert make(tmp_path).attributes["engine"]  # nothing to repair
