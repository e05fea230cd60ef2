"""Settings in which no whole number is absurd: `filters: 10^14` is refused before it is tried."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import BaseModel, ValidationInfo, field_validator

MOST = 1_000_000


class Bounded(BaseModel):
    """Every whole number in it is at most `most`, unless its field has a limit (`le`) of its own.

    most: of the class; far above what is of use, and far below what fills a machine.
    """

    most: ClassVar[int] = MOST

    @field_validator("*")
    @classmethod
    def _not_absurd(cls, value: Any, info: ValidationInfo) -> Any:
        limits = cls.model_fields[info.field_name or ""].metadata
        has_own = any(hasattr(limit, "le") or hasattr(limit, "lt") for limit in limits)
        if not has_own and any(abs(number) > cls.most for number in _whole_numbers(value)):
            raise ValueError(f"whole numbers are at most {cls.most:,} here")
        return value


def _whole_numbers(value: Any) -> Iterator[int]:
    """Those in a setting, also within lists and settings of its own."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, BaseModel):
        yield from _whole_numbers(list(dict(value).values()))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _whole_numbers(inner)
