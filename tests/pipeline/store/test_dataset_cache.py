"""A cache opened for a dataset: the labels of today, the features of this dataset and no other."""

import json
import os
import shutil
from pathlib import Path

import pytest

from pipeline.errors import DataError, UserError
from pipeline.store import merge
from pipeline.store.cache import Cache, open_cache
from pipeline.store.dataset_cache import is_of, open_dataset
from tests.conftest import Transcripts
from tests.support.films import Films

HEAD = "video_id,clip_id,text,label,annotation,mode"
LETTERS = {"extractor": "tests.support.toys.letters"}


@pytest.fixture
def films(transcripts: Transcripts) -> Films:
    made = Films(transcripts, [f"text {i}" for i in range(6)], least=1, letters=LETTERS)
    transcripts.extract()
    return made


def edit(folder: Path, old: str, new: str) -> None:
    table = folder / "label.csv"
    content = table.read_text()
    assert old in content
    table.write_text(content.replace(old, new))


def opened(films: Films, at: Path | None = None, partly: bool = False) -> Cache:
    made = films.transcripts
    return open_dataset(at or made.folder, made.cache_root, partly=partly)


def test_labels_splits_and_annotations_count_at_once(films: Films) -> None:
    edit(films.transcripts.folder, "text 3,0.3,,train", "text 3,-1,Negative,test")
    before = Path(films.transcripts.cache_url, "clips.json").read_bytes()
    clip = opened(films).clips.iloc[3]
    assert (clip["label"], clip["split"], clip["annotation"]) == (-1, "test", "Negative")
    assert Path(films.transcripts.cache_url, "clips.json").read_bytes() == before
    for as_it_was in (films.transcripts.cache_url, "talks"):
        cache = open_dataset(as_it_was, films.transcripts.cache_root)
        assert cache.clips.iloc[3]["split"] == "train", "nothing but a cache was given"


def test_a_removed_clip_is_gone_at_once_and_a_renamed_one_is_known(films: Films) -> None:
    table = films.transcripts.folder / "label.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0], *lines[2:]]).replace("v,0005", "w,0001"))
    (films.transcripts.folder / "Raw/w").mkdir()
    films.file(5).rename(films.transcripts.folder / "Raw/w/0001.mp4")
    cache = opened(films)
    assert list(cache.clips["id"]) == ["v/0001", "v/0002", "v/0003", "v/0004", "w/0001"]
    assert cache["sizes"].read().tolist() == [2, 3, 4, 5, 6]


def test_clips_that_changed_since_the_extraction_are_named(films: Films) -> None:
    edit(films.transcripts.folder, "text 3", "another text")
    films.file(4).write_text("another film")
    with (films.transcripts.folder / "label.csv").open("a") as file:
        file.write("v,0006,text 6,0,,test\n")
    told = r"talks: 2 clips changed \(v/0003, v/0004\) and 1 clip came \(v/0006\) since"
    with pytest.raises(DataError, match=f"{told} `smp extract`; run it again"):
        opened(films)
    partly = opened(films, partly=True)["sizes"]
    assert sorted(partly.committed) == [0, 1, 2, 3, 5], "a text is nothing to a film"
    films.file(6).write_text("xxxxxxx")
    films.transcripts.extract()
    assert opened(films)["sizes"].read().tolist() == [1, 2, 3, 4, 12, 6, 7]


def test_a_film_of_the_same_size_is_read_where_its_time_is_another(films: Films) -> None:
    os.utime(films.file(4), (1, 1))
    opened(films)
    films.file(4).write_text("y" * 5)
    with pytest.raises(DataError, match=r"1 clip changed \(v/0004\)"):
        opened(films)


def test_what_looks_as_it_did_is_not_read(films: Films, monkeypatch: pytest.MonkeyPatch) -> None:
    class Unwanted:
        def __init__(self) -> None:
            raise AssertionError("a file was read")

    monkeypatch.setattr(merge, "FileDigests", Unwanted)
    opened(films)
    films.file(1).unlink()
    assert opened(films)["sizes"].stale[1] == f"video is gone: {films.file(1)}"


def test_a_moved_dataset_is_the_same(films: Films) -> None:
    moved = films.transcripts.folder.rename(films.transcripts.folder.parent / "disk")
    (moved.parent / "new").mkdir()
    at = Path(shutil.copytree(moved, moved.parent / "new" / "talks"))
    edit(at, "text 3,0.3", "text 3,-1")
    assert opened(films, at).clips["label"][3] == -1
    films.transcripts.folder = at
    assert not films.transcripts.extract().outcomes
    assert films.cache.table.root == str(at)


@pytest.fixture
def other(films: Films) -> Path:
    """Of the same name and with the same ids, but other texts."""
    folder = films.transcripts.folder
    at = Path(shutil.copytree(folder, folder.parent / "other" / "talks"))
    (at / "label.csv").write_text((at / "label.csv").read_text().replace(",text ", ",words "))
    return at


def test_another_dataset_of_the_name_is_refused_with_both_paths(films: Films, other: Path) -> None:
    first = films.transcripts.folder
    told = f"holds another dataset: of the 6 clips in {other}, 0 are as they were in {first}; give"
    with pytest.raises(UserError, match=told) as refused:
        opened(films, other)
    assert "--name" in str(refused.value)
    assert "`smp extract --adopt`" in str(refused.value)
    films.transcripts.folder = other
    with pytest.raises(UserError, match=told):
        films.transcripts.extract()
    assert not is_of(other, str(first), films.cache.table)
    assert is_of(first, str(first), None)
    films.transcripts.extract(adopt=True)
    assert opened(films, other).clips["text"][0] == "words 0"
    with pytest.raises(UserError, match="holds another dataset"):
        opened(films, first)


def test_other_films_make_another_dataset(films: Films, other: Path) -> None:
    shutil.copy(films.transcripts.folder / "label.csv", other)
    opened(films, other)
    for file in (other / "Raw/v").iterdir():
        file.write_text("another film")
    with pytest.raises(UserError, match="holds another dataset"):
        opened(films, other)


def test_a_dataset_that_lost_its_table_is_not_taken_for_a_name(films: Films) -> None:
    (films.transcripts.folder / "label.csv").unlink()
    with pytest.raises(UserError, match=r"label\.csv: no dataset"):
        opened(films)


def test_a_cache_without_sizes_and_times_is_taken_at_its_word(films: Films) -> None:
    from pipeline.io.hashing import sealed, unsealed

    table = Path(films.transcripts.cache_url, "clips.json")
    record = unsealed(table.read_bytes())
    assert json.dumps(record["columns"]["stamps"][3]["video"]).startswith("[4, ")
    del record["columns"]["stamps"]
    table.write_bytes(sealed(record))
    assert opened(films)["sizes"].read().tolist() == [1, 2, 3, 4, 5, 6]
    assert open_cache(films.transcripts.cache_url).table.rows[3].files == {}
