"""The columns that OpenFace 2 writes for a frame, by what they are of, in its order."""

from __future__ import annotations

from typing import Literal

Group = Literal[
    "gaze", "eye_landmarks", "pose", "landmarks_2d", "landmarks_3d", "shape", "action_units"
]
AUS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)  # those with an intensity


def _numbered(names: str, count: int) -> tuple[str, ...]:
    return tuple(f"{name}_{number}" for name in names.split() for number in range(count))


COLUMNS: dict[Group, tuple[str, ...]] = {
    "gaze": (
        "gaze_0_x", "gaze_0_y", "gaze_0_z", "gaze_1_x", "gaze_1_y", "gaze_1_z",
        "gaze_angle_x", "gaze_angle_y",
    ),
    "eye_landmarks": _numbered("eye_lmk_x eye_lmk_y eye_lmk_X eye_lmk_Y eye_lmk_Z", 56),
    "pose": ("pose_Tx", "pose_Ty", "pose_Tz", "pose_Rx", "pose_Ry", "pose_Rz"),
    "landmarks_2d": _numbered("x y", 68),
    "landmarks_3d": _numbered("X Y Z", 68),
    "shape": ("p_scale", "p_rx", "p_ry", "p_rz", "p_tx", "p_ty", *_numbered("p", 34)),
    "action_units": (
        *(f"AU{au:02d}_r" for au in AUS),
        *(f"AU{au:02d}_c" for au in sorted((*AUS, 28))),
    ),
}  # fmt: skip
