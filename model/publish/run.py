"""Runs sent to others and fetched from them, sealed as they were."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from model.publish.card import LOCAL
from model.publish.place import fetch, send
from model.publish.run_card import run_card
from model.runs import seal
from model.runs.files import (
    CURVE,
    METRICS,
    PREDICTIONS,
    PROVENANCE,
    SETTINGS,
    WEIGHTS,
    checked,
    write_json,
)
from model.runs.load import load_model
from model.runs.run import Run
from pipeline.dataset.ids import safe_id
from pipeline.errors import UserError
from pipeline.formats.bundle import atomic_output

CARD = "README.md"
FILES = (SETTINGS, METRICS, PREDICTIONS, CURVE, WEIGHTS)


def push_run(folder: Path, where: str, licence: str = "", private: bool = False) -> str:
    """Send a run with its card to a folder or the hub, without paths of this machine's data.

    Raises UserError where the run is damaged.
    """
    run = Run.read(folder)
    load_model(folder)
    with TemporaryDirectory(prefix="smp-push-") as temporary:
        part = Path(temporary) / run.name
        part.mkdir()
        for name in FILES:
            shutil.copyfile(checked(folder, name), part / name)
        told = {**run.provenance, **{key: "" for key in LOCAL if key in run.provenance}}
        write_json(part, PROVENANCE, {**told, "sealed": True})
        (part / CARD).write_text(run_card(run, where, licence), encoding="utf-8")
        seal.write(part)
        return send(part, where, "model", private)


def pull_run(where: str, runs: Path) -> Path:
    """Fetch a run into `runs`, under its own name; UserError where it is not whole.

    Only the files of a run and its card are taken, and nothing in them is executed.
    """
    found = fetch(where)
    if not seal.is_sealed(found):
        raise UserError(f"{where} holds no run that `smp push` sent: it has no {seal.SEAL}")
    run = Run.read(found)
    target = runs / safe_id(where, run.first_name, parts=1)
    with atomic_output(target) as part:
        part.mkdir()
        for name in (*FILES, PROVENANCE, CARD, seal.SEAL):
            source = found / name if name == seal.SEAL else checked(found, name)
            shutil.copyfile(source, part / name)
        load_model(part)
    return target
