"""A span of a file has the very pictures and samples that the whole file has there."""

from fractions import Fraction
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from pipeline import media
from pipeline.dataset.clip import Clip
from pipeline.dataset.span import Span
from pipeline.errors import ClipError
from pipeline.extractors.audio import Audio
from pipeline.extractors.frames import Frames
from pipeline.media.container import opened
from pipeline.media.pictures import Pictures
from pipeline.stage.result import ClipInputs, ClipResult
from tests.support.paths import SHARED

FPS, SECONDS = 25, 4
GROUP = "keyint=12:min-keyint=4:scenecut=0:threads=1:log-level=none"
X264 = {"x264-params": f"{GROUP}:bframes=3:b-pyramid=normal"}
OPEN = {"x264-params": f"{GROUP}:bframes=3:open-gop=1"}
REFRESHED = {"x264-params": "keyint=12:intra-refresh=1:bframes=0:threads=1:log-level=none"}
HEVC = {"x265-params": "keyint=12:min-keyint=4:bframes=3:open-gop=1:log-level=none:pools=none"}
MPEG = {"g": "12", "bf": "2"}
LACED = {**MPEG, "flags": "+ildct+ilme"}
LATE = 0.37
# The container, codecs of pictures and sound, options of the encoder, when the pictures begin.
CASES: dict[str, tuple[Any, ...]] = {
    "h264 mp4": ("mp4", "libx264", "aac", X264, 0.0),
    "h264 mp4, late": ("mp4", "libx264", "aac", X264, LATE),
    "open groups mp4": ("mp4", "libx264", "aac", OPEN, 0.0),
    "refreshed mp4": ("mp4", "libx264", "alac", REFRESHED, 0.0),
    "hevc mp4": ("mp4", "libx265", "aac", HEVC, 0.0),
    "uneven mp4": ("mp4", "libx264", "aac", X264, 0.0, True),
    "uneven mkv": ("mkv", "libx264", "aac", OPEN, LATE, True),
    "h264 mkv": ("mkv", "libx264", "libopus", X264, 0.0),
    "open groups mkv, late": ("mkv", "libx264", "flac", OPEN, LATE),
    "vp9 webm": ("webm", "libvpx-vp9", "libopus", {"g": "12", "lag-in-frames": "8"}, 0.0),
    "h264 ts": ("ts", "libx264", "aac", X264, LATE),
    "mpeg2 ts": ("ts", "mpeg2video", "mp2", MPEG, 0.0),
    "interlaced ts": ("ts", "mpeg2video", "mp2", LACED, 0.0),
    "mpeg4 mov": ("mov", "mpeg4", "pcm_s16le", MPEG, 0.0),
    "mpeg4 avi": ("avi", "mpeg4", "libmp3lame", MPEG, 0.0),
    "flv": ("flv", "flv", "libmp3lame", {"g": "12"}, 0.0),
    "mpg": ("mpg", "mpeg2video", "mp2", MPEG, 0.0),
}
SPANS = [
    Span(0.0, 1.0),
    Span(0.48, 0.96),  # from key frame to key frame
    Span(0.5, 0.77),  # between two pictures
    Span(1.0001, 1.2),  # a rounding away from a picture
    Span(1.43, 1.45),  # one picture
    Span(2.2, 3.9),
    Span(3.0, inf),
]


