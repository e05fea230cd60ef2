"""Which of several targets are of a single modality."""

from __future__ import annotations

from model.objectives.joint import Joint
from model.objectives.objective import Objective
from pipeline.errors import UserError
from pipeline.stage.about import MODALITIES

LETTERS = {"T": "text", "A": "audio", "V": "visual"}  # as CH-SIMS calls its scores
OF = {**LETTERS, **{m: m for m in MODALITIES}}


def of_single_modalities(objective: Objective) -> dict[str, list[int]]:
    """The outputs, by modality, of those targets that are called T, A or V or after a modality.

    Raises UserError where none is, or where no other is beside them.
    """
    parts = objective.parts if isinstance(objective, Joint) else [objective]
    places: dict[str, list[int]] = {}
    first = 0
    for part in parts:
        if part.name in OF:
            own = places.setdefault(OF[part.name], [])
            own += range(first, first + part.outputs)
        first += part.outputs
    if not 0 < sum(map(len, places.values())) < first:
        told = ", ".join(part.name for part in parts)
        raise UserError(
            f"own_vectors: trained is {told}; it needs a target of all modalities and beside it "
            f"those of single ones, called {', '.join(OF)} (`--target all`)"
        )
    return places
