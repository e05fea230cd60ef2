"""The card of a published run: what it reaches, on what, from which features, and how."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import numpy as np

from model.experiments.bootstrap import Answers, interval, resampled
from model.metrics import is_share, ordered, title
from model.publish.card import NONE, rendered, stage_rows
from model.runs.files import PREDICTIONS, from_json, understood
from model.runs.run import Run


def run_card(run: Run, where: str, licence: str) -> str:
    """where: to get it from. licence: of the trained model, as the hub calls it."""
    splits = run.metrics["splits"]
    references = dict(from_json(run.metrics.get("references", {})))
    rows, intervals = [run.results, *references.values()], _intervals(run)
    lines = []
    for key in ordered(run.results):
        own, *others = (_shown(key, row.get(key, float("nan"))) for row in rows)
        lines.append([title(key), own, intervals.get(key, NONE), *others])
    return rendered(
        "run_card",
        run=run,
        where=where,
        licence=licence,
        target=run.target or "the score of a clip",
        random=", ".join(run.random_stages),
        clips=splits[run.judged]["clips"],
        references=list(references),
        lines=lines,
        columns=[column.replace("_", " ") for column in splits["train"]],
        counts={split: list(of.values()) for split, of in splits.items()},
        notes=run.metrics.get("notes", []),
        stages=stage_rows(run.provenance),
        command=_command(run),
        libraries=", ".join(f"{k} {v}" for k, v in run.provenance.get("libraries", {}).items()),
    )


def _intervals(run: Run) -> dict[str, str]:
    """By metric, where 95 % of the resamples of the clips lie."""
    rows = [row for row in run.predictions if row["split"] == run.judged]
    with understood(run.folder, PREDICTIONS):
        truth, predictions = run.objective.read(rows)
        answers = Answers(np.arange(len(rows)), run.objective.answers(predictions)[None])
        [found] = resampled([answers], truth, run.objective)
    ends = {key: interval(values) for key, values in found.items()}
    return {key: " to ".join(_shown(key, end) for end in of) for key, of in ends.items()}


def _shown(key: str, value: float) -> str:
    if np.isnan(value):
        return NONE
    return f"{100 * value:.1f} %" if is_share(key) else f"{value:.3f}"


def _command(run: Run) -> str:
    """What trained it."""
    preset = run.settings.get("preset") or {}
    words = ["smp", "train", run.dataset, "--model", run.model]
    words += ["--preset", preset["name"]] if preset else []
    words += ["--target", run.target] if run.target else []
    for name, value in preset.get("instead", {}).items():
        if not isinstance(value, Mapping):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join([*words, "--seed", str(run.settings["train"]["seed"])])
