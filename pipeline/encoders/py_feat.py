"""py-feat's action-unit networks and classifiers on faces cropped as it crops them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from zipfile import BadZipFile

import numpy as np
import torch
from scipy.spatial import QhullError
from scipy.special import expit

from pipeline.encoders import engine as engines
from pipeline.encoders.engine import Engine
from pipeline.encoders.engine_trial import Subject
from pipeline.encoders.face_signals import FIELDS, Group
from pipeline.encoders.few_at_once import PICTURES, FewAtOnce
from pipeline.encoders.precision import (
    CUT,
    FULL,
    SHORT,
    Precision,
    as_floats,
    inference,
    lowered,
)
from pipeline.encoders.py_feat_library import (
    MobileFaceNet,
    MultitaskModel,
    SVMClassifier,
    XGBClassifier,
    extract_hog_features_batched,
)
from pipeline.errors import ClipError, UserError
from pipeline.faces.chip import STRETCHED_PX
from pipeline.messages import one_line
from pipeline.system.device import uploaded
from pipeline.system.spans import span
from pipeline.system.turns import turn
from pipeline.weights.checkpoint import read_tensors

if TYPE_CHECKING:
    from pipeline.encoders.py_feat_hog import HOGLayer

# Always so many faces at once: a face's last bits then don't depend on those beside it. They
# matter here, where landmarks are truncated to whole pixels and trees branch at thresholds.
FACES = 32
MODEL_INPUT = 224  # the side of the square that `Multitask` sees
POINTS = 68
CLASSIFIERS = {"xgb": XGBClassifier, "svm": SVMClassifier}
# What a file of py-feat's may rebuild besides the types of scikit-learn and numpy.
SKOPS_TYPES = {
    "feat.au_detectors.StatLearning.SL_test.SVMClassifier",
    "feat.au_detectors.StatLearning.SL_test.XGBClassifier",
    "xgboost.core.Booster",
    "xgboost.sklearn.XGBClassifier",
}
PARTS = tuple(
    f"{what}_{of}" for of in ("upper", "lower", "full") for what in ("scaler", "pca_model")
)


# Which of the network's outputs the units and each group are.
OUTPUTS = {
    "units": "p_au", "gaze": "gaze", "pose": "pose", "emotions": "emotion_logits", "affect": "va",
    "blendshapes": "blendshapes", "mesh": "mesh",
}  # fmt: skip
# Columns and signs of py-feat's `Detectorv2`: the network itself looks down, and its tilt and turn
# come in another order.
TURNED = {
    "gaze": ([1, 0], np.array([-1, 1], np.float32)),
    "pose": ([0, 2, 1, 3, 4, 5], np.array([-1, -1, 1, 1, 1, 1], np.float32)),
}


class Detector(Protocol):
    """Something that says how sure it is that action units are to be seen."""

    @property
    def device(self) -> torch.device:
        """Where its networks are."""

    @property
    def units(self) -> tuple[int, ...]:
        """Their FACS numbers, one for each column."""

    def judged(self, faces: torch.Tensor, groups: Sequence[Group]) -> dict[str, np.ndarray]:
        """float32 rgb `faces` [32, 3, px, px] of 0..1 to `units`, [32, units] of 0..1.

        groups: what of `FIELDS` is given too, by its name; only `Multitask` has any.
        """


@span("network")
def judged(
    detector: Detector, faces: np.ndarray, groups: Sequence[Group] = ()
) -> dict[str, np.ndarray]:
    """uint8 rgb `faces` [n, px, px, 3] to `units`, float32 [n, units] of 0..1, and the groups."""
    widths: dict[str, int] = {group: FIELDS[group].width or 0 for group in groups}
    widths["units"] = len(detector.units)
    rows = {name: [np.zeros((0, width))] for name, width in widths.items()}
    for start in range(0, len(faces), FACES):
        batch = faces[start : start + FACES]
        full = np.concatenate([batch, np.repeat(batch[-1:], FACES - len(batch), axis=0)])
        x = uploaded(torch.from_numpy(full), detector.device).permute(0, 3, 1, 2).float() / 255
        for name, values in detector.judged(x, groups).items():
            rows[name].append(values[: len(batch)])
    found = {name: np.concatenate(parts) for name, parts in rows.items()}
    found["units"] = found["units"].clip(0, 1)
    return {name: values.astype(np.float32) for name, values in found.items()}


@dataclass(frozen=True)
class Classical:
    """68 landmarks, the HOG of the face inside their hull, then one classifier a unit.

    Source: py-feat's `Detectorv1.forward`; Cheong et al., Affective Science 2023.
    """

    landmarks: torch.nn.Module
    classifier: XGBClassifier | SVMClassifier
    hog: HOGLayer
    units: tuple[int, ...]

    @classmethod
    def of(cls, landmarks: torch.nn.Module, loaded: Any, device: str) -> Classical:
        """With the parts of a trained `loaded`, one of py-feat's two classifiers."""
        parts = {part: getattr(loaded, part) for part in PARTS}
        classifier, each = type(loaded)(), dict(loaded.classifiers)
        names = getattr(classifier, "au_keys", sorted(each, key=unit_of))  # as its columns are
        if missing := [name for name in names if name not in each]:
            raise UserError(f"the trained {type(loaded).__name__} has no {', '.join(missing)}")
        if isinstance(classifier, SVMClassifier):
            each = {name: _Sureness(each[name]) for name in names}
        else:
            parts["calibrators"] = getattr(loaded, "calibrators", None)
        classifier.load_weights(**parts, classifiers=each)
        return cls(landmarks, classifier, hog_layer(device), tuple(map(unit_of, names)))

    @property
    def device(self) -> torch.device:
        return next(self.landmarks.parameters()).device

    def judged(self, faces: torch.Tensor, groups: Sequence[Group] = ()) -> dict[str, np.ndarray]:
        with inference(FULL, self.device):
            points, _ = self.landmarks(faces)
        hog, pixels = hog_inside(faces, points, self.hog)
        # In float64: how BLAS adds up depends on where memory lies, in float32 by a last bit that
        # is seen afterwards.
        return {"units": self.classifier.detect_au(hog.astype(np.float64), [pixels])}


