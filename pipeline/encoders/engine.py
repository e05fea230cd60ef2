"""What computes a network on a processor: torch, or another library that is held against it.

A network is converted once a machine, into the user's cache, and used only where it agrees with
torch there. Differences are of the size of those between two processors or a processor and a GPU,
so that the engine, like the device, is no part of a fingerprint.
"""

from __future__ import annotations

import fcntl
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline.encoders.precision import FULL, Precision
from pipeline.errors import UserError
from pipeline.io.atomic_write import atomic_write, make_folder
from pipeline.io.hashing import of_json
from pipeline.io.user_cache import user_cache
from pipeline.messages import one_line

if TYPE_CHECKING:
    import torch

Engine = Literal["torch", "onnxruntime", "openvino", "auto"]
TORCH: Engine = "torch"
EXTRAS = {"onnxruntime": "onnx", "openvino": "openvino"}
AGREEMENT = 1e-5  # at most between an engine and torch, of the largest value or of 1
OPSET = 17
NETWORK, KEPT = "network.onnx", 10  # of which each is as large as its weights
Run = Callable[[np.ndarray], list[np.ndarray]]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tried:
    """What came of an engine on this machine.

    difference: from torch, at most, as a share of the largest value, or of 1 where that is more.
    faster: how many times. error: why it can't be used.
    """

    network: str
    engine: str
    version: str
    difference: float = 0.0
    faster: float = 0.0
    error: str = ""


def installed() -> dict[str, str]:
    """The engines beside torch that are there, with their versions."""
    found = {}
    for engine in EXTRAS:
        try:
            found[engine] = version(engine)
            version("onnx")
        except PackageNotFoundError:
            found.pop(engine, None)
    return found


def require(engine: Engine) -> None:
    """UserError, one line, where an engine is asked for that isn't installed."""
    if engine in EXTRAS and engine not in installed():
        raise UserError(
            f"engine {engine!r} is not installed: pip install 'smp-sentiment[{EXTRAS[engine]}]', "
            "or set `engine` to torch or auto"
        )


def engaged(
    network: torch.nn.Module, name: str, digest: str, shape: tuple[int, ...], engine: Engine
) -> Any:
    """The network as `engine` computes it, from a batch to a tensor or a dict of them.

    name, digest: what it is, and of its weights. shape: of a batch of its input, in float32; other
    numbers of rows are filled up to it. Raises UserError where an engine that is named disagrees
    with torch, can't take the network or has no place for it; `auto` leaves it to torch with a
    warning.
    """
    if engine == TORCH:
        return network
    require(engine)
    try:
        found = _fastest(network, name, digest, shape, engine)
        _forget()
    except (UserError, OSError) as error:
        why = one_line(error)
        if engine != "auto":
            raise UserError(f"engine {engine!r} can't be used for {name}: {why}; set `engine` to "
                            "torch or auto") from error  # fmt: skip
        log.warning("engine auto: torch computes %s: %s", name, why)
        return network
    return found


def _fastest(
    network: torch.nn.Module, name: str, digest: str, shape: tuple[int, ...], engine: Engine
) -> Any:
    """The network in the fastest engine that can be used; UserError where there is none."""
    there = installed()
    choices = there if engine == "auto" else {engine: there[engine]}
    if not choices:
        raise UserError("no other engine is installed")
    folder = (
        user_cache("engines") / f"{name}-{of_json([digest, shape, OPSET, version('torch')])[:16]}"
    )
    with _locked(folder):
        tried = [_tried(network, name, shape, folder, *choice) for choice in choices.items()]
        usable = [one for one in tried if not one.error]
        if not usable:
            raise UserError("; ".join(f"{one.engine}: {one.error}" for one in tried))
        best = max(usable, key=lambda one: one.faster)
        if engine == "auto" and best.faster <= 1:
            return network
        run = _loaded(best.engine, folder / NETWORK)
    return Converted(run, _names(network, shape), shape)


def used(engine: Engine, precision: Precision, device: str) -> Engine:
    """What computes: the engine that is set has a say on a CPU, in float32."""
    return engine if precision == FULL and device == "cpu" else TORCH


