"""A reader beside a running extraction: one state of the cache, never a mixture."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ChangedError, DamagedError, UnfinishedError, UserError
from pipeline.io.folder import Folder
from pipeline.io.lock import held
from pipeline.io.waiting import WRITING_S
from pipeline.store.cache import Cache, open_cache
from pipeline.store.store import Store
from tests.conftest import Transcripts

TEXTS = [f"text number {i}" for i in range(8)]
CHANGED = ["short", *TEXTS[1:]]
State = tuple[list[str], list[int], np.ndarray]


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WRITING_S.variable, "0.2")


@pytest.fixture
def cache(transcripts: Transcripts) -> Cache:
    transcripts.texts(TEXTS)
    transcripts.extract()
    return open_cache(transcripts.cache_url)


def state(cache: Cache) -> State:
    """Texts, lengths and features, read in the order in which a training reads them."""
    view = cache["letters"]
    return cache.clips["text"].tolist(), view.lengths.tolist(), view.read()


def fits(found: State) -> bool:
    """Whether features and lengths are those of the texts, as the toy makes them."""
    texts, lengths, features = found
    codes = [[ord(c) for c in text] for text in texts]
    read = [row[:n, 0].tolist() for row, n in zip(features, lengths, strict=True)]
    return read == codes


def at_first(monkeypatch: pytest.MonkeyPatch, array: str, do: Callable[[], object]) -> None:
    """Do something between the commits that a reader has and the array that it comes to read."""
    read, left = Store._read, [do]

    def reading(self: Store, name: str, *given: Any, **named: Any) -> np.ndarray:
        if name == array and left:
            left.pop()()
        return read(self, name, *given, **named)

    monkeypatch.setattr(Store, "_read", reading)


@pytest.mark.parametrize("array", ["lengths", "features"])
def test_a_partition_that_is_written_again_in_between_is_read_again(
    transcripts: Transcripts, cache: Cache, monkeypatch: pytest.MonkeyPatch, array: str
) -> None:
    transcripts.texts(CHANGED)
    at_first(monkeypatch, array, transcripts.extract)
    found = cache.steadily(lambda: state(cache))
    assert found[0] == CHANGED
    assert fits(found)


def test_what_was_read_before_is_not_joined_with_what_is_there_now(
    transcripts: Transcripts, cache: Cache
) -> None:
    lengths = cache["letters"].lengths
    transcripts.texts(CHANGED)
    transcripts.extract()
    for read in (cache["letters"].read, lambda: cache["letters"].rows(0)):
        with pytest.raises(ChangedError, match="'letters': clips were extracted again while"):
            read()
    assert lengths.tolist() == [len(text) for text in TEXTS]


def test_keys_of_an_old_table_are_not_looked_for_in_new_rows(
    transcripts: Transcripts, cache: Cache
) -> None:
    transcripts.texts(CHANGED)
    transcripts.extract()
    with pytest.raises(ChangedError):
        cache["letters"].read()
    assert fits(cache.steadily(lambda: state(cache)))


def test_a_partition_that_is_written_again_as_it_was_is_read(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk = Path(cache["letters"].url, "features/c/0/0/0")
    content = chunk.read_bytes()
    chunk.unlink()
    read = Store.commits

    def reading(self: Store) -> object:
        chunk.write_bytes(content)
        return read(self)

    assert cache["letters"].lengths.any()
    monkeypatch.setattr(Store, "commits", reading)
    assert fits(state(cache))


def test_damage_is_told_from_a_change(cache: Cache) -> None:
    assert cache["letters"].lengths.any()
    Path(cache["letters"].url, "features/c/0/0/0").unlink()
    with pytest.raises(DamagedError, match="is gone"):
        cache.steadily(lambda: state(cache))


def test_what_is_being_written_is_waited_for_a_little(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = Path(cache["letters"].url, "commits/00001.json")
    content = commit.read_bytes()
    commit.unlink()
    with held(Folder(cache.url)):
        with pytest.raises(UnfinishedError, match="'v/0004' is not extracted yet") as told:
            cache["letters"].read()
        assert "is being extracted right now by process" in str(told.value)
        assert str(told.value).endswith(": wait for it (longer than 0.2 s with SMP_WRITING_S)")
        monkeypatch.setattr(time, "sleep", lambda s: commit.write_bytes(content))
        assert fits(state(cache))


def test_metadata_that_is_being_written_is_waited_for_too(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = Path(cache["letters"].url, "commits/metadata.json")
    content = metadata.read_bytes()
    metadata.unlink()
    again = open_cache(cache.url)
    with held(Folder(cache.url)):
        monkeypatch.setattr(time, "sleep", lambda s: metadata.write_bytes(content))
        assert fits(state(again))


def test_no_run_is_waited_for_where_there_is_none(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda s: pytest.fail("waited"))
    Path(cache["letters"].url, "commits/00001.json").unlink()
    with pytest.raises(UserError, match=r"is not extracted yet; run `smp extract`$"):
        cache["letters"].read()


def test_runs_that_go_on_changing_a_cache_end_the_reading(
    transcripts: Transcripts, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reading() -> State:
        transcripts.texts([f"{len(tried)}", *TEXTS[1:]])
        tried.append(1)
        lengths = cache["letters"].lengths
        transcripts.extract()
        return [], lengths.tolist(), cache["letters"].read()

    tried: list[int] = []
    with pytest.raises(ChangedError, match="run this again"):
        cache.steadily(reading)
    assert len(tried) == 3


@pytest.mark.slow
def test_whatever_is_read_beside_runs_is_of_one_state(
    transcripts: Transcripts, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WRITING_S.variable, "20")

    def go_on_changing() -> None:
        for number in range(15):
            transcripts.texts([f"{'much ' * ((i + number) % 7)}{number}" for i in range(8)])
            transcripts.extract()

    run = Thread(target=go_on_changing)
    run.start()
    read = 0
    while run.is_alive():
        try:
            assert fits(state(open_cache(cache.url)))
            read += 1
        except ChangedError:  # to be read again, as a command does
            continue
    run.join()
    assert read > 5


def test_earlier_rows_stay_until_a_run_has_those_that_replace_them(
    transcripts: Transcripts, cache: Cache
) -> None:
    earlier = [row.rows["codes"].tolist() for row in cache["letters"].rows(0)]
    transcripts.texts(CHANGED)
    transcripts.stages(letters={"extractor": "tests.support.toys.letters", "lacks": "device"})
    assert any(outcome.error for outcome in transcripts.extract().outcomes)
    store = Store(open_cache(cache.url)["letters"].url)
    assert [row.rows["codes"].tolist() for row in store.rows(0)] == earlier
