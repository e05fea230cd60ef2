"""The record, written last, that a partition of a store is whole, with every clip's state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.io.hashing import of_bytes, sealed, unsealed
from pipeline.store.layout import CHECKSUM_BYTES, is_chunk, is_file

DAMAGED = "damaged commit"
MOST_STEPS = 2**31  # lengths are int32
SMALL, ONE_IN = 1 << 16, 32  # bytes of a chunk; of those that are larger, how many are hashed
SHA256 = re.compile(r"[0-9a-f]{64}")
CRC32C = re.compile(rf"[0-9a-f]{{{2 * CHECKSUM_BYTES}}}")


@dataclass(frozen=True, slots=True)
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

    @classmethod
    def from_json(cls, fields: list[object]) -> RowState:
        """The row read back; ValueError where it is not one."""
        row = cls(*fields)  # type: ignore[arg-type]
        if tuple(map(type, fields)) != TYPES[: len(fields)] or not 0 <= row.length < MOST_STEPS:
            raise ValueError(f"a row is {fields!a:.60}")
        return row


TYPES = (str, str, int, str, str)  # of a row's fields


@dataclass(frozen=True)
class Commit:
    """The states of a partition's rows, in row order, and the files that hold them.

    files: the SHA-256 of each, by its path in the store. checksums: of each chunk, the CRC-32C that
    it ends in, as hex; commits of earlier versions have none. damage: what is wrong with the record
    itself; then it vouches for nothing, and its partition is to be made again.
    """

    rows: tuple[RowState, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    damage: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """The identities of the rows: a row's number is not one."""
        return tuple(row.key for row in self.rows)

    def to_bytes(self) -> bytes:
        """JSON with its own digest, so that a flipped bit is an error and not a state."""
        rows = [row.to_json() for row in self.rows]
        checksums = {"checksums": dict(sorted(self.checksums.items()))} if self.checksums else {}
        return sealed({"rows": rows, "files": dict(sorted(self.files.items())), **checksums})

    @classmethod
    def from_bytes(cls, content: bytes) -> Commit:
        """The commit read back; without rows and files where it is damaged."""
        try:
            record = unsealed(content)
            if not isinstance(record["rows"], list):
                raise ValueError("its rows are no list")
            rows = tuple(map(RowState.from_json, record["rows"]))
            files = _digests(record["files"], SHA256)
            return cls(rows, files, _digests(record.get("checksums", {}), CRC32C))
        except (ValueError, KeyError, TypeError) as error:
            return cls(damage=f"{DAMAGED} ({error})")

    def fits(self, file: str, content: bytes | memoryview) -> bool:
        """Whether a file that it vouches for has this content.

        A chunk is known by the checksum at its end: whoever decodes it holds that against the rest.
        Where the commit has none, a small chunk is hashed, and of large ones a sample.
        """
        if file in self.checksums:
            return bytes(content[-CHECKSUM_BYTES:]).hex() == self.checksums[file]
        known = self.files[file]
        is_passed = is_chunk(file) and len(content) > SMALL and int(known[:8], 16) % ONE_IN
        return bool(is_passed) or of_bytes(content) == known


def _digests(found: object, kind: re.Pattern[str]) -> dict[str, str]:
    """Digests by file; ValueError where a path is none of a store's: data names no other file."""
    if not isinstance(found, dict):
        raise ValueError("its files are no mapping")
    for file, digest in found.items():
        if not is_file(file) or not kind.fullmatch(digest):
            raise ValueError(f"{file!a:.80} is no file of a store, or has no digest")
    return found
