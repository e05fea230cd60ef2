"""CH-SIMS as it first came, and both parts of CH-SIMS v2."""

from pathlib import Path

import pytest

from pipeline import dataset
from pipeline.dataset.layouts import archive_of
from pipeline.errors import UserError
from tests.support.archives import sims, sims_v2


def test_scores_of_modalities_and_splits_are_joined(tmp_path: Path) -> None:
    folder = sims(tmp_path / "CH-SIMS")
    (first, *_) = dataset.load(folder).clips
    assert (first.id, first.text, first.split) == ("video_0001/0001", "我不想嫁给李茶", "test")
    assert (first.label, first.labels) == (-1.0, {"T": 0.0, "A": -0.4, "V": -1.0})
    assert first.video == str(folder / "Raw/video_0001/0001.mp4")


def test_an_index_that_is_no_row_is_refused(tmp_path: Path) -> None:
    folder = sims(tmp_path / "CH-SIMS")
    (folder / "metadata/val_index.csv").write_text("index\n-1\n")
    with pytest.raises(UserError, match=r"val_index.csv:2: index '-1' is no row of label_M.csv"):
        dataset.load(folder)


def test_the_unlabelled_part_of_v2_is_in_no_split_and_has_no_score(tmp_path: Path) -> None:
    folder = sims_v2(tmp_path / "CH-SIMS v2")
    clips = {clip.id: clip for clip in dataset.load(folder).clips}
    more = clips["unlabelled/aqgy3_0001/00000"]
    assert (more.split, more.is_labelled, more.text) == ("", False, "谁知道呢")
    assert more.video == str(folder / "ch-simsv2u/Raw/aqgy3_0001/00000.mp4")
    assert clips["aqgy3_0001/00000"].labels == {"T": 0.0, "A": 0.6, "V": 0.6}


@pytest.mark.parametrize(
    ("part", "sizes"),
    [
        ("", {"train": 2722, "valid": 647, "test": 1034, "": 10161}),
        ("ch-simsv2s", {"train": 2722, "valid": 647, "test": 1034}),
        ("ch-simsv2u", {"": 10161}),
    ],
)
def test_a_part_of_v2_by_itself_is_held_against_its_own_size(
    tmp_path: Path, part: str, sizes: dict[str, int]
) -> None:
    found = archive_of(sims_v2(tmp_path / "CH-SIMS v2") / part)
    assert found
    assert found.published.sizes == sizes
