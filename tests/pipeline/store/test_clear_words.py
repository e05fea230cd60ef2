"""Whatever happened to a cache's files, a reader says what is wrong in a line, and no more."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model.data.samples import load_samples
from pipeline.dag.clean import find
from pipeline.dag.plan import prepare
from pipeline.dataset.load import load
from pipeline.errors import UserError
from pipeline.inspect.page import inspect
from pipeline.io.hashing import of_bytes, sealed, unsealed
from pipeline.store.cache import open_cache
from pipeline.store.commit import Commit
from pipeline.store.status import status
from pipeline.store.verify import verify
from tests.conftest import Transcripts

TEXT_STAGES = {"text": ["letters", "doubled"]}
MUTATIONS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "garbage": lambda content: bytes(range(256)),
    "a number": lambda content: b"1",
    "a list": lambda content: b"[[1, 2], []]",
    "deep": lambda content: b"[" * 100_000 + b"]" * 100_000,
    "a long number": lambda content: b"9" * 5000,
}
WAY_OUT = re.compile(
    r"`smp \w+|extract again|ragged: read it|name another|nothing to clean|no stage"
)
VALUES = [None, 7, "x", [], [1], {}, {"../x": 1}, 10**20, -1, True, 0.5]


@pytest.fixture
def cache(transcripts: Transcripts) -> Path:
    transcripts.texts(["one", "another", "a third"])
    transcripts.extract()
    return Path(transcripts.cache_url)


def readers(transcripts: Transcripts) -> Iterator[tuple[str, Callable[[], object]]]:
    """What the commands read a cache with, each from its opening on."""
    url = transcripts.cache_url
    yield "read", lambda: open_cache(url)["doubled"].read()
    yield "rows", lambda: open_cache(url)["letters"].rows(0)
    yield "status", lambda: [s.to_json() for s in status(open_cache(url))]
    yield "train, export", lambda: load_samples(open_cache(url), TEXT_STAGES)
    yield "inspect", lambda: inspect(open_cache(url), "v/0000")
    yield "verify", lambda: verify(url)
    yield "clean", lambda: find(url, [transcripts.stages_file])
    yield "extract --plan", lambda: prepare(load(transcripts.folder), transcripts.stages_file, url)


def require_clear_words(transcripts: Transcripts, what: str) -> None:
    """Have everything read; what is no user's error is a failure of the test."""
    for name, read in readers(transcripts):
        try:
            read()
        except UserError as error:
            said = str(error)
            if not WAY_OUT.search(said):
                pytest.fail(f"{what}: {name}: no way out: {said}")
        except Exception as error:
            pytest.fail(f"{what}: {name}: {type(error).__name__}: {error!s:.300}")


def files(cache: Path) -> list[Path]:
    found = [path for path in sorted(cache.rglob("*")) if path.is_file()]
    return [path for path in found if path.suffix == ".json" or "/c/" in str(path)]


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_file_that_is_not_what_was_written(
    transcripts: Transcripts, cache: Path, mutation: str
) -> None:
    for path in files(cache):
        content = path.read_bytes()
        path.write_bytes(MUTATIONS[mutation](content))
        require_clear_words(transcripts, f"{path.relative_to(cache)} {mutation}")
        path.write_bytes(content)


def test_a_file_or_folder_that_is_gone(transcripts: Transcripts, cache: Path) -> None:
    kept = cache.with_name("kept")
    for path in sorted(cache.rglob("*")):
        if not (path.is_dir() or path in files(cache)):
            continue
        shutil.copytree(cache, kept)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        require_clear_words(transcripts, f"{path.relative_to(cache)} gone")
        shutil.rmtree(cache)
        kept.rename(cache)


def changed(value: Any, depth: int) -> Iterator[Any]:
    """The value with one of its parts being another, or gone."""
    if depth and isinstance(value, dict):
        for key in value:
            yield {name: part for name, part in value.items() if name != key}
            yield from ({**value, key: other} for other in changed(value[key], depth - 1))
    elif depth and isinstance(value, list) and value:
        yield from ([other, *value[1:]] for other in changed(value[0], depth - 1))
    yield from VALUES


@pytest.mark.parametrize("stage", ["letters", "doubled"])
@pytest.mark.parametrize("name", ["00000", "metadata"])
def test_a_commit_of_any_shape_vouches_or_is_damaged(cache: Path, stage: str, name: str) -> None:
    (path,) = cache.glob(f"{stage}/*.zarr/commits/{name}.json")
    for record in changed(unsealed(path.read_bytes()), 4):
        if isinstance(record, dict):
            commit = Commit.from_bytes(sealed(record))
            assert commit.damage or Commit.from_bytes(commit.to_bytes()) == commit


@pytest.mark.parametrize("part", ["format", "steps", "partition", "fields"])
def test_metadata_that_was_made_up_is_damaged(
    transcripts: Transcripts, cache: Path, part: str
) -> None:
    """Its commit is sealed again, as nothing but malice would."""
    (store,) = cache.glob("letters/*.zarr")
    metadata, commit = store / "zarr.json", store / "commits/metadata.json"
    whole, known = json.loads(metadata.read_bytes()), Commit.from_bytes(commit.read_bytes())
    for value in changed(whole["attributes"][part], 3):
        attributes = {**whole["attributes"], part: value}
        metadata.write_text(json.dumps({**whole, "attributes": attributes}))
        files = {**known.files, "zarr.json": of_bytes(metadata.read_bytes())}
        commit.write_bytes(Commit(files=files).to_bytes())
        require_clear_words(transcripts, f"{part} {value!r}")


def test_a_list_of_stages_of_any_shape(transcripts: Transcripts, cache: Path) -> None:
    path = cache / "current.json"
    whole = unsealed(path.read_bytes())

    def is_whole(identity: object) -> bool:
        return not isinstance(identity, dict) or identity.keys() == whole["letters"].keys()

    for identities in changed(whole, 2):
        if isinstance(identities, dict) and all(map(is_whole, identities.values())):
            path.write_bytes(sealed(identities))
            require_clear_words(transcripts, f"current.json {identities!r:.200}")


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("letters", "no store; run `smp extract` first"),
        ("letters/*.zarr/zarr.json", r"zarr.json is gone\); run `smp verify .* --repair`"),
        ("letters/*.zarr/features", r"features/zarr.json is gone\); run `smp verify .* --repair`"),
        ("letters/*.zarr/commits", "metadata.json is gone, or not written yet; run `smp extract`"),
    ],
)
def test_what_is_gone_is_named_with_the_command_that_brings_it_back(
    transcripts: Transcripts, cache: Path, gone: str, message: str
) -> None:
    (path,) = cache.glob(gone)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match=message):
        open_cache(cache)["letters"].read()
    if "verify" in message:
        assert any(fault.stage == "letters" for fault in verify(str(cache), repair=True).faults)
    transcripts.extract()
    assert open_cache(cache)["letters"].read().shape == (3, 32, 2)
    assert verify(str(cache)).faults == ()
