"""One earlier generation of changed clips: kept on request, taken back, counted, cleaned."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import open_cache
from pipeline.store.previous import previous_url
from pipeline.store.status import status
from pipeline.store.store import Store
from pipeline.store.verify import verify
from tests.conftest import Transcripts
from tests.support.commands import smp

TEXTS = ["zero", "one", "two", "three", "four", "five"]  # two partitions
CHANGED = ["zero", "changed", *TEXTS[2:]]
Files = Callable[[str], dict[str, bytes]]


def text_of(codes: list[int]) -> str:
    return "".join(map(chr, codes))


def kept(transcripts: Transcripts) -> dict[str, str]:
    """By clip, the text from which its earlier features were made."""
    found = open_cache(transcripts.cache_url)["letters"].previous()
    return {clip: text_of(result.rows["codes"].tolist()) for clip, result in found.items()}


@pytest.fixture
def changed(transcripts: Transcripts) -> Transcripts:
    """Extracted, changed, and extracted again with the first generation kept."""
    transcripts.texts(TEXTS)
    transcripts.extract(keep_previous=True)
    assert not list(Path(transcripts.cache_url).glob("*/*.previous.zarr"))
    transcripts.called()
    transcripts.texts(CHANGED)
    transcripts.extract(keep_previous=True)
    assert transcripts.called() == [["v/0001"]]
    return transcripts


def test_what_a_changed_clip_had_is_kept_with_its_partition_alone(changed: Transcripts) -> None:
    assert kept(changed) == {"v/0001": "one"}
    view = open_cache(changed.cache_url)["letters"]
    assert list(view.previous_store.commits()) == [0]
    assert text_of(view.rows(0)[1].rows["codes"].tolist()) == "changed"


def test_a_renamed_clip_is_told_by_the_name_that_it_has_now(changed: Transcripts) -> None:
    table = changed.folder / "label.csv"
    table.write_text(table.read_text().replace("v,0001", "w,0001"))
    changed.extract()
    assert changed.called() == []
    assert kept(changed) == {"w/0001": "one"}


def test_nothing_is_kept_unasked(transcripts: Transcripts) -> None:
    for texts in (TEXTS, CHANGED):
        transcripts.texts(texts)
        transcripts.extract()
    assert not list(Path(transcripts.cache_url).glob("*/*.previous.zarr"))
    assert kept(transcripts) == {}


def test_new_clips_replace_no_features(transcripts: Transcripts) -> None:
    for texts in (TEXTS, [*TEXTS, "six"]):
        transcripts.texts(texts)
        transcripts.extract(keep_previous=True)
    assert not list(Path(transcripts.cache_url).glob("*/*.previous.zarr"))


@pytest.mark.parametrize("keep_previous", [False, True])
def test_a_clip_that_is_put_back_takes_back_its_features_and_none_is_computed(
    changed: Transcripts, stored_bytes: Files, tmp_path: Path, keep_previous: bool
) -> None:
    changed.texts(TEXTS)
    changed.extract(keep_previous=keep_previous)
    assert changed.called() == []
    assert kept(changed) == ({"v/0001": "changed"} if keep_previous else {})
    changed.extract(cache_root=str(tmp_path / "fresh"))
    fresh = stored_bytes(str(tmp_path / "fresh/talks"))
    found = stored_bytes(changed.cache_url)
    assert {name: found[name] for name in fresh} == fresh


def test_no_more_than_one_generation_is_kept(changed: Transcripts) -> None:
    changed.texts(["zero", "again", *TEXTS[2:]])
    changed.extract(keep_previous=True)
    assert kept(changed) == {"v/0001": "changed"}
    changed.texts(["zero", "again", *TEXTS[2:5], "other"])
    changed.extract(keep_previous=True)
    assert kept(changed) == {"v/0001": "changed", "v/0005": "five"}


def test_what_failed_or_is_damaged_is_neither_kept_nor_taken_back(changed: Transcripts) -> None:
    view = open_cache(changed.cache_url)["letters"]
    chunk = Path(view.previous_store.folder.url, "codes/p00000/c/0")
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"?")
    changed.texts(TEXTS)
    changed.extract()
    assert changed.called() == [["v/0001"]]


def test_status_counts_it_and_clean_removes_it(changed: Transcripts) -> None:
    where = changed.folder, "--cache", changed.cache_root
    found = status(open_cache(changed.cache_url))
    assert [stage.previous[0] for stage in found] == [1, 1]
    told = json.loads(smp("status", *where, "--json").stdout)["stages"]["letters"]["previous"]
    assert told == {"partitions": 1, "bytes": found[0].previous[1]}
    assert told["bytes"] > 1000
    assert (
        "changed clips: 2 partitions, 0.0 MB; `smp clean` removes" in smp("status", *where).stdout
    )
    before = open_cache(changed.cache_url)["letters"].read()
    done = smp("clean", *where, "--stages", changed.stages_file).stdout
    assert done.count(".previous.zarr: 0.0 MB — features of clips before they changed") == 2
    assert "Removed 2 stores" in done
    assert not list(Path(changed.cache_url).glob("*/*.previous.zarr"))
    assert (open_cache(changed.cache_url)["letters"].read() == before).all()
    assert "Earlier features" not in smp("status", *where).stdout


def test_verify_reads_it_and_asks_for_no_extraction_where_it_is_damaged(
    changed: Transcripts,
) -> None:
    url = previous_url(open_cache(changed.cache_url)["letters"].url)
    assert verify(changed.cache_url).faults == ()
    chunk = Path(url, "features/c/0/0/0")
    chunk.write_bytes(b"?" * 100)
    found = verify(changed.cache_url, repair=True)
    assert [fault.file for fault in found.faults] == ["features/c/0/0/0"]
    assert found.lost == []
    assert Store(url).commits() == {}
    assert verify(changed.cache_url).faults == ()


def test_the_command_keeps_and_gives_back(changed: Transcripts) -> None:
    words = "--serial", "--stages", changed.stages_file, "--cache", changed.cache_root
    changed.texts(TEXTS)
    told = smp("extract", changed.folder, *words, "--keep-previous").stdout
    assert "Earlier features of changed clips: 2 partitions" in told
    assert changed.called() == []
    assert kept(changed) == {"v/0001": "changed"}
