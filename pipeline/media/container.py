"""A media file, opened and gone through in limited time, and what is wrong where that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOMEM
from math import inf
from typing import Any

from pipeline.errors import ClipError
from pipeline.media.file import opened_file, reason_of
from pipeline.media.limits import PICTURE_LIMIT_MPX, TimeLimit
from pipeline.media.truncated import missing_share, overstated, why_unreadable

LOST_END_S = 0.5  # a file that ends no more than this before its announced end is taken as whole
MOST_STREAMS = 16  # whose pictures are left alone; of more streams FFmpeg looks at those after
OF_WHAT_IS_THERE = {"avi", "w64", "wav"}
# What FFmpeg may take a file for: what holds its media itself, and tells so by its content.
FORMATS = """
    mov matroska avi asf asf_o flv live_flv mpegts mpeg mpegvideo m4v h261 h263 h264 hevc vvc
    av1 obu ivf vc1 vc1test cavsvideo avs2 avs3 dirac dv mxf gxf lxf nut nuv nsv rm
    ogg wtv ty dhav ivr pva vivo roq bink smk flic film_cpk swf mpjpeg mjpeg smjpeg mjpeg_2000
    yuv4mpegpipe gif apng webp_anim jpegxl_anim jpeg_pipe jpegls_pipe jpegxl_pipe png_pipe webp_pipe
    bmp_pipe tiff_pipe j2k_pipe
    aac ac3 ac4 adx aea aiff amr amrnb amrwb ape apc aptx au avr caf codec2 dsf dts dtshd eac3 flac
    g723_1 g729 gsm iamf iff ilbc ircam laf lc3 loas mlp mp3 mpc mpc8 nistsphere oma osq paf pvf qcp
    rso sbc shn smush sox spdif dss tak truehd tta voc vqf w64 wav wsd wv xa xwma