@dataclass(frozen=True)
class _Sureness:
    """An SVM whose `predict`, all that py-feat asks for, is the logistic of its signed distance."""

    svm: Any

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return cast(np.ndarray, expit(self.svm.decision_function(rows)))


@dataclass(frozen=True)
class Multitask:
    """py-feat's one network for everything about a face. Source: py-feat's `Detectorv2`."""

    model: MultitaskModel
    precision: Precision = FULL

    @classmethod
    def load(cls, path: Path, device: str, precision: Precision = FULL) -> Multitask:
        """From a .safetensors file alone: py-feat would unpickle any other."""
        if path.suffix != ".safetensors":
            raise UserError(f"{path} is no .safetensors file, and no other is loaded for multitask")
        try:
            with torch.random.fork_rng(devices=[]):
                model = MultitaskModel(device=device, weights_path=str(path))
        except Exception as error:  # py-feat and safetensors raise many kinds on a foreign file
            reason = one_line(error)[:300]
            raise UserError(f"{path} is no multitask checkpoint of py-feat's: {reason}") from error
        model.model = lowered(model.model, precision)
        return cls(model, precision)

    def engaged(self, digest: str, engine: Engine) -> Multitask:
        """The same, its backbone computed by another engine, or on a CPU by torch in small parts.

        The rest is torch's, since it takes the units that are most like each other: a choice that
        no figure of agreement holds for. digest: of the weights.
        """
        network, shape = self.model.model, (PICTURES, 3, MODEL_INPUT, MODEL_INPUT)
        of = Subject("action_units", digest, (shape,), layer="backbone")
        if self.device.type == "cpu":
            backbone = engines.engaged(network.backbone, of, engine) or FewAtOnce(network.backbone)
            del network.backbone  # a module; torch lets nothing else take its place
            network.backbone = backbone
        return self

    @property
    def device(self) -> torch.device:
        return cast(torch.device, self.model.device)

    @property
    def units(self) -> tuple[int, ...]:
        return tuple(map(unit_of, self.model.au_names))

    def judged(self, faces: torch.Tensor, groups: Sequence[Group] = ()) -> dict[str, np.ndarray]:
        parts: dict[str, int | None] = {"units": len(self.units)}
        parts |= {group: FIELDS[group].width for group in groups}
        with turn(self.device, tf32=self.precision == CUT), torch.inference_mode():
            x = self.model.preprocess(faces)
            with torch.autocast(self.device.type, torch.bfloat16, self.precision == SHORT):
                out = self.model.model(x)
            columns = [_columns(out, part, width) for part, width in parts.items()]
            rows = as_floats(torch.cat(columns, dim=1))  # one copy from the device
        ends = np.cumsum([of.shape[1] for of in columns])
        found = dict(zip(parts, np.split(rows, ends[:-1], axis=1), strict=True))
        for part in TURNED.keys() & found.keys():
            places, signs = TURNED[part]
            found[part] = found[part][:, places] * signs
        return found


