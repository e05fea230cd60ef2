"""What the action units of `pipeline.openface.AUS` are called, in FACS's words."""

from __future__ import annotations

# Source: Ekman and Friesen, Facial Action Coding System, 1978; 2002 for the numbers of the eyes.
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


def code(unit: int) -> str:
    """The unit as FACS writes it, AU01 … AU45."""
    return f"AU{unit:02d}"
