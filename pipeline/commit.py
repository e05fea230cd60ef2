"""The record, written last, that a partition of a store is whole, with every clip's state."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pipeline.digest import of_json
from pipeline.errors import UserError


@dataclass(frozen=True)
class RowState:
    """What became of one clip in one stage. key: `id@content digest`; length: its real steps."""

    key: str
    state: str
    length: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Commit:
    """The states of a partition's rows, in row order."""

    rows: tuple[RowState, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The identities of the rows: a row's number is not one."""
        return tuple(row.key for row in self.rows)

    def to_bytes(self) -> bytes:
        """JSON with its own digest, so that a flipped bit is an error and not a state."""
        rows = [[row.key, row.state, row.length, row.reason] for row in self.rows]
        return json.dumps({"rows": rows, "sha256": of_json(rows)}, ensure_ascii=False).encode()

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> Commit:
        """The commit read back; UserError where it is damaged."""
        try:
            record = json.loads(content)
            if of_json(record["rows"]) != record["sha256"]:
                raise ValueError("its digest does not fit")
            return cls(tuple(RowState(*row) for row in record["rows"]))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"commit {where} is damaged ({error}); delete it and run again"
            ) from None
