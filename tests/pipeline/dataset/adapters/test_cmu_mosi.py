"""The public CMU-MOSI archive, laid out as it unpacks, as a dataset like any other."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from pipeline import dataset
from pipeline.checks.dataset import check
from pipeline.dataset.layouts import archive_of
from pipeline.dataset.span import Span
from pipeline.errors import UserError
from pipeline.runner.extract import extract
from pipeline.runner.serial import run_serially
from pipeline.store.cache import open_cache
from tests.support.archives import mosi
from tests.support.bad_media.making import filmed, good, spoken

TEXTS = {
    "_dI--eQ6qVU": {1: "IT WAS REALLY GOOD", 2: "I HATED IT", 10: "YOU_KNOW WHAT"},
    "03bSnISJMiM": {1: "ANYHOW"},
}


def archive(folder: Path, scores: bool = False) -> Path:
    """Four segments of two videos, with empty files for media."""
    raw = folder / "Raw"
    for place in ("Video/Segmented", "Audio/WAV_16000/Segmented", "Transcript/Segmented", "Labels"):
        (raw / place).mkdir(parents=True)
    for video, lines in TEXTS.items():
        text = "".join(f"{number}_DELIM_{line}\n" for number, line in lines.items())
        (raw / f"Transcript/Segmented/{video}.annotprocessed").write_text(text)
        for number in lines:
            (raw / f"Video/Segmented/{video}_{number}.mp4").touch()
            (raw / f"Audio/WAV_16000/Segmented/{video}_{number}.wav").touch()
    if scores:
        rows = ["0.1,2.5,_dI--eQ6qVU,1,2.4", "2.5,4,_dI--eQ6qVU,2,-1.8", "0,1,03bSnISJMiM,1,0"]
        (raw / "Labels/OpinionLevelSentiment.csv").write_text("\n".join(rows))
    return folder


def test_segments_are_clips_by_video_and_number(tmp_path: Path) -> None:
    found = dataset.load(archive(tmp_path / "MOSI"))
    assert found.name == "MOSI"
    ids = ["03bSnISJMiM/1", "_dI--eQ6qVU/1", "_dI--eQ6qVU/2", "_dI--eQ6qVU/10"]
    assert [clip.id for clip in found.clips] == ids
    last = found.clips[-1]
    assert last.text == "YOU_KNOW WHAT"
    assert last.video == str(tmp_path / "MOSI/Raw/Video/Segmented/_dI--eQ6qVU_10.mp4")
    assert last.sound == str(tmp_path / "MOSI/Raw/Audio/WAV_16000/Segmented/_dI--eQ6qVU_10.wav")
    assert {(clip.label, clip.split) for clip in found.clips} == {(None, "")}


def test_the_folder_inside_may_be_given_too(tmp_path: Path) -> None:
    folder = archive(tmp_path / "MOSI")
    assert dataset.load(folder / "Raw").clips == dataset.load(folder).clips


def test_the_archives_own_scores_are_read(tmp_path: Path) -> None:
    labels = {c.id: c.label for c in dataset.load(archive(tmp_path / "MOSI", scores=True)).clips}
    assert labels == {
        "03bSnISJMiM/1": 0.0, "_dI--eQ6qVU/1": 2.4, "_dI--eQ6qVU/2": -1.8, "_dI--eQ6qVU/10": None,
    }  # fmt: skip


def test_a_label_csv_has_the_last_word_and_the_archive_the_media(tmp_path: Path) -> None:
    folder = archive(tmp_path / "MOSI", scores=True)
    (folder / "label.csv").write_text(
        "video_id,clip_id,text,label,annotation,mode\n_dI--eQ6qVU,2,i hated it,-2,Negative,test\n"
    )
    (clip,) = dataset.load(folder).clips
    assert (clip.text, clip.label, clip.split) == ("i hated it", -2.0, "test")
    assert clip.video == str(folder / "Raw/Video/Segmented/_dI--eQ6qVU_2.mp4")
    assert clip.audio is not None


def test_beside_transcripts_alone_a_label_csv_keeps_its_own_media(tmp_path: Path) -> None:
    folder = tmp_path / "MOSI"
    (folder / "Raw/Transcript/Segmented").mkdir(parents=True)
    (folder / "label.csv").write_text(
        "video_id,clip_id,text,label,annotation,mode\nv,2,i hated it,-2,Negative,test\n"
    )
    (clip,) = dataset.load(folder).clips
    assert clip.video == str(folder / "Raw/v/2.mp4")


def test_segments_without_transcript_and_transcripts_without_media_are_clips(
    tmp_path: Path,
) -> None:
    folder = archive(tmp_path / "MOSI")
    (folder / "Raw/Video/Segmented/new_7.mp4").touch()
    (folder / "Raw/Video/Segmented/03bSnISJMiM_1.mp4").unlink()
    clips = {clip.id: clip for clip in dataset.load(folder).clips}
    assert clips["new/7"].text == ""
    assert clips["03bSnISJMiM/1"].video is not None, "a file that is gone is a fault, not a lack"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("Transcript/Segmented/v.annotprocessed", b"1_DELIM_a\n2 b\n", r"annotprocessed:2: expect"),
        (
            "Transcript/Segmented/v.annotprocessed",
            b"1_DELIM_a\xff\n",
            r"annotprocessed:1: not UTF-8",
        ),
        ("Labels/OpinionLevelSentiment.csv", b"0,1,v,1\n", r"Sentiment.csv:1: expected start, end"),
        ("Labels/OpinionLevelSentiment.csv", b"0,1,v,1,bad\n", r"label 'bad' is not a number"),
        ("Labels/OpinionLevelSentiment.csv", b"0,1,v,1,\xff\n", r"Sentiment.csv:1: not UTF-8"),
        (
            "Labels/OpinionLevelSentiment.csv",
            b"0,1,v,1,1\n0,1,v,1,1\n0,1,v,1,2\n",
            r"Sentiment.csv:3: segment 'v_1' already appears at .*Sentiment.csv:1, otherwise",
        ),
        (
            "Transcript/Segmented/v.annotprocessed",
            b"1_DELIM_a\n1_DELIM_b\n",
            r"annotprocessed:2: segment 'v_1' already appears at .*annotprocessed:1, otherwise",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_with_file_and_line(
    tmp_path: Path, file: str, content: bytes, message: str
) -> None:
    folder = archive(tmp_path / "MOSI")
    (folder / "Raw" / file).write_bytes(content)
    with pytest.raises(UserError, match=message):
        dataset.load(folder)


def test_the_archive_is_extracted(tmp_path: Path) -> None:
    folder = archive(tmp_path / "MOSI")
    for path in folder.rglob("*.mp4"):
        good(lambda: filmed(seconds=0.6), samples=None)(path)
    for number, path in enumerate(sorted(folder.rglob("*.wav"))):
        soundfile.write(path, spoken(2.0) * 0.1 * (number + 1), 16_000)
    stages = {
        "frames": {"keep": True},
        "audio": None,
        "mfcc": {"needs": "audio"},
        "bert": {"weights": "random"},
    }
    (tmp_path / "stages.yaml").write_text(yaml.safe_dump({"stages": stages}))
    done = extract(folder, tmp_path / "stages.yaml", run_serially, str(tmp_path / "cache"))
    assert [outcome.error for outcome in done.outcomes] == [""] * 4
    cache = open_cache(done.cache_url)
    for stage in ("frames", "mfcc", "bert"):
        assert cache[stage].states.tolist() == ["ok"] * 4, cache[stage].reasons
    assert np.isfinite(cache["mfcc"].read()).all()
    assert cache.clips["text"].tolist()[0] == "ANYHOW"


def test_of_full_videos_segments_are_spans_in_the_splits_of_the_sdk(tmp_path: Path) -> None:
    folder = mosi(tmp_path / "MOSI")
    found = archive_of(folder)
    assert found
    rows = {row["id"]: row for _, row in found.rows()}
    second = rows["_dI--eQ6qVU/2"]
    assert second["video"] == str(folder / "Raw/Video/Full/_dI--eQ6qVU.mp4")
    assert (second["start"], second["end"], second["split"]) == ("2.5", "4", "train")
    assert rows["v/1"]["split"] == "valid"
    clips = {clip.id: clip for clip in dataset.load(folder).clips}
    assert clips["_dI--eQ6qVU/2"].span == Span(2.5, 4)
    head = "video_id,clip_id,text,label,annotation,mode"
    (folder / "label.csv").write_text(f"{head}\n_dI--eQ6qVU,2,it was,1,,test\n")
    (clip,) = dataset.load(folder).clips
    assert (clip.video, clip.span) == (second["video"], Span(2.5, 4))


def test_without_the_sdks_folds_it_is_said_what_to_copy(tmp_path: Path) -> None:
    folder = mosi(tmp_path / "MOSI")
    (folder / "cmu_mosi_std_folds.py").unlink()
    (what,) = (issue.what for issue in check(folder).issues if issue.kind == "no splits")
    assert "copy it into this folder" in what
    assert "cmu_mosi_std_folds.py" in what


@pytest.mark.parametrize("content", ["import os", "standard_train_fold = open('x')", "a = ("])
def test_folds_that_are_no_lists_are_refused_and_never_run(tmp_path: Path, content: str) -> None:
    folder = mosi(tmp_path / "MOSI")
    (folder / "cmu_mosi_std_folds.py").write_text(content)
    with pytest.raises(UserError, match="expected lists of videos called standard_train_fold"):
        dataset.load(folder)
