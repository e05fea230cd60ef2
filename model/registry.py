"""Models by the names of their files, or of modules outside the package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from model import networks
from model.network import Network
from model.networks import names
from pipeline.errors import UserError
from pipeline.io import plugin


def find(name: str) -> type[Network]:
    """The model called `name`, or the one of a dotted module of the user's.

    Raises UserError that lists the names there are.
    """
    if found := plugin.class_of(name, networks, Network):  # type: ignore[type-abstract]
        return found
    raise UserError(f"no model {name!r}; there are {', '.join(names())}")


def build(
    name: str, widths: Mapping[str, int], outputs: int, settings: Mapping[str, Any]
) -> Network:
    """The model called `name`, freshly initialised from torch's generator."""
    model = find(name)
    try:
        return model(widths, outputs, model.Settings(**settings))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"model {name!r}, setting {where or 'values'!r}: {first['msg']}") from error
