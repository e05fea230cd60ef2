"""Settings of a training as a user gives them: in a file, or one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.io.yaml_file import parsed, read_yaml

OTHERWISE = {"model": "--model", "seed": "--seed or --seeds"}  # given as options alone


def read(path: Path) -> dict[str, Any]:
    """The settings in a YAML file. Raises UserError where it can't be read, or holds none."""
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected settings, such as `epochs: 40`")
    return _allowed(content, str(path))


def assigned(assignments: Iterable[str]) -> dict[str, Any]:
    """`["network.width=128", "lr=1e-3"]` as settings within settings; values are YAML."""
    found: dict[str, Any] = {}
    for one in assignments:
        name, is_given, value = one.partition("=")
        if not is_given or not name.strip():
            raise UserError(f"--set {one}: expected NAME=VALUE, such as network.width=128")
        found = merged(found, nested({name.strip(): parsed(value.encode(), f"--set {one}")}))
    return _allowed(found, "--set")


def merged(settings: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` with those of `other` in their place, also within settings."""
    both = {
        name: merged(settings[name], value)
        for name, value in other.items()
        if isinstance(value, Mapping) and isinstance(settings.get(name), Mapping)
    }
    return {**settings, **other, **both}


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted names as settings within settings."""
    found: dict[str, Any] = {}
    for name, inner in values.items():
        for part in reversed(name.split(".")):
            inner = {part: inner}
        found = merged(found, inner)
    return found


def _allowed(settings: dict[str, Any], where: str) -> dict[str, Any]:
    for name, option in OTHERWISE.items():
        if name in settings:
            raise UserError(f"{where}: give `{name}` as {option}")
    if not isinstance(settings.get("network", {}), Mapping):
        raise UserError(f"{where}: `network` holds the model's own settings, as network.width=128")
    return settings
