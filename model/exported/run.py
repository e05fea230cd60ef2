"""The network of a run folder in a file format of another runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from model.exported import onnx
from model.exported.graph import Graph
from model.runs.files import PROVENANCE, SETTINGS, read_json, understood
from model.runs.load import load_model
from pipeline.errors import UserError
from pipeline.stage.steps import STEPS

Write = Callable[[Graph, Path, Mapping[str, object]], str]


def _program(graph: Graph, path: Path, about: Mapping[str, object]) -> str:
    import torch

    extra = {name: str(value) for name, value in about.items()}
    torch.export.save(graph.program(), str(path), extra_files=extra)
    return f"a program of torch {torch.__version__}, any number of clips: torch.export.load"


WRITERS: Mapping[str, Write] = {"onnx": onnx.write, "torch": _program}


def export_run(run: Path, form: str, path: Path, trust: bool = False) -> list[str]:
    """Write the run's network to `path`; what it is, what it takes and what it gives.

    trust: a model of a module outside the package may be imported. Raises UserError.
    """
    settings, provenance = read_json(run, SETTINGS), read_json(run, PROVENANCE)
    with understood(run, SETTINGS):
        data, model = settings["data"], settings["model"]["name"]
        if "finetune" in settings["model"]:
            raise UserError(f"{run} can't be exported: it reads texts by an encoder of its own")
        about = {"model": model, "channels": data["channels"], "target": data["target"]}
    with understood(run, PROVENANCE):
        steps = int((provenance.get("extraction") or {}).get("steps") or STEPS)
    graph = Graph(load_model(run, trust), steps)
    told = WRITERS[form](graph, path, about)
    widths = graph.predictor.network.widths
    takes = [f"{m} float32 [clips, {steps}, {width}]" for m, width in widths.items()]
    lengths = ", ".join(f"{m}_lengths" for m in widths)
    gives = f"outputs float32 [clips, {graph.predictor.network.outputs}]: scores, or logits"
    return [told, f"takes {', '.join(takes)} and {lengths} int64 [clips]; gives {gives}"]
