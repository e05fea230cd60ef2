"""What a face does: 17 of FACS's action units, whether they are there and how strongly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field as PydanticField
from pydantic import model_validator

from pipeline.encoders import openface
from pipeline.encoders.openface import AUS
from pipeline.encoders.precision import Precision
from pipeline.encoders.py_feat_pins import trusted
from pipeline.errors import ClipError, UserError
from pipeline.faces.chip import Cut, chips, square, stretched
from pipeline.io.hashing import of_json
from pipeline.stage.extractor import Extractor
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import StageSettings, by_content, runtime, unless_default
from pipeline.system.device import Device, device_of
from pipeline.weights.checkpoint import find_file
from pipeline.weights.registry import load_once
from pipeline.weights.resolve import Source, Weights, find

if TYPE_CHECKING:
    from pipeline.encoders.py_feat import Detector

# py-feat's units are FACS's numbers, but a blink (45) it only knows as closed eyes (43).
PY_FEAT_UNITS = tuple(43 if au == 45 else au for au in AUS)
HUB = {
    "xgb": ("py-feat/xgb_au", "xgb_au_classifier_v2.skops"),
    "svm": ("py-feat/svm_au", "svm_au_classifier_v2.skops"),
    "multitask": ("py-feat/face_multitask_v2", "face_multitask_v28.safetensors"),
}
CUT: dict[str, Cut] = {
    "xgb": stretched, "svm": stretched, "multitask": square, "openface": square,
}  # fmt: skip
CLIPS = 4  # that py-feat judges together: their pictures are 25 MB
LANDMARKS_FILE = "mobilefacenet_model_best.pth.tar"
OF_ALL = {"backend", "device"}
OF_PY_FEAT = OF_ALL | {"weights", "revision", "file", "threshold"}
OF_CLASSIFIERS = OF_PY_FEAT | {"landmark_weights", "landmark_revision", "trusted_sha256"}
MEANT_FOR = {
    "xgb": OF_CLASSIFIERS,
    "svm": OF_CLASSIFIERS,
    "multitask": OF_PY_FEAT | {"precision"},
    "openface": OF_ALL | {"binary"},
}


class ActionUnits(Extractor):
    """17 presences, 0 or 1, then 17 intensities of 0..1, of the units in `AUS`, for every face.

    py-feat knows how sure it is that a unit is there and nothing of its strength: its intensities
    are that confidence (for `svm`, which has classes only, the logistic of the signed distance),
    and the presence is whether it exceeds `threshold`; 0.5 is where py-feat's own classes change.
    AU45 is py-feat's AU43. `openface` gives presences and fifths of its intensities itself.

    Each face is cut from its frame as py-feat cuts it, 1.2 times as large as the detector's box:
    for `multitask` a square of 256 px, for `xgb` and `svm` 112 px with the sides scaled apart.
    `openface`, which looks for the face itself, is given the square.

    Source: OpenFace 2.0 (Baltrušaitis et al. 2018) for the units; py-feat (Cheong et al. 2023).
    """

    version = 2
    takes = {
        "frames": Field(("frame", "height", "width", 3), "uint8", ragged=True),
        "times": Field(("step",), "float64", unit="s"),
        "boxes": Field(("step", 4), "float32", unit="px"),
    }

    class Settings(StageSettings):
        """Who judges faces, and with which weights."""

        backend: Literal["multitask", "xgb", "svm", "openface"] = "multitask"
        """A network or the classifiers of py-feat, or OpenFace where that is installed."""

        weights: str | None = by_content(None)
        """A file, a folder, a hub id or `random`; null: py-feat's own for this backend."""

        revision: str | None = by_content(None)
        """Commit, branch or tag of a hub repository; null: its newest."""

        file: str | None = by_content(None)
        """The name of the weights' file; null: the one that py-feat uses."""

        trusted_sha256: str | None = by_content(None, pattern="^[0-9a-f]{64}$")
        """SHA-256 of the skops file of `xgb` or `svm`, from which Python objects are rebuilt: no
        other is loaded. null: the one that is pinned for py-feat's own file, where there is one."""

        binary: str | None = by_content(None)
        """With `openface`: its FeatureExtraction or FaceLandmarkImg, a path or a name on PATH."""

        landmark_weights: str = by_content("py-feat/mobilefacenet")
        """Of py-feat's MobileFaceNet, through which `xgb` and `svm` look."""

        landmark_revision: str | None = by_content(None)
        """Commit, branch or tag of that repository; null: its newest."""

        threshold: float = PydanticField(0.5, gt=0, lt=1)
        """Of a unit's confidence, from which on the unit counts as present."""

        precision: Precision = unless_default("float32")
        """Of the products of `multitask`; bfloat16 is mostly faster and a little less exact."""

        device: Device = runtime("auto")
        """`auto` (cuda where there is one), `cpu`, `cuda`, `cuda:1` …"""

        @model_validator(mode="after")
        def _meant_for_backend(self) -> ActionUnits.Settings:
            if useless := sorted(self.model_fields_set - MEANT_FOR[self.backend]):
                raise ValueError(f"{useless[0]} does nothing with backend {self.backend}")
            return self

    settings: Settings

    def writes(self) -> dict[str, Field]:
        """One row a face."""
        return {"features": Field(("step", 2 * len(AUS)), "float32")}

    def weights(self) -> Weights:
        """The classifier's and, where it needs any, the landmark network's; OpenFace's program."""
        if self.settings.backend == "openface":
            return find(str(openface.program(self.settings.binary)))
        parts = self._parts()
        return Weights(
            " + ".join(part.id for part in parts),
            None if any(part.random for part in parts) else parts[0].path,
            parts[0].digest if len(parts) == 1 else of_json([part.digest for part in parts]),
        )

    def models(self) -> list[Source]:
        settings = self.settings
        if settings.backend == "openface":
            return []
        id, file = HUB[settings.backend]
        judge = Source(settings.weights or id, (settings.file or file,), settings.revision)
        if settings.backend == "multitask":
            return [judge]
        revision = settings.landmark_revision
        return [judge, Source(settings.landmark_weights, (LANDMARKS_FILE,), revision)]

    def portion(self) -> int | None:
        """OpenFace is started once for all clips."""
        return None if self.settings.backend == "openface" else CLIPS

    def extract(self, batch: Sequence[ClipInputs]) -> Iterator[ClipResult]:
        """The faces of all clips of the batch are judged together."""
        seen = [self._chips(inputs) for inputs in batch]
        judged = self._judged([faces for faces in seen if not isinstance(faces, ClipError)])
        for faces in seen:
            yield ClipResult.of(faces) if isinstance(faces, ClipError) else next(judged)

    def _chips(self, inputs: ClipInputs) -> np.ndarray | ClipError:
        rows = inputs.rows
        try:
            return chips(rows["frames"], rows["times"], rows["boxes"], CUT[self.settings.backend])
        except ClipError as error:
            return error

    def _judged(self, clips: Sequence[np.ndarray]) -> Iterator[ClipResult]:
        if not clips:
            return
        if self.settings.backend == "openface":
            program = openface.program(self.settings.binary)
            yield from map(_of_openface, openface.action_units(program, clips), map(len, clips))
            return
        features = self.features(np.concatenate(clips))
        ends = np.cumsum([len(faces) for faces in clips])
        for part in np.split(features, ends[:-1]):
            yield ClipResult.ok({"features": part}, length=len(part))

    def features(self, faces: np.ndarray) -> np.ndarray:
        """uint8 rgb `faces` [n, px, px, 3], cut as py-feat does, to float32 [n, 34]."""
        # torch and py-feat, which needs seconds, are loaded where they are used.
        from pipeline.encoders import py_feat

        detector = self._detector()
        intensities = py_feat.confidences(detector, faces)[:, columns(detector.units)]
        presences = (intensities > self.settings.threshold).astype(np.float32)
        return np.concatenate([presences, intensities], axis=1)

    def _detector(self) -> Detector:
        from pipeline.encoders import py_feat, py_feat_random

        backend, device = self.settings.backend, device_of(self.settings.device)
        parts, precision = self._parts(), self.settings.precision

        def build() -> Detector:
            paths = [part.path for part in parts]
            if backend == "multitask":
                if paths[0]:
                    return py_feat.Multitask.load(paths[0], device, precision)
                return py_feat_random.multitask(device, precision)
            trained = (
                py_feat.load_classifier(paths[0], backend, parts[0].digest)
                if paths[0]
                else py_feat_random.classifier(backend)
            )
            landmarks = (
                py_feat.load_landmarks(paths[1], device)
                if paths[1]
                else py_feat_random.landmarks(device)
            )
            return py_feat.Classical.of(landmarks, trained, device)

        return load_once((backend, device, precision, *(part.digest for part in parts)), build)

    def _parts(self) -> list[Weights]:
        """The classifier's weights and, where it needs any, the landmark network's."""
        parts = [find_file(source.id, source.files, source.revision) for source in self.models()]
        if self.settings.backend != "multitask" and not parts[0].random:
            self._require_trust(parts[0])
        return parts

    def _require_trust(self, found: Weights) -> None:
        assert found.path is not None
        digest = trusted(found.path.name, self.settings.trusted_sha256)
        if digest != found.digest:
            raise UserError(
                f"{found.path} rebuilds Python objects, so it is loaded only if trusted; its "
                f"SHA-256 is {found.digest}, `trusted_sha256` is {digest or 'not set'}: compare "
                "it with the one at its source, or choose backend multitask, which needs no trust"
            )


def columns(units: Sequence[int]) -> list[int]:
    """Where py-feat's `units` have those of `AUS`, in their order; UserError where one lacks."""
    if lacking := sorted(set(PY_FEAT_UNITS) - set(units)):
        raise UserError(
            f"these weights of py-feat's don't know AU{lacking[0]}; use those of its releases"
        )
    return [units.index(unit) for unit in PY_FEAT_UNITS]


def _of_openface(rows: openface.Rows | ClipError, n: int) -> ClipResult:
    """Faces in which OpenFace found none stay zero, and the note says how many."""
    if isinstance(rows, ClipError):
        return ClipResult.of(rows)
    features = np.zeros((n, 2 * len(AUS)), np.float32)
    for step in rows.keys() & range(n):
        features[step] = rows[step]
    unseen = n - len(rows.keys() & range(n))
    note = f"OpenFace saw no face in {unseen} of {n} steps" if unseen else ""
    return ClipResult.ok({"features": features}, length=n, note=note)
