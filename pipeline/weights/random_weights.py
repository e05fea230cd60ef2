"""Small seeded networks in the place of real weights, and how people are told of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

RANDOM = "random"  # the id of such weights
RANDOM_MARK = "*"  # behind what rests on them, wherever it is named


def is_random(id: object) -> bool:
    """Whether small seeded networks stand in for all, or a part, of the weights of that id."""
    return RANDOM in str(id).split(" + ")


def random_among(stage: str, identity: Mapping[str, Any]) -> list[str]:
    """The stages whose weights are random, of `stage` and all that it needs, by its identity."""
    needs = (identity.get("upstream") or {}).items()
    found = [name for need, upstream in needs for name in random_among(need, upstream)]
    return list(dict.fromkeys([*found, *[stage] * is_random(identity.get("weights_id"))]))


def random_note(stages: Iterable[str]) -> str:
    """What is said of numbers that rest on the random weights of some stages; empty for none."""
    named = ", ".join(dict.fromkeys(stages))
    return f"random weights in {named}: not the numbers that real weights give" if named else ""
