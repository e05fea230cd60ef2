"""Who speaks: the one whose mouth moves while there is sound, not the one whose face is largest."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.dataset.clip import Clip
from pipeline.extractors.faces import Faces
from pipeline.faces.people import choose
from pipeline.faces.speech import Level, heard_motion
from pipeline.faces.tracker import Face, Track
from pipeline.inspect.timeline import quality
from pipeline.media import Frames
from pipeline.media.waveform import RATE_HZ
from pipeline.media.write_mp4 import write_mp4
from pipeline.stage.result import OK, ClipInputs, ClipResult
from tests.pipeline.faces.test_quality import shown

FPS = 25
HELD = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)


def track(begins: int, ends: int, *, moves: bool, size: float = 1, walks: float = 0) -> Track:
    """A face a frame whose mouth opens and shuts, or doesn't."""
    found: Track | None = None
    for i in range(begins, ends):
        points = HELD.copy()
        points[3:, 1] += 4 * (i % 2) * moves
        points = points * size + walks * i
        image = np.random.default_rng(1).integers(0, 256, (112, 112, 3), np.uint8)
        box = np.array([0, 0, 100 * size, 100 * size], np.float32)
        face = Face(i / FPS, box, points.astype(np.float32), 0.99, image)
        if found is None:
            found = Track(face, i)
        else:
            found.append(face, i)
    assert found is not None
    return found


def loud(begins_s: float, ends_s: float, seconds: float = 2) -> Level:
    samples = np.zeros(round(seconds * RATE_HZ), np.float32)
    samples[round(begins_s * RATE_HZ) : round(ends_s * RATE_HZ)] = 0.4
    return Level(samples)


def test_a_level_is_1_where_it_is_loudest_and_0_in_silence_and_beyond_the_end() -> None:
    level = loud(0.5, 1).at(np.array([0.1, 0.5, 0.75, 1.5, 7]))
    assert level == pytest.approx([0, np.sqrt(0.5), 1, 0, 0], abs=1e-3)
    assert not Level(np.zeros(100, np.float32)).at(np.array([0.0, 0.1])).any()


def test_a_mouth_counts_while_there_is_sound_whatever_its_size_and_where_the_head_goes() -> None:
    talks = heard_motion(track(0, 50, moves=True), loud(0, 2))
    assert talks == pytest.approx(49 * 4 / 40, rel=0.05)
    assert heard_motion(track(0, 50, moves=True, size=3, walks=2), loud(0, 2)) == pytest.approx(
        talks, rel=1e-4
    )
    assert heard_motion(track(0, 50, moves=True), loud(0, 1)) == pytest.approx(talks / 2, rel=0.1)
    assert heard_motion(track(0, 50, moves=False, walks=2), loud(0, 2)) < 1e-3 * talks
    assert heard_motion(track(0, 1, moves=True), loud(0, 2)) == 0


def test_speech_decides_in_place_of_the_area_and_tells_how_near_the_next_came() -> None:
    tracks = [track(0, 50, moves=False, size=2), track(0, 50, moves=True)]
    assert choose(tracks, relink=False).chosen == [0]
    choice = choose(tracks, relink=False, speech=[0.3, 1.2])
    assert choice.chosen == [1]
    assert choice.runner_up == pytest.approx(0.25)
    assert choose(tracks, relink=False, speech=[0.0, 1e-3]).runner_up == 0


def test_the_sound_of_a_span_is_on_the_clock_of_its_pictures(tmp_path: Path) -> None:
    """A second of silence, then one of noise, then silence; also where the sound is a file."""
    sound = np.zeros(3 * RATE_HZ, np.float32)
    sound[RATE_HZ : 2 * RATE_HZ] = np.random.default_rng(1).uniform(-0.5, 0.5, RATE_HZ)
    path, apart = tmp_path / "a.mp4", tmp_path / "a.wav"
    write_mp4(path, iter(np.zeros((75, 32, 32, 3), np.uint8)), FPS, sound, RATE_HZ)
    soundfile.write(apart, sound, RATE_HZ)
    for audio in (None, str(apart)):
        span = Clip("a", video=str(path), audio=audio, start_s=0.6, end_s=1.8)
        level = Level.of(span).at(np.array([0.2, 0.4, 0.6, 1.1]))
        assert level == pytest.approx([0, np.sqrt(0.5), 1, 1], abs=0.05)


def two(sound: np.ndarray | None, path: Path) -> ClipResult:
    """A large face that is still and, to its right, a small one that moves."""
    still, moving = shown("WolfgangLanger_Pexels.mp4", 1)[0], shown("single_face.mp4", 6)
    pictures = [np.hstack([still, rgb]) for rgb in moving]
    write_mp4(path, iter(pictures), FPS, sound, RATE_HZ)
    given = Frames.of([(i / FPS, rgb) for i, rgb in enumerate(pictures)])
    stage = Faces(Faces.Settings(follow="speaker", device="cpu"))
    clip = Clip("a", video=str(path))
    (result,) = stage.extract([ClipInputs(clip, {"frames": given})])
    assert result.state == OK
    return result


def is_right(result: ClipResult) -> bool:
    return float(result.rows["boxes"][0, 0]) > 640


def test_the_speaker_is_followed_where_there_is_sound_and_else_the_largest(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, RATE_HZ).astype(np.float32)
    heard = two(noise, tmp_path / "heard.mp4")
    assert is_right(heard)
    assert heard.rows["speech"].shape == (2,)
    # A picture that stands still has no motion but for rounding.
    assert heard.rows["runner_up"] == pytest.approx(0, abs=1e-5)
    silent = two(None, tmp_path / "silent.mp4")
    assert not is_right(silent)
    assert silent.reason.startswith("the largest face is followed: no sound")
    assert np.isnan(silent.rows["speech"]).all()
    told = [dict(quality(result.rows))["Second person"] for result in (heard, silent)]
    assert told[0] == "0 % of the mouth's motion while there is sound"
    assert told[1].endswith(" % as large")


def test_the_default_is_the_fingerprint_of_before_and_the_speaker_depends_on_the_sound() -> None:
    usual, speaker = Faces(Faces.Settings()), Faces(Faces.Settings(follow="speaker"))
    assert "follow" not in usual.settings.affecting_results()
    assert "speech" not in usual.writes()
    assert speaker.settings.affecting_results()["follow"] == "speaker"
    assert usual.reads == frozenset()
    assert speaker.reads == {"video", "audio"}