"""
ALONE = {"format_whitelist": ",".join(FORMATS.split()), "protocol_whitelist": "none"}


@contextmanager
def opened(path: str, what: str, limit: TimeLimit, looks: bool = True) -> Iterator[Any]:
    """The media at `path`, opened with PyAV: no other file is, whatever this one says.

    what: how errors call it. looks: whether FFmpeg decodes a picture to know its format; of an mp4
    or mov, whose index tells all else, it need not. Raises ClipError with what is wrong with the
    file.
    """
    # PyAV and OpenCV load FFmpeg, which planning a run does without.
    import av

    with opened_file(path, what) as file:
        try:
            if samples := overstated(file):
                much = f"its index lists {samples} samples, more than the file holds"
                raise ClipError(f"{what} can't be opened: {much}: {path}")
            file.seek(0)
            is_told = not looks and file.read(8)[4:] == b"ftyp"
            file.seek(0)
            unseen = [{"skip_frame": "all"}] * MOST_STREAMS if is_told else None
            container = av.open(
                file, "r", options=ALONE, stream_options=unseen, timeout=limit.seconds
            )
        except av.error.ExitError as error:
            raise limit.exceeded(path) from error
        except (av.error.FFmpegError, OSError, ValueError) as error:
            reason = why_unreadable(file) or reason_of(error)
            raise ClipError(f"{what} can't be opened: {reason}: {path}") from error
        with container:
            yield container


def is_damage(error: Any) -> bool:
    """Whether an FFmpegError is of what a packet holds, not of memory or of the time limit."""
    import av

    return error.errno != ENOMEM and not isinstance(error, av.error.ExitError)


def announced_s(stream: Any, path: str) -> float:
    """When the stream ends at least, by what its container says: 0 where it says nothing.

    By the index (mp4, avi) the last picture or packet begins then; by a tag (mkv) the last one
    ends then; of a file that lacks bytes which its header announces, its longest stream does.
    """
    if tagged_s := _tagged_s(stream):
        return tagged_s
    end_s, missing = missing_s(stream.container, path)
    return max(indexed_s(stream)[1], end_s if missing > LOST_END_S else 0.0)


def _counts_bytes(stream: Any) -> bool:
    """Whether its index holds no times but bytes: constant-rate sound in AVI."""
    index = stream.index_entries
    if stream.container.format.name != "avi" or len(index) < 2:
        return False
    before_last = sum(index[i].size for i in range(len(index) - 1))
    return bool(index[len(index) - 1].timestamp - index[0].timestamp == before_last)


def missing_s(container: Any, path: str) -> tuple[float, float]:
    """When the longest stream ends, and how much of that its file lacks, in seconds.

    Both are 0 where the file is whole or nobody knows.
    """
    share = missing_share(path)
    if not share or container.duration is None:
        return 0.0, 0.0
    # These formats tell how long that is what is there; the others what the header says.
    is_of_all = container.format.name not in OF_WHAT_IS_THERE
    whole_s = container.duration / 1_000_000 / (1.0 if is_of_all else 1 - share)
    return (container.start_time or 0) / 1_000_000 + whole_s, share * whole_s


def indexed_s(stream: Any, there: float = inf) -> tuple[float, float]:
    """The last time in the index of what lies within so many bytes, and the last of all."""
    index = stream.index_entries
    if not len(index) or _counts_bytes(stream):
        return 0.0, 0.0
    held = (entry.timestamp for entry in index if entry.pos + entry.size <= there)
    last = index[len(index) - 1].timestamp
    return float(max(held, default=0) * stream.time_base), float(last * stream.time_base)


def _tagged_s(stream: Any) -> float:
    try:
        hours, minutes, seconds = map(float, stream.metadata.get("DURATION", "").split(":"))
    except ValueError:
        return 0.0
    return 3600 * hours + 60 * minutes + seconds


def best_stream(container: Any, kind: str) -> Any | None:
    """The stream of pictures ("video") or of sound ("audio") that is taken.

    Of those flagged as default, or of all where none is: the one with most pixels or channels, the
    first of equals. What can't be decoded here comes last; pictures on a record's sleeve never.
    """
    streams = _streams(container, kind)
    return max(streams, key=_rank, default=None)


def which(container: Any, stream: Any) -> str:
    """What is to be said of the choice: which stream was taken, and what else there was."""
    streams = _streams(container, stream.type)
    if len(streams) == 1:
        return ""
    what = {"video": "picture", "audio": "sound"}[stream.type]
    others = [f"{n} ({_named(s)})" for n, s in enumerate(streams, 1) if s is not stream]
    number = f"{what} stream {streams.index(stream) + 1} of {len(streams)} taken"
    return f"{number} ({_named(stream)}), not {', '.join(others)}"


def make_ready(stream: Any, most_mpx: float = PICTURE_LIMIT_MPX) -> None:
    """Let a stream of pictures be decoded on one thread, and so that none takes all the memory.

    One of up to twice `most_mpx` megapixels still is: what is too large is told by its size.
    """
    stream.thread_type, stream.codec_context.thread_count = "NONE", 1
    most = 2e6 * max(most_mpx, PICTURE_LIMIT_MPX)  # FFmpeg counts what it pads a picture with, too
    stream.codec_context.options = {"max_pixels": str(int(most))}


def require_codec(stream: Any, what: str, path: str) -> None:
    """Raise ClipError for a stream that nothing here decodes."""
    if stream.codec_context is None:
        raise ClipError(f"{what} can't be decoded: unknown codec: {path}")


def _streams(container: Any, kind: str) -> list[Any]:
    import av

    flags = av.stream.Disposition
    cover = flags.attached_pic | flags.timed_thumbnails
    return [s for s in getattr(container.streams, kind) if not s.disposition & cover]


def _rank(stream: Any) -> tuple[bool, bool, int]:
    import av

    if stream.codec_context is None:
        return False, False, 0
    size = stream.width * stream.height if stream.type == "video" else stream.channels
    return True, bool(stream.disposition & av.stream.Disposition.default), size


def _named(stream: Any) -> str:
    """A stream's size or channels and its language, as far as known."""
    if stream.codec_context is None:
        return "unknown codec"
    if stream.type == "video":
        size = f"{stream.width}×{stream.height}"
    else:
        size = f"{stream.channels} channel{'s'[: stream.channels != 1]}"
    language = "" if stream.language == "und" else stream.language
    return ", ".join(filter(None, [size, language]))
