"""One clock: frames, sound and MFCC steps of one instant have one time, zero at the first picture.

Each file shows a white picture and clicks at one instant; containers, delays and edit lists differ.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from pipeline import media
from pipeline.dataset.clip import Clip
from pipeline.extractors.audio import Audio
from pipeline.extractors.frames import Frames
from pipeline.extractors.mfcc import Mfcc
from pipeline.media.waveform import RATE_HZ
from pipeline.stage.result import ClipInputs
from tests.support.media_files import write

CLICK_S = 0.004  # it lasts 2 ms; the ends of lossy codecs' blocks smear it a little
TRIMMED = {"avoid_negative_ts": "disabled", "use_editlist": "1"}  # what is before 0 is cut
# The container, its codecs, and when pictures and sound begin in the file.
CASES = [
    ("mp4", "libx264", "aac", 0.0, 0.0),
    ("mp4", "libx264", "aac", 0.4, 0.0),
    ("mp4", "libx264", "aac", 0.0, 0.4),
    ("mp4", "libx264", "alac", 1.2, 0.4),
    ("mp4", "libx264", "aac", -0.4, 0.0),
    ("mp4", "libx264", "libmp3lame", 0.0, -0.4),
    ("mov", "mpeg4", "pcm_s16le", -0.52, -0.3),
    ("mov", "mpeg4", "pcm_s16le", 1.2, 0.4),
    ("mkv", "libx264", "libopus", 0.4, 0.0),
    ("webm", "libvpx", "libopus", 0.0, 0.4),
    ("ts", "libx264", "aac", 1.2, 0.4),
    ("ts", "mpeg2video", "mp2", 0.0, 0.4),
    ("mpg", "mpeg2video", "mp2", 0.4, 0.0),
    ("flv", "flv", "libmp3lame", 1.2, 0.4),
    ("avi", "mpeg4", "pcm_s16le", 0.0, 0.0),
]


def made(tmp_path: Path, case: tuple[str, str, str, float, float], **options: Any) -> Path:
    suffix, pictures, codec, pictures_from_s, sound_from_s = case
    return write(
        tmp_path / f"a.{suffix}",
        codec,
        pictures,
        rate_hz=44_100 if suffix == "flv" else 48_000,
        event_s=max(pictures_from_s, sound_from_s, 0.0) + 0.4,
        pictures_from_s=pictures_from_s,
        sound_from_s=sound_from_s,
        options=TRIMMED if min(pictures_from_s, sound_from_s) < 0 else {},
        **options,
    )


def audio(path: Path, **settings: Any) -> dict[str, np.ndarray]:
    stage = Audio(Audio.Settings(**settings))
    (result,) = stage.extract([ClipInputs(Clip("a", video=str(path)))])
    assert result.state == "ok", result.reason
    return dict(result.rows)


def flash_s(path: Path) -> tuple[float, float]:
    """When the white picture is shown, and when the first is on the file's own clock."""
    stage = Frames(Frames.Settings())
    (result,) = stage.extract([ClipInputs(Clip("a", video=str(path)))])
    pixels = result.rows["pixels"].reshape(*result.rows["shape"], 3)
    white = int(pixels.mean(axis=(1, 2, 3)).argmax())
    return float(result.rows["times"][white]), float(result.rows["begins_s"])


def click_s(samples: np.ndarray) -> float:
    return int(np.abs(samples.astype(int)).argmax()) / RATE_HZ


def loudest_step_s(samples: np.ndarray) -> float:
    """The time of the MFCC row that is loudest: the middle of its window."""
    settings = Mfcc.Settings()
    row = int(Mfcc(settings, 32).rows(samples)[:, 0].argmax())
    return (row * settings.hop_ms + settings.window_ms / 2) / 1000


@pytest.mark.parametrize("case", CASES, ids=str)
def test_frames_samples_and_mfcc_steps_are_on_one_time_axis(tmp_path: Path, case: Any) -> None:
    path = made(tmp_path, case)
    shown_s, begins_s = flash_s(path)
    rows = audio(path)
    heard_s = click_s(rows["samples"])
    assert heard_s == pytest.approx(shown_s, abs=CLICK_S)
    assert loudest_step_s(rows["samples"]) == pytest.approx(shown_s, abs=0.010 + 0.025 / 2)
    assert float(rows["begins_s"]) == pytest.approx(begins_s, abs=1e-6)
    assert float(rows["late_s"]) == 0


