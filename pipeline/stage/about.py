"""What an extractor's class says of its features to all that doesn't compute them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

MODALITIES = ("visual", "audio", "text")
RECORDED = ("title", "modality", "panel")


@dataclass(frozen=True)
class About:
    """An extractor's features in pages, tables and trainings.

    Attributes
    ----------
    title: what a page calls them; by default it is the stage's name.
    label: what a table calls those of a stage that has its extractor's name.
    modality: "visual", "audio" or "text", if models are trained on them.
    channel: their place among those that a training takes of the modality by default, from 1 on;
        0 for a fallback, taken where a cache has none of these, or where it is named.
    panel: how a clip's page draws them, one of PANELS in `pipeline/inspect/page.py`.
    licences: by id, of models that the stage may be given.
    terms: of a library that it runs, where they allow less than this software's own licence.
    """

    title: str = ""
    label: str = ""
    modality: str = ""
    channel: int = 0
    panel: str = "features"
    licences: Mapping[str, str] = field(default_factory=dict)
    terms: str = ""

    def __post_init__(self) -> None:
        if self.modality not in ("", *MODALITIES):
            raise ValueError(f"modality {self.modality!r} is none of {', '.join(MODALITIES)}")

    @classmethod
    def recorded(cls, content: Any) -> Self:
        """What `to_json` gave, of which a store may have any part, or none."""
        known = content if isinstance(content, Mapping) else {}
        told = {name: known[name] for name in RECORDED if isinstance(known.get(name), str)}
        return cls(**told) if told.get("modality", "") in ("", *MODALITIES) else cls()

    def to_json(self) -> dict[str, str]:
        """What a store keeps of it, for where the class can't be asked."""
        return {name: getattr(self, name) for name in RECORDED}
