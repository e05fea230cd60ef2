"""Clips that are spans of longer files: what a manifest may say of them."""

from math import inf
from pathlib import Path

import pytest

from pipeline import dataset
from pipeline.dataset.clip import Clip
from pipeline.dataset.span import WHOLE, Span
from pipeline.errors import UserError

HEAD = "id,video,start,end,text,label,split"


def manifest(folder: Path, *rows: str) -> Path:
    path = folder / "long.csv"
    path.write_text("\n".join([HEAD, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_manifest_names_stretches_of_a_file(tmp_path: Path) -> None:
    rows = ["a,v.mp4,0,1.5,,,", "b,v.mp4, 1.5 ,,,,", "c,v.mp4,,2e1,,,", "d,v.mp4,,,,,"]
    clips = dataset.load(manifest(tmp_path, *(row + "train" for row in rows))).clips
    assert [clip.span for clip in clips] == [Span(0, 1.5), Span(1.5), Span(0, 20), WHOLE]
    assert [clip.start_s for clip in clips] == [0, 1.5, None, None]
    assert {clip.video for clip in clips} == {str(tmp_path / "v.mp4")}
    (tmp_path / "long.jsonl").write_text(
        '{"id": "a", "audio": "a.wav", "start": 2, "end": null, "text": "", "label": 1, '
        '"split": "test"}\n'
    )
    (clip,) = dataset.load(tmp_path / "long.jsonl").clips
    assert (clip.start_s, clip.end_s) == (2, None)


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ("2,1", "end 1 s is not after start 2 s"),
        ("2,2", "end 2 s is not after start 2 s"),
        (",0", "end 0 s is not after start 0 s"),
        ("nan,1", "start 'nan' is not a number of seconds"),
        ("0,inf", "end 'inf' is not a number of seconds"),
        ("-1,1", "start '-1' is not a number of seconds"),
        ("1_0,20", "start '1_0' is not a number of seconds"),
        ("0:30,40", "start '0:30' is not a number of seconds"),
    ],
)
def test_what_is_no_span_is_refused_with_its_line(tmp_path: Path, cells: str, why: str) -> None:
    path = manifest(tmp_path, "a,v.mp4,0,1,,,train", f"b,v.mp4,{cells},,,train")
    with pytest.raises(UserError, match=f"long.csv:3: {why}"):
        dataset.load(path)


def test_a_span_reads_as_it_is() -> None:
    assert str(Span(1.5, 20)) == "1.5 s to 20 s"
    assert str(Clip("a", start_s=3).span) == "3.0 s to the end"
    assert Span(0.1, inf) != Span(0.1 + 1e-12, inf)
