"""Pictures inside a page."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import cv2
import numpy as np


def data_uri(rgb: np.ndarray, kind: str = "jpg", quality: int = 80) -> str:
    """A picture uint8 [height, width, 3] (or [height, width]) as the `src` of an <img>.

    kind: `jpg` for photographs, `png` for what must be exact.
    """
    picture = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR) if rgb.ndim == 3 else rgb
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if kind == "jpg" else []
    encoded = cv2.imencode(f".{kind}", picture, options)[1]
    mime = "jpeg" if kind == "jpg" else kind
    return f"data:image/{mime};base64,{base64.b64encode(encoded.tobytes()).decode()}"


def strip(pictures: Sequence[np.ndarray], size_px: int) -> np.ndarray:
    """Square pictures uint8 [side, side, 3] side by side, each at `size_px`, as one."""
    scaled = [cv2.resize(p, (size_px, size_px), interpolation=cv2.INTER_AREA) for p in pictures]
    return np.concatenate(scaled, axis=1)
