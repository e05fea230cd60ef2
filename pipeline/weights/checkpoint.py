"""The one checkpoint file that is meant, and the tensors of a network in it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError
from pipeline.io.file_digests import FileDigests
from pipeline.io.hashing import of_file
from pipeline.weights.random_weights import RANDOM
from pipeline.weights.repository import Files, Wanted
from pipeline.weights.resolve import Weights, located
from pipeline.weights.tensors import all_tensors

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor]

AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged|shadow)", re.IGNORECASE)


def find_file(
    id: str, files: Files, revision: str | None = None, digest: Callable[[Path], str] = of_file
) -> Weights:
    """`weights.find`, down to the single file that is wanted.

    A file given as `id` is taken whatever its name. digest: of a file's content, by default over
    its bytes; either way the same wherever the file lies. Raises UserError where a folder has
    several that fit equally well.
    """
    if id == RANDOM:
        return Weights(id, None, RANDOM)
    path = located(id, files, revision)
    if path.is_dir():
        path = _only(id, Wanted.of(files).files(path))
    with FileDigests() as digests:
        return Weights(id, path, digests.of(path, digest))


def _only(id: str, files: Sequence[Path]) -> Path:
    if len(files) > 1:
        raise UserError(
            f"weights {id!r} have {len(files)} files that fit, {files[0].name} and "
            f"{files[1].name} for two; name one with `file`"
        )
    return files[0]


def read_tensors(
    path: Path,
    wanted: Tensors,
    what: str,
    other_names: Sequence[Callable[[str], str]] = (),
    without: Sequence[str] = (),
) -> dict[str, torch.Tensor]:
    """The tensors of a network out of a checkpoint file, by the network's own names.

    wanted: the network's tensors by name, of which only the shapes count; counts of batches seen
    are left out. what: the network, for people. other_names: further spellings of its names.
    without: names that only a larger network has.

    Reads .safetensors and torch's format, in which the network may be wrapped in dictionaries and
    objects of any kind, none of which is run, under any names before its own. Of several networks
    that fit, averaged weights (`ema`, `swa`) come after others. Raises UserError where one is
    missing, has another shape or can't be told from a second one.
    """
    found = all_tensors(path)
    needed = {name: t for name, t in wanted.items() if not name.endswith("num_batches_tracked")}
    fits = _fits([str, *other_names], needed, found)
    keys = _chosen([fit for fit in fits if fit.is_whole], needed, found, path, what) or fits[0]
    if missing := [key for key in map(keys, needed) if key not in found]:
        raise UserError(
            f"{path} fills {len(needed) - len(missing)} of the {len(needed)} tensors of a {what}, "
            f"{missing[0]!r} is missing for one; give a whole one"
        )
    shapes = [(keys(name), found[keys(name)].shape, needed[name].shape) for name in needed]
    others = [(key, f"of shape {list(has)}") for key, has, wants in shapes if has != wants]
    others += [(keys(name), "at all") for name in without if keys(name) in found]
    for key, how in others[:1]:
        raise UserError(
            f"{path} is another network: a {what} has no {key!r} {how}; give weights of a {what}"
        )
    return {name: found[keys(name)] for name in needed}


@dataclass(frozen=True)
class _Fit:
    """A way to spell the network's names, and what stands before them in the file."""

    spelling: Callable[[str], str]
    prefix: str
    is_whole: bool

    def __call__(self, name: str) -> str:
        return self.prefix + self.spelling(name)


def _fits(spellings: Sequence[Callable[[str], str]], needed: Tensors, found: Tensors) -> list[_Fit]:
    """Every one that fills something, what fills most first."""
    counts: Counter[tuple[int, str]] = Counter()
    for number, spelling in enumerate(spellings):
        for suffix in map(spelling, needed):
            own = (key for key in found if key == suffix or key.endswith("." + suffix))
            counts.update((number, key.removesuffix(suffix)) for key in own)
    most = counts.most_common() or [((0, ""), 0)]
    return [_Fit(spellings[n], prefix, count == len(needed)) for (n, prefix), count in most]


def _chosen(
    whole: Sequence[_Fit], names: Iterable[str], found: Tensors, path: Path, what: str
) -> _Fit | None:
    """The network that is meant, of those that are whole."""

    def are_the_same(one: _Fit, other: _Fit) -> bool:
        pairs = ((found[one(name)], found[other(name)]) for name in names)
        return all(a.dtype == b.dtype and a.equal(b) for a, b in pairs)

    best: list[_Fit] = []
    for fit in [fit for fit in whole if not AVERAGED.search(fit.prefix)] or whole:
        if not any(are_the_same(fit, other) for other in best):
            best.append(fit)
    if len(best) > 1:
        raise UserError(
            f"{path} holds {len(best)} networks that fit a {what}, named {best[0].prefix!r}… and "
            f"{best[1].prefix!r}…; save the one that is meant to a file of its own"
        )
    return best[0] if best else None
