"""MER2023 and MER2024 as they are released: several test sets, no validation set."""

from pathlib import Path

import pytest

from pipeline import dataset
from pipeline.dataset.layouts import archive_of
from pipeline.errors import UserError
from tests.support.archives import mer2023, mer2024


def test_every_fifth_clip_is_for_validation_and_one_test_set_is_tested_on(tmp_path: Path) -> None:
    told = dataset.load(mer2023(tmp_path / "MER2023"))
    splits = [clip.split for clip in told.clips]
    assert splits == ["train"] * 4 + ["valid", "train", "test", "", ""]
    again = dataset.load(tmp_path / "MER2023", test="test3")
    assert [clip.split for clip in again.clips][6:] == ["", "", "test"]
    found = archive_of(tmp_path / "MER2023", "test3")
    assert found
    assert found.published.sizes == {"train": 2699, "valid": 674, "test": 834, "": 823}


def test_a_valence_that_is_not_known_is_missing(tmp_path: Path) -> None:
    told = dataset.load(mer2023(tmp_path / "MER2023"))
    assert [clip.labels.get("valence") for clip in told.clips[-3:]] == [3, None, None]
    (note,) = told.notes
    assert note.startswith("label_valence: 1 value outside")
    assert [clip.classes["emotion"] for clip in told.clips[-3:]] == ["happy", "sad", "angry"]


def test_files_are_found_by_name_whatever_their_suffix(tmp_path: Path) -> None:
    folder = mer2023(tmp_path / "MER2023")
    clips = dataset.load(folder).clips
    assert clips[0].video == str(folder / "train/sample_00000000.mp4")
    assert clips[6].video == str(folder / "test1/sample_10000001.avi")
    assert clips[1].text == "第1句"


def test_both_test_sets_of_2024_lie_among_unlabelled_clips(tmp_path: Path) -> None:
    folder = mer2024(tmp_path / "MER2024")
    clips = dataset.load(folder, "noise").clips
    place = folder / "video-unlabeled-with-test2noise"
    assert [(clip.video, clip.split) for clip in clips[-2:]] == [
        (str(place / "sample_00000001.mp4"), ""), (str(place / "sample_00000002.mp4"), "test"),
    ]  # fmt: skip
    with pytest.raises(UserError, match="MER2024 has no test split 'test1'; one of semi, noise"):
        dataset.load(folder, "test1")
