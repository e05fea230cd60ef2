"""MELD as it unpacks, with what is amiss in it, as its own issues tell."""

from pathlib import Path

from pipeline import dataset
from pipeline.checks.clip import Issue
from pipeline.checks.dataset import check
from tests.support.archives import meld
from tests.support.bad_media.making import good, plain

SMALL = good(plain(6, 64, 48))


def told(issues: tuple[Issue, ...], kind: str) -> list[tuple[str, str]]:
    return [(issue.where, issue.what) for issue in issues if issue.kind == kind]


def test_utterances_are_clips_with_an_emotion_and_a_sentiment(tmp_path: Path) -> None:
    folder = meld(tmp_path / "MELD.Raw")
    clips = {clip.id: clip for clip in dataset.load(folder).clips}
    assert list(clips) == [
        "train_dia0_utt0", "train_dia0_utt1", "train_dia125_utt3", "val_dia0_utt0",
        "val_dia110_utt7", "test_dia0_utt0", "test_dia1_utt1",
    ]  # fmt: skip
    clip = clips["val_dia0_utt0"]
    assert (clip.classes, clip.split) == ({"emotion": "sadness", "sentiment": "negative"}, "valid")
    assert clip.video == str(folder / "dev_splits_complete/dia0_utt0.mp4")
    assert clips["train_dia0_utt1"].video == str(folder / "train/train_splits/dia0_utt1.mp4")
    assert dataset.load(tmp_path).clips == tuple(clips.values()), "the folder above it will do"


def test_quotes_of_windows_are_quotes_however_they_are_encoded(tmp_path: Path) -> None:
    folder = meld(tmp_path / "MELD")
    path = folder / "dev_sent_emo.csv"
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp1252"))
    texts = [clip.text for clip in dataset.load(folder).clips]
    assert texts[1] == "You must’ve had your hands full."  # U+0092 in UTF-8
    assert texts[3] == "Oh my God, he’s lost it."  # the byte 0x92
    assert texts[5].startswith("Why do all you’re")


def test_the_corrupt_clip_the_missing_one_and_second_cuts_are_named(tmp_path: Path) -> None:
    folder = meld(tmp_path / "MELD", SMALL)
    checked = check(folder)
    differs = told(checked.issues, "not as published")
    assert ("train", "2 of 9989 published clips; unusable: train_dia125_utt3") in differs
    assert ("valid", "1 of 1109 published clips; unusable: val_dia110_utt7") in differs
    assert ("test", "2 of 2610 published clips") in differs
    emotions = next(what for where, what in differs if what.startswith("emotion: anger 0 of 345"))
    assert "joy 1 of 402" in emotions
    assert [where for where, _ in told(checked.issues, "missing file")] == ["val_dia110_utt7"]
    test = folder / "output_repeated_splits_test"
    dev = folder / "dev_splits_complete"
    why = "a second cut of clips, which the tables don't name"
    assert told(checked.issues, "file without a row") == [
        (str(dev / "dia66_utt9.mp4"), "no valid row names it"),
        (str(test), f"2 files final_videos_test…, not used: {why}"),
    ]


def test_clips_may_lie_as_mertools_has_them(tmp_path: Path) -> None:
    folder = meld(tmp_path / "MELD")
    (folder / "train/train_splits").rename(folder / "clips")
    for path in (folder / "clips").iterdir():
        path.rename(folder / "train" / path.name)
    (first, *_) = dataset.load(folder).clips
    assert first.video == str(folder / "train/dia0_utt0.mp4")


def test_tables_alone_are_a_dataset_of_transcripts(tmp_path: Path) -> None:
    folder = meld(tmp_path / "MELD")
    for path in folder.rglob("*.mp4"):
        path.unlink()
    for name in ("train/train_splits", "dev_splits_complete", "output_repeated_splits_test"):
        (folder / name).rmdir()
    assert {clip.video for clip in dataset.load(folder).clips} == {None}
