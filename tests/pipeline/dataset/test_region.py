"""A part of the picture as a table names it."""

from pathlib import Path

import pytest

from pipeline import dataset
from pipeline.dataset.region import columns
from pipeline.errors import UserError


def region(folder: Path, text: str) -> object:
    path = folder / "table.csv"
    path.write_text(f'id,video,text,label,split,region\na,a.avi,hm,1,train,"{text}"\n')
    return dataset.load(path).clips[0].region


@pytest.mark.parametrize(
    ("text", "told"),
    [("", None), ("left", (0.0, 0.5)), ("right", (0.5, 1.0)), (" 0.25, 0.75", (0.25, 0.75))],
)
def test_it_is_a_half_or_two_shares_of_the_width(tmp_path: Path, text: str, told: object) -> None:
    assert region(tmp_path, text) == told


@pytest.mark.parametrize("text", ["middle", "0.5", "0.75,0.25", "0,2", "nan,1", "0,0.5,1"])
def test_what_is_no_part_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"table.csv:2: region .* is none; write left, right, or"):
        region(tmp_path, text)


def test_both_halves_are_the_picture_and_no_part_is_empty() -> None:
    for width in (1, 2, 7, 720):
        left, right = columns((0.0, 0.5), width), columns((0.5, 1.0), width)
        assert left.stop - left.start >= 1 <= right.stop - right.start
        if width > 1:
            assert (left.start, left.stop, right.stop) == (0, right.start, width)
