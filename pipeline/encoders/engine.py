"""What computes a network on a processor: torch, or another library that is held against it.

A network is converted once a machine, into the user's cache, and used only where it agrees with
torch there. Differences are of the size of those between two processors or a processor and a GPU,
so that the engine, like the device, is no part of a fingerprint.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline.encoders import engine_library as library
from pipeline.encoders import engine_trial as trial
from pipeline.encoders.engine_library import EXTRAS, Run
from pipeline.encoders.engine_trial import NETWORK, Subject, Tried
from pipeline.encoders.precision import FULL, Precision
from pipeline.errors import UserError
from pipeline.messages import one_line
from pipeline.system.device import device_of

if TYPE_CHECKING:
    import torch

Engine = Literal["torch", "onnxruntime", "openvino", "auto"]
TORCH: Engine = "torch"
log = logging.getLogger(__name__)


def require(engine: Engine) -> None:
    """UserError, one line, where an engine is asked for that isn't installed."""
    if engine in EXTRAS and engine not in library.installed():
        raise UserError(
            f"engine {engine!r} is not installed: pip install 'smp-sentiment[{EXTRAS[engine]}]', "
            "or set `engine` to torch or auto"
        )


def used(engine: Engine, precision: Precision, device: str) -> Engine:
    """What computes: the engine that is set has a say on a CPU, in float32."""
    return engine if precision == FULL and device == "cpu" else TORCH


def engaged(network: torch.nn.Module, subject: Subject, engine: Engine) -> Converted | None:
    """The network as `engine` computes it, from a batch to a tensor or a list; None for torch.

    Raises UserError where an engine that is named disagrees with torch, can't take the network or
    has no place for it; `auto` leaves it to torch with a warning.
    """
    if engine == TORCH:
        return None
    require(engine)
    try:
        with trial.alone():
            found = _fastest(network, subject, engine)
            trial.forget()
    except (UserError, OSError) as error:
        why = one_line(error)
        if engine != "auto":
            raise UserError(f"engine {engine!r} can't be used for {subject.name}: {why}; set "
                            "`engine` to torch or auto") from error  # fmt: skip
        log.warning("engine auto: torch computes %s: %s", subject.name, why)
        return None
    return found


def _fastest(network: torch.nn.Module, subject: Subject, engine: Engine) -> Converted | None:
    """The network in the fastest engine that can be used; UserError where there is none."""
    there = library.installed()
    choices = there if engine == "auto" else {engine: there[engine]}
    if not choices:
        raise UserError("no other engine is installed")
    by_torch = cache(lambda: trial.by_torch(network, subject))
    tried = [trial.tried(network, subject, by_torch, *choice) for choice in choices.items()]
    best = chosen(tried, engine)
    if best is None and all(one.error for one in tried):
        raise UserError("; ".join(f"{one.engine}: {one.error}" for one in tried))
    if best is None:
        return None
    run = library.load(best.engine, subject.folder / NETWORK)
    return Converted(run, _gives_list(network, subject), subject)


def chosen(tried: Iterable[Tried], engine: Engine) -> Tried | None:
    """Of what came of engines for a network, that of the one which computes it; None for torch."""
    usable = [one for one in tried if not one.error and engine in ("auto", one.engine)]
    best = max(usable, key=lambda one: one.faster, default=None)
    return None if best is None or (engine == "auto" and best.faster <= 1) else best


def tried_here(digest: str) -> list[Tried]:
    """What came, on a processor like this, of the installed engines for weights of that digest."""
    there = library.installed()
    of = (one for one in trial.remembered() if one.digest == digest)
    return [one for one in of if there.get(one.engine) == one.version]


def told(settings: Any, digest: str | None) -> dict[str, Any] | None:
    """What a store says of the engine that computed it here; None where that was torch."""
    if digest is None or not hasattr(settings, "engine"):
        return None
    choice = used(settings.engine, settings.precision, device_of(settings.device))
    best = None if choice == TORCH else chosen(tried_here(digest), choice)
    names = ("engine", "version", "processor", "difference")
    return {name: getattr(best, name) for name in names} if best else None


def _gives_list(network: torch.nn.Module, subject: Subject) -> bool:
    import torch

    with torch.inference_mode():
        return isinstance(network(subject.probes()[0][:1]), list)


class Converted:
    """A network in another engine, called as torch's would be."""

    def __init__(self, run: Run, gives_list: bool, subject: Subject) -> None:
        self._run, self._gives_list, self._subject = run, gives_list, subject

    def __call__(self, x: torch.Tensor) -> Any:
        import torch

        parts = [list(part) for part in self._parts(x)]
        found = [torch.from_numpy(np.concatenate(of)) for of in zip(*parts, strict=True)]
        return found if self._gives_list else found[0]

    def _parts(self, x: torch.Tensor) -> Iterator[Iterable[np.ndarray]]:
        """What each batch of the engine's size gives; a row at a time where lengths are free."""
        shape = self._subject.shapes[0]
        for rows in x.split(shape[0]):
            full = rows
            if len(rows) < shape[0]:
                full = rows.new_zeros((shape[0], *rows.shape[1:]))
                full[: len(rows)] = rows
            yield (out[: len(rows)] for out in self._run(full.numpy()))

    def parameters(self) -> Iterator[torch.Tensor]:
        """One of no values, by which those that call a network see its device."""
        import torch

        yield torch.empty(0)