class Converted:
    """A network in another engine, called as torch's would be."""

    def __init__(self, run: Run, names: list[str], shape: tuple[int, ...]) -> None:
        self._run, self._names, self._shape = run, names, shape

    def __call__(self, x: torch.Tensor) -> Any:
        import torch

        size, parts = self._shape[0], []
        for rows in x.split(size):
            full = rows.new_zeros(self._shape)
            full[: len(rows)] = rows
            parts.append([out[: len(rows)] for out in self._run(full.numpy())])
        found = [torch.from_numpy(np.concatenate(of)) for of in zip(*parts, strict=True)]
        return dict(zip(self._names, found, strict=True)) if self._names else found[0]

    def parameters(self) -> Iterator[torch.Tensor]:
        """One of no values, by which those that call a network see its device."""
        import torch

        yield torch.empty(0)


def remembered() -> list[Tried]:
    """What came of engines on this machine so far."""
    files = sorted(user_cache("engines").glob("*/*.json"))
    return [tried for file in files if (tried := _read(file))]


def _read(memory: Path) -> Tried | None:
    """What is remembered there, if it can be read."""
    try:
        return Tried(**json.loads(memory.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _tried(
    network: torch.nn.Module, name: str, shape: tuple[int, ...], folder: Path, engine: str, of: str
) -> Tried:
    """An engine held against torch on a made batch, or what is remembered of that.

    A mishap of the machine, such as a full disk, is raised, and not remembered.
    """
    memory, file = folder / f"{engine}-{of}.json", folder / NETWORK
    if (known := _read(memory)) and (known.error or file.exists()):
        return known
    try:
        found = Tried(name, engine, of, *_compared(network, shape, file, engine))
        if not found.difference <= AGREEMENT:
            told = f"it differs from torch by {found.difference:.1e}, more than {AGREEMENT:.0e}"
            found = Tried(name, engine, of, found.difference, found.faster, told)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # exporters and engines raise many kinds
        found = Tried(name, engine, of, error=one_line(error, with_kind=True)[:300])
    with atomic_write(memory) as part:
        part.write_text(json.dumps(asdict(found)), encoding="utf-8")
    return found


def _forget() -> None:
    """Remove what was converted longest ago, but for the last few networks."""
    files = user_cache("engines").glob(f"*/{NETWORK}")
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)[KEPT:]:
        with _locked(file.parent):
            file.unlink(missing_ok=True)


def _compared(
    network: torch.nn.Module, shape: tuple[int, ...], file: Path, engine: str
) -> tuple[float, float]:
    """How far an engine is from torch on noise, and how many times as fast."""
    import torch

    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    if not file.exists():
        with atomic_write(file) as part:
            _export(network, x, part)
    run, flat = _loaded(engine, file), _flat(network)
    with torch.inference_mode():
        expected, torch_s = _timed(lambda: [out.numpy() for out in flat(x)])
    got, engine_s = _timed(lambda: run(x.numpy()))
    differences = [
        float(np.abs(a - b).max() / max(1.0, np.abs(b).max()))
        for a, b in zip(got, expected, strict=True)
    ]
    return float(np.max(differences)), torch_s / engine_s


def _export(network: torch.nn.Module, x: torch.Tensor, file: Path) -> None:
    import torch

    with torch.no_grad(), warnings.catch_warnings():
        # The exporter that follows it writes a file beside the first and needs onnxscript.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(_flat(network), (x,), str(file), opset_version=OPSET, dynamo=False)


def _flat(network: torch.nn.Module) -> torch.nn.Module:
    """The network with a tuple of tensors for what it gives, in the order of `_names`."""
    import torch

    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            out = self.network(x)
            return tuple(out[name] for name in _tensors(out)) if isinstance(out, dict) else (out,)

    return Flat().eval()


def _tensors(out: dict[str, Any]) -> list[str]:
    return sorted(name for name, value in out.items() if hasattr(value, "numpy"))


def _names(network: torch.nn.Module, shape: tuple[int, ...]) -> list[str]:
    import torch

    with torch.inference_mode():
        out = network(torch.zeros(1, *shape[1:]))
    return _tensors(out) if isinstance(out, dict) else []


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and the seconds of the faster one of two after it."""
    found, seconds = work(), []
    for _ in range(2):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return found, min(seconds)


def _loaded(engine: str, file: Path) -> Run:
    """A converted network, on one thread, as tasks are; may be called by several at once."""
    if engine == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(file), options, ["CPUExecutionProvider"])
        entry = session.get_inputs()[0].name
        return lambda x: list(session.run(None, {entry: x}))
    import openvino

    how = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(file), "CPU", how)

    def run(x: np.ndarray) -> list[np.ndarray]:
        found = compiled.create_infer_request().infer({0: x})
        return [found[out].copy() for out in compiled.outputs]

    return run


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time converts into `folder`."""
    make_folder(folder)
    with open(folder / ".lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
