"""The action units of a clip by their names in FACS, how strong each is and when it is there."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.encoders.openface_columns import AUS
from pipeline.inspect.stage_result import StageResult

# Source: Ekman and Friesen, Facial Action Coding System, 1978 and 2002.
MEANING = {
    1: "Inner brow raiser",
    2: "Outer brow raiser",
    4: "Brow lowerer",
    5: "Upper lid raiser",
    6: "Cheek raiser",
    7: "Lid tightener",
    9: "Nose wrinkler",
    10: "Upper lip raiser",
    12: "Lip corner puller",
    14: "Dimpler",
    15: "Lip corner depressor",
    17: "Chin raiser",
    20: "Lip stretcher",
    23: "Lip tightener",
    25: "Lips part",
    26: "Jaw drop",
    45: "Blink",
}
# Of py-feat's multitask network, whose macro F1 over 12 units is 0.682 on DISFA+. Source: its model
# card, "Known limitations", for face_multitask_v28 (huggingface.co/py-feat/face_multitask_v2).
WEAK = {6: 0.526, 15: 0.479, 20: 0.057}


@dataclass(frozen=True)
class Unit:
    """A unit over the steps. intensities: of 0..1; presences: whether it counts as there.

    weakness: what its network's card says against trusting it, "" where nothing.
    """

    code: str
    meaning: str
    intensities: tuple[float, ...]
    presences: tuple[bool, ...]
    weakness: str = ""

    @property
    def present(self) -> int:
        """In how many steps it is there."""
        return sum(self.presences)

    @property
    def mean(self) -> float:
        """Its mean intensity."""
        return sum(self.intensities) / max(len(self.intensities), 1)


@dataclass(frozen=True)
class UnitsPanel:
    """is_confidence: whether an intensity is how sure a classifier is, and not a strength."""

    units: tuple[Unit, ...]
    steps: int
    is_confidence: bool
    template: str = "units"


def panel(result: StageResult) -> UnitsPanel:
    """The 17 units, as `action_units` wrote them: presences, then intensities."""
    backend = result.settings.get("backend")
    presences, intensities = result.rows["features"].T.reshape(2, len(AUS), -1)
    units = tuple(
        Unit(
            f"AU{unit:02d}",
            MEANING[unit],
            tuple(round(value, 3) for value in intensities[i].tolist()),
            tuple((presences[i] > 0.5).tolist()),
            _weakness(unit) if backend == "multitask" else "",
        )
        for i, unit in enumerate(AUS)
    )
    return UnitsPanel(units, result.steps or 0, is_confidence=backend != "openface")


def _weakness(unit: int) -> str:
    return f"weak: F1 {WEAK[unit]:.2f} on its model card" if unit in WEAK else ""
