"""Stages on a device: how far they are from the CPU, how fast, how often the host waits."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from transformers.utils.logging import disable_progress_bar

from benchmarks.gpu_device import Device
from benchmarks.precision import FACES, SECONDS, cases
from pipeline import media
from pipeline.dataset.clip import Clip
from pipeline.extractors.faces import Faces
from pipeline.media import Frames
from pipeline.stage.extractor import Extractor
from pipeline.stage.result import ClipInputs, ClipResult
from tests.support.aligned_faces import FOOTAGE

VIDEOS = ("single_face.mp4", "WolfgangLanger_Pexels.mp4")
COMPARED = ("boxes", "landmarks", "images")  # px, px, grey levels


def faces(where: Device) -> Iterator[str]:
    """Real clips, float32 in full: every face against the CPU's; then many clips at once."""
    for name in VIDEOS:
        clip = _clip(name, where.few(17, 97))
        here, there = (_faces(device, [clip])[0] for device in ("cpu", where.device))
        assert (here.state, here.length) == (there.state, there.length), (here, there)
        off = [
            f"{field} {np.abs(here.rows[field].astype(float) - there.rows[field]).max():.2g}"
            for field in COMPARED
        ]
        yield f"{name}: at most off the CPU's by {', '.join(off)}"
    many = [_clip(VIDEOS[0], where.few(17, 97))] * where.few(2, 32)
    seconds = where.seconds(lambda: _faces(where.device, many))
    count = sum(1 for _ in many[0].rows["frames"]) * len(many)
    yield f"{count / seconds:.0f} frames/s of {len(many)} clips, decoded before"
    yield f"of {count} frames {where.waits(lambda: _faces(where.device, many))}"


def _clip(name: str, frames: int) -> ClipInputs:
    shown = list(islice(media.frames(str(FOOTAGE / name)), frames))
    return ClipInputs(Clip(name), {"frames": Frames.of(shown)})


def _faces(device: str, clips: list[ClipInputs]) -> list[ClipResult]:
    return list(Faces(Faces.Settings(device=device)).extract(clips))


def networks(where: Device) -> Iterator[str]:
    """Of their real sizes, with random weights: the same clips as `precision` has."""
    disable_progress_bar()  # of saving them
    with TemporaryDirectory() as folder:
        for case in cases(
            Path(folder), where.few(1, 16), where.few(4, FACES), where.few(1, SECONDS)
        ):
            here, there = (case.stage(device=device) for device in ("cpu", where.device))
            few = case.clips[: where.few(1, 4)]
            off = np.abs(_features(here, few) - _features(there, few)).max()

            def run(stage: Extractor = there, clips: list[ClipInputs] = case.clips) -> None:
                list(stage.extract(clips))

            seconds = where.seconds(run)
            share = where.share_of_ceiling(run, seconds)
            yield (
                f"{case.name}: off the CPU's by {off:.1g}, "
                f"{1e3 * seconds / len(case.clips):.1f} ms a clip, "
                f"{share:.0%} of what float32 could do; {where.waits(run)}"
            )


def _features(stage: Extractor, clips: list[ClipInputs]) -> np.ndarray:
    return np.concatenate([one.rows["features"] for one in stage.extract(clips)])
