"""What a face does: 17 of FACS's action units, whether they are there and how strongly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field as PydanticField
from pydantic import model_validator

from pipeline.encoders import action_units, openface
from pipeline.encoders.action_units import HUB, LANDMARKS_FILE
from pipeline.encoders.engine import TORCH, Engine
from pipeline.encoders.face_signals import FIELDS, Group
from pipeline.encoders.openface_columns import AUS
from pipeline.encoders.precision import Precision
from pipeline.errors import ClipError
from pipeline.faces.augment import BLURS, COVERS, AugmentedFrames
from pipeline.faces.chip import Crop, chips, square, stretched
from pipeline.io.hashing import of_json
from pipeline.stage.about import About
from pipeline.stage.field import Field
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.settings import (
    StageSettings,
    by_content,
    code,
    in_order,
    runtime,
    unless_default,
)
from pipeline.stage.words import OF_FACES, SampledExtractor
from pipeline.system.device import Device, device_of
from pipeline.system.threads import spread
from pipeline.weights.resolve import Source, Weights, find

if TYPE_CHECKING:
    from pipeline.encoders.py_feat import Detector

CROP: dict[str, Crop] = {
    "xgb": stretched, "svm": stretched, "multitask": square, "openface": square,
}  # fmt: skip
CLIPS = 4  # that py-feat judges together: their pictures are 25 MB
OF_ALL = {"backend", "sampling", "device"}
OF_PY_FEAT = OF_ALL | {"weights", "revision", "file", "threshold"}
OF_CLASSIFIERS = OF_PY_FEAT | {"landmark_weights", "landmark_revision", "trusted_sha256"}
MEANT_FOR = {
    "xgb": OF_CLASSIFIERS,
    "svm": OF_CLASSIFIERS,
    "multitask": OF_PY_FEAT | {"precision", "signals", "engine"},
    "openface": OF_ALL | {"binary"},
}


class ActionUnits(SampledExtractor):
    """17 presences, 0 or 1, then 17 intensities of 0..1, of the units in `AUS`, for every face.

    py-feat knows how sure it is that a unit is there and nothing of its strength: its intensities
    are that confidence (for `svm`, which has classes only, the logistic of the signed distance),
    and the presence is whether it exceeds `threshold`; 0.5 is where py-feat's own classes change.
    AU45 is py-feat's AU43. `openface` gives presences and fifths of its intensities itself.

    Each face is cropped from its frame as py-feat does it, 1.2 times as large as the detector's
    box: for `multitask` a square of 256 px, for `xgb` and `svm` 112 px with the sides scaled apart.
    `openface`, which looks for the face itself, is given the square.

    `signals` keeps more of what `multitask` finds in the same pass, for the stage `face_signals`.
    py-feat's card calls these weak: AU20 (of no use), AU15 and AU6, the pitch of a gaze at the
    camera, and landmarks, which the mesh is.

    Source: OpenFace 2.0 (Baltrušaitis et al. 2018) for the units; py-feat (Cheong et al. 2023).
    """

    version = 2
    about = About(
        "Action units",
        "AUs",
        "visual",
        channel=2,
        panel="units",
        licences={
            "py-feat/face_multitask_v2": "for research, not commercial (py-feat's PYFEAT-V2.md)",
            "py-feat/mobilefacenet": "none stated (py-feat's PYFEAT-V1.md)",
            "py-feat/svm_au": "MIT, beside the terms of its data (py-feat's PYFEAT-V1.md)",
            "py-feat/xgb_au": "MIT, beside the terms of its data (py-feat's PYFEAT-V1.md)",
        },
    )
    takes = {
        "frames": Field(("frame", "height", "width", 3), "uint8", ragged=True),
        "times": Field(("step",), "float64", unit="s"),
        "boxes": Field(("step", 4), "float32", unit="px"),
    }
    may_take = COVERS | BLURS  # what `faces` with `augment` tells
    with_words = OF_FACES

    class Settings(StageSettings):
        backend: Literal["multitask", "xgb", "svm", "openface"] = "multitask"
        """py-feat's network or one of its classifiers, or OpenFace if it is installed."""

        weights: str | None = by_content(None)
        """A file, a folder, a hub id or `random`; null for py-feat's own."""

        revision: str | None = by_content(None)
        """Commit, branch or tag on the hub; null for the latest."""

        file: str | None = by_content(None)
        """Name of the weights file; null for the one that py-feat uses."""

        trusted_sha256: str | None = code(
            "rebuild Python objects from the file with SHA-256", pattern="^[0-9a-f]{64}$"
        )
        """SHA-256 of the skops file of `xgb` or `svm`, from which Python objects are rebuilt: no
        other is loaded, and none where this is null."""

        binary: str | None = code("run")
        """OpenFace's FeatureExtraction or FaceLandmarkImg: a path, or a name on PATH."""

        landmark_weights: str = by_content("py-feat/mobilefacenet")
        """Weights of py-feat's MobileFaceNet, which `xgb` and `svm` use."""

        landmark_revision: str | None = by_content(None)
        """Commit, branch or tag of the landmark network on the hub; null for the latest."""

        threshold: float = PydanticField(0.5, gt=0, lt=1)
        """Confidence above which a unit counts as present."""

        sampling: Literal["uniform", "words"] = unless_default("uniform")
        """A step for each face that `faces` picked, or the mean of those in each word, which the
        stage `alignment` that it needs finds."""

        precision: Precision = unless_default("float32")
        """Of `multitask`'s products: tf32 (NVIDIA GPUs) and bfloat16 are faster, less accurate."""

        signals: Annotated[tuple[Group, ...], in_order(FIELDS)] = unless_default(())
        """What else of `multitask`'s pass is kept, each in a field of its name."""

        engine: Engine = runtime(TORCH)
        """What computes `multitask` on a CPU in float32: `torch`, `onnxruntime`, `openvino`, or
        `auto`, the fastest that is installed; they agree to 1e-5. See docs/engines.md."""

        device: Device = runtime("auto")
        """`auto` (cuda if available), `cpu`, `cuda`, `cuda:1` …"""

        @model_validator(mode="after")
        def _meant_for_backend(self) -> ActionUnits.Settings:
            if useless := sorted(self.model_fields_set - MEANT_FOR[self.backend]):
                raise ValueError(f"{useless[0]} does nothing with backend {self.backend}")
            return self

    settings: Settings

    def writes(self) -> dict[str, Field]:
        units = Field(("step", 2 * len(AUS)), "float32")
        return {"features": units, **{group: FIELDS[group] for group in self.settings.signals}}

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
        seen = spread(self._chips, batch)
        clips = [faces for faces in seen if not isinstance(faces, ClipError)]
        judged = iter(self._judged(clips) if clips else [])
        for inputs, faces in zip(batch, seen, strict=True):
            if isinstance(faces, ClipError):
                yield ClipResult.of(faces)
            else:
                yield self._in_steps(next(judged), inputs)

    def _in_steps(self, of_faces: ClipResult, inputs: ClipInputs) -> ClipResult:
        at_s = inputs.rows.get("times")
        rows = {n: self.in_steps(row, inputs, at_s) for n, row in of_faces.rows.items()}
        return replace(of_faces, rows=rows, length=len(next(iter(rows.values()), ())))

    def _chips(self, inputs: ClipInputs) -> np.ndarray | ClipError:
        rows = inputs.rows
        try:
            frames = AugmentedFrames(rows["frames"].begin, rows=rows)
            return chips(frames, rows["times"], rows["boxes"], CROP[self.settings.backend])
        except ClipError as error:
            return error

    def _judged(self, clips: Sequence[np.ndarray]) -> list[ClipResult]:
        if self.settings.backend == "openface":
            return openface.action_units(openface.program(self.settings.binary), clips)
        ends = np.cumsum([len(faces) for faces in clips])
        found = self.fields(np.concatenate(clips))
        parts = {name: np.split(rows, ends[:-1]) for name, rows in found.items()}
        return [
            ClipResult.ok({name: rows[i] for name, rows in parts.items()}, length=len(faces))
            for i, faces in enumerate(clips)
        ]

    def fields(self, faces: np.ndarray) -> dict[str, np.ndarray]:
        """uint8 rgb `faces` [n, px, px, 3], cropped as py-feat does, to what `writes` declares."""
        # torch and py-feat, which needs seconds, are loaded where they are used.
        from pipeline.encoders import py_feat

        detector = self._detector()
        found = py_feat.judged(detector, faces, self.settings.signals)
        intensities = found.pop("units")[:, action_units.columns(detector.units)]
        presences = (intensities > self.settings.threshold).astype(np.float32)
        return {"features": np.concatenate([presences, intensities], axis=1), **found}

    def _detector(self) -> Detector:
        settings = self.settings
        device, precision = device_of(settings.device), settings.precision
        parts, engine = self._parts(), settings.engine
        return action_units.loaded(settings.backend, parts, device, precision, engine)

    def _parts(self) -> list[Weights]:
        return action_units.found(self.models(), self.settings.trusted_sha256)
