"""Records trainings, each a small record under the digest of everything that determines it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.metrics import Metrics
from model.runs.files import as_json, from_json
from model.training.loop import Trained
from pipeline.io.folder import Folder
from pipeline.io.hashing import of_json


@dataclass(frozen=True)
class Result:
    """What is kept of a training. valid, test: its metrics. references: rows to compare with."""

    valid: Metrics
    test: Metrics
    references: dict[str, Metrics]
    best_epoch: int
    epochs: int
    seconds: float

    @classmethod
    def of(cls, trained: Trained) -> Result:
        """The result of a training that just ended."""
        return cls(
            valid=trained.metrics["valid"],
            test=trained.metrics["test"],
            references=dict(trained.references),
            best_epoch=trained.best_epoch,
            epochs=len(trained.curve),
            seconds=round(trained.seconds, 3),
        )


class Records:
    """The records in a folder: `<dataset>-<model>-seed<k>-<digest>.json`.

    A record is written in one step after its training, and carries its identity and a digest of
    itself: one that is damaged, cut short or of anything else is as good as none.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = Folder(folder)

    def read(self, identity: Mapping[str, Any]) -> Result | None:
        """The result of exactly this training; None where there is no sound record of it."""
        content = self._folder.read(_file_name(identity))
        try:
            record = json.loads(content or b"")
            is_sound = record["sha256"] == of_json([record["of"], record["result"]])
        except (ValueError, KeyError, TypeError):
            return None
        if not is_sound or record["of"] != identity:
            return None
        return Result(**from_json(record["result"]))

    def write(self, identity: Mapping[str, Any], result: Result) -> None:
        """Keep a result; it is on disk, whole, when this returns."""
        kept = as_json(asdict(result))
        record = {"of": identity, "result": kept, "sha256": of_json([identity, kept])}
        content = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        self._folder.write(_file_name(identity), content.encode())


def _file_name(identity: Mapping[str, Any]) -> str:
    model, digest = identity["settings"]["model"], of_json(identity)
    return f"{identity['dataset']}-{model}-seed{identity['seed']}-{digest[:16]}.json"
