"""The sample is what it says: its layout, its media, its splits, what tells its labels."""

import csv
import hashlib
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline import dataset, media
from pipeline.dag.spec import Stages
from pipeline.dataset.clip import SPLITS
from pipeline.dataset.language import HAN
from pipeline.dataset.load import Dataset
from pipeline.errors import MissingModalityError, UserError
from pipeline.media.waveform import normalised
from pipeline.sample import footage, voice
from pipeline.sample.sentences import LANGUAGES, LEVELS, sentence, supply
from pipeline.sample.write import CLIPS, FEWEST, MOST, SPECIAL, plan, write_sample

MAN_LATE_S = 3.95  # when the man of `single_face.mp4` appears in `noface_face.mov`


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest sample, which has all the special clips."""
    folder = tmp_path_factory.mktemp("data") / "sample"
    write_sample(folder, FEWEST)
    return folder


@pytest.fixture(scope="module")
def sample(folder: Path) -> Dataset:
    return dataset.load(folder)


def files(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def video(folder: Path, special: str) -> str:
    return str(folder / "Raw" / f"{SPECIAL[special]}.mp4")


def pitch_hz(samples: np.ndarray) -> float:
    """The strongest period of the whole, between 70 and 350 Hz."""
    spectrum = np.fft.rfft(samples, 2 * len(samples))
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)
    shortest, longest = voice.RATE_HZ // 350, voice.RATE_HZ // 70
    return voice.RATE_HZ / (shortest + int(correlation[shortest:longest].argmax()))


def test_the_layout_is_the_one_of_mmsa(folder: Path, sample: Dataset) -> None:
    rows = list(csv.DictReader((folder / "label.csv").open(encoding="utf-8", newline="")))
    columns = "video_id clip_id text label label_T label_A label_V annotation mode"
    assert list(rows[0]) == columns.split()
    videos = {path.relative_to(folder / "Raw") for path in (folder / "Raw").rglob("*.mp4")}
    assert videos == {Path(row["video_id"], row["clip_id"] + ".mp4") for row in rows}
    assert {row["clip_id"] for row in rows} == {f"000{n}" for n in range(1, 8)}
    assert len(sample.clips) == FEWEST
    assert all(clip.text for clip in sample.clips)
    assert {bool(HAN.search(clip.text)) for clip in sample.clips} == {True, False}


def test_the_stages_file_runs_without_fetched_weights(folder: Path) -> None:
    stages = Stages.load(folder / "stages.yaml")
    assert [s.name for s in stages if s.name in ("faces", "mfcc", "bert")]
    weights = [dump["weights"] for s in stages if "weights" in (dump := s.settings.model_dump())]
    assert weights == ["random"] * 4


def test_every_clip_is_h264_with_aac_of_its_length(sample: Dataset) -> None:
    planned = {f"{script.video_id}/{script.clip_id}": script for script in plan(FEWEST)}
    for clip in sample.clips:
        with av.open(str(clip.video)) as container:
            pictures = container.streams.video[0]
            assert pictures.codec_context.name == "h264"
            assert (pictures.width, pictures.height) == (footage.WIDTH_PX, footage.HEIGHT_PX)
            frames = sum(1 for _ in container.decode(video=0))
            assert frames / footage.FPS == pytest.approx(planned[clip.id].seconds)
            sound = [stream.codec_context.name for stream in container.streams.audio]
        assert sound == ([] if clip.id == SPECIAL["no sound"] else ["aac"])
        if sound:
            heard = media.sound(str(clip.video))
            seconds = heard.samples.shape[1] / heard.rate_hz
            assert seconds == pytest.approx(planned[clip.id].seconds, abs=1024 / voice.RATE_HZ)


def test_faces_are_where_they_should_be(folder: Path, sample: Dataset) -> None:
    from facenet_pytorch import MTCNN

    detector = MTCNN(keep_all=True, min_face_size=40, device="cpu")

    def has_face(path: str) -> list[bool]:
        pictures = [rgb for _, rgb in media.frames(path)]
        return [boxes is not None for boxes in detector.detect(pictures)[0]]

    assert not any(has_face(video(folder, "no face")))
    late, leaves = (has_face(video(folder, name)) for name in ("face late", "face leaves"))
    assert not any(late[: len(late) * 2 // 3])
    assert all(late[-8:])
    assert all(leaves[:5])
    assert not any(leaves[len(leaves) // 3 :])
    for clip in sample.clips:
        if clip.id not in [SPECIAL[name] for name in ("no face", "face late", "face leaves")]:
            pictures = [rgb for _, rgb in media.frames(str(clip.video))][::6]
            boxes, _ = detector.detect(pictures)
            widths = [max(b[:, 2] - b[:, 0]) if b is not None else 0 for b in boxes]
            assert min(widths) >= 50, clip.id


def test_sound_is_lacking_or_silent_where_it_should_be(folder: Path, sample: Dataset) -> None:
    with pytest.raises(MissingModalityError):
        media.sound(video(folder, "no sound"))
    assert not media.sound(video(folder, "silence")).samples.any()
    for clip in sample.clips:
        if clip.id not in (SPECIAL["no sound"], SPECIAL["silence"]):
            assert np.abs(media.sound(str(clip.video)).samples).max() > 0.05


def test_the_same_bytes_are_written_each_time(folder: Path, tmp_path: Path) -> None:
    write_sample(tmp_path / "again", FEWEST)
    assert files(tmp_path / "again") == files(folder)


def test_a_whole_sample_is_left_alone_and_a_broken_one_is_mended(folder: Path) -> None:
    before = files(folder)
    clip = folder / "Raw" / f"{SPECIAL['silence']}.mp4"
    written_ns = clip.stat().st_mtime_ns
    write_sample(folder, FEWEST)
    assert clip.stat().st_mtime_ns == written_ns
    (folder / "label.csv").unlink()
    clip.write_bytes(b"half")
    write_sample(folder, FEWEST)
    assert files(folder) == before


def test_what_is_no_sample_is_not_touched(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for target, clips, message in [
        (tmp_path, FEWEST, "holds other files; name a new or empty folder"),
        (tmp_path / "notes.txt", FEWEST, "is a file"),
        (folder, FEWEST + 1, "holds another sample"),
        (tmp_path / "new", FEWEST - 1, f"has {FEWEST} to {MOST} clips, not {FEWEST - 1}"),
    ]:
        before = files(tmp_path)
        with pytest.raises(UserError, match=message):
            write_sample(target, clips)
        assert files(tmp_path) == before


def test_splits_are_large_enough_and_balanced() -> None:
    scripts = plan()
    assert len(scripts) == CLIPS >= 48
    for split, share in zip(SPLITS, (0.6, 0.2, 0.2), strict=True):
        labels = [script.label for script in scripts if script.split == split]
        assert len(labels) == round(share * CLIPS) >= 14
        assert {labels.count(level) for level in LEVELS} == {len(labels) // len(LEVELS)}
    assert all(1 <= script.seconds <= 6 for script in scripts)
    assert max(script.seconds for script in scripts) == 6
    for script in scripts:
        label, *by_modality = (float(str(score)) for score in script.row[3:7])
        assert max(map(abs, (label, *by_modality))) <= 1
        assert script.row[7] == ("Negative", "Neutral", "Positive")[int(np.sign(label)) + 1]


def test_more_clips_keep_the_earlier_ones() -> None:
    assert plan(MOST)[:FEWEST] == plan(FEWEST)
    assert plan(FEWEST, seed=1) != plan(FEWEST)


@pytest.mark.parametrize("clips", [48, CLIPS, MOST])
def test_no_sentence_comes_twice(clips: int) -> None:
    texts = [script.text for script in plan(clips)]
    assert len(set(texts)) == clips


def test_every_sentence_of_a_level_is_another_one() -> None:
    for split in SPLITS:
        for language in LANGUAGES:
            numbers = range(supply(split))
            said = {sentence(split, level, language, n) for level in LEVELS for n in numbers}
            assert len(said) == supply(split) * len(LEVELS)
            with pytest.raises(IndexError):
                sentence(split, 0.0, language, supply(split))


def test_no_stretch_of_footage_is_in_two_splits() -> None:
    def shown(cut: footage.Cut) -> tuple[str, float, float]:
        if cut == footage.FACE_LATE:
            return footage.MAN, 0.0, cut.end_s - MAN_LATE_S
        if cut == footage.FACE_LEAVES:
            return footage.MAN, cut.start_s, cut.end_s
        return cut.file + ("" if cut.end_s else str(cut.at)), cut.start_s, cut.end_s

    cuts = [*footage.CUTS, footage.FACE_LATE, footage.FACE_LEAVES]
    for one in cuts:
        for other in cuts:
            (file, start_s, end_s), (of, begin_s, stop_s) = shown(one), shown(other)
            if file == of and one.split != other.split:
                assert end_s < begin_s or stop_s < start_s, (one, other)


def test_what_is_seen_goes_with_the_label() -> None:
    scripts = plan()
    for split in SPLITS:
        pairs = [(s.label, s.cut.score) for s in scripts if s.split == split]
        assert 0.7 < np.corrcoef(np.array(pairs).T)[0, 1] < 1


def test_polar_words_of_one_split_tell_the_polarity_of_another() -> None:
    scripts = plan()
    words = [set(HAN.findall(s.text)) | set(s.text.lower().strip(".").split()) for s in scripts]
    vocabulary = sorted(set().union(*words))
    counts = np.array([[word in said for word in vocabulary] for said in words], float)
    labels = np.array([s.label for s in scripts])
    is_train = np.array([s.split == "train" for s in scripts])
    seen = counts[is_train]
    weights = np.linalg.solve(seen.T @ seen + np.eye(len(vocabulary)), seen.T @ labels[is_train])
    is_test = np.array([s.split == "test" for s in scripts])
    assert 0.6 < np.corrcoef(counts[is_test] @ weights, labels[is_test])[0, 1] < 0.99


def test_pitch_loudness_and_pauses_carry_the_mood() -> None:
    scores = np.repeat(LEVELS, 6)
    voices = [voice.speak(2.0, s, np.random.default_rng([7, n])) for n, s in enumerate(scores)]
    levelled = [normalised(v).astype(float) for v in voices]
    traits = {
        "pitch": [pitch_hz(v) for v in voices],
        "loudness": [float(np.log(np.abs(v).max())) for v in voices],
        "fullness, which outlasts peak normalisation": [float(v.std()) for v in levelled],
    }
    for name, values in traits.items():
        assert 0.6 < np.corrcoef(values, scores)[0, 1] < 0.99, name
    assert all(np.abs(v).max() < 1 for v in voices)
    assert {(v.dtype.name, v.shape) for v in voices} == {("float32", (2 * voice.RATE_HZ,))}
