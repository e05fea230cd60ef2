"""Feature files as other tools write them, of a few clips, made by code."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

SIZES = {"train": 40, "valid": 8, "test": 12}
WIDTHS = {"vision": 5, "audio": 4, "text": 6}
UNALIGNED = {"vision": 50, "audio": 70, "text": 10}  # longest of each: steps of the array

Splits = dict[str, dict[str, Any]]


def mmsa(
    seed: int = 0,
    aligned: bool = False,
    sims: bool = False,
    sizes: Mapping[str, int] = SIZES,
    front: bool = False,
) -> Splits:
    """A file of MMSA. aligned: one axis of 12 words, no lengths; front: padded there."""
    random = np.random.default_rng(seed)
    steps = dict.fromkeys(WIDTHS, 12) if aligned else UNALIGNED
    return {name: _split(random, name, n, steps, aligned, sims, front) for name, n in sizes.items()}


def _split(
    random: np.random.Generator,
    name: str,
    clips: int,
    steps: Mapping[str, int],
    aligned: bool,
    sims: bool,
    front: bool,
) -> dict[str, Any]:
    words = random.integers(1, steps["text"] + 1, clips)
    own = {field: random.integers(1, steps[field] + 1, clips) for field in ("vision", "audio")}
    lengths = {field: words if aligned else own.get(field, words) for field in WIDTHS}
    limit = 1 if sims else 3
    split: dict[str, Any] = {
        "raw_text": [f"words of clip {i}" for i in range(clips)],
        "id": [f"{name}{i // 10}$_${i % 10}" for i in range(clips)],
        "annotations": ["Neutral"] * clips,
        "classification_labels": np.ones(clips),
        "regression_labels": random.uniform(-limit, limit, clips).astype(np.float32),
    }
    for field, width in WIDTHS.items():
        split[field] = _padded(random, lengths[field], steps[field], width, front)
    tokens = np.zeros((clips, 3, steps["text"]), np.float32)
    for row, count in zip(tokens, words, strict=True):
        row[:2, :count] = [[101], [1]]
    split["text_bert"] = tokens
    if not aligned:
        split |= {f"{field}_lengths": own[field].tolist() for field in own}
    if sims:
        for m in "TAV":
            split[f"regression_labels_{m}"] = random.uniform(-1, 1, clips).astype(np.float32)
    return split


def _padded(
    random: np.random.Generator, lengths: np.ndarray, steps: int, width: int, front: bool
) -> np.ndarray:
    values = np.zeros((len(lengths), steps, width), np.float32)
    for row, length in zip(values, lengths, strict=True):
        start = steps - length if front else 0
        row[start : start + length] = random.standard_normal((length, width))
    return values


def mult(seed: int = 0) -> Splits:
    """A file in the dialect of MulT: no lengths, padded in front, ids [video, start, end]."""
    splits = mmsa(seed, front=True)
    return {name: _as_mult(split) for name, split in splits.items()}


def _as_mult(split: dict[str, Any]) -> dict[str, Any]:
    ids = [[*id.split("$_$")[:1], f"{i}.5", f"{i + 1}.5"] for i, id in enumerate(split["id"])]
    return {
        **{field: split[field].astype(np.float64) for field in WIDTHS},
        "labels": split["regression_labels"].reshape(-1, 1, 1),
        "id": np.array([[part.encode() for part in row] for row in ids]),
    }


def write(path: Path, content: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path
