"""Spans of one long video against cut files, and against decoding from its start for each.

The video is real footage at 720p as x264 makes it (a key frame every 10 s, B-frames), 10 minutes
of it by writing the same 10 s again and again. A span in the middle stands for all where decoding
begins at the start, since its time grows with where a span is. Times are the processor's.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np

from pipeline import media
from pipeline.dataset.clip import Clip
from pipeline.extractors.audio import Audio
from pipeline.extractors.frames import Frames
from pipeline.sample import footage
from pipeline.stage.result import ClipInputs

FPS, HEIGHT, WIDTH, RATE_HZ = 25, 720, 1280, 44_100
UNIT_S, UNITS, SPAN_S, LATE_S = 10, 61, 10, 4.96  # spans begin midway between key frames
SPANS = 60


def pictures() -> list[np.ndarray]:
    """The footage in 720p, as often as fills a unit, every other time backwards."""
    shown = media.frames(str(footage._folder() / footage.WOMAN))
    some = [
        cv2.resize(rgb, (WIDTH, HEIGHT)) for _, (_, rgb) in zip(range(150), shown, strict=False)
    ]
    return list(islice(cycle([*some, *some[::-1]]), UNIT_S * FPS))


def written(path: Path, shown: Iterable[np.ndarray], seconds: int) -> Path:
    """H.264 as x264 makes it and AAC."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=RATE_HZ, layout="stereo")
        noise = np.random.default_rng(0).normal(0, 0.1, (2, seconds * RATE_HZ)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(noise, "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, 0, Fraction(1, RATE_HZ)
        packets = list(sound.encode(frame))
        for number, rgb in enumerate(shown):
            picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            packets += video.encode(picture)
        packets += [*video.encode(), *sound.encode()]
        packets.sort(key=lambda packet: packet.dts * packet.time_base)
        container.mux(packets)
    return path


def repeated(unit: Path, path: Path) -> Path:
    """The unit many times over, without encoding anything again."""
    with av.open(str(path), "w") as container:
        with av.open(str(unit)) as read:
            streams = [container.add_stream_from_template(s) for s in read.streams]
        last = [-(1 << 62)] * len(streams)
        for number in range(UNITS):
            with av.open(str(unit)) as read:
                for packet in read.demux():
                    at = packet.stream.index
                    by = round(number * UNIT_S / packet.time_base)
                    if packet.dts is None or packet.dts + by <= last[at]:
                        continue  # the end, or the sound's priming
                    last[at] = packet.dts + by
                    packet.pts, packet.dts, packet.stream = packet.pts + by, last[at], streams[at]
                    container.mux(packet)
    return path


def seen_and_heard(clips: Sequence[Clip]) -> int:
    """What the stages decode of the clips, which lie side by side."""
    heard = list(Audio(Audio.Settings()).extract([ClipInputs(clip) for clip in clips]))
    assert all(result.state == "ok" for result in heard), heard
    stage = Frames(Frames.Settings())
    return sum(sum(1 for _ in stage.stream(ClipInputs(c))["frames"]) for c in clips)


def from_start(clips: Sequence[Clip]) -> int:
    """With OpenCV, from the start to each span; its pictures alone become rgb. No sound."""
    count = 0
    for clip in clips:
        capture = cv2.VideoCapture(str(clip.video), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        number = 0
        while number / FPS < clip.span.end_s and capture.grab():
            if number / FPS >= clip.span.start_s:
                cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
                count += 1
            number += 1
    return count


def timed(way: Callable[[Sequence[Clip]], int], clips: Sequence[Clip]) -> float:
    """Seconds of the processor."""
    begun = time.process_time()
    assert way(clips) == len(clips) * SPAN_S * FPS, way(clips)
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=60, help="the first so many of the 60")
    parser.add_argument("--rounds", type=int, default=3, help="of each way, in turn")
    parser.add_argument("--apart", action="store_true", help="every other one: none side by side")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with TemporaryDirectory() as folder:
        shown = pictures()
        unit = written(Path(folder, "unit.mp4"), shown, UNIT_S)
        long = repeated(unit, Path(folder, "long.mp4"))
        begin = round(LATE_S * FPS)
        cut = written(Path(folder, "cut.mp4"), (shown * 2)[begin : begin + SPAN_S * FPS], SPAN_S)
        spans = [
            Clip(str(n), str(long), start_s=n * SPAN_S + LATE_S, end_s=(n + 1) * SPAN_S + LATE_S)
            for n in range(SPANS)
        ]
        chosen = spans[:: 2 if options.apart else 1][: options.spans]
        files = [Clip(clip.id, str(cut)) for clip in chosen]
        ours, theirs = [], []
        for _ in range(options.rounds):
            ours.append(timed(seen_and_heard, chosen))
            theirs.append(timed(seen_and_heard, files))
        naive = timed(from_start, spans[SPANS // 2 : SPANS // 2 + 1]) * len(chosen)
    few = f"{len(chosen)} spans of {SPAN_S} s in {SPANS * SPAN_S // 60} minutes"
    print(f"{few}, {WIDTH}×{HEIGHT}, pictures and sound, seconds of the processor")
    for name, seconds in (
        ("spans", min(ours)),
        ("cut files", min(theirs)),
        ("OpenCV from the start", naive),
    ):
        print(f"{name:<24}{seconds:8.2f}  {seconds / min(ours):5.2f}×")
    print(f"spans take {min(ours) / min(theirs):.2f} times as long as cut files")


if __name__ == "__main__":
    main()
