"""Adapters: what they read, and what they refuse with file and line."""

import json
from pathlib import Path

import pytest

from pipeline import dataset
from pipeline.errors import UserError
from tests.support.paths import SHARED

HEAD = "video_id,clip_id,text,label,annotation,mode"
MOSI = SHARED / "mosi"


def label_csv(folder: Path, *lines: str, head: str = HEAD) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "label.csv").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return folder


def test_the_layout_of_mosi_and_sims_is_read(tmp_path: Path) -> None:
    head = "video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode"
    folder = label_csv(
        tmp_path / "sims",
        "video_0001,0001,我不想嫁给李茶,-0.6,-0.8,0,-0.4,Negative,train",
        'aqgy,0002,"a, quoted “text” 😀",1.0,,,,Positive,test',
        head=head,
    )
    (folder / "Raw").mkdir()
    first, second = dataset.load(folder).clips
    assert first.id == "video_0001/0001"
    assert first.video == str(folder / "Raw" / "video_0001" / "0001.mp4")
    assert first.text == "我不想嫁给李茶"
    assert (first.label, first.labels) == (-0.6, {"T": -0.8, "A": 0.0, "V": -0.4})
    assert (first.annotation, first.split) == ("Negative", "train")
    assert second.text == "a, quoted “text” 😀"
    assert second.labels == {}


def test_transcripts_without_any_media_are_a_dataset(tmp_path: Path) -> None:
    clips = dataset.load(label_csv(tmp_path / "d", "v,1,hello,0.5,,train")).clips
    assert clips[0].video is None
    assert clips[0].sound is None


@pytest.mark.skipif(not MOSI.exists(), reason="the real CMU-MOSI table is not here")
def test_the_real_mosi_table_has_its_published_splits() -> None:
    mosi = dataset.load(MOSI)
    splits = [clip.split for clip in mosi.clips]
    assert [splits.count(s) for s in ("train", "valid", "test")] == [1284, 229, 686]
    assert mosi.language == "en"
    assert mosi.name == "mosi"


def test_a_manifest_is_read_from_csv_and_from_json_lines(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(
        "id,video,audio,text,label,label_T,split\n"
        "a,clips/a.mp4,,hello,0.5,1,train\n"
        "b/1,,sound/b.wav,你好,,,test\n",
        encoding="utf-8",
    )
    a, b = dataset.load(tmp_path / "mine.csv").clips
    assert (a.video, a.audio, a.label, a.labels) == (
        str(tmp_path / "clips/a.mp4"), None, 0.5, {"T": 1.0},
    )  # fmt: skip
    assert (b.id, b.video, b.sound, b.label) == ("b/1", None, str(tmp_path / "sound/b.wav"), None)
    first = {"id": "a", "video": "clips/a.mp4", "text": "hello", "label": 0.5, "label_T": 1}
    second = {"id": "b/1", "audio": "sound/b.wav", "text": "你好", "label": None}
    lines = [{**first, "split": "train"}, {**second, "split": "test"}]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert dataset.load(tmp_path / "mine.jsonl").clips == (a, b)
    assert dataset.load(tmp_path / "mine.jsonl").name == "mine"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("v,1,again,0,,train", r"label.csv:3: id 'v/1' already appears at .*label.csv:2"),
        ("v,2,hm,0,,dev", r"label.csv:3: unknown split 'dev'; one of train, valid, test"),
        ("v,2,hm,high,,test", r"label.csv:3: label 'high' is not a number"),
        ("v,2,hm,-inf,,test", r"label.csv:3: label '-inf' is not a number"),
        ("v,2\x07,hm,0,,test", r"label.csv:3: id 'v/2\\x07' holds a character"),
        ("..,2,hm,0,,test", r"label.csv:3: id '../2' .* leaves the dataset's folder"),
        ("a/b,2,hm,0,,test", r"label.csv:3: id 'a/b/2'"),
        ("/etc,2,hm,0,,test", r"label.csv:3: id '/etc/2'"),
        (",2,hm,0,,test", r"label.csv:3: id '/2'"),
        ("v,2,hm,0", r"label.csv:3: expected 6 columns"),
        ("v,2,hm,0,,test,7", r"label.csv:3: expected 6 columns"),
    ],
)
def test_a_row_that_cannot_be_right_is_refused_with_file_and_line(
    tmp_path: Path, line: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        dataset.load(label_csv(tmp_path / "d", "v,1,hello,0.5,,train", line))


@pytest.mark.parametrize("unknown", ["", " ", "nan", "NaN"])
def test_a_score_that_is_not_known_is_none(tmp_path: Path, unknown: str) -> None:
    head = HEAD.replace("label", "label,label_T")
    folder = label_csv(tmp_path / "d", f"v,1,hm,{unknown},{unknown},,train", head=head)
    (clip,) = dataset.load(folder).clips
    assert (clip.label, clip.labels) == (None, {})


def test_a_line_number_counts_lines_and_not_rows(tmp_path: Path) -> None:
    folder = label_csv(tmp_path / "d", 'v,1,"two\nlines",0.5,,train', "v,2,hm,0,,dev")
    with pytest.raises(UserError, match="label.csv:4: unknown split"):
        dataset.load(folder)


@pytest.mark.parametrize("odd", ["\u2028", "\x85", "\x0b", "\u202e", "\x00"])
def test_odd_characters_stay_inside_their_transcript(tmp_path: Path, odd: str) -> None:
    folder = label_csv(tmp_path / "d", f"v,1,a{odd}b,0.5,,train", "v,2,c,0,,test")
    first, second = dataset.load(folder).clips
    assert (first.text, second.text) == (f"a{odd}b", "c")


def test_a_very_long_transcript_is_read(tmp_path: Path) -> None:
    text = " ".join(["word"] * 50_000)
    (clip,) = dataset.load(label_csv(tmp_path / "d", f"v,1,{text},0.5,,train")).clips
    assert clip.text == text


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no dataset; give a folder with label.csv"):
        dataset.load(tmp_path)
    with pytest.raises(UserError, match="holds no clips"):
        dataset.load(label_csv(tmp_path / "d"))
    with pytest.raises(UserError, match=r"label.csv:2: no column text, label, split"):
        dataset.load(label_csv(tmp_path / "d", "a,b", head="id,other"))
    (tmp_path / "gbk.csv").write_bytes("id,text,label,split\na,你好,1,train".encode("gbk"))
    with pytest.raises(UserError, match="gbk.csv:2: not UTF-8"):
        dataset.load(tmp_path / "gbk.csv")
    (tmp_path / "bad.jsonl").write_text('{"id": 1}\nnot json\n')
    with pytest.raises(UserError, match="bad.jsonl:2: not JSON"):
        dataset.load(tmp_path / "bad.jsonl")


@pytest.mark.parametrize(
    ("texts", "language"), [(["hello", "你好", "再见"], "zh"), (["hello", "bye", "再见", ""], "en")]
)
def test_the_language_is_that_of_most_transcripts(
    tmp_path: Path, texts: list[str], language: str
) -> None:
    lines = [f"v,{i},{text},0,,train" for i, text in enumerate(texts)]
    assert dataset.load(label_csv(tmp_path / "d", *lines)).language == language
