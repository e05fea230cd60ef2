"""Adapters: what they read, and what they refuse with file and line."""

import json
from contextlib import suppress
from pathlib import Path
from random import Random

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


@pytest.mark.parametrize("column", ["text", "label", "label_T", "mode", "extra"])
def test_a_column_that_appears_twice_is_refused(tmp_path: Path, column: str) -> None:
    head = f"{HEAD},label_T,extra,{column}"
    told = rf"label.csv:1: column '{column}' appears twice"
    with pytest.raises(UserError, match=told):
        dataset.load(label_csv(tmp_path / "d", "v,1,hm,0,,train,0,x,y", head=head))


def test_columns_without_a_name_are_no_matter(tmp_path: Path) -> None:
    (clip,) = dataset.load(label_csv(tmp_path / "d", "v,1,hm,0,,train,,", head=f"{HEAD},,")).clips
    assert clip.text == "hm"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"id": "a", "text": "x", "label": 1, "label": 2, "split": "test"}', "'label' appears tw"),
        ('{"id": "a", "text": "x", "label": 1e400, "split": "test"}', "'inf' is not a number"),
        ('{"id": "a", "text": "x", "label": Infinity, "split": "test"}', "'inf' is not a number"),
        ('{"id": "a", "text": "x", "label": true, "split": "test"}', "'True' is not a number"),
        ('{"id": "a", "text": {"x": 1}, "label": 1, "split": "test"}', "no column text"),
        ('{"id": "a", "text": "x", "label": ' + "9" * 5000 + "}", "not JSON"),
        ('{"id": "a", "text": "x", "more": ' + "[" * 100_000 + "}", "nested too deeply"),
        ('{"id": "a", "text": "x", "label": 1, "split": "test", "video": "a\\u0000b"}', "a NUL"),
    ],
)
def test_a_line_that_cannot_be_right_is_refused_with_its_number(
    tmp_path: Path, line: str, told: str
) -> None:
    first = '{"id": "b", "text": "", "label": NaN, "split": "train", "more": {"nested": [1]}}'
    (tmp_path / "d.jsonl").write_text(f"{first}\n{line}\n")
    with pytest.raises(UserError, match=rf"d.jsonl:2: .*{told}"):
        dataset.load(tmp_path / "d.jsonl")


@pytest.mark.parametrize("score", ["1e400", "-1e999", "inf", "1_0", "0x1", "one"])
def test_a_score_that_is_no_number_is_refused(tmp_path: Path, score: str) -> None:
    with pytest.raises(UserError, match=rf"label.csv:2: label '{score}' is not a number"):
        dataset.load(label_csv(tmp_path / "d", f"v,1,hm,{score},,train"))


def test_a_column_is_a_label_by_its_whole_name(tmp_path: Path) -> None:
    others = "labeled_by,label2,relabel_T,label_,Label_V,label_T"
    row = "v,1,hm,0.5,,train,Ann,7,8,9,0,0.25"
    (clip,) = dataset.load(label_csv(tmp_path / "d", row, head=f"{HEAD},{others}")).clips
    assert (clip.label, clip.labels) == (0.5, {"T": 0.25})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (HEAD.encode("utf-16"), r"label.csv:1: not UTF-8"),
        (f"{HEAD}\nv,1,caf\xe9,0,,train".encode("latin-1"), r"label.csv:2: not UTF-8"),
        (f"{HEAD}\nv,1,{'x' * (1 << 24)}x,0,,train".encode(), r"label.csv:2: field larger than"),
        (f'{HEAD}\nv,1,"never closed,0,,train'.encode(), r"label.csv:2: unexpected end of data"),
        (b",".join(b"%d" % n for n in range(10**6)) + b"\n1\n", r"no column .*and \d+ more$|expec"),
        (f"{HEAD}\nv,1,hm,{'high' * 10**6},,train".encode(), r"label 'high.*…' is not a number"),
    ],
    ids=["utf-16", "latin-1", "huge field", "no end", "a million columns", "a huge score"],
)
def test_a_table_that_cannot_be_read_is_one_short_line(
    tmp_path: Path, content: bytes, told: str
) -> None:
    label_csv(tmp_path / "d").joinpath("label.csv").write_bytes(content)
    with pytest.raises(UserError, match=told) as refused:
        dataset.load(tmp_path / "d")
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_whatever_a_table_holds_it_is_read_or_refused(tmp_path: Path, suffix: str) -> None:
    """Bytes changed, cut, doubled and put elsewhere, from a seed."""
    head = b"id,video,text,label,label_T,split\n"
    lines = [b"a,a.mp4,hello,0.5,1,train\n", b'b,,"two\nlines",,nan,test\n']
    if suffix == "jsonl":
        head = b""
        row = {"id": "a", "video": "a.mp4", "text": "x", "label": 0.5, "label_T": 1}
        lines = [json.dumps({**row, "id": id, "split": "test"}).encode() + b"\n" for id in "ab"]
    whole, random = head + b"".join(lines), Random(0)
    odd = [b"\0", b"\xff", b"\xef\xbb\xbf", b'"', b",", b"\n", b"\r", b"1e400", b"{", b"[" * 5000,
           "\u2028".encode(), b"\\ud800", b"9" * 5000]  # fmt: skip
    path = tmp_path / f"d.{suffix}"
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(random.randint(1, 4)):
            start, stop = sorted(random.randrange(len(content) + 1) for _ in range(2))
            put = random.choice([random.choice(odd), bytes(content[start:stop]) * 2, b""])
            content[start : min(stop, start + random.randint(0, 6))] = put
        path.write_bytes(content)
        with suppress(UserError):
            dataset.load(path)
