"""The record, written last, that a partition of a store is whole, with every clip's state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.io.hashing import sealed, unsealed

DAMAGED = "damaged commit"


@dataclass(frozen=True)
class RowState:
    """What became of one clip in one stage.

    key: `id@content digest`; length: its real steps; doubt: why its features may mislead.
    """

    key: str
    state: str
    length: int = 0
    reason: str = ""
    doubt: str = ""

    def to_json(self) -> list[object]:
        """The fields in their order; a doubt only where there is one, as before there were any."""
        fields: list[object] = [self.key, self.state, self.length, self.reason]
        return [*fields, self.doubt] if self.doubt else fields


@dataclass(frozen=True)
class Commit:
    """The states of a partition's rows, in row order, and the files that hold them.

    files: the SHA-256 of each, by its path in the store. damage: what is wrong with the record
    itself; then it vouches for nothing, and its partition is to be made again.
    """

    rows: tuple[RowState, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    damage: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """The identities of the rows: a row's number is not one."""
        return tuple(row.key for row in self.rows)

    def to_bytes(self) -> bytes:
        """JSON with its own digest, so that a flipped bit is an error and not a state."""
        rows = [row.to_json() for row in self.rows]
        return sealed({"rows": rows, "files": dict(sorted(self.files.items()))})

    @classmethod
    def from_bytes(cls, content: bytes) -> Commit:
        """The commit read back; without rows and files where it is damaged."""
        try:
            record = unsealed(content)
            rows = tuple(RowState(*row) for row in record["rows"])
            return cls(rows, dict(record["files"]))
        except (ValueError, KeyError, TypeError) as error:
            return cls(damage=f"{DAMAGED} ({error})")
