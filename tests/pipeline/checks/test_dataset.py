"""`smp dataset check`: every planted fault is found where it is, and a sound dataset passes."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from model.cli.group import main
from pipeline.checks.clip import check_clip
from pipeline.checks.dataset import check
from pipeline.dataset.clip import Clip
from tests.support.bad_media.cases import CASES, BadClips
from tests.support.bad_media.making import (
    cut,
    damaged,
    good,
    noise,
    plain,
    sound_alone,
    wav,
    without_index,
    written,
)
from tests.support.media_files import write

HEAD = "video_id,clip_id,text,label,annotation,mode"
ROWS = {
    "1": "v,1,it was good,1.2,Positive,train",
    "2": "v,2,it was bad,-2.4,Negative,valid",
    "3": "v,3,it was there,0,Neutral,test",
}


def small(number: int) -> Callable[[Path], object]:
    """A few grey pictures with a voice; each number another content."""
    return lambda path: good(plain(6 + number, 64, 48))(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three sound clips, one a split."""
    (raw := tmp_path / "talks" / "Raw" / "v").mkdir(parents=True)
    for number in ROWS:
        small(int(number))(raw / f"{number}.mp4")
    return table(tmp_path / "talks", ROWS.values())


def table(folder: Path, rows: object, head: str = HEAD) -> Path:
    (folder / "label.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")  # type: ignore[misc]
    return folder


def smp(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["dataset", "check", *map(str, arguments)])


def found(folder: Path, decode: bool = False) -> dict[tuple[str, str], tuple[str, bool]]:
    """Kind and place of each issue → what, and whether it would fail."""
    issues = check(folder, decode).issues
    kept = {(i.kind, i.where): (i.what, i.fails) for i in issues}
    assert len(kept) == len(issues)
    return kept


def test_a_sound_dataset_passes_with_its_counts(folder: Path) -> None:
    checked = check(folder, decode=True)
    assert checked.issues == ()
    counts = checked.splits["train"]
    assert (counts.clips, counts.labelled, counts.text) == (1, 1, 1)
    assert (counts.pictures, counts.sound) == (1, 1)
    assert counts.seconds == pytest.approx(0.7, abs=0.15)
    done = smp(folder)
    assert done.exit_code == 0
    assert "No problems found." in done.output
    assert "1284" in done.output
    assert "1368" in done.output


