"""The one checkpoint file that is meant, and the tensors in it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.digest import FileDigests
from pipeline.errors import UserError
from pipeline.weights import Weights, find

if TYPE_CHECKING:
    import torch

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")


def find_file(id: str, names: Sequence[str], revision: str | None = None) -> Weights:
    """`weights.find`, down to the single file whose name fits one of the patterns `names`.

    A file given as `id` is taken whatever its name. The digest is the file's own, so that it is
    the same wherever the file lies. Raises UserError where a folder has several that fit.
    """
    found = find(id, names, revision)
    if found.path is None or found.path.is_file():
        return found
    files = [p for p in sorted(found.path.rglob("*")) if any(fnmatch(p.name, n) for n in names)]
    if len(files) > 1:
        raise UserError(
            f"weights {id!r} have {len(files)} files that fit, {files[0].name} and "
            f"{files[1].name} for two; name one with `file`"
        )
    digests = FileDigests()
    digest = digests.of(files[0])
    digests.save()
    return Weights(id, files[0], digest)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The named tensors of a checkpoint file, out of whatever dictionary they were wrapped in.

    Reads .safetensors, or torch's format without any other Python object; raises UserError.
    """
    # torch is loaded where weights are, not where a run is planned.
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is no checkpoint of tensors alone, and other Python objects are not loaded: "
            "save the model's `state_dict()` instead"
        ) from error
    except Exception as error:  # cut short, or no checkpoint at all: many kinds
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} can't be read as a checkpoint: {reason}") from error
    return _unwrapped(content, path)


def _unwrapped(content: Any, path: Path) -> dict[str, torch.Tensor]:
    import torch

    while isinstance(content, Mapping):
        tensors = {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}
        if tensors:
            return tensors
        content = next((content[name] for name in WRAPPERS if name in content), None)
    raise UserError(
        f"{path} holds no tensors, neither by themselves nor under {', '.join(WRAPPERS)}"
    )
