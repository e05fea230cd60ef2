"""One split of a pickle of features: its fields, each held against the number of its clips."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pipeline.dataset.ids import safe_id
from pipeline.errors import UserError
from pipeline.messages import listed, printable

JOINT = "$_$"  # between video and clip in an id
NAMED = 12  # fields in a message


@dataclass(frozen=True)
class PickledSplit:
    """`fields` by name, each with one entry a clip. where: file and split, for messages."""

    name: str
    where: str
    fields: Mapping[str, Any]

    def __contains__(self, field: str) -> bool:
        return self.fields.get(field) is not None

    @cached_property
    def ids(self) -> list[str]:
        """`video/clip`, from `video$_$clip` or a row of video, start and end; else numbers."""
        if "id" in self:
            return [safe_id(self.where, _id(value)) for value in self._entries("id")]
        return [f"{self.name}/{n:05d}" for n in range(len(self._entries("labels")))]

    def texts(self, field: str) -> list[str]:
        """A text a clip; empty ones where the file has none."""
        if field not in self:
            return [""] * len(self.ids)
        return [_text(value) for _, value in self._by_id(field)]

    def numbers(self, field: str) -> list[float | None]:
        """A number a clip, from entries of any shape with one value; None for NaN."""
        return [self._number(field, id, value) for id, value in self._by_id(field)]

    def counts(self, field: str) -> list[int]:
        """A whole number from 0 on a clip."""
        found = []
        for id, number in zip(self.ids, self.numbers(field), strict=True):
            if number is None or number < 0 or number % 1:
                raise UserError(f"{self.where}, clip {id!r}: {field} is {number}, not a count")
            found.append(int(number))
        return found

    def rows(self, field: str, any_width: bool = False) -> list[np.ndarray]:
        """`[steps, width]` a clip, one width for all; from one array or from one a clip."""
        found: list[np.ndarray] = []
        for id, value in self._by_id(field):
            rows = _array(value)
            width = found[0].shape[1] if found and not any_width else None
            if (
                rows.ndim != 2
                or rows.dtype.kind not in "fiub"
                or rows.shape[1] != (width or rows.shape[1])
            ):
                raise UserError(
                    f"{self.where}, clip {id!r}: {field} has shape {list(rows.shape)} of "
                    f"{rows.dtype}, expected [steps, {width or 'width'}] of numbers"
                )
            found.append(rows)
        return found

    def _entries(self, field: str) -> Sequence[Any]:
        if field not in self:
            raise UserError(f"{self.where}: no field {field}; has {told_fields(self.fields)}")
        value: Sequence[Any] = self.fields[field]
        is_one = isinstance(value, np.ndarray) and value.ndim == 0
        if not isinstance(value, (list, tuple, np.ndarray)) or is_one:
            told = reprlib.repr(value)[:80]
            raise UserError(f"{self.where}: {field} is {told}, expected one entry a clip")
        return value

    def _by_id(self, field: str) -> list[tuple[str, Any]]:
        entries = self._entries(field)
        if len(entries) != len(self.ids):
            raise UserError(
                f"{self.where}: {field} has {len(entries)} entries for {len(self.ids)} clips"
            )
        return list(zip(self.ids, entries, strict=True))

    def _number(self, field: str, id: str, value: Any) -> float | None:
        found = _array(value)
        if found.size != 1 or found.dtype.kind not in "fiub" or np.isinf(found).any():
            raise UserError(
                f"{self.where}, clip {id!r}: {field} has shape {list(found.shape)} of "
                f"{found.dtype}, expected one number"
            )
        number = float(found.reshape(-1)[0])
        return None if np.isnan(number) else number


def told_fields(fields: Iterable[object]) -> str:
    """The names of fields, whatever a file has in their place, for a message."""
    return listed([printable(str(name))[:40] for name in fields], NAMED)


def _array(value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except (ValueError, OverflowError):  # lists of different lengths, absurd numbers
        return np.empty((), object)


def _id(value: Any) -> str:
    parts = [value] if isinstance(value, (str, bytes)) else _array(value).reshape(-1).tolist()
    first, *others = [_text(part) for part in parts] or [""]
    return f"{first}/{'_'.join(others)}" if others else first.replace(JOINT, "/")


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
