"""Clips whose features stand but rest on a poor input, or one that is gone, counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pipeline.store.cache import Cache


def of_stale(cache: Cache, channels: Mapping[str, Sequence[str]], kept: np.ndarray) -> str:
    """How many of the clips in the rows `kept` have features whose files are gone, by split."""
    of_each = [cache[stage].stale for stages in channels.values() for stage in stages]
    is_stale = np.array([any(reasons) for reasons in zip(*of_each, strict=True)])[kept]
    own = cache.clips["split"].to_numpy(dtype=str)[kept][is_stale].tolist()
    if not own:
        return ""
    return f"stale clips, whose features stand though their files are gone: {_by_split(own)}"


def note(cache: Cache, channels: Mapping[str, Sequence[str]], kept: np.ndarray) -> str:
    """How many of the clips in the rows `kept` are doubtful, by stage and split.

    Empty where none is. channels: the stages that are trained on, by modality; a doubt is told
    where it arose, in one of them or in what they need.
    """
    stages = [stage for chosen in channels.values() for stage in chosen]
    splits = cache.clips["split"].to_numpy(dtype=str)[kept]
    told = []
    for name in _with_upstream(cache, stages):
        own = splits[np.array([bool(doubt) for doubt in cache[name].doubts])[kept]].tolist()
        if own:
            told.append(f"{name} ({_by_split(own)})")
    return f"doubtful clips, whose features may mislead: {'; '.join(told)}" if told else ""


def _by_split(splits: Sequence[str]) -> str:
    return ", ".join(f"{splits.count(split)} {split}" for split in dict.fromkeys(splits))


def _with_upstream(cache: Cache, stages: Sequence[str]) -> list[str]:
    """The stages and all that they need, as far as the cache still has just these."""
    needed = {
        name: identity["fingerprint"]
        for stage in stages
        for name, identity in _upstream(cache[stage].identity)
    }
    found = [n for n, known in needed.items() if n in cache and cache[n].fingerprint == known]
    return [*dict.fromkeys([*found, *stages])]


def _upstream(identity: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, need in (identity.get("upstream") or {}).items():
        yield from _upstream(need)
        yield name, need
