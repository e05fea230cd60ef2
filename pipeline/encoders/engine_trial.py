"""Other libraries held against torch on this machine, once for each network, and remembered."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.encoders import engine_library as library
from pipeline.errors import UserError
from pipeline.io.atomic_write import atomic_write, make_folder
from pipeline.io.hashing import of_json
from pipeline.io.user_cache import user_cache
from pipeline.messages import one_line
from pipeline.system import processor

if TYPE_CHECKING:
    import torch

AGREEMENT = 1e-5  # at most between an engine and torch, of the largest value or of 1
NETWORK, KEPT = "network.onnx", 10  # of which each is as large as its weights
OF_GRAPH = ("torch", "torchvision", "transformers", "py-feat")  # whose code a network is


@dataclass(frozen=True)
class Subject:
    """A network that another engine may compute.

    name, digest: what it is, and of its weights. shapes: of the inputs that engines are tried on.
    Of several, which differ along some axis, a call may have any length there; of one, other
    numbers of rows are filled up to it. layer: of the network, whose states it gives. ids: how many
    there are, where it takes such in place of float32.
    """

    name: str
    digest: str
    shapes: tuple[tuple[int, ...], ...]
    layer: str = ""
    ids: int = 0

    @property
    def free(self) -> list[int]:
        """The axes along which a call may have any length."""
        lengths = zip(*self.shapes, strict=True)
        return [axis for axis, of in enumerate(lengths) if len(set(of)) > 1]

    @property
    def folder(self) -> Path:
        """Where it is kept, converted, with what came of the engines."""
        versions = {of: version(of) for of in OF_GRAPH}
        of = [self.digest, self.shapes, self.layer, library.OPSET, versions]
        return user_cache("engines") / f"{self.name}-{of_json(of)[:16]}"

    def probes(self) -> list[torch.Tensor]:
        """An input of each shape: noise."""
        import torch

        noise = torch.Generator().manual_seed(0)
        if self.ids:
            return [torch.randint(self.ids, shape, generator=noise) for shape in self.shapes]
        return [torch.randn(shape, generator=noise) for shape in self.shapes]


@dataclass(frozen=True)
class Tried:
    """What came of an engine for a network on a processor.

    digest: of the weights. processor: its `key`. difference: from torch, at most, as a share of the
    largest value, or of 1 where that is more. faster: how many times. error: why it can't be used.
    """

    network: str
    digest: str
    engine: str
    version: str
    processor: str
    difference: float = 0.0
    faster: float = 0.0
    error: str = ""

    @property
    def agreement(self) -> str:
        """How near to torch it is, in words."""
        return f"within {self.difference:.0e} of it"


def remembered() -> list[Tried]:
    """What came of engines on processors like this one so far."""
    files = sorted(user_cache("engines").glob(f"*/*-{processor.key()}.json"))
    return [tried for file in files if (tried := _read(file))]


def _read(memory: Path) -> Tried | None:
    """What is remembered there, if it can be read."""
    try:
        return Tried(**json.loads(memory.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def tried(
    network: torch.nn.Module,
    subject: Subject,
    by_torch: Callable[[], list[ByTorch]],
    engine: str,
    of: str,
) -> Tried:
    """An engine of version `of` held against torch, or what is remembered of that.

    A mishap of the machine, such as a full disk, is raised, and not remembered.
    """
    memory = subject.folder / f"{engine}-{of}-{processor.key()}.json"
    if (known := _read(memory)) and (known.error or (subject.folder / NETWORK).exists()):
        return known
    who = (subject.name, subject.digest, engine, of, processor.key())
    try:
        difference, faster = compared(network, subject, by_torch, engine)
        told = f"it differs from torch by {difference:.1e}, more than {AGREEMENT:.0e}"
        found = Tried(*who, difference, faster, "" if difference <= AGREEMENT else told)
    except (OSError, MemoryError):
        raise
    except UserError as error:
        found = Tried(*who, error=str(error))
    except Exception as error:  # exporters and engines raise many kinds
        found = Tried(*who, error=one_line(error, with_kind=True)[:300])
    with atomic_write(memory) as part:
        part.write_text(json.dumps(asdict(found)), encoding="utf-8")
    return found


class ByTorch(NamedTuple):
    """What torch makes of an input, and in how many seconds."""

    x: torch.Tensor
    expected: list[np.ndarray]
    seconds: float


def by_torch(network: torch.nn.Module, subject: Subject) -> list[ByTorch]:
    """The same of an input of each shape, noise."""
    import torch

    flat = library.flat(network)
    with torch.inference_mode():
        return [
            ByTorch(x, *_timed(lambda x=x: [out.numpy() for out in flat(x)]))  # type: ignore[misc]
            for x in subject.probes()
        ]


def compared(
    network: torch.nn.Module,
    subject: Subject,
    by_torch: Callable[[], list[ByTorch]],
    engine: str,
) -> tuple[float, float]:
    """How far an engine is from torch, as `Tried` has it, and how many times as fast."""
    if subject.free and engine in library.ONE_LENGTH:
        raise UserError("it gives wrong states where lengths differ from call to call")
    file = subject.folder / NETWORK
    if not file.exists():
        library.export(network, subject.probes()[0], subject.free, file)
    run, faster, far = library.load(engine, file), list[float](), list[float]()
    for x, expected, torch_s in by_torch():
        got, engine_s = _timed(lambda x=x: run(x.numpy()))  # type: ignore[misc]
        faster.append(torch_s / engine_s)
        far += [_apart(*pair) for pair in zip(got, expected, strict=True)]
    return max(far), faster[0]


def _apart(got: np.ndarray, expected: np.ndarray) -> float:
    """How far it is off, at most, as a share of the largest value or of 1."""
    return float(np.abs(got - expected).max() / max(1.0, float(np.abs(expected).max())))


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and the seconds of the faster one of two after it."""
    found, seconds = work(), []
    for _ in range(2):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return found, min(seconds)


def forget() -> None:
    """Remove what was converted longest ago, but for the last few networks."""
    files = user_cache("engines").glob(f"*/{NETWORK}")
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)[KEPT:]:
        file.unlink(missing_ok=True)


@contextmanager
def alone() -> Iterator[None]:
    """One thread of one process at a time converts and measures."""
    root = user_cache("engines")
    make_folder(root)
    with open(root / ".lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
