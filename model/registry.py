"""Models by the names of their files, or of modules outside the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from model import networks
from model.layers.alone import Alone
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
    name: str,
    widths: Mapping[str, int],
    outputs: int,
    settings: Mapping[str, Any],
    alone: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> Network:
    """The model called `name`, freshly initialised from torch's generator.

    alone: which of its outputs are read from the vector of one modality, by modality.
    """
    model = find(name)
    try:
        fused = outputs - sum(map(len, alone.values()))
        network = model(widths, fused, model.Settings(**settings))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"model {name!r}, setting {where or 'values'!r}: {first['msg']}") from error
    if alone:
        _require_vectors(name, network, alone)
        network.alone, network.outputs = Alone(network.vectors, alone, outputs), outputs
    return network


def _require_vectors(name: str, network: Network, alone: Mapping[str, Sequence[int]]) -> None:
    if not network.vectors:
        able = ", ".join(own for own in names() if find(own).vectors is not Network.vectors)
        raise UserError(
            f"own_vectors: {name} has no vector of each modality by itself; {able} have"
        )
    if absent := [m for m in alone if m not in network.vectors]:
        raise UserError(
            f"own_vectors: a target is of {absent[0]} alone, of which there are no features"
        )