def _columns(out: Mapping[str, torch.Tensor | None], part: str, width: int | None) -> torch.Tensor:
    """The output that is `part`, float32 [n, width]; UserError where the network has no such."""
    values = out.get(OUTPUTS[part])
    if values is None or values[0].numel() != width:
        raise UserError(f"these weights of py-feat's have no such {part}; use those of "
                        "its releases, or leave that out of `signals`")  # fmt: skip
    return (values.softmax(dim=-1) if part == "emotions" else values).float().flatten(1)


def unit_of(name: str) -> int:
    """The FACS number in names such as AU4 and AU04."""
    return int(name.removeprefix("AU"))


def hog_layer(device: str) -> HOGLayer:
    """HOG with py-feat's settings: 5408 values of a 112×112 face."""
    from pipeline.encoders.py_feat_hog import HOGLayer

    to = torch.device(device)  # py-feat knows few devices by name
    return HOGLayer(8, 8, 2, block_normalization="L2-Hys", feature_vector=True, device=to).to(to)


def hog_inside(
    faces: torch.Tensor, points: torch.Tensor, layer: HOGLayer
) -> tuple[np.ndarray, list[np.ndarray]]:
    """HOG [n, 5408] within the landmarks, and the landmarks in the picture that it is of.

    points: [n, 136] of 0..1, x and y in turn. Raises ClipError where they enclose nothing.
    """
    try:
        return cast(Any, extract_hog_features_batched(faces.to(points.device), points, layer))
    except (QhullError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
        raise ClipError("the landmarks found in a face lie on one line or point") from error


def landmark_network(device: str) -> MobileFaceNet:
    """MobileFaceNet as py-feat builds it for 68 landmarks."""
    return MobileFaceNet([STRETCHED_PX, STRETCHED_PX], 2 * POINTS, device=device)


def load_landmarks(path: Path, device: str) -> torch.nn.Module:
    """The landmark network with the checkpoint at `path`."""
    with torch.random.fork_rng(devices=[]):
        network = landmark_network(device)
    tensors = read_tensors(path, network.state_dict(), "MobileFaceNet of py-feat's")
    network.load_state_dict(tensors, strict=False)  # without counts of batches seen
    return network.eval().requires_grad_(False).to(device)


def load_classifier(path: Path, backend: str, trusted_sha256: str) -> Any:
    """py-feat's trained classifier in a skops file with that digest, and of known types only."""
    # Imported here: it brings scikit-learn, which the multitask network doesn't need.
    from skops.io import get_untrusted_types, loads

    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != trusted_sha256:
        raise UserError(f"{path} has SHA-256 {digest}, not the trusted {trusted_sha256}")
    try:
        if foreign := sorted(set(get_untrusted_types(data=content)) - SKOPS_TYPES):
            raise UserError(f"{path} would rebuild {', '.join(foreign)}, which py-feat doesn't use")
        loaded = loads(content, trusted=sorted(SKOPS_TYPES))
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise UserError(f"{path} can't be read as a skops file: {error}") from error
    if not isinstance(loaded, CLASSIFIERS[backend]):
        raise UserError(f"{path} holds a {type(loaded).__name__}, not py-feat's for {backend}")
    return loaded
