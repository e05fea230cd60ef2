"""A trained model as ONNX, held against torch before it is handed out."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np

from model.exported.graph import Graph
from pipeline.errors import UserError
from pipeline.system import libraries

OPSET = 18
TOLERANCE = 1e-4  # of the largest output, or of 1 where all are smaller
HELD = (1, 2, 7)  # clips


def write(graph: Graph, path: Path, about: Mapping[str, object]) -> str:
    """Write the model and say what it is. about: metadata, kept as JSON by name.

    Raises UserError where a library is missing, or ONNX Runtime gives other numbers than torch.
    """
    libraries.require({"onnx": "onnx", "onnxscript": "onnx", "onnxruntime": "onnx"})
    import torch

    program = graph.program()
    with warnings.catch_warnings(), redirect_stdout(StringIO()):  # it tells of each of its steps
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        made = torch.onnx.export(
            program, opset_version=OPSET, input_names=graph.inputs, output_names=["outputs"],
            dynamo=True, verbose=False,
        )  # fmt: skip
    assert made is not None
    made.model.metadata_props.update({name: json.dumps(value) for name, value in about.items()})
    made.save(path)
    off = _off(graph, path)
    if not off <= TOLERANCE:
        path.unlink()
        raise UserError(f"ONNX Runtime gives other numbers than torch, {off:.0e} off; not written")
    return f"ONNX, opset {OPSET}, any number of clips; ONNX Runtime is within {off:.0e} of torch"


def _off(graph: Graph, path: Path) -> float:
    """The largest difference from torch's outputs, as a share of the largest of them or of 1."""
    import torch
    from onnxruntime import InferenceSession

    session, worst = InferenceSession(path, providers=["CPUExecutionProvider"]), 0.0
    for clips in HELD:
        inputs = graph.example(clips, seed=clips)
        with torch.no_grad():
            truth = graph(*inputs).numpy()
        given = {name: x.numpy() for name, x in zip(graph.inputs, inputs, strict=True)}
        [found] = session.run(None, given)
        worst = max(worst, float(np.abs(found - truth).max() / max(1, np.abs(truth).max())))
    return worst
