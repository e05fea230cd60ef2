"""Networks in other formats give what torch gives, for any number of clips."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnxruntime import InferenceSession

from model.data.batch import Batch
from model.data.scaler import Scaler
from model.data.truth import scored
from model.exported import onnx as as_onnx
from model.exported.graph import Graph
from model.exported.run import export_run
from model.metrics import MOSI
from model.objectives.choose import objective_of
from model.registry import build
from model.runs.load import load_model
from model.training.predictor import Predictor
from pipeline.errors import UserError
from tests.model.publish.conftest import Published
from tests.model.publish.conftest import made as made

WIDTHS = {"visual": 5, "audio": 4, "text": 3}
STEPS = 3


def graph(model: str) -> Graph:
    torch.manual_seed(0)
    scaler = Scaler(WIDTHS)
    for buffer in scaler.buffers():
        buffer.uniform_(0.5, 1.5)
    network = build(model, WIDTHS, 1, {})
    return Graph(Predictor(scaler, network, objective_of(scored(MOSI), "regression")), STEPS)


@pytest.mark.parametrize("model", ["lf_dnn", "tfn"])
def test_onnx_runtime_gives_what_torch_gives(model: str, tmp_path: Path) -> None:
    made = graph(model)
    told = as_onnx.write(made, tmp_path / "net.onnx", {"model": model})
    assert "opset 18" in told
    session = InferenceSession(tmp_path / "net.onnx")
    assert [i.name for i in session.get_inputs()] == made.inputs
    for clips in (1, 5):
        inputs = made.example(clips, seed=9)
        given = {name: x.numpy() for name, x in zip(made.inputs, inputs, strict=True)}
        [found] = session.run(None, given)
        np.testing.assert_allclose(found, made(*inputs).numpy(), atol=1e-5)
    [about] = onnx.load(tmp_path / "net.onnx").metadata_props
    assert (about.key, json.loads(about.value)) == ("model", model)


def test_what_onnx_runtime_gives_otherwise_is_not_handed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(as_onnx, "_off", lambda *_: 1e-3)
    with pytest.raises(UserError, match="other numbers than torch"):
        as_onnx.write(graph("lf_dnn"), tmp_path / "net.onnx", {})
    assert not (tmp_path / "net.onnx").exists()


@pytest.mark.parametrize("model", ["smp", "mfn"])
def test_a_program_of_torch_takes_any_number_of_clips(model: str) -> None:
    made = graph(model)
    program = made.program().module()
    for clips in (1, 4):
        inputs = made.example(clips, seed=9)
        torch.testing.assert_close(program(*inputs), made(*inputs))


def test_a_runs_network_is_exported_with_its_standardisation(
    made: Published, tmp_path: Path
) -> None:
    told, shapes = export_run(made.run, "torch", tmp_path / "net.pt2")
    assert "torch.export.load" in told
    assert shapes.endswith("gives outputs float32 [clips, 1]: scores, or logits")
    predictor = load_model(made.run)
    [x, n] = Graph(predictor).example(4)
    scores = torch.export.load(tmp_path / "net.pt2").module()(x, n)
    expected = predictor.predict(Batch({"text": x}, {"text": n}))
    np.testing.assert_allclose(scores[:, 0].numpy(), expected.reshape(-1), rtol=1e-5, atol=1e-6)
