"""Sound: decoding, mixing, resampling, levels, and the picture's time span."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline import media
from pipeline.dataset.clip import Clip
from pipeline.errors import ClipError, MissingModalityError
from pipeline.extractors.audio import Audio
from pipeline.media.sound import RATES_HZ
from pipeline.media.waveform import RATE_HZ, normalised, placed, resampled
from pipeline.media.write_mp4 import write_mp4
from pipeline.stage.result import ClipInputs, ClipResult
from tests.support.paths import SHARED

FEAT = Path((find_spec("feat").submodule_search_locations or [""])[0]) / "tests" / "data"  # type: ignore[union-attr]
PICTURES = [np.full((32, 32, 3), value, np.uint8) for value in range(0, 200, 4)]  # 2 s at 25 fps


def tone(hz, seconds=1.0, rate_hz=RATE_HZ, peak=0.5):
    return peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def heard(clip: Clip, **settings) -> ClipResult:
    (result,) = Audio(Audio.Settings(**settings)).extract([ClipInputs(clip)])
    return result


def samples(clip: Clip, **settings) -> np.ndarray:
    result = heard(clip, **settings)
    assert result.state == "ok", result.reason
    return result.rows["samples"]


def level_db(signal):
    """RMS in dB of a full-scale sine."""
    return 10 * np.log10(max(2 * np.mean(np.square(signal, dtype=np.float64)), 1e-30))


def remux(source: Path, target: Path) -> Path:
    """The same packets in another container."""
    import av

    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        streams = {s.index: written.add_stream_from_template(s) for s in read.streams}
        for packet in read.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                written.mux(packet)
    return target


# --- level ------------------------------------------------------------------------------------


@pytest.mark.parametrize("peak", [1.0, 0.3, 0.001])
def test_peak_is_at_minus_3_dbfs_within_a_hundredth(tmp_path, peak):
    soundfile.write(tmp_path / "a.wav", tone(440, peak=peak), RATE_HZ, subtype="FLOAT")
    result = heard(Clip("a", audio=str(tmp_path / "a.wav")))
    found = 20 * np.log10(np.abs(result.rows["samples"].astype(int)).max() / 32_768)
    assert abs(found + 3.0) < 0.01
    assert result.rows["peak_dbfs"] == pytest.approx(20 * np.log10(peak), abs=0.01)


def test_sound_over_full_scale_does_not_clip(tmp_path):
    loud = tone(440, peak=3.0)
    soundfile.write(tmp_path / "a.wav", loud, RATE_HZ, subtype="FLOAT")
    got = samples(Clip("a", audio=str(tmp_path / "a.wav")))
    np.testing.assert_allclose(got, loud / np.abs(loud).max() * 32_768 * 10 ** (-3 / 20), atol=0.51)


@pytest.mark.parametrize("peak", [0.0, 1e-6])
def test_silence_stays_silence_and_is_noted(tmp_path, peak):
    soundfile.write(tmp_path / "a.wav", tone(440, peak=peak), RATE_HZ, subtype="FLOAT")
    result = heard(Clip("a", audio=str(tmp_path / "a.wav")))
    assert (result.state, result.length, result.reason) == ("ok", 1, "digital silence")
    assert result.rows["samples"].shape == (RATE_HZ,)
    assert not result.rows["samples"].any()
    assert np.isfinite(result.rows["peak_dbfs"])


def test_levels_at_the_limit_of_16_bits_are_still_int16():
    assert normalised(np.array([-1.0, 1.0]), -0.1).tolist() == [-32393, 32393]


# --- channels ---------------------------------------------------------------------------------


def test_channels_are_mixed_as_their_plain_mean(tmp_path):
    left, right = tone(400), tone(1500, peak=0.2)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), RATE_HZ, subtype="FLOAT")
    got = samples(Clip("a", audio=str(tmp_path / "a.wav")))
    np.testing.assert_array_equal(got, normalised(((left + right) / 2).astype(np.float32)))


def test_opposite_channels_cancel_to_silence(tmp_path):
    left = tone(400)
    soundfile.write(tmp_path / "a.flac", np.stack([left, -left], 1), RATE_HZ, subtype="PCM_24")
    assert not samples(Clip("a", audio=str(tmp_path / "a.flac"))).any()


def test_all_six_channels_of_a_5_1_stream_count(tmp_path):
    centre = np.zeros((6, 2 * 48_000))
    centre[2] = tone(1000, 2, 48_000, peak=0.6)
    write_mp4(tmp_path / "a.mp4", PICTURES, 25, centre, 48_000)
    assert media.load_audio(str(tmp_path / "a.mp4")).samples.shape[0] == 6
    result = heard(Clip("a", video=str(tmp_path / "a.mp4")))
    before = 10 ** (float(result.rows["peak_dbfs"]) / 20)  # what the normalisation undid
    steady = result.rows["samples"][RATE_HZ // 2 : -RATE_HZ // 2] / 23_198 * before
    assert level_db(steady) == pytest.approx(20 * np.log10(0.6 / 6), abs=0.1)


# --- resampling -------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("hz", [100, 1_000, 3_500, 7_000])
def test_a_tone_keeps_frequency_amplitude_and_phase(rate_hz, hz):
    if hz > 0.46 * rate_hz:
        pytest.skip("beyond that rate's band")
    got = resampled(tone(hz, 1, rate_hz), rate_hz)
    assert len(got) == RATE_HZ
    inner = slice(2000, -2000)
    # Against a peak of −6 dB; at the end of its band soxr is up to 0.01 dB off.
    assert level_db(got[inner] - tone(hz)[inner]) < (-65 if hz == 7_000 else -85)


@pytest.mark.parametrize("rate_hz", [22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("hz", [8_050, 8_500, 10_000])
def test_what_16_khz_cannot_hold_leaves_no_alias(rate_hz, hz):
    got = resampled(tone(hz, 1, rate_hz, peak=1.0), rate_hz)
    assert level_db(got[2000:-2000]) < -120


@pytest.mark.parametrize("rate_hz", [*RATES_HZ, 1_001, 8_000, 44_056, 44_100, 48_000, 767_999])
def test_any_rate_gives_the_exact_length_and_keeps_an_impulse_in_its_place(rate_hz):
    for n in (1, 7, 1000, rate_hz // 2 + 13):
        assert len(resampled(np.ones(n), rate_hz)) == int(np.ceil(n * RATE_HZ / rate_hz))
    impulse = np.zeros(rate_hz)
    impulse[rate_hz // 4] = 1
    energy = resampled(impulse, rate_hz).astype(float) ** 2
    centre_s = (energy * np.arange(len(energy))).sum() / energy.sum() / RATE_HZ
    assert centre_s == pytest.approx(rate_hz // 4 / rate_hz, abs=0.01 / RATE_HZ)


# --- files and containers ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "subtype", "bits"),
    [
        ("a.wav", "PCM_24", 20),
        ("a.wav", "PCM_U8", 6),
        ("a.flac", "PCM_16", 14),
        ("a.aiff", "FLOAT", 20),
    ],
)
def test_audio_files_of_any_depth(tmp_path, name, subtype, bits):
    wave = tone(440)
    soundfile.write(tmp_path / name, wave, 44_100, subtype=subtype)
    found = media.load_audio(str(tmp_path / name))
    assert (found.samples.dtype, found.rate_hz) == (np.float32, 44_100)
    np.testing.assert_allclose(found.samples[0], wave, atol=2.0**-bits)


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_lossy_audio_files(tmp_path, name):
    soundfile.write(tmp_path / name, tone(440), RATE_HZ)
    got = samples(Clip("a", audio=str(tmp_path / name)))
    assert abs(len(got) - RATE_HZ) < 200
    spectrum = np.abs(np.fft.rfft(got, RATE_HZ))
    assert spectrum.argmax() == 440


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_s24le", "pcm_u8", "pcm_f32le", "flac", "mp2"])
def test_sample_formats_inside_a_container(tmp_path, codec):
    import av

    wave = np.stack([tone(440, 0.5, 48_000), tone(880, 0.5, 48_000)]).astype(np.float32)
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48_000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, 0
        resampler = av.AudioResampler(stream.format, "stereo", 48_000, stream.frame_size or None)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode())
    found = media.load_audio(str(path)).samples
    for channel, hz in zip(found, (440, 880), strict=True):
        spectrum = np.abs(np.fft.rfft(channel, 48_000))
        assert abs(int(spectrum.argmax()) - hz) <= 1
    assert np.abs(found).max() == pytest.approx(0.5, abs=0.05)


def test_the_default_of_several_sound_streams_is_taken_and_noted(tmp_path):
    import av

    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        streams = [container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono") for _ in range(2)]
        streams[1].disposition = av.stream.Disposition.default
        for stream, hz in zip(streams, (300, 900), strict=True):
            wave = (tone(hz)[None] * 32_767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE_HZ, 0
            container.mux([*stream.encode(frame), *stream.encode()])
    result = heard(Clip("a", video=str(tmp_path / "a.mkv")))
    assert result.reason == "sound stream 2 of 2 taken (1 channel), not 1 (1 channel)"
    assert np.abs(np.fft.rfft(result.rows["samples"])).argmax() == 900


# --- trouble ----------------------------------------------------------------------------------


def test_a_clip_without_media_or_sound_misses_sound(tmp_path):
    assert heard(Clip("a")) == ClipResult.missing("no media")
    write_mp4(tmp_path / "mute.mp4", PICTURES, 25)
    result = heard(Clip("a", video=str(tmp_path / "mute.mp4")))
    assert (result.state, result.length) == ("missing", 0)
    assert result.reason.startswith("no sound stream")


def test_an_empty_sound_stream_is_missing_but_an_empty_audio_file_is_at_fault(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), RATE_HZ)
    write_mp4(tmp_path / "a.mp4", PICTURES, 25, np.zeros(0))
    states = [heard(Clip("a", audio=str(tmp_path / f"a.{suffix}"))) for suffix in ("wav", "mp4")]
    assert [result.state for result in states] == ["failed", "missing"]


@pytest.mark.parametrize("name", ["gone.wav", "gone.mp4"])
def test_a_file_that_is_not_there_fails_by_name(tmp_path, name):
    result = heard(Clip("a", audio=str(tmp_path / name)))
    assert (result.state, result.reason) == ("failed", f"sound not found: {tmp_path / name}")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.aiff", "a.mp4"])
@pytest.mark.parametrize("left", [0.0, 0.5])
def test_a_file_that_was_cut_off_fails(tmp_path, name, left):
    path = tmp_path / name
    if name == "a.mp4":
        write_mp4(path, PICTURES, 25, tone(440, 2))
    else:
        soundfile.write(path, tone(440, 4), RATE_HZ)
    path.write_bytes(path.read_bytes()[: int(left * path.stat().st_size)])
    with pytest.raises(ClipError, match=r"sound (stops at|can't be|is empty)") as error:
        media.load_audio(str(path))
    assert not isinstance(error.value, MissingModalityError)


@pytest.mark.parametrize("name", ["a.wav", "a.mp4"])
def test_noise_in_place_of_a_file_fails(tmp_path, name):
    (tmp_path / name).write_bytes(np.random.default_rng(0).bytes(50_000))
    result = heard(Clip("a", audio=str(tmp_path / name)))
    assert result.state == "failed"
    assert "\n" not in result.reason


def test_samples_that_are_no_numbers_fail(tmp_path):
    wave = tone(440)
    wave[7] = np.nan
    soundfile.write(tmp_path / "a.wav", wave, RATE_HZ, subtype="FLOAT")
    result = heard(Clip("a", audio=str(tmp_path / "a.wav")))
    assert result.state == "failed"
    assert "1 of 16000 samples are not finite" in result.reason


def test_a_bad_clip_does_not_cost_its_neighbours(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(440), RATE_HZ)
    clips = [Clip("a", audio=str(tmp_path / name)) for name in ("a.wav", "b.wav", "a.wav")]
    results = Audio(Audio.Settings()).extract([ClipInputs(clip) for clip in clips])
    assert [result.state for result in results] == ["ok", "failed", "ok"]


# --- the picture's time span ------------------------------------------------------------------


def click(at_s, seconds, rate_hz=48_000):
    wave = np.zeros(round(seconds * rate_hz))
    wave[round(at_s * rate_hz)] = 0.9
    return wave


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "mov"])
def test_sound_lines_up_with_the_picture_in_spite_of_the_encoders_priming(tmp_path, container):
    write_mp4(tmp_path / "a.mp4", PICTURES, 25, click(0.5, 2), 48_000)
    path = tmp_path / f"a.{container}"
    if container != "mp4":
        remux(tmp_path / "a.mp4", path)
    got = samples(Clip("a", video=str(path)))
    assert len(got) == 2 * RATE_HZ
    assert abs(int(np.abs(got.astype(int)).argmax()) - RATE_HZ // 2) <= 0.001 * RATE_HZ


@pytest.mark.parametrize("seconds", [1.0, 3.0])
def test_sound_lasts_as_long_as_the_picture(tmp_path, seconds):
    write_mp4(tmp_path / "a.mp4", PICTURES, 25, tone(440, seconds, 48_000), 48_000)
    clip = Clip("a", video=str(tmp_path / "a.mp4"))
    result = heard(clip)
    assert len(result.rows["samples"]) == 2 * RATE_HZ
    assert result.rows["duration_s"] == 2.0
    assert abs(len(samples(clip, span="sound")) - seconds * RATE_HZ) < 0.05 * RATE_HZ
    if seconds < 2:
        assert not result.rows["samples"][round(1.1 * RATE_HZ) :].any()


def test_a_separate_audio_file_is_cut_to_its_video(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(440, 5), RATE_HZ)
    write_mp4(tmp_path / "a.mp4", PICTURES, 25)
    audio, video = str(tmp_path / "a.wav"), str(tmp_path / "a.mp4")
    assert len(samples(Clip("a", video=video, audio=audio))) == 2 * RATE_HZ
    assert len(samples(Clip("a", audio=audio))) == 5 * RATE_HZ
    result = heard(Clip("a", video=str(tmp_path / "gone.mp4"), audio=audio))
    assert len(result.rows["samples"]) == 5 * RATE_HZ
    assert result.reason.startswith("not trimmed to the picture: video not found")


def test_placing_pads_and_cuts_on_both_sides():
    ones = np.ones(RATE_HZ, np.float32)
    early = placed(ones, -0.25, 2.0)
    assert (len(early), int(early.sum())) == (2 * RATE_HZ, 12_000)
    late = placed(ones, 0.5, 1.0)
    assert (len(late), int(late.sum()), late[7_999], late[8_000]) == (RATE_HZ, 8_000, 0, 1)
    assert len(placed(ones, 0.0, 1.04)) == RATE_HZ  # within 50 ms of the picture's end
    for late_s in (-1.0, 1.5):
        with pytest.raises(MissingModalityError, match="while the picture lasts"):
            placed(ones, late_s, 1.0)


def test_a_single_picture_is_no_time_span(tmp_path):
    write_mp4(tmp_path / "a.mp4", PICTURES[:1], 25, tone(440, 2))
    assert media.video_span(str(tmp_path / "a.mp4")) is None
    assert len(samples(Clip("a", video=str(tmp_path / "a.mp4")))) >= 2 * RATE_HZ


# --- real footage -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["single_face.mp4", "face_noface.mov", "no_face.mp4"])
def test_real_videos(name):
    path = str(FEAT / name)
    span = media.video_span(path)
    assert span is not None
    got = samples(Clip("a", video=path))
    assert abs(len(got) / RATE_HZ - (span[1] - span[0])) <= 0.05
    assert np.abs(got.astype(int)).max() == 23_198


def test_sound_that_begins_late_in_a_real_video_is_placed_there():
    start_s = media.load_audio(str(FEAT / "face_noface.mov")).start_s
    got = samples(Clip("a", video=str(FEAT / "face_noface.mov")))
    assert start_s == pytest.approx(2.43, abs=0.01)
    assert not got[: int((start_s - 0.05) * RATE_HZ)].any()
    assert got[int((start_s + 0.05) * RATE_HZ) :].any()


@pytest.mark.skipif(not SHARED.exists(), reason="the footage is not here")
@pytest.mark.parametrize("name", ["debate_cuts.mp4", "talking_a.mp4"])
def test_further_real_videos(name):
    got = samples(Clip("a", video=str(SHARED / name)))
    assert np.abs(got.astype(int)).max() == 23_198


def test_the_same_file_gives_the_same_bits():
    clip = Clip("a", video=str(FEAT / "single_face.mp4"))
    np.testing.assert_array_equal(samples(clip), samples(clip))
