"""The one place where media is decoded: pictures with OpenCV, sound with PyAV and soundfile."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.errors import ClipError, MissingModalityError

LOST_END_S = 0.5  # a file that ends no more than this before its announced end is taken as whole
CLOCK_S = 0.001  # containers round times to milliseconds; `fps` must not stumble over that


# --- pictures ---------------------------------------------------------------------------------


def frames(path: str, fps: float | None = None) -> Iterator[tuple[float, np.ndarray]]:
    """The upright pictures of a video, in order: (time in seconds, rgb uint8 [height, width, 3]).

    Times are the container's, counted from the start of the media, so that a picture track that
    begins after the sound begins late here too. fps: at most so many pictures a second, the first
    in each 1/fps; the others are never converted. Nothing is sought, decoding uses one thread.

    Raises ClipError for a file that is not there, can't be opened, has no picture that decodes or
    stops before its announced end (after its last picture); MissingModalityError for mere sound.
    """
    delay_s, announced_s = _announced_span(path)
    cv2 = _quiet_opencv()
    capture = cv2.VideoCapture(_local(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    time_s, slot = -1.0, -1
    try:
        for time_s in _grabbed(capture, cv2):
            if fps is not None and slot == (slot := int((time_s + CLOCK_S) * fps)):
                continue
            is_decoded, bgr = capture.retrieve()
            if is_decoded:
                yield delay_s + time_s, cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()
    if time_s < 0:
        raise ClipError(f"no picture of the video can be decoded: {path}")
    if time_s < announced_s - LOST_END_S:
        raise ClipError(f"pictures stop at {time_s:.2f} s of {announced_s:.2f} s: {path}")


def _grabbed(capture: Any, cv2: Any) -> Iterator[float]:
    """Step through the pictures; yields the time of each since the first, in seconds.

    Where the container has no time for a picture (bare H.264, AVI) the frame rate stands in.
    """
    interval_s = 1 / (capture.get(cv2.CAP_PROP_FPS) or 25)
    last_s = -interval_s
    while capture.grab():
        time_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        last_s = time_s if time_s > last_s else last_s + interval_s
        yield last_s


def _announced_span(path: str) -> tuple[float, float]:
    """When the pictures begin in the media, and when the last begins after that, in seconds.

    The latter is what the header announces, 0 where it announces nothing.
    """
    with _opened(path, "video") as container:
        streams = [s for s in container.streams.video if not _is_cover(s)]
        if not streams:
            nothing = MissingModalityError if container.streams.audio else ClipError
            raise nothing(f"no picture stream: {path}")
        begins_s = float((streams[0].start_time or 0) * streams[0].time_base)
        delay_s = begins_s - (container.start_time or 0) / 1_000_000
        return max(delay_s, 0.0), _announced_s(streams[0]) - begins_s


def _announced_s(stream: Any) -> float:
    """The time of the last picture by the index (mp4, avi) or, one picture on, a tag (mkv)."""
    index = stream.index_entries
    indexed_s = float(index[len(index) - 1].timestamp * stream.time_base) if len(index) else 0.0
    parts = stream.metadata.get("DURATION", "").split(":")
    try:
        hours, minutes, seconds = map(float, parts)
    except ValueError:
        return indexed_s
    return max(indexed_s, 3600 * hours + 60 * minutes + seconds)


def _is_cover(stream: Any) -> bool:
    """Whether a "video" stream is the picture on a record's sleeve."""
    import av

    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _opened(path: str, what: str) -> Any:
    """The media at `path`, opened with PyAV; raises ClipError with what is wrong with the file."""
    # PyAV and OpenCV load FFmpeg, which planning a run does without.
    import av

    try:
        return av.open(_local(path))
    except FileNotFoundError as error:
        raise ClipError(f"{what} not found: {path}") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ClipError(f"{what} can't be opened: {reason}: {path}") from error


def _local(path: str) -> str:
    """A path that FFmpeg can't take for a protocol because of a colon; URLs stay as they are."""
    return path if "://" in path else os.path.abspath(path)