def write(
    path: Path,
    pictures: str,
    sound: str,
    options: dict[str, str],
    begin_s: float,
    uneven: bool = False,
) -> Path:
    """Noise that drifts, pictures of which no two are alike, beside noise from 0 s on."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (96, 128, 3), np.uint8)
    heard = rng.normal(0, 0.1, 44_100 * SECONDS).astype(np.float32)
    clock = Fraction(1, 12_800)
    with av.open(str(path), "w") as container:
        video = container.add_stream(pictures, rate=FPS, options=options)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.gop_size = 12
        if "flags" in options:
            video.codec_context.flags |= 0x40000 | 0x20000000
        is_tied = pictures in ("mpeg4", "mpeg2video", "flv")
        if not is_tied:
            video.codec_context.time_base = clock
        audio = container.add_stream(sound, rate=48_000 if sound == "libopus" else 44_100)
        audio.layout = "mono"
        packets = []
        for number in range(FPS * SECONDS):
            image = np.roll(noise, (number, 2 * number), (0, 1))[:48, :64] // 2 + number
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            time_s = number / FPS + (number % 3) * 0.009 * uneven
            frame.pts = number if is_tied else round((begin_s + time_s) / clock)
            frame.time_base = Fraction(1, FPS) if is_tied else clock
            packets += video.encode(frame)
        packets += video.encode()
        frame = av.AudioFrame.from_ndarray(heard[None], "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 44_100, 0, Fraction(1, 44_100)
        size = audio.codec_context.frame_size or 1024
        resampler = av.AudioResampler(audio.format, "mono", audio.rate, size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            packets += audio.encode(part)
        packets = [p for p in [*packets, *audio.encode()] if p.dts is not None]
        container.mux(sorted(packets, key=lambda packet: packet.dts * packet.time_base))
    return path


def made(folder: Path, name: str) -> Path:
    suffix, *rest = CASES[name]
    return write(folder / f"a.{suffix}", *rest)


@pytest.fixture(scope="module", params=CASES)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("spans"), request.param)


def decoded(path: Path, kind: str) -> tuple[list[float], np.ndarray]:
    """All that PyAV decodes of a file, from its beginning: times, and luma or samples."""
    times, parts = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(**{kind: 0}):
            times.append(float(frame.time or 0))
            parts.append(frame.to_ndarray()[:48] if kind == "video" else frame.to_ndarray())
    return times, np.stack(parts) if kind == "video" else np.concatenate(parts, axis=1)


def within(times: Any, span: Span) -> np.ndarray:
    """Which times are of the span, to the millisecond of the containers."""
    from_zero = np.asarray(times) - times[0]
    return (from_zero >= span.start_s - 0.001) & (from_zero < span.end_s - 0.001)


def zero_of(path: Path) -> float:
    """When the first picture is shown, on the clock of the file."""
    shown = media.video_span(str(path))
    assert shown is not None
    return shown.zero_s


def same_pictures(path: Path, spans: list[Span]) -> None:
    whole = media.frames(str(path))
    all_times, images = zip(*whole, strict=True)
    for span in spans:
        part = media.frames(str(path), span=span)
        found = list(part)
        wanted = within(all_times, span)
        first = int(wanted.argmax())
        assert len(found) == wanted.sum(), span
        assert part.begins_s == pytest.approx(whole.begins_s + all_times[first], abs=1e-9)
        times = np.array([time_s for time_s, _ in found])
        np.testing.assert_allclose(times, np.array(all_times)[wanted] - all_times[first], atol=1e-9)
        np.testing.assert_array_equal([rgb for _, rgb in found], np.stack(images)[wanted])
        assert not part.damaged


def test_pictures_of_a_span_are_those_of_all(path: Path) -> None:
    times, _ = decoded(path, "video")
    if path.suffix != ".avi":  # PyAV knows no times there
        ours = [time_s for time_s, _ in media.frames(str(path))]
        np.testing.assert_allclose(ours, np.array(times) - times[0], atol=1e-6)
    same_pictures(path, SPANS)


def test_samples_of_a_span_are_those_of_all(path: Path) -> None:
    whole = media.load_audio(str(path))
    zero_s = zero_of(path)
    for span in SPANS:
        part = media.load_audio(str(path), span=span, zero_s=zero_s)
        late_s = whole.start_s - zero_s
        first = max(0, round((span.start_s - late_s) * whole.rate_hz))
        last = None if span.end_s == inf else round((span.end_s - late_s) * whole.rate_hz)
        np.testing.assert_array_equal(part.samples, whole.samples[:, first:last])
        assert part.start_s == pytest.approx(whole.start_s + first / whole.rate_hz)


def rows(kind: type[Audio | Frames], clip: Clip, **settings: Any) -> ClipResult:
    (result,) = kind(kind.Settings(**settings)).extract([ClipInputs(clip)])
    return result


def cut(path: Path, span: Span, to: Path) -> Path:
    """The span as a file of its own, without loss: what PyAV decodes that begins within it."""
    clock = Fraction(1, 12_800)
    with av.open(str(path)) as read:
        pictures = list(read.decode(video=0))
    with av.open(str(path)) as read:
        sounds = list(read.decode(audio=0))
    with av.open(str(to), "w") as written:
        zero_s = float(pictures[0].time or 0)
        heard = np.concatenate([frame.to_ndarray() for frame in sounds], axis=1)
        rate_hz, late_s = sounds[0].sample_rate, float(sounds[0].time or 0) - zero_s
        video = written.add_stream("libx264", rate=FPS, options={"qp": "0", "bf": "0"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.time_base = clock
        audio = written.add_stream("pcm_f32le", rate=rate_hz, layout="mono")
        for frame in pictures:
            time_s = float(frame.time or 0) - zero_s
            if span.start_s - 0.001 <= time_s < span.end_s - 0.001:
                frame.pts, frame.time_base = round((time_s - span.start_s) / clock), clock
                frame.pict_type = 0
                written.mux(video.encode(frame))
        written.mux(video.encode())
        first, last = (round((s - late_s) * rate_hz) for s in (span.start_s, span.end_s))
        block = np.ascontiguousarray(heard[:, first:last], np.float32)
        frame = av.AudioFrame.from_ndarray(block, "flt", "mono")
        frame.sample_rate, frame.pts = rate_hz, 0
        written.mux(audio.encode(frame))
        written.mux(audio.encode())
    return to


@pytest.mark.parametrize("name", ["uneven mp4", "open groups mp4", "h264 mp4, late"])
def test_stages_see_and_hear_what_they_would_of_the_cut_file(tmp_path: Path, name: str) -> None:
    path = made(tmp_path, name)
    span = Span(0.83, 2.21)
    clip = Clip("a", str(path), start_s=span.start_s, end_s=span.end_s)
    alone = Clip("a", str(cut(path, span, tmp_path / "cut.mov")))
    for kind, field in ((Frames, "pixels"), (Frames, "times"), (Audio, "samples")):
        ours, theirs = (rows(kind, one) for one in (clip, alone))
        assert (ours.state, theirs.state) == ("ok", "ok"), (ours.reason, theirs.reason)
        np.testing.assert_allclose(ours.rows[field], theirs.rows[field], atol=1e-9, err_msg=field)


def test_spans_side_by_side_have_every_picture_and_sample_once(path: Path) -> None:
    bounds = [0.0, 0.333, 1.0, 1.04, 2.345678, inf]
    spans = [Span(*pair) for pair in pairwise(bounds)]
    zero_s = zero_of(path)
    parts = [media.load_audio(str(path), span=span, zero_s=zero_s).samples for span in spans]
    late = max(0, round((zero_s - media.load_audio(str(path)).start_s) * 48_000))
    whole = media.load_audio(str(path)).samples
    assert 0 <= whole.shape[1] - sum(part.shape[1] for part in parts) <= late
    shown = [len(list(media.frames(str(path), span=span))) for span in spans]
    assert sum(shown) == len(list(media.frames(str(path))))


def test_decoding_begins_at_the_key_frame_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path, "h264 mp4")
    came: list[float] = []
    timed = Pictures._time_s

    def noted(*given: Any) -> float:
        came.append(timed(*given))
        return came[-1]

    monkeypatch.setattr(Pictures, "_time_s", noted)
    list(media.frames(str(path), span=Span(3.0, 3.2)))
    assert came[0] == 0
    assert min(came[1:]) == pytest.approx(2.88)  # every 12th is a key frame
    assert len(came) < 12


def test_the_real_clips_have_exact_spans() -> None:
    for name in ("talking_a.mp4", "debate_cuts.mp4"):
        same_pictures(SHARED / name, [Span(1.3, 2.1), Span(4.0, 4.5)])


def test_a_separate_sound_file_keeps_its_time_beside_the_picture(tmp_path: Path) -> None:
    path = made(tmp_path, "h264 mp4, late")
    samples = np.random.default_rng(1).normal(0, 0.1, 16_000 * SECONDS).astype(np.float32)
    for suffix in ("wav", "flac"):
        soundfile.write(tmp_path / f"a.{suffix}", samples, 16_000, subtype="PCM_16")
        sound = str(tmp_path / f"a.{suffix}")
        whole, _ = soundfile.read(sound, dtype="float32")
        clip = Clip("a", str(path), sound, start_s=1.01, end_s=2.0)
        found = rows(Audio, clip, span="sound").rows
        heard = media.load_audio(sound, span=clip.span).samples[0]
        np.testing.assert_array_equal(heard, whole[16_160:32_000])
        assert found["late_s"] == pytest.approx(1.01 - 1.04)
        trimmed = rows(Audio, clip).rows["samples"]  # which begins with the picture at 1.04 s
        assert len(trimmed) == 32_000 - 16_640


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (Span(3.0, 9.0), "video ends at 4.00 s, before the clip (3.0 s to 9.0 s): "),
        (Span(7.0, 8.0), "video ends at 4.00 s, before the clip (7.0 s to 8.0 s): "),
        (Span(7.0, inf), "video ends at 4.00 s, before the clip (7.0 s to the end): "),
    ],
    ids=str,
)
def test_a_span_beyond_the_end_fails_in_every_stage(tmp_path: Path, span: Span, said: str) -> None:
    path = made(tmp_path, "h264 mp4")
    end_s = None if span.end_s == inf else span.end_s
    for kind in (Frames, Audio):
        result = rows(kind, Clip("a", str(path), start_s=span.start_s, end_s=end_s))
        assert (result.state, result.reason) == ("failed", f"{said}{path}")
    sound = tmp_path / "a.wav"
    soundfile.write(sound, np.ones(16_000 * SECONDS) / 9, 16_000)
    result = rows(Audio, Clip("a", audio=str(sound), start_s=span.start_s, end_s=end_s))
    assert (result.state, result.reason) == ("failed", f"{said}{sound}".replace("video", "sound"))


def test_a_span_in_which_no_picture_begins_says_so(tmp_path: Path) -> None:
    path = made(tmp_path, "h264 mp4")
    with pytest.raises(ClipError, match="no picture begins within 1.41 s to 1.43 s"):
        list(media.frames(str(path), span=Span(1.41, 1.43)))
    assert media.video_span(str(path), span=Span(1.41, 1.43)) is None


def test_damage_before_a_span_is_none_of_its(tmp_path: Path) -> None:
    path = made(tmp_path, "mpeg4 avi")
    content = bytearray(path.read_bytes())
    content[len(content) // 4 : len(content) // 4 + 900] = bytes(900)
    path.write_bytes(content)
    whole, part = media.frames(str(path)), media.frames(str(path), span=Span(2.5, 3.5))
    assert list(whole)
    assert whole.damaged
    assert len(list(part)) == FPS
    assert not part.damaged
    assert not part.note


def test_spans_that_follow_each_other_are_heard_in_one_pass_and_are_the_same(path: Path) -> None:
    zero_s = zero_of(path)
    bounds = [0.0, 0.333, 0.334, 1.0, 1.5, 2.345678, 3.9]
    spans = [*(Span(*pair) for pair in pairwise(bounds)), Span(1.2, 2.0), Span(1.9, inf), Span(3)]
    with media.SoundReader() as reader:
        for span in spans:
            found = reader.read(str(path), span=span, zero_s=zero_s)
            alone = media.load_audio(str(path), span=span, zero_s=zero_s)
            np.testing.assert_array_equal(found.samples, alone.samples)
            assert (found.start_s, found.note) == (alone.start_s, alone.note)


def test_spans_side_by_side_open_their_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, files = made(tmp_path, "h264 mp4"), list[str]()

    def counted(path: str, *given: Any) -> Any:
        files.append(path)
        return opened(path, *given)

    monkeypatch.setattr("pipeline.media.audio.opened", counted)
    with media.SoundReader() as reader:
        for start_s in (0.0, 0.5, 1.0, 2.0):
            reader.read(str(path), span=Span(start_s, start_s + 0.5))
        assert len(files) == 1
        reader.read(str(path), span=Span(0.0, 0.5))
        assert len(files) == 2


def test_spans_that_follow_each_other_are_seen_in_one_pass_and_are_the_same(path: Path) -> None:
    bounds = [0.3, 0.8, 1.0, 1.04, 2.345678, 3.9]
    spans = [*(Span(*pair) for pair in pairwise(bounds)), Span(1.2, 2.0), Span(1.9, inf), Span(3)]
    left_off = media.LeftOff()
    for span in spans:
        going_on = media.frames(str(path), span=span, left_off=left_off)
        found, alone = list(going_on), media.frames(str(path), span=span)
        times, images = zip(*alone, strict=True)
        assert [time_s for time_s, _ in found] == pytest.approx(list(times), abs=1e-9)
        np.testing.assert_array_equal([rgb for _, rgb in found], images)
        assert going_on.begins_s == pytest.approx(alone.begins_s, abs=1e-9)
        assert (going_on.note, going_on.damaged) == (alone.note, alone.damaged)


def test_spans_side_by_side_are_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, came, timed = made(tmp_path, "h264 mp4"), list[float](), Pictures._time_s

    def noted(*given: Any) -> float:
        came.append(timed(*given))
        return came[-1]

    monkeypatch.setattr(Pictures, "_time_s", noted)
    stage = Frames(Frames.Settings())
    clips = [Clip(str(n), str(path), start_s=n + 0.2, end_s=n + 1.2) for n in range(3)]
    for inputs in map(ClipInputs, clips):  # as a task streams them
        assert len(list(stage.stream(inputs)["frames"])) == FPS
    assert len(came) < 3 * FPS + 12


def test_spans_gone_through_at_once_do_not_mix(tmp_path: Path) -> None:
    path, left_off = made(tmp_path, "open groups mp4"), media.LeftOff()
    spans = [Span(n / 2, n / 2 + 0.5) for n in range(8)]
    for some in (spans[:4], spans[4:]):
        passes = [media.frames(str(path), span=span, left_off=left_off) for span in some]
        together = list(zip(*passes, strict=False))
        assert len(together) >= 12
        for number, span in enumerate(some):
            alone = list(media.frames(str(path), span=span))
            for (time_s, rgb), row in zip(alone, together, strict=False):
                assert row[number][0] == pytest.approx(time_s)
                np.testing.assert_array_equal(row[number][1], rgb)


def test_a_span_of_a_file_whose_index_leads_nowhere_is_the_clips_fault(tmp_path: Path) -> None:
    path = made(tmp_path, "h264 mp4")
    content = bytearray(path.read_bytes())
    at = content.rindex(b"stsz", 0, content.rindex(b"smhd"))  # of the pictures, which come first
    content[at + 12 : at + 16] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(ClipError, match="video can't be decoded"):
        media.video_span(str(path), span=Span(0.3, 1.1))
