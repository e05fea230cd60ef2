"""Records trainings, each a small record under the digest of everything that determines it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from model.metrics import Metrics
from model.runs.files import as_json, from_json
from model.runs.seal import small_file
from model.training.loop import Trained, in_columns
from pipeline.errors import DamagedError
from pipeline.io import strict_json
from pipeline.io.folder import Folder
from pipeline.io.hashing import of_json


@dataclass(frozen=True)
class Result:
    """What is kept of a training.

    valid, test: its metrics. references: rows to compare with. predicted: its answers for the
    test clips, each of them the answers for a target's columns. under: metrics of the test clips
    under conditions, by their names.
    """

    valid: Metrics
    test: Metrics
    references: dict[str, Metrics]
    best_epoch: int
    epochs: int
    seconds: float
    predicted: list[list[float]]
    under: dict[str, Metrics] = field(default_factory=dict)

    @classmethod
    def of(cls, trained: Trained) -> Result:
        """The result of a training that just ended."""
        answers = trained.predictor.objective.answers(in_columns(trained.predictions["test"]))
        return cls(
            valid=trained.metrics["valid"],
            test=trained.metrics["test"],
            references=dict(trained.references),
            best_epoch=trained.best_epoch,
            epochs=len(trained.curve),
            seconds=round(trained.seconds, 3),
            predicted=answers.tolist(),
        )


class Records:
    """The records in a folder: `<dataset>-<model>-seed<k>-<digest>.json`.

    A record is written in one step after its training, and carries its identity and a digest of
    itself: one that is damaged, cut short or of anything else is not believed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, identity: Mapping[str, Any]) -> Result | None:
        """The result of exactly this training; None where there is no record of it.

        Raises DamagedError where there is one that is not what was written.
        """
        path = self._folder / _file_name(identity)
        if not path.exists():
            return None
        with suppress(OSError, ValueError, LookupError, TypeError):
            record = strict_json.loads(small_file(path))
            is_sound = record["sha256"] == of_json([record["of"], record["result"]])
            if is_sound and record["of"] == identity:
                return Result(**from_json(record["result"]))
        raise DamagedError(f"{path} is damaged")

    def write(self, identity: Mapping[str, Any], result: Result) -> None:
        """Keep a result; it is on disk, whole, when this returns."""
        kept = as_json(asdict(result))
        record = {"of": identity, "result": kept, "sha256": of_json([identity, kept])}
        content = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
        Folder(self._folder).write(_file_name(identity), content.encode())


def _file_name(identity: Mapping[str, Any]) -> str:
    model, digest = identity["settings"]["model"], of_json(identity)
    return f"{identity['dataset']}-{model}-seed{identity['seed']}-{digest[:16]}.json"
