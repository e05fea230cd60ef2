"""What py-feat's multitask network says of a face in the same pass as its action units.

Light: what computes them is in `py_feat`, which needs seconds to be imported.
"""

from __future__ import annotations

from typing import Literal

from pipeline.stage.field import Field

Group = Literal["gaze", "pose", "emotions", "affect", "blendshapes", "mesh"]
# In the order and with the signs of py-feat's `Detectorv2`, which is up and to the person's right.
FIELDS: dict[str, Field] = {
    "gaze": Field(("step", 2), "float32", "rad; pitch, yaw"),
    "pose": Field(("step", 6), "float32", "pitch, roll, yaw in rad; x, y, z in px"),
    "emotions": Field(
        ("step", 7), "float32", "of 1; neutral, happy, sad, surprise, fear, disgust, anger"
    ),
    "affect": Field(("step", 2), "float32", "-1..1; valence, arousal"),
    "blendshapes": Field(("step", 52), "float32", "0..1; in MediaPipe's order"),
    "mesh": Field(
        ("step", 3 * 478), "float32", "shares of the crop's side; x, y, z of each of MediaPipe's"
    ),
}
