"""Digests of bytes, texts, JSON values and files; records that carry their own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.io import strict_json


def of_bytes(content: bytes | memoryview) -> str:
    """SHA-256 (hex) of a file's content."""
    return hashlib.sha256(content).hexdigest()


def of_text(text: str) -> str:
    """SHA-256 (hex) of a text; lone surrogates are kept apart, not refused."""
    return of_bytes(text.encode("utf-8", "surrogatepass"))


def seed_of(text: str) -> int:
    """A seed for random numbers that are to depend on a text alone, as a clip's on its id."""
    return int(of_text(text), 16)


def of_json(value: Any) -> str:
    """SHA-256 (hex) of a JSON value, whatever the order of its keys."""
    return of_text(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def of_file(path: str | Path) -> str:
    """SHA-256 (hex) of a file's content; UserError where it can't be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from error


def sealed(record: Mapping[str, Any], indent: int | None = None) -> bytes:
    """JSON with its own digest under `sha256`, so that a flipped bit is an error."""
    whole = {**record, "sha256": of_json(record)}
    return json.dumps(whole, ensure_ascii=False, indent=indent).encode("utf-8", "surrogatepass")


def unsealed(content: bytes) -> dict[str, Any]:
    """The record that was sealed; ValueError where it is not what was written."""
    try:
        record = strict_json.loads(content.decode("utf-8", "surrogatepass"))
        seal = record.pop("sha256")
    except (KeyError, TypeError, AttributeError):
        raise ValueError("it has no digest") from None
    if of_json(record) != seal:
        raise ValueError("its digest does not fit")
    return dict(record)
