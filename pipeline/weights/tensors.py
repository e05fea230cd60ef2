"""The tensors in a checkpoint file of any kind by name, and a digest of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError

if TYPE_CHECKING:
    import torch

MOST_PARTS = 1_000_000  # of a checkpoint's dictionaries, lists and objects
# How torch keeps what a module is made of; the names of tensors leave them out.
INSIDES = {"_modules", "_parameters", "_buffers"}


def all_tensors(path: Path, only_tensors: bool = False) -> dict[str, torch.Tensor]:
    """Every tensor in a checkpoint file, named by the way to it: `state_dict.conv1.weight`.

    Reads .safetensors, and what torch wrote without running anything in it; raises UserError, with
    `only_tensors` also where something could be run.
    """
    # torch is loaded where weights are, not where a run is planned.
    import torch
    from safetensors.torch import load_file

    from pipeline.weights import torch_file

    if path.suffix != ".safetensors":
        parts = _parts(torch_file.load(path, only_tensors), path)
        return {name: part for name, part in parts if isinstance(part, torch.Tensor)}
    try:
        return dict(load_file(path))
    except Exception as error:  # cut short, or no such file at all: many kinds
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} can't be read as a checkpoint: {reason}") from error


def digest_of(tensors: Mapping[str, torch.Tensor]) -> str:
    """Over names, types, shapes and bytes, in any order; of shards, `joined` gives the whole's.

    Of several names for one and the same memory, which only torch's own format has, that one
    counts which transformers keeps in .safetensors: an embedding's, else the one nearest the top.
    """
    names: dict[object, str] = {}
    for name in sorted(tensors, key=lambda n: ("embed" not in n, n.count("."), n)):
        names.setdefault(_place(tensors[name]) or name, name)
    return joined(_digest(name, tensors[name]) for name in names.values())


def digest_of_file(path: Path) -> str:
    """`digest_of` all the tensors in a file that is loaded by a library: of nothing else."""
    return digest_of(all_tensors(path, only_tensors=True))


def joined(digests: Iterator[str]) -> str:
    """One digest of several, whatever their order: their sum."""
    return f"{sum(int(digest, 16) for digest in digests) % (1 << 256):064x}"


def _place(tensor: torch.Tensor) -> tuple[object, ...]:
    """Where its numbers are; nothing where it has none."""
    where = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
    return where if tensor.numel() else ()


def _digest(name: str, tensor: torch.Tensor) -> str:
    import torch

    digest = hashlib.sha256(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
    digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _parts(content: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """Whatever is no container, with the way to it; a container within itself is left out."""
    from pipeline.weights.torch_file import Foreign

    waiting: list[tuple[str, Any, frozenset[int]]] = [("", content, frozenset())]
    for _ in range(MOST_PARTS):
        if not waiting:
            return
        name, part, above = waiting.pop()
        inner = part.content if isinstance(part, Foreign) else part
        if isinstance(inner, (list, tuple)):
            inner = dict(enumerate(inner))
        if not isinstance(inner, Mapping):
            yield name, part
        elif id(part) not in above:
            for key, value in inner.items():
                own = "" if isinstance(part, Foreign) and key in INSIDES else str(key)
                way = ".".join(filter(None, (name, own)))
                waiting.append((way, value, above | {id(part)}))
    raise UserError(f"{path} holds more than {MOST_PARTS} things: not a checkpoint")
