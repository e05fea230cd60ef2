"""CMU-MOSEI with the SDK's labels: joined with its sentences by time, read without trust."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline import dataset
from pipeline.dataset.adapters.cmu_mosei import CmuMosei
from pipeline.errors import UserError
from tests.support.archives import csd, mosei


def rows(folder: Path) -> dict[str, dict[str, str]]:
    found = CmuMosei.at(folder)
    assert found is not None
    return {row["id"]: dict(row) for _, row in found.rows()}


def test_labels_are_in_the_sdks_order_and_sentences_found_by_time(tmp_path: Path) -> None:
    clips = {clip.id: clip for clip in dataset.load(mosei(tmp_path / "MOSEI")).clips}
    clip = clips["_0efYOjQYRc/0"]
    assert (clip.text, clip.split) == ("Deloitte announced it.", "train")
    assert clip.label == pytest.approx(-1.3333334)
    assert clip.labels == {
        "happy": 0, "sad": 1, "anger": 2, "surprise": 0, "disgust": pytest.approx(2 / 3), "fear": 0,
    }  # fmt: skip
    assert clips["_0efYOjQYRc/1"].text == "Vettese has served___as partner."
    assert "_0efYOjQYRc/2" not in clips, "nobody judged it"


def test_what_has_no_sentence_or_no_fold_is_a_clip_all_the_same(tmp_path: Path) -> None:
    found = rows(mosei(tmp_path / "MOSEI"))
    assert (found["22821/40.000"]["text"], found["22821/40.000"]["split"]) == ("", "valid")
    assert found["-NFrJFQijFE/0.400"]["split"] == ""


def test_a_clip_is_its_own_file_or_a_span_of_the_full_video(tmp_path: Path) -> None:
    folder = mosei(tmp_path / "MOSEI")
    found = rows(folder)
    videos = folder / "Raw/Videos"
    assert found["81406/4"]["video"] == str(videos / "Segmented/Combined/81406_4.mp4")
    assert "start" not in found["81406/4"]
    span = found["_0efYOjQYRc/0"]
    assert span["video"] == str(videos / "Full/Combined/_0efYOjQYRc.mp4")
    assert float(span["start"]) == 0, "it began before the video"
    assert float(span["end"]) == pytest.approx(8.025)
    assert rows(folder / "Raw") == found


def linked(path: Path) -> None:
    csd(path.with_name("other.h5"), {"v": [(0, 1, [0] * 7)]})
    with h5py.File(path, "w") as file:
        file["All Labels/data/v"] = h5py.ExternalLink("other.h5", "All Labels/data/v")


def held_elsewhere(path: Path) -> None:
    with h5py.File(path, "w") as file:
        video = file.create_group("All Labels/data/v")
        video.create_dataset("intervals", data=np.zeros((1, 2)))
        raw = [(str(path.with_name("secret")), 0, 56)]
        video.create_dataset("features", (1, 7), "float64", external=raw)


def too_wide(path: Path) -> None:
    csd(path, {"v": [(0, 1, [0] * 8)]})


def unequal(path: Path) -> None:
    csd(path, {"v": [(0, 1, [0] * 7)]})
    with h5py.File(path, "a") as file:
        del file["All Labels/data/v/intervals"]
        file["All Labels/data/v/intervals"] = np.zeros((2, 2))


def a_bomb(path: Path) -> None:
    with h5py.File(path, "w") as file:
        video = file.create_group("All Labels/data/v")
        video.create_dataset("intervals", (10**9, 2), "float64", chunks=(1024, 2))
        video.create_dataset("features", (10**9, 7), "float64", chunks=(1024, 7))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (linked, "'v' is a link or missing"),
        (held_elsewhere, "its values are in another file"),
        (too_wide, r"rows of 7 numbers, got \(1, 8\)"),
        (unequal, "has 2 intervals, but 1 rows of features"),
        (a_bomb, "expected up to 100000 rows"),
        (lambda path: path.write_bytes(b"no HDF5"), "can't be read"),
        (lambda path: h5py.File(path, "w").close(), "no computational sequence"),
    ],
)
def test_a_file_that_is_no_such_sequence_is_refused(
    tmp_path: Path, make: Callable[[Path], object], told: str
) -> None:
    make(tmp_path / "CMU_MOSEI_Labels.csd")
    with pytest.raises(UserError, match=told):
        rows(tmp_path)