@pytest.mark.parametrize("case", CASES, ids=str)
def test_sound_that_is_kept_whole_says_when_it_begins(tmp_path: Path, case: Any) -> None:
    path = made(tmp_path, case)
    shown_s, begins_s = flash_s(path)
    rows = audio(path, span="sound")
    heard_s = click_s(rows["samples"])
    assert float(rows["late_s"]) + heard_s == pytest.approx(shown_s, abs=CLICK_S)
    assert float(rows["begins_s"]) + heard_s == pytest.approx(begins_s + shown_s, abs=CLICK_S)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_pass_tells_of_sound_and_pictures_what_two_do(
    tmp_path: Path, case: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(made(tmp_path, case))
    heard, shown = media.load_audio(path), media.video_span(path)
    opened, av_open = [], av.open

    def watched(*args: Any, **how: Any) -> Any:
        opened.append(args)
        return av_open(*args, **how)

    monkeypatch.setattr(av, "open", watched)
    with media.SoundReader() as reader:
        both, pictures = reader.read_with_pictures(path)
        assert pictures is not None
        assert pictures.shown() == shown
    assert len(opened) == 1
    np.testing.assert_array_equal(both.samples, heard.samples)
    assert replace(both, samples=heard.samples) == heard


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_file_that_begins_amid_an_open_group_begins_with_what_can_be_shown(
    tmp_path: Path, codec: str
) -> None:
    x26 = f"{codec[3:]}-params"
    group = {x26: "open-gop=1:keyint=10:min-keyint=1:bframes=3:scenecut=0:log-level=none"}
    whole = made(tmp_path, ("mkv", codec, "aac", 0.0, 0.6), stream_options=group)
    path = tmp_path / "rest.mkv"
    with av.open(str(whole)) as read, av.open(str(path), "w") as written:
        streams = {s.index: written.add_stream_from_template(s) for s in read.streams}
        is_shown = False
        for packet in read.demux():
            is_second_key = packet.is_keyframe and (packet.pts or 0) > 0
            is_shown |= packet.stream.type == "video" and is_second_key
            is_kept = is_shown or packet.stream.type == "audio"
            if packet.dts is not None and is_kept:  # pictures before the key come after it, too
                packet.stream = streams[packet.stream.index]
                written.mux(packet)
    shown_s, begins_s = flash_s(path)
    assert media.video_span(str(path)) == pytest.approx((begins_s, 1.6, begins_s), abs=0.01)
    assert click_s(audio(path)["samples"]) == pytest.approx(shown_s, abs=CLICK_S)


def test_sound_alone_and_a_separate_audio_file_begin_at_zero(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, RATE_HZ)
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ)
    late = str(write(tmp_path / "a.mp4", "", "libx264", pictures_from_s=0.4))
    for clip in (
        Clip("a", audio=str(tmp_path / "a.wav")),
        Clip("a", late, str(tmp_path / "a.wav")),
    ):
        (result,) = Audio(Audio.Settings(span="sound")).extract([ClipInputs(clip)])
        assert (result.rows["begins_s"], result.rows["late_s"]) == (0, 0)


def test_a_gap_in_the_sound_is_silence_and_what_follows_keeps_its_time(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.mkv", "pcm_s16le", "mpeg4", event_s=1.2)
    path = tmp_path / "b.mkv"
    with av.open(str(whole)) as read, av.open(str(path), "w") as written:
        streams = {s.index: written.add_stream_from_template(s) for s in read.streams}
        for packet in read.demux():
            is_gone = packet.stream.type == "audio" and packet.pts and 400 <= packet.pts < 900
            if packet.dts is not None and not is_gone:
                packet.stream = streams[packet.stream.index]
                written.mux(packet)
    heard = media.load_audio(str(path))
    assert heard.note == "0.51 s of the sound are missing and silent"
    shown_s, _ = flash_s(path)
    assert click_s(audio(path)["samples"]) == pytest.approx(shown_s, abs=CLICK_S)
