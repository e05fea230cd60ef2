"""The weights that py-feat's backends of action units need, and which of them are trusted.

Light: what computes with them is in `py_feat`, which needs seconds to be imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.encoders import engine as engines
from pipeline.encoders.engine import TORCH, Engine
from pipeline.encoders.openface_columns import AUS
from pipeline.encoders.precision import Precision
from pipeline.errors import UserError
from pipeline.weights.checkpoint import find_file
from pipeline.weights.registry import load_once
from pipeline.weights.resolve import Source, Weights

if TYPE_CHECKING:
    from pipeline.encoders.py_feat import Detector

# py-feat's units are FACS's numbers, but a blink (45) it only knows as closed eyes (43).
PY_FEAT_UNITS = tuple(43 if au == 45 else au for au in AUS)
HUB = {
    "xgb": ("py-feat/xgb_au", "xgb_au_classifier_v2.skops"),
    "svm": ("py-feat/svm_au", "svm_au_classifier_v2.skops"),
    "multitask": ("py-feat/face_multitask_v2", "face_multitask_v28.safetensors"),
}
LANDMARKS_FILE = "mobilefacenet_model_best.pth.tar"


def found(sources: Sequence[Source], trusted_sha256: str | None) -> list[Weights]:
    """The judge's weights and, where it needs any, the landmark network's.

    trusted_sha256: of the one classifier's file from which Python objects may be rebuilt. Raises
    UserError for any other.
    """
    parts = [find_file(source.id, source.files, source.revision) for source in sources]
    path, digest = parts[0].path, parts[0].digest
    if len(parts) > 1 and path is not None and digest != trusted_sha256:
        raise UserError(
            f"{path} rebuilds Python objects, so it is loaded only if trusted; its SHA-256 is "
            f"{digest}, `trusted_sha256` is {trusted_sha256 or 'not set'}: compare it with "
            "the one at its source, or choose backend multitask, which needs no trust"
        )
    return parts


def loaded(
    backend: str,
    parts: Sequence[Weights],
    device: str,
    precision: Precision,
    engine: Engine = TORCH,
) -> Detector:
    """py-feat's detector with those weights, once a process.

    engine: what computes `multitask` on a CPU.
    """
    from pipeline.encoders import py_feat, py_feat_random

    engine = engines.used(engine, precision, device)

    judge, landmarks = parts[0].path, parts[-1].path

    def build() -> Detector:
        if backend == "multitask":
            if judge is None:
                found = py_feat_random.multitask(device, precision)
            else:
                found = py_feat.Multitask.load(judge, device, precision)
            return found.engaged(parts[0].digest, engine)
        trained = (
            py_feat.load_classifier(judge, backend, parts[0].digest)
            if judge
            else py_feat_random.classifier(backend)
        )
        network = (
            py_feat.load_landmarks(landmarks, device)
            if landmarks
            else py_feat_random.landmarks(device)
        )
        return py_feat.Classical.of(network, trained, device)

    return load_once((backend, device, precision, engine, *(part.digest for part in parts)), build)


def columns(units: Sequence[int]) -> list[int]:
    """Where py-feat's `units` have those of `AUS`, in order; UserError if one is missing."""
    if missing := sorted(set(PY_FEAT_UNITS) - set(units)):
        raise UserError(
            f"these weights of py-feat's have no AU{missing[0]}; use those of its releases"
        )
    return [units.index(unit) for unit in PY_FEAT_UNITS]
