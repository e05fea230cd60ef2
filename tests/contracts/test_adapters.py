"""What every adapter owes, on a small folder laid out as its archive unpacks."""

from pathlib import Path

import pytest

from pipeline import dataset
from pipeline.checks.dataset import check
from pipeline.dataset import adapters
from pipeline.dataset.adapter import Adapter
from pipeline.dataset.clip import SPLITS
from pipeline.dataset.layouts import archive_of
from pipeline.dataset.manifest import write_manifest
from pipeline.io.plugin import classes_of
from tests.support.archives import MAKE

ADAPTERS = classes_of(adapters, Adapter)  # type: ignore[type-abstract]
MISSING = {"mer2023": 1, "iemocap": 1}  # values that the made folder has out of their range


@pytest.fixture(params=sorted(ADAPTERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(name: str, tmp_path: Path) -> Path:
    return MAKE[name](tmp_path / "archive")


def test_its_folder_is_taken_for_its_own_and_no_other(name: str, folder: Path) -> None:
    found = [kind for kind in ADAPTERS.values() if kind.at(folder)]
    assert found == [ADAPTERS[name]]
    assert type(archive_of(folder)) is ADAPTERS[name]
    assert archive_of(folder.parent) is None


def test_every_row_is_a_clip_and_every_target_has_values(name: str, folder: Path) -> None:
    told = dataset.load(folder)
    assert len({clip.id for clip in told.clips}) == len(told.clips)
    assert {clip.split for clip in told.clips} <= {*SPLITS, ""}
    assert {clip.split for clip in told.clips} >= {*SPLITS}, "training needs all three"
    assert told.declared == ADAPTERS[name].targets
    assert len(told.notes) == MISSING.get(name, 0)
    columns = {column for clip in told.clips for column, _ in clip.values()}
    assert columns == {column for target in told.declared for column in target.columns}


def test_its_clips_are_held_against_what_was_published(name: str, folder: Path) -> None:
    archive = archive_of(folder)
    assert archive is not None
    sizes = archive.published.sizes
    for split in SPLITS:
        for classes in archive.published.of_classes(split).values():
            assert 0 < sum(classes.values()) <= sizes[split]
    checked = check(folder)
    assert checked.published == {archive.title: sizes}
    told = [issue.what for issue in checked.issues if issue.kind == "not as published"]
    assert any(f"of {sizes['train']} published clips" in what for what in told)


def test_as_a_manifest_it_is_the_same_dataset(folder: Path, tmp_path: Path) -> None:
    before = dataset.load(folder)
    write_manifest(before, tmp_path / "own" / "table.csv")
    after = dataset.load(tmp_path / "own" / "table.csv")
    assert after.clips == before.clips
    assert after.declared == before.declared
