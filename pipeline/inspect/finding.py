"""What a cache holds of one clip: its row of the table, and its row of every stage."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pipeline.errors import DamagedError, UserError
from pipeline.stage.field import Field
from pipeline.stage.result import OK
from pipeline.store.cache import Cache, StageView
from pipeline.store.clips_table import ClipsTable
from pipeline.store.commit import RowState
from pipeline.weights.random_weights import random_among

NOT_EXTRACTED, DAMAGED = "not extracted", "damaged"
LONG_FIELDS = {"pixels", "times"}  # of kept frames: a whole video, which no page can show
CLOSEST = 3


@dataclass(frozen=True)
class Finding:
    """A stage's row of the clip, or why there is none.

    state: "ok", "missing", "failed", "not extracted" or "damaged". rows: by field, cut to the
    clip's real length. doubt: why they may mislead. attributes: of the store, its provenance.
    row: its number in the store.
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

    @property
    def extractor(self) -> str:
        """The extractor's name, whatever the stage is called."""
        return str(self.identity["extractor"])

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

    @property
    def commit(self) -> str:
        """Which commit vouches for the row, and where the row is in its partition."""
        partition, row = divmod(self.row, int(self.identity["partition"]))
        return f"partition {partition}, row {row}"


def number_of(table: ClipsTable, id: str) -> int:
    """The row number of the clip `id`; UserError with the closest ids where there is none."""
    numbers = {table.rows[number].clip.id: number for number in table.present}
    if id in numbers:
        return numbers[id]
    parts = [known for known in numbers if id and id in known]
    close = difflib.get_close_matches(id, list(numbers), n=CLOSEST, cutoff=0.4)
    closest = list(dict.fromkeys([*close, *parts]))[:CLOSEST]
    hint, named = ("closest", closest) if closest else ("the first", list(numbers)[:CLOSEST])
    them = ", ".join(map(repr, named)) or "none"
    raise UserError(f"{table.name}: no clip {id!r} among {len(numbers)}; {hint}: {them}")


def findings(
    cache: Cache, number: int, identities: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Finding]:
    """What every stage holds of the clip at row `number`, in the order of the stages.

    identities: of the stages to look at, by default those that were extracted last.
    """
    wanted = cache.identities if identities is None else identities
    return [
        _finding(StageView(cache.url, name, identity, cache.table), identity, number)
        for name, identity in wanted.items()
    ]


def _finding(view: StageView, identity: Mapping[str, Any], number: int) -> Finding:
    found = Finding(view.name, identity, NOT_EXTRACTED, url=view.url, row=number)
    try:
        found = replace(found, attributes=view.attributes, fields=view.store.fields)
        state = view.committed.get(number)
        return found if state is None else _read(view, found, state)
    except DamagedError as error:
        return replace(found, state=DAMAGED, reason=str(error))
    except UserError:  # there is no store yet
        return found


def _read(view: StageView, found: Finding, state: RowState) -> Finding:
    found = replace(found, key=state.key, doubt=state.doubt)
    rows = {}
    if state.state == OK:
        names = [n for n, f in found.fields.items() if not (f.ragged and n in LONG_FIELDS)]
        rows = dict(view.store.row(found.row, names).rows)
    return replace(found, state=state.state, length=state.length, reason=state.reason, rows=rows)
