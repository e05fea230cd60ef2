"""Reading gives what the commits vouch for, or says what is wrong and what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import DamagedError
from pipeline.io.folder import Folder
from pipeline.io.hashing import of_bytes
from pipeline.store import commit as commit_module
from pipeline.store.cache import open_cache
from pipeline.store.commit import SMALL, Commit
from pipeline.store.layout import COMMITS
from tests.conftest import Transcripts

TEXTS = [f"text number {i}" for i in range(12)]


@pytest.fixture
def cache(transcripts: Transcripts) -> Path:
    transcripts.texts(TEXTS)
    transcripts.extract()
    return Path(transcripts.cache_url)


def store_of(cache: Path, stage: str) -> Path:
    return next(cache.glob(f"{stage}/*.zarr"))


def swap(one: Path, other: Path) -> None:
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def of_an_earlier_version(cache: Path, stage: str) -> None:
    """Take from the commits what they had not before: the checksums of chunks."""
    folder = Folder(str(store_of(cache, stage) / COMMITS))
    for name, content in folder.read_all(".json").items():
        commit = Commit.from_bytes(content)
        folder.write(name, Commit(commit.rows, commit.files).to_bytes())


Reader = Callable[[Any], object]
READERS: dict[str, Reader] = {
    "read": lambda view: view.read(),
    "rows": lambda view: view.rows(0),
    "row": lambda view: view.row(0),
    "store.rows": lambda view: list(view.store.rows(0)),
}


@pytest.mark.parametrize("is_earlier", [False, True])
@pytest.mark.parametrize("how", READERS)
def test_two_chunks_that_were_swapped_are_an_error(cache: Path, how: str, is_earlier: bool) -> None:
    if is_earlier:
        of_an_earlier_version(cache, "letters")
    before = open_cache(cache)["letters"].read()
    chunks = store_of(cache, "letters") / "features/c"
    swap(chunks / "0/0/0", chunks / "1/0/0")
    with pytest.raises(
        DamagedError, match=r"partition 0 is damaged \(features/c/0/0/0 is not what"
    ):
        READERS[how](open_cache(cache)["letters"])
    swap(chunks / "0/0/0", chunks / "1/0/0")
    np.testing.assert_array_equal(open_cache(cache)["letters"].read(), before)


def test_swapped_lengths_are_an_error(cache: Path, transcripts: Transcripts) -> None:
    transcripts.texts(["a", *TEXTS[1:]])
    transcripts.extract()
    chunks = store_of(cache, "letters") / "lengths/c"
    swap(chunks / "0", chunks / "1")
    with pytest.raises(DamagedError, match="lengths/c/0 is not what was written"):
        open_cache(cache)["letters"].lengths  # noqa: B018


def test_swapped_values_of_clips_are_an_error(cache: Path) -> None:
    codes = store_of(cache, "letters") / "codes"
    swap(codes / "p00000/c/0", codes / "p00001/c/0")
    with pytest.raises(DamagedError, match="codes/p00000/c/0 is not what was written"):
        open_cache(cache)["letters"].rows(0, ["codes"])


@pytest.mark.parametrize("file", ["zarr.json", "features/zarr.json"])
@pytest.mark.parametrize("how", READERS)
def test_any_flipped_bit_of_the_metadata_is_an_error(cache: Path, file: str, how: str) -> None:
    path = store_of(cache, "letters") / file
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.choice(len(content), 25, replace=False):
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        with pytest.raises(DamagedError, match=f"{file} is not what was written.*smp verify"):
            READERS[how](open_cache(cache)["letters"])


def test_metadata_that_still_parses_is_not_believed(cache: Path) -> None:
    path = store_of(cache, "letters") / "features/zarr.json"
    content = path.read_bytes()
    for old, new in ((b'"float32"', b'"int32"'), (b'"NaN"', b"0.0"), (b"12,", b"13,")):
        assert old in content
        path.write_bytes(content.replace(old, new, 1))
        with pytest.raises(DamagedError, match="is not what was written"):
            open_cache(cache)["letters"].read()


def test_a_chunk_is_told_from_another_on_object_storage_too(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    root = "memory://swapped/cache"
    transcripts.extract(cache_root=root)
    stage = Folder(f"{root}/talks/letters")
    store = stage / stage.names()[0]
    one, other = (store.read(f"features/c/{n}/0/0") or b"" for n in (0, 1))
    assert open_cache(f"{root}/talks")["letters"].read().shape[0] == len(TEXTS)
    store.write("features/c/0/0/0", other)
    store.write("features/c/1/0/0", one)
    with pytest.raises(DamagedError, match=r"features/c/0/0/0 is not what was written"):
        open_cache(f"{root}/talks")["letters"].read()


def test_of_large_chunks_of_an_earlier_version_a_sample_is_hashed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hashed: list[bytes] = []

    def noted(content: bytes) -> str:
        hashed.append(content)
        return of_bytes(content)

    monkeypatch.setattr(commit_module, "of_bytes", noted)
    large, small = [
        {f"features/c/{i}/0/0": i.to_bytes(2) + bytes(size) for i in range(400)}
        for size in (SMALL, SMALL - 2)
    ]
    for contents, expected in ((large, range(4, 30)), (small, [400])):
        commit = Commit(files={file: of_bytes(content) for file, content in contents.items()})
        for _ in range(2):
            hashed.clear()
            assert all(commit.fits(file, content) for file, content in contents.items())
            assert len(hashed) in expected
        assert not commit.fits("features/c/0/0/0", b"another")  # small itself
        wrong = [not commit.fits(file, b"?" + content[1:]) for file, content in contents.items()]
        assert sum(wrong) in expected
        metadata = Commit(files={"zarr.json": of_bytes(b"a")})
        assert not metadata.fits("zarr.json", bytes(2 * SMALL))
