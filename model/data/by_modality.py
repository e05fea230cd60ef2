"""A setting that has its own value for each modality."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

T = TypeVar("T")


class ByModality(BaseModel, Generic[T]):
    """One value for each of `visual`, `audio`, `text`; all three are named, used or not."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    visual: T
    audio: T
    text: T

    def __getitem__(self, modality: str) -> T:
        value: T = getattr(self, modality)
        return value