def _quiet_opencv() -> Any:
    """OpenCV with its and FFmpeg's own log lines off: what is wrong is said by our errors."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


# --- sound ------------------------------------------------------------------------------------

SOUND_FILES = (".wav", ".wave", ".flac", ".ogg", ".opus", ".aif", ".aiff", ".au", ".caf")
MALFORMED = 3  # libsndfile's code for a file of a known kind that is broken
UNFINISHED_BYTES = 0x7FFF_0000  # sizes from here on stand for "unknown" in WAV headers


@dataclass(frozen=True)
class Sound:
    """Decoded sound: float32 [channels, n], about −1..1.

    start_s: when its first sample is heard, on the clock of the media. note: what the user should
    know about what was taken.
    """

    samples: np.ndarray
    rate_hz: int
    start_s: float = 0.0
    note: str = ""


def sound(path: str) -> Sound:
    """The sound of an audio file (soundfile) or of the default sound stream of a container (PyAV).

    An encoder's priming samples are dropped as the container says. Raises ClipError for a file
    that is not there, does not decode, stops before its announced end, is empty or holds samples
    that are no numbers; MissingModalityError where a container has no sound stream or an empty one.
    """
    is_audio_file = path.lower().endswith(SOUND_FILES)
    heard = (is_audio_file and _from_audio_file(path)) or _from_container(path)
    if not heard.samples.size:
        empty = ClipError if is_audio_file else MissingModalityError
        raise empty(f"sound is empty: {path}")
    if broken := int(np.count_nonzero(~np.isfinite(heard.samples))):
        raise ClipError(f"{broken} of {heard.samples.size} samples are no numbers: {path}")
    return heard


def picture_span(path: str) -> tuple[float, float] | None:
    """When a video's first picture is shown and its last one ends, in seconds of the media's clock.

    None where there is no video to speak of: no picture stream, a cover, a single picture.
    Nothing is decoded. Raises ClipError where the file can't be read.
    """
    with _opened(path, "video") as container:
        streams = [s for s in container.streams.video if not _is_cover(s)]
        if not streams:
            return None
        lasting = _picture_times(container, streams[0], path)
    if len(lasting) < 2:
        return None
    first, last = min(lasting), max(lasting)
    return first, last + (lasting[last] or (last - first) / (len(lasting) - 1))


def _picture_times(container: Any, stream: Any, path: str) -> dict[float, float]:
    """How long each picture is shown (0: not said) by when it is, in seconds."""
    lasting: dict[float, float] = {}
    for packet in _checked(container.demux(stream), "video", path):
        tick = packet.dts if packet.pts is None else packet.pts
        if tick is not None and packet.size and not packet.is_discard:
            time_s, duration_s = (float(t * stream.time_base) for t in (tick, packet.duration or 0))
            lasting[time_s] = duration_s
    return lasting


def _from_audio_file(path: str) -> Sound | None:
    """None where libsndfile does not know the kind of file: FFmpeg may."""
    import soundfile

    try:
        file = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        if error.code == MALFORMED:
            raise ClipError(f"sound can't be decoded: {error.error_string}: {path}") from error
        return None
    with file:
        try:
            samples = file.read(dtype="float32", always_2d=True).T
        except soundfile.LibsndfileError as error:
            raise ClipError(f"sound can't be decoded: {error.error_string}: {path}") from error
        rate_hz = file.samplerate
        announced_s = file.frames * _announced_share(file.extra_info) / rate_hz
    _check_sound_end(samples.shape[1] / rate_hz, announced_s, path)
    return Sound(samples, rate_hz)


def _announced_share(log: str) -> float:
    """How many times the bytes at hand a WAV or AIFF header announces, by libsndfile's own log.

    libsndfile shortens a cut-off file without an error. A header that a pipe never completed
    announces nothing.
    """
    found = re.search(r"^ *(?:data|SSND) *: (\d+) \(should be (\d+)\)", log, re.MULTILINE)
    if found is None or int(found[1]) >= UNFINISHED_BYTES:
        return 1.0
    return int(found[1]) / max(int(found[2]), 1)


def _from_container(path: str) -> Sound:
    with _opened(path, "sound") as container:
        streams = container.streams.audio
        if not streams:
            raise MissingModalityError(f"no sound stream: {path}")
        stream = container.streams.best("audio")
        if stream is None:
            raise ClipError(f"sound can't be decoded: unknown codec: {path}")
        start_s, rate_hz = 0.0, stream.rate
        blocks: list[np.ndarray] = []
        for frame in _checked(container.decode(stream), "sound", path):
            if not blocks:  # the decoder knows the rate: the header of HE-AAC may tell half of it
                start_s, rate_hz = float(frame.time or 0), frame.sample_rate
            blocks.append(_as_float(frame))
            if frame.sample_rate != rate_hz or len(blocks[-1]) != len(blocks[0]):
                raise ClipError(f"the sound's rate or channels change midway: {path}")
        samples = np.concatenate(blocks, axis=1) if blocks else np.zeros((1, 0), np.float32)
        _check_sound_end(start_s + samples.shape[1] / rate_hz, _announced_s(stream), path)
        return Sound(samples, rate_hz, start_s, _which(stream, streams))


def _which(stream: Any, streams: Sequence[Any]) -> str:
    if len(streams) == 1:
        return ""
    return f"sound stream {streams.index(stream) + 1} of {len(streams)} taken"


def _as_float(frame: Any) -> np.ndarray:
    """A decoded frame as float32 [channels, n], full scale ±1."""
    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, frame.layout.nb_channels).T
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    limits = np.iinfo(values.dtype)
    full_scale = (int(limits.max) - int(limits.min) + 1) / 2
    middle = int(limits.min) + full_scale  # 128 where samples are unsigned bytes, else 0
    return ((values - middle) / full_scale).astype(np.float32)


def _check_sound_end(end_s: float, announced_s: float, path: str) -> None:
    if end_s < announced_s - LOST_END_S:
        raise ClipError(f"sound stops at {end_s:.2f} s of {announced_s:.2f} s: {path}")


def _checked(steps: Iterable[Any], what: str, path: str) -> Iterator[Any]:
    """FFmpeg's `steps`, its errors as the clip's."""
    import av

    try:
        yield from steps
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ClipError(f"{what} can't be decoded: {reason}: {path}") from error
