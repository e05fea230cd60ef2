"""How far the pictures of faces that networks are given lie from those that py-feat cuts itself.

`python -m benchmarks.chips`, some minutes: for each real video the faces that `faces` samples, as
`action_units` sees them and as it once did (aligned), against py-feat's own cuts of the same boxes.
"""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.real_clips import videos
from pipeline import media
from pipeline.dataset.clip import Clip
from pipeline.extractors.faces import Faces
from pipeline.faces.align import TEMPLATE_PX, similarity
from pipeline.faces.chip import chips, square, stretched
from pipeline.stage.result import OK, ClipInputs, ClipResult
from tests.pipeline.faces.test_chip import by_detector_v1, by_detector_v2

CHIN = 0.98  # of the box's height: MTCNN's boxes end at the chin
CUTS = {"v2": (square, by_detector_v2), "v1": (stretched, by_detector_v1)}


def main() -> None:
    """Print a table: differences in levels of 255, largest and mean, and CPU seconds."""
    print(f"{'video':<26}{'faces':>6}{'side px':>9}{'cut':>5}{'now max':>9}{'mean':>7}"
          f"{'aligned mean':>14}{'chin cut':>10}{'faces s':>9}{'chips s':>9}")  # fmt: skip
    for video in videos():
        begun = time.process_time()
        result = _faces(video)
        faces_s = time.process_time() - begun
        if result.state == OK:
            for name in CUTS:
                _print(video, result, name, faces_s)


def _faces(video: Path) -> ClipResult:
    inputs = ClipInputs(Clip(video.stem), {"frames": media.frames(str(video))})
    [result] = Faces(Faces.Settings(device="cpu")).extract([inputs])
    return result


def _print(video: Path, result: ClipResult, name: str, faces_s: float) -> None:
    cut, theirs = CUTS[name]
    rows = result.rows
    times, boxes = rows["times"], rows["boxes"]
    begun = time.process_time()
    ours = chips(media.frames(str(video)), times, boxes, cut).astype(np.float32)
    chips_s = time.process_time() - begun
    expected = _by_py_feat(video, times, boxes, theirs)
    aligned = [
        cv2.resize(image, expected.shape[1:3]).astype(np.float32) for image in rows["images"]
    ]
    side = 1.2 * (boxes[:, 2:] - boxes[:, :2]).max(axis=1).mean()
    off, was_off = np.abs(ours - expected), np.abs(np.stack(aligned) - expected)
    chin = np.mean([_is_cut_off(*face) for face in zip(boxes, rows["landmarks"], strict=True)])
    print(f"{video.stem[:25]:<26}{len(times):>6}{side:>9.0f}{name:>5}{off.max():>9.2f}"
          f"{off.mean():>7.2f}{was_off.mean():>14.1f}{chin:>10.0%}{faces_s:>9.1f}{chips_s:>9.1f}",
          flush=True)  # fmt: skip


def _by_py_feat(video: Path, times: np.ndarray, boxes: np.ndarray, theirs: object) -> np.ndarray:
    where = dict(zip(times.tolist(), boxes, strict=True))
    found = []
    for time_s, rgb in media.frames(str(video)):
        if time_s in where:
            frame = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None]
            face = theirs(frame, torch.from_numpy(where[time_s])[None])  # type: ignore[operator]
            found.append(255 * face.permute(1, 2, 0).numpy())
    return np.stack(found)


def _is_cut_off(box: np.ndarray, landmarks: np.ndarray) -> bool:
    """Whether the middle of the box's lower edge lies below the aligned picture."""
    x, y = (box[0] + box[2]) / 2, box[1] + CHIN * (box[3] - box[1])
    return bool((similarity(landmarks, TEMPLATE_PX) @ (x, y, 1))[1] > 112)


if __name__ == "__main__":
    main()
