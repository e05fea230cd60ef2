"""Where somebody speaks: Silero's voice activity detector, whose network is in its wheel."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.media.waveform import RATE_HZ
from pipeline.system import libraries

WINDOW = 512  # samples that the network judges at once
CONTEXT = 64  # samples before them that it is given again
STATE = (2, 1, 128)
WINDOW_S = WINDOW / RATE_HZ
FILE = "silero_vad.onnx"


def voice(samples: np.ndarray) -> np.ndarray:
    """How sure it is, 0..1, that each 32 ms have speech: float32 [ceil(n / 512)].

    samples: float32 [n] in −1..1 at 16 kHz. What comes later changes nothing. Raises UserError
    where the extra `segment` is not installed. Source: silero-vad, OnnxWrapper of utils_vad.py.
    """
    network = _network()
    windows = -(-len(samples) // WINDOW)
    padded = np.zeros(CONTEXT + windows * WINDOW, np.float32)
    padded[CONTEXT : CONTEXT + len(samples)] = samples
    state, rate = np.zeros(STATE, np.float32), np.array(RATE_HZ, np.int64)
    found = np.empty(windows, np.float32)
    for number in range(windows):
        begin = number * WINDOW
        given = padded[None, begin : begin + CONTEXT + WINDOW]
        (sure,), state = network.run(None, {"input": given, "state": state, "sr": rate})
        found[number] = sure[0]
    return found


@lru_cache(maxsize=1)
def _network() -> Any:
    """The network, on one thread: a window is too little work for two."""
    libraries.require({"silero_vad": "segment", "onnxruntime": "segment"})
    import onnxruntime

    spec = find_spec("silero_vad")
    assert spec is not None
    assert spec.origin is not None
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    file = Path(spec.origin).parent / "data" / FILE
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
