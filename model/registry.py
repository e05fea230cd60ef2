"""Models by the names of their files."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from model import networks
from model.network import Network
from model.networks import names
from pipeline.errors import UserError


def find(name: str) -> type[Network]:
    """The model called `name`; raises UserError that lists the names there are."""
    if name not in names():
        raise UserError(f"no model {name!r}; there are {', '.join(names())}")
    module = import_module(f"{networks.__name__}.{name}")
    return next(
        found
        for found in vars(module).values()
        if isinstance(found, type)
        and issubclass(found, Network)
        and found.__module__ == module.__name__
    )


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
