"""What each stage made of one clip: its row of the stage's store, or why it has none."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pipeline.dag.stage import about
from pipeline.errors import ChangedError, DamagedError, UserError
from pipeline.stage.about import About
from pipeline.stage.field import Field
from pipeline.stage.result import DOUBTFUL, OK, STALE
from pipeline.store.cache import Cache
from pipeline.store.clips_table import ClipsTable
from pipeline.store.stage_view import StageView
from pipeline.weights.random_weights import random_among

NOT_EXTRACTED, DAMAGED = "not extracted", "damaged"
LONG_FIELDS = {"pixels", "times"}  # of kept frames: a whole video, which no page can show
CLOSEST = 3


@dataclass(frozen=True)
class StageResult:
    """A stage's row of the clip.

    state: "ok", "missing", "failed", "not extracted" or "damaged"; reason: why it isn't "ok".
    rows: by field, cut to the clip's real length. doubt: why they may mislead. stale: which of the
    clip's files are gone. attributes: of the store, its provenance. row: its number in the store.
    """

    stage: str
    identity: Mapping[str, Any]
    state: str
    reason: str = ""
    length: int = 0
    rows: Mapping[str, np.ndarray] = field(default_factory=dict)
    fields: Mapping[str, Field] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    url: str = ""
    row: int = 0
    doubt: str = ""
    stale: str = ""

    @property
    def shown(self) -> str:
        """The state as it is shown: that of an "ok" one tells what speaks against it."""
        return STALE if self.stale else DOUBTFUL if self.doubt else self.state

    @property
    def extractor(self) -> str:
        """The extractor's name, whatever the stage is called."""
        return str(self.identity["extractor"])

    @property
    def about(self) -> About:
        """What the extractor's class says of its features."""
        return about(self)

    @property
    def settings(self) -> Mapping[str, Any]:
        """As the store says, where its weights were found among them; else those of the plan."""
        return dict(self.attributes.get("settings") or self.identity["settings"])

    @property
    def steps(self) -> int | None:
        """The common time length; None for a stage that has none."""
        has_steps = any("step" in f.axes for f in self.fields.values())
        return int(self.attributes["steps"]) if has_steps else None

    @property
    def width(self) -> int | None:
        """How many values a step has; None where the first field is no feature of each step."""
        return next(iter(self.fields.values()), Field((), "")).width

    @property
    def random_weights(self) -> list[str]:
        """The stages with random weights on which the row rests: its own, those it needs."""
        return random_among(self.stage, self.identity)


def row_number(table: ClipsTable, id: str) -> int:
    """Of the clip `id`; UserError with the closest ids where there is none."""
    numbers = {table.rows[number].clip.id: number for number in table.present}
    if id in numbers:
        return numbers[id]
    parts = [known for known in numbers if id and id in known]
    closest = [*difflib.get_close_matches(id, list(numbers), n=CLOSEST, cutoff=0.4), *parts]
    named = list(dict.fromkeys(closest or numbers))[:CLOSEST]
    them = f"{'closest' if closest else 'the first'}: {', '.join(map(repr, named)) or 'none'}"
    raise UserError(f"{table.name}: no clip {id!r} among {len(numbers)}; {them}")


def results_of(
    cache: Cache, number: int, identities: Mapping[str, Mapping[str, Any]] | None = None
) -> list[StageResult]:
    """What every stage holds of the clip at row `number`, in the order of the stages.

    identities: of the stages to look at, by default those that were extracted last.
    """
    wanted = cache.identities if identities is None else identities
    return [
        _read(cache.view(name, identity), identity, cache.table, number)
        for name, identity in wanted.items()
    ]


def _read(
    view: StageView, identity: Mapping[str, Any], table: ClipsTable, number: int
) -> StageResult:
    found = StageResult(view.name, identity, NOT_EXTRACTED, url=view.url, row=number)
    try:
        found = replace(found, attributes=view.attributes, fields=view.store.fields)
        row = view.committed.get(number)
        if row is None:
            return found
        names = [n for n, f in found.fields.items() if not (f.ragged and n in LONG_FIELDS)]
        is_ok = row.state == OK
        rows = view.row(number, names).rows if is_ok else {}
        stale = table.rows[number].why_stale(identity["reads"]) if is_ok else ""
        told = {name: getattr(row, name) for name in ("state", "reason", "length", "key", "doubt")}
        return replace(found, rows=rows, stale=stale, **told)
    except DamagedError as error:
        return replace(found, state=DAMAGED, reason=str(error))
    except ChangedError:
        raise
    except UserError:  # there is no store yet
        return found
