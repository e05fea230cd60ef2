"""One person's face through a clip: found, followed, aligned and sampled to the common steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field as PydanticField

from pipeline import weights
from pipeline.alignment import SIZE_PX, align
from pipeline.errors import ClipError, MissingModalityError, UserError
from pipeline.extractor import ClipInputs, ClipResult, Extractor, StageSettings, runtime
from pipeline.field import Field
from pipeline.steps import sample_indices
from pipeline.track import Cuts, Face, Track, Tracker

if TYPE_CHECKING:
    from pipeline.mtcnn import Detector

WEIGHTS_ID = "facenet-pytorch/mtcnn"
BATCH_PX = 1 << 22  # pixels of a batch of frames, whatever their size: 50 MB as float rgb
Frame = tuple[float, np.ndarray]


class Faces(Extractor):
    """MTCNN on every frame; the largest continuous track, aligned by five landmarks to 112×112.

    Detections are linked over frames by their overlap; a cut, or a longer gap, ends a track. The
    one with the largest box area summed over its frames is followed, and `steps` of its faces are
    sampled. Frames without a face are dropped. Source: Zhu and Yu, section IV-A; MTCNN: Zhang
    et al. 2016, with the weights of facenet-pytorch.
    """

    version = 1
    takes = {"frames": Field(("frame", "height", "width", 3), "uint8", ragged=True)}

    class Settings(StageSettings):
        """What counts as a face, and as the same person.

        min_face_px: the smallest face looked for. thresholds: of P-Net, R-Net and O-Net. factor:
        between the scales of the pyramid. min_iou, max_gap_s: boxes that overlap so much, so long
        after one another, are one person. cut_level: the mean change of a picture, of its full
        range, that is a cut.
        """

        min_face_px: int = PydanticField(40, ge=12)
        thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
        factor: float = PydanticField(0.709, gt=0, lt=1)
        min_iou: float = PydanticField(0.3, gt=0, lt=1)
        max_gap_s: float = PydanticField(0.5, ge=0)
        cut_level: float = PydanticField(0.1, gt=0, le=1)
        batch_frames: int = runtime(16, ge=1)
        device: str = runtime("auto")

    settings: Settings

    def writes(self) -> dict[str, Field]:
        return {
            "images": Field(("step", SIZE_PX, SIZE_PX, 3), "uint8"),
            "boxes": Field(("step", 4), "float32", unit="px"),
            "landmarks": Field(("step", 5, 2), "float32", unit="px"),
            "probabilities": Field(("step",), "float32"),
            "times": Field(("step",), "float64", unit="s"),
            "frames_with_face": Field((), "int32"),
            "frames_without_face": Field((), "int32"),
            "tracks": Field((), "int32"),
            "track_frames": Field((), "int32"),
            "track_span": Field((2,), "float64", unit="s"),
        }

    def weights(self) -> weights.Weights:
        return replace(weights.find(str(_weights_folder()), ("?net.pt",)), id=WEIGHTS_ID)

    def extract(self, batch: Sequence[ClipInputs]) -> Iterable[ClipResult]:
        detector = self._detector()
        for inputs in batch:
            try:
                yield self._followed(detector, inputs.rows["frames"])
            except ClipError as error:
                yield ClipResult.of(error)

    def _detector(self) -> Detector:
        # torch and the networks are loaded where faces are made, not where a run is planned.
        from pipeline.mtcnn import Detector, Networks

        device = weights.device_of(self.settings.device)
        networks = weights.load_once((WEIGHTS_ID, device), lambda: Networks.load(device))
        settings = self.settings
        return Detector(networks, settings.min_face_px, settings.thresholds, settings.factor)

    def _followed(self, detector: Detector, frames: Iterable[Frame]) -> ClipResult:
        """The largest track of a clip; holds one batch of frames and the tracks' 112×112 faces."""
        tracker = Tracker(self.settings.min_iou, self.settings.max_gap_s)
        cuts = Cuts(self.settings.cut_level)
        with_face = without_face = 0
        for batch in _batches(frames, self.settings.batch_frames):
            detections = detector.detect(np.stack([rgb for _, rgb in batch]))
            for (time_s, rgb), found in zip(batch, detections, strict=True):
                each = zip(found.boxes, found.landmarks, found.probabilities, strict=True)
                faces = [Face(time_s, box, at, float(p), align(rgb, at)) for box, at, p in each]
                tracker.add(time_s, faces, cuts.at(rgb))
                with_face += bool(faces)
                without_face += not faces
        if tracker.largest is None:
            raise MissingModalityError(f"no face in {without_face} frames")
        rows = self._sampled(tracker.largest)
        counts = {
            "frames_with_face": with_face,
            "frames_without_face": without_face,
            "tracks": tracker.count,
            "track_frames": len(tracker.largest.faces),
        }
        rows.update({name: np.array(count, np.int32) for name, count in counts.items()})
        return ClipResult.ok(rows, length=len(rows["images"]))

    def _sampled(self, track: Track) -> dict[str, np.ndarray]:
        faces = [track.faces[i] for i in sample_indices(len(track.faces), self.steps)]
        return {
            "images": np.stack([face.image for face in faces]),
            "boxes": np.stack([face.box for face in faces]),
            "landmarks": np.stack([face.landmarks for face in faces]),
            "probabilities": np.array([face.probability for face in faces], np.float32),
            "times": np.array([face.time_s for face in faces], np.float64),
            "track_span": np.array([track.faces[0].time_s, track.faces[-1].time_s], np.float64),
        }


def _batches(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """Runs of up to `size` frames of one shape, fewer where they are large."""
    batch: list[Frame] = []
    for time_s, rgb in frames:
        height, width = rgb.shape[:2]
        limit = max(1, min(size, BATCH_PX // (height * width)))
        if batch and (len(batch) >= limit or batch[0][1].shape != rgb.shape):
            yield batch
            batch = []
        batch.append((time_s, rgb))
    if batch:
        yield batch


def _weights_folder() -> Path:
    """Where facenet-pytorch's own weights are, without importing it."""
    spec = find_spec("facenet_pytorch")
    if spec is None or spec.origin is None:
        raise UserError("facenet-pytorch is not installed: `pip install facenet-pytorch==2.5.3`")
    return Path(spec.origin).parent / "data"
