"""No path that a cache names is read or removed outside of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.dag.clean import find
from pipeline.errors import DamagedError, UserError
from pipeline.io.folder import Folder
from pipeline.io.hashing import sealed, unsealed
from pipeline.io.names import is_safe_name
from pipeline.store.cache import open_cache
from pipeline.store.commit import Commit
from pipeline.store.current import last_known
from pipeline.store.layout import store_url
from pipeline.store.verify import verify
from tests.conftest import Transcripts


@pytest.fixture
def cache(transcripts: Transcripts) -> Path:
    transcripts.texts([f"text number {i}" for i in range(8)])
    transcripts.extract()
    return Path(transcripts.cache_url)


@pytest.fixture
def treasure(tmp_path: Path) -> Path:
    """A file that is none of the cache's."""
    path = tmp_path / "treasure" / "c" / "0"
    path.parent.mkdir(parents=True)
    path.write_text("dear")
    return path


def store_of(cache: Path, stage: str) -> Path:
    return next(cache.glob(f"{stage}/*.zarr"))


@pytest.mark.parametrize("name", ["00001.json", "metadata.json"])
@pytest.mark.parametrize(
    "path",
    [
        "{}",
        "features/../../../../../treasure/c/0",
        "features/../../../../../treasure/zarr.json",
        "../../../../treasure/c/0",
        "commits/00000.json",
        "..\\..\\treasure/c/0",
        "c/0",
        "",
        "/dev/zero",
        "features/c/-1",
        "features/\x1b[2J/c/0",
    ],
)
def test_a_commit_that_lists_a_path_of_no_store_vouches_for_nothing_and_deletes_nothing(
    cache: Path, treasure: Path, name: str, path: str
) -> None:
    commit_file = store_of(cache, "letters") / "commits" / name
    commit = Commit.from_bytes(commit_file.read_bytes())
    crafted = replace(commit, files={**commit.files, path.format(treasure): "0" * 64})
    commit_file.write_bytes(crafted.to_bytes())
    assert Commit.from_bytes(crafted.to_bytes()).damage
    (fault,) = verify(str(cache), repair=True).faults
    assert fault.file == f"commits/{name}"
    assert "damaged commit" in fault.what
    assert treasure.read_text() == "dear"
    assert not commit_file.exists()
    assert store_of(cache, "letters").joinpath("commits/00000.json").exists()


def with_identity(cache: Path, stage: str, fingerprint: object) -> None:
    file = cache / "current.json"
    identities = unsealed(file.read_bytes())
    identities[stage] = {**identities["letters"], "fingerprint": fingerprint}
    file.write_bytes(sealed(identities))


@pytest.mark.parametrize(
    ("stage", "fingerprint"),
    [
        ("../../treasure", "0123abcd"),
        ("/treasure", "0123abcd"),
        ("letters", "../../../x"),
        ("letters", "a/../.."),
        ("letters", None),
        ("letters", 10**20),
        ("*", "0123abcd"),
        ("", "0123abcd"),
        ("\u202eletters", "0123abcd"),
    ],
)
def test_a_stage_that_lies_elsewhere_is_none(
    cache: Path, treasure: Path, stage: str, fingerprint: object
) -> None:
    with_identity(cache, stage, fingerprint)
    with pytest.raises(DamagedError, match=r"current.json is damaged .* makes it again") as told:
        open_cache(cache)
    assert str(told.value).isprintable()
    assert last_known(Folder(str(cache))) == {}
    assert [fault.file for fault in verify(str(cache), repair=True).faults] == ["current.json"]
    assert treasure.exists()


def test_no_store_is_made_elsewhere() -> None:
    for stage, fingerprint in (("../x", "0123abcd"), ("letters", "../../x"), (".", "0123abcd")):
        with pytest.raises(UserError, match="can't be the name of a folder in cache/talks"):
            store_url("cache/talks", stage, fingerprint)


def test_names_of_ordinary_stages_are_safe() -> None:
    for name in ("bert", "text_bert", "wav2vec2-large", "1", "v2.1"):
        assert is_safe_name(name)
    for other in (
        "",
        ".",
        "..",
        "a/b",
        "a\\b",
        ".lock",
        " a",
        "a b",
        "ö",
        "a\n",
        "a\x00",
        "x" * 300,
        1,
    ):
        assert not is_safe_name(other)


@pytest.mark.parametrize("name", ["../treasure/c/0", "link/0", "/tmp/x", "", "."])
def test_a_folder_removes_nothing_outside_of_it(tmp_path: Path, treasure: Path, name: str) -> None:
    folder = Folder(str(tmp_path / "folder"))
    folder.write("a", b"")
    Path(tmp_path, "folder/link").symlink_to(treasure.parent)
    for remove in (folder.remove, folder.remove_all):
        with pytest.raises(UserError, match="leads out of"):
            remove(name)
    folder.remove_all("link")  # the link itself, and not what it leads to
    assert folder.names() == ["a"]
    assert treasure.read_text() == "dear"


def test_repair_follows_no_link_out_of_the_cache(cache: Path, tmp_path: Path) -> None:
    (cache / "letters").rename(tmp_path / "elsewhere")
    (cache / "letters").symlink_to(tmp_path / "elsewhere")
    chunk = store_of(cache, "letters") / "features/c/0/0/0"
    chunk.write_bytes(b"flipped")
    with pytest.raises(UserError, match="leads out of"):
        verify(str(cache), repair=True)
    assert chunk.exists()


def test_cleaning_follows_no_link_out_of_the_cache(
    transcripts: Transcripts, cache: Path, tmp_path: Path
) -> None:
    transcripts.stages(letters={"extractor": "tests.support.toys.letters", "scale": 2.0})
    (cache / "letters").rename(tmp_path / "elsewhere")
    (cache / "letters").symlink_to(tmp_path / "elsewhere")
    sweep = find(str(cache), [transcripts.stages_file], strict=True)
    assert {store.stage for store in sweep.unreached} == {"doubled"}
    list(sweep.carry_out())
    assert list((tmp_path / "elsewhere").glob("*.zarr/commits/00000.json"))


def test_cleaning_keeps_what_it_can_t_tell_apart(transcripts: Transcripts, cache: Path) -> None:
    store = store_of(cache, "letters")
    metadata = json.loads((store / "zarr.json").read_text())
    metadata["attributes"]["stage"] = "../../treasure"
    (store / "zarr.json").write_text(json.dumps(metadata))
    transcripts.stages(letters={"extractor": "tests.support.toys.letters", "scale": 2.0})
    sweep = find(str(cache), [transcripts.stages_file], strict=True)
    assert {one.stage for one in sweep.unreached} == {"doubled"}