def test_sound_of_avi_files_is_well_and_a_cut_off_one_is_found(folder: Path) -> None:
    raw = folder / "Raw" / "v"
    for clip, codec in (("1", "pcm_s16le"), ("2", "adpcm_ms"), ("3", "pcm_s24le")):
        write(folder / "a.avi", codec, "mpeg4").rename(raw / f"{clip}.mp4")
    assert found(folder, decode=True) == {}
    content = (raw / "2.mp4").read_bytes()
    (raw / "2.mp4").write_bytes(content[: len(content) // 2])
    (what, fails) = found(folder)["unreadable", "v/2"]
    assert "is cut off at 0." in what
    assert fails


def test_json_has_everything(folder: Path) -> None:
    (folder / "Raw" / "v" / "2.mp4").unlink()
    done = smp(folder, "--json")
    assert done.exit_code == 1
    told = json.loads(done.output)
    assert told["fails"] is True
    assert told["splits"]["valid"]["pictures"] == 0
    assert told["published"]["CH-SIMS"] == {"train": 1368, "valid": 456, "test": 457}
    (finding,) = told["findings"]
    assert (finding["kind"], finding["where"], finding["fails"]) == ("missing file", "v/2", True)


def silent(path: Path) -> None:
    """Sound that is over before it begins, whatever its name says."""
    soundfile.write(path, np.zeros(0), 16_000, format="WAV")


# What is put in place of clip 2's file; what is found; whether it takes decoding.
MEDIA: list[tuple[str, Callable[[Path], object], str, bool]] = [
    ("empty", written(b""), "the file is empty", False),
    ("no samples", silent, "video is empty", False),
    ("text", written(b"no video at all"), "can't be opened", False),
    ("a folder", Path.mkdir, "Is a directory", False),
    ("no index", damaged(without_index, small(2)), "its index (moov) is missing", False),
    ("cut at the end", damaged(cut(0.5), good(plain(20, 64, 48))), "is cut off", False),
    ("damaged inside", damaged(noise, good(plain(20, 64, 48), samples=None)), "pictures", True),
]


@pytest.mark.parametrize(("name", "make", "reason", "decode"), MEDIA, ids=[m[0] for m in MEDIA])
def test_a_file_that_would_fail_is_found(
    folder: Path, name: str, make: Callable[[Path], object], reason: str, decode: bool
) -> None:
    place = folder / "Raw" / "v" / "2.mp4"
    place.unlink()
    make(place)
    if decode:
        assert ("unreadable", "v/2") not in found(folder), "to open it tells nothing"
    what, fails = found(folder, decode=decode)["unreadable", "v/2"]
    assert reason in what
    assert fails
    assert smp(folder, *(["--decode"] if decode else [])).exit_code == 1


@pytest.mark.slow
def test_of_all_bad_and_odd_clips_those_that_fail_are_found_and_no_others(
    bad_clips: BadClips,
) -> None:
    """What is opened alone may pass though it fails later; what fails to open must fail."""
    for case in [case for case in CASES if case.can_be_made()]:
        row = bad_clips.rows[case.name]
        media = {p: str(bad_clips.folder / row[p]) for p in ("video", "audio") if p in row}
        clip = Clip(case.name, media.get("video"), media.get("audio"), "hm")
        does_fail = any(outcome.startswith("failed") for outcome in (case.faces, case.audio))
        opened, decoded = (
            [issue.what for issue in check_clip(clip, decode, True).issues if issue.fails]
            for decode in (False, True)
        )
        assert bool(decoded) == does_fail, (case.name, decoded)
        assert does_fail or not opened, (case.name, opened)


def test_a_clip_without_pictures_or_sound_is_a_warning(folder: Path) -> None:
    raw = folder / "Raw" / "v"
    sound_alone("aac", "mp4")(raw / "1.mp4")
    good(plain(6, 64, 48), samples=None)(raw / "2.mp4")
    kept = found(folder)
    assert kept.keys() == {("no pictures", "v/1"), ("no sound", "v/2")}
    assert smp(folder).exit_code == 0


def test_a_missing_file_is_found_with_one_of_nearly_its_name(folder: Path) -> None:
    """A table that went through a spreadsheet has 1 for 0001."""
    raw = folder / "Raw" / "v"
    (raw / "1.mp4").rename(raw / "0001.MP4")
    what, fails = found(folder)["missing file", "v/1"]
    assert what.endswith("; there is 0001.MP4")
    assert fails


ROW_FAULTS = [
    ("v,2,again,0,,dev", "bad row", "unknown split 'dev'; one of train, valid, test", True),
    ("v,2,hm,high,,test", "bad row", "label 'high' is not a number", True),
    ("v,2,hm,0", "bad row", "expected 6 columns", True),
    ("../x,2,hm,0,,test", "bad row", "leaves the dataset's folder", True),
    ("v,1,again,0,,valid", "duplicate id", "id 'v/1' already appears at ", True),
]


@pytest.mark.parametrize(("row", "kind", "what", "fails"), ROW_FAULTS)
def test_a_bad_row_is_found_with_its_line_and_the_others_are_looked_at(
    folder: Path, row: str, kind: str, what: str, fails: bool
) -> None:
    table(folder, [*ROWS.values(), row])
    kept = found(folder)
    told, does_fail = kept[kind, f"{folder}/label.csv:5"]
    assert what in told
    assert does_fail == fails
    assert len(kept) == 1
    assert check(folder).splits["train"].pictures == 1


CLIP_FAULTS = [
    ("v,2,hm,-4,Negative,valid", "label out of scale", "label -4 is beyond ±3", True),
    ("v,2,hm,0.4,Negative,valid", "label and annotation disagree", "'Negative', but", False),
    ("v,2,hm,0,positive,valid", "label and annotation disagree", "'positive', but", False),
    ("v,2, ,-1,Negative,valid", "empty text", "no transcript", False),
]


@pytest.mark.parametrize(("row", "kind", "what", "fails"), CLIP_FAULTS)
def test_what_does_not_fit_together_is_found(
    folder: Path, row: str, kind: str, what: str, fails: bool
) -> None:
    table(folder, [ROWS["1"], row, ROWS["3"]])
    kept = found(folder)
    told, does_fail = kept[kind, "v/2"]
    assert what in told
    assert does_fail == fails
    assert len(kept) == 1
    assert smp(folder).exit_code == int(fails)


def test_a_slip_on_the_narrow_scale_is_found_but_not_the_wide_scale(tmp_path: Path) -> None:
    narrow = [f"v,{i},hm,{i / 20},,train" for i in range(20)]
    head = f"{HEAD},label_T"
    rows = [*(f"{row},0.2" for row in narrow), "v,20,hm,1.8,,valid,0.1", "v,21,hm,1,,test,-2"]
    (tmp_path / "d").mkdir()
    assert found(table(tmp_path / "d", rows, head)) == {
        ("label out of scale", "v/20"): ("label 1.8, where 42 of 44 are within ±1", False),
        ("label out of scale", "v/21"): ("label_T -2, where 42 of 44 are within ±1", False),
    }
    wide = [f"v,{i},hm,{i / 10 - 3},,{('train', 'valid', 'test')[i % 3]}" for i in range(60)]
    assert found(table(tmp_path / "d", wide)) == {}


def test_a_split_without_labels_is_found(folder: Path) -> None:
    table(folder, [ROWS["1"], "v,2,hm,,,valid", ROWS["3"]])
    assert found(folder).keys() == {("empty split", "valid")}


def test_the_same_content_under_two_ids_is_leakage_across_splits(folder: Path) -> None:
    raw = folder / "Raw" / "v"
    for copy in ("4", "5"):
        (raw / f"{copy}.mp4").write_bytes((raw / "1.mp4").read_bytes())
    table(folder, [*ROWS.values(), "v,4,x,1,,train", "v,5,x,1,,test"])
    assert found(folder) == {
        ("same content", "v/4"): ("the same content as v/1", False),
        ("leakage", "v/5"): ("the same content as v/1 (train; this is test)", False),
    }


def test_files_that_no_row_names_are_found(folder: Path) -> None:
    (folder / "Raw" / "w").mkdir()
    for place in ("v/9.mp4", "w/1.avi"):
        small(1)(folder / "Raw" / place)
    (folder / "Raw" / "v" / "notes.txt").write_text("not media")
    raw = folder / "Raw"
    Path(os.fsdecode(os.fsencode(raw / "v") + b"/odd\xff.mp4")).touch()
    assert found(folder).keys() == {
        ("file without a row", str(raw / "v" / "9.mp4")),
        ("file without a row", str(raw / "w" / "1.avi")),
        ("file without a row", str(raw / "v") + "/odd\\udcff.mp4"),
    }
    assert "odd\\udcff.mp4" in smp(folder).output


def test_a_manifest_is_checked(folder: Path, tmp_path: Path) -> None:
    wav()(tmp_path / "a.wav")
    lines = [
        {"id": "a", "audio": "a.wav", "text": "hm", "label": 1, "split": "train"},
        {"id": "b", "video": "talks/Raw/v/2.mp4", "text": "hm", "label": 0, "split": "valid"},
        {"id": "c", "text": "hm", "label": 0, "split": "test"},
        {"id": "d", "audio": "d.wav", "text": "hm", "label": 0, "split": "test"},
    ]
    manifest = tmp_path / "mine.jsonl"
    manifest.write_text("\n".join(map(json.dumps, lines)))
    raw = folder / "Raw" / "v"
    assert found(manifest).keys() == {
        ("no media", "c"),
        ("missing file", "d"),
        ("file without a row", str(raw / "1.mp4")),
        ("file without a row", str(raw / "3.mp4")),
    }


def test_the_mosi_archive_is_checked(tmp_path: Path) -> None:
    raw = tmp_path / "MOSI" / "Raw"
    for place in ("Video/Segmented", "Transcript/Segmented"):
        (raw / place).mkdir(parents=True)
    (raw / "Transcript/Segmented/v.annotprocessed").write_text("1_DELIM_GOOD\n2_DELIM_BAD\n")
    small(1)(raw / "Video/Segmented/v_1.mp4")
    kept = found(tmp_path / "MOSI")
    assert {kind for kind, _ in kept} == {
        "missing file", "empty split", "no splits", "not as published",
    }  # fmt: skip
    assert check(tmp_path / "MOSI").splits[""].clips == 2


def test_what_cannot_be_read_at_all_is_said(folder: Path, tmp_path: Path) -> None:
    (folder / "label.csv").write_bytes(b"\xff\xfe")
    ((kind, _), (what, fails)) = next(iter(found(folder).items()))
    assert (kind, fails) == ("bad table", True)
    assert "not UTF-8" in what
    assert found(table(folder, [])) == {
        ("bad table", str(folder / "label.csv")): ("holds no clips", True)
    }
    assert smp(tmp_path / "nothing").exit_code == 2


def test_many_findings_are_cut_short_unless_all_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    splits = ("train", "valid", "test")
    table(tmp_path / "d", [f"v,{i},,0,,{splits[i % 3]}" for i in range(30)])
    short = smp(tmp_path / "d").output
    assert "empty text: 30\n" in short
    assert "… and 20 more" in short
    assert smp(tmp_path / "d", "--all").output.count("no transcript") == 30


def test_columns_that_look_like_labels_are_named(folder: Path) -> None:
    rows = [f"{row},Ann,1,0" for row in ROWS.values()]
    table(folder, rows, f"{HEAD},labeled_by,Label_T,label_T")
    done = smp(folder)
    assert done.exit_code == 0, "a warning"
    told = "labeled_by, Label_T: not taken as labels, which are `label`, `label_…` and"
    assert f"{folder / 'label.csv'}: {told}" in done.stdout
