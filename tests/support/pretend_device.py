"""A pretended accelerator, its ops done by the CPU: device mismatches raise, host waits count.

It takes torch's PrivateUse1 key, of which a process can have one, for good: use it in a process of
its own.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from typing import Any

import torch
from torch.utils import backend_registration
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

from pipeline.system import device

NAME = "pretend"
SCALARS = {"_local_scalar_dense", "equal"}
OF_UNKNOWN_SIZE = {"nonzero", "masked_select", "_unique2", "nms"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
MEMORY = ("aten::empty", "aten::new_empty", "aten::_unsafe_view", "aten::_reshape_alias")
DOWN, UP = f"{NAME} to cpu", f"cpu to {NAME}, waited for"
BYTES = "bytes to cpu"
counts: Counter[str] = Counter()
"""Kernels, copies by direction, what else makes the host wait, each by its name; and `BYTES`."""
_left: list[int] = []


def waits() -> int:
    """How many times the host would have waited for the device."""
    return (
        counts[DOWN]
        + counts[UP]
        + counts["mask"]
        + sum(counts[op] for op in SCALARS | OF_UNKNOWN_SIZE)
    )


def run_out_of_memory_after(operations: int) -> None:
    """Once, as if another program had it for a moment; 0: no more."""
    _left[:] = [operations] if operations else []


def _take_memory() -> None:
    if not _left:
        return
    _left[0] -= 1
    if not _left[0]:
        _left.clear()
        raise torch.OutOfMemoryError("out of memory, as is pretended")


class Pretended(torch.Tensor):
    """A tensor of the device. raw: the same on the CPU."""

    raw: torch.Tensor

    @staticmethod
    def __new__(cls, raw: torch.Tensor) -> Pretended:
        made = torch.Tensor._make_wrapper_subclass(
            cls, raw.size(), dtype=raw.dtype, strides=raw.stride(), device=torch.device(NAME, 0)
        )
        made.raw = raw
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, op: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(op, args, kwargs or {})

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __getitem__(self, at: Any) -> torch.Tensor:
        return super().__getitem__(torch.tensor(at) if isinstance(at, list) else at)


class _Generator(torch.Generator):
    """The CPU's, on any device."""

    def __new__(cls, device: Any = "cpu") -> _Generator:
        return super().__new__(cls)


class _Event:
    """Of a device that is always done."""

    def __init__(self, device: Any) -> None:
        self.record = self.synchronize = lambda: None


def install() -> None:
    """Let `pretend` be the name of a device, for torch and for settings."""

    class Module(backend_registration._DummyBackendModule):
        def get_amp_supported_dtype(self) -> list[torch.dtype]:
            return [torch.bfloat16]

    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=Module())
    device.NAMES = re.compile(f"{device.NAMES.pattern}|{NAME}")
    device.FETCHING.add(NAME)
    setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)  # noqa: B010
    _library.fallback(lambda op, *args, **kwargs: _run(op, args, kwargs), "PrivateUse1")
    instead = {
        # Its tensors can't be sliced in inference mode: without gradients is near enough.
        "inference_mode": lambda mode=True: torch.no_grad() if mode else contextlib.nullcontext(),
        # They make tensors where Python can't look.
        "tensor": _made_here_first(torch.tensor),
        "as_tensor": _made_here_first(torch.as_tensor),
        # Else of no steps, whatever it holds; a device makes it itself.
        "arange": _made_here_first(torch.arange, waits=False),
        "Generator": _Generator,
        "Event": _Event,
    }
    for name, function in instead.items():
        setattr(torch, name, function)


def _made_here_first(make: Any, waits: bool = True) -> Any:
    def made(*data: Any, device: Any = None, **others: Any) -> torch.Tensor:
        here: torch.Tensor = make(*data, **others)
        return here.to(device or "cpu", non_blocking=not waits)

    return made


def _run(op: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    if torch._C._dispatch_has_kernel_for_dispatch_key(op.name(), "CompositeImplicitAutograd"):
        return op.decompose(*args, **kwargs)
    _take_memory()
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    name, to = op._schema.name.split("::")[1], kwargs.get("device")
    if _computes(op):
        _count(name, args, tensors, kwargs)
    raw_args, raw = tree_map(lambda x: getattr(x, "raw", x), (args, kwargs))
    raw |= {} if to is None else {"device": "cpu"}
    out = INSTEAD.get(name, op)(*raw_args, **raw)
    if to is not None and torch.device(to).type != NAME:
        return out
    if name == "copy_":
        return args[0]
    known = {id(x.raw): x for x in tensors if isinstance(x, Pretended)}
    return tree_map_only(
        torch.Tensor, lambda x: known[id(x)] if id(x) in known else Pretended(x), out
    )


def _count(name: str, args: Any, tensors: list[torch.Tensor], kwargs: Any) -> None:
    """Raises RuntimeError where tensors of two devices meet; a single number may be anywhere."""
    if name in ("copy_", "_to_copy"):
        to, is_let_go = kwargs.get("device"), kwargs.get("non_blocking") or True in args[2:]
        target = args[0].device if name == "copy_" else torch.device(to or args[0].device)
        source = tensors[-1].device.type
        copied = f"{source} to {target.type}"
        counts["kernel" if source == target.type else copied] += 1
        counts[UP] += source == "cpu" and target.type == NAME and not is_let_go
        counts[BYTES] += tensors[-1].nbytes if copied == DOWN else 0
        return
    foreign = [x for x in tensors if not isinstance(x, Pretended) and x.dim()]
    if foreign and len(foreign) < len(tensors) and name not in INDEXING:
        raise RuntimeError(f"{name} of {[(tuple(x.shape), str(x.device)) for x in tensors]}")
    is_mask = name in INDEXING and any(i is not None and i.dtype == torch.bool for i in args[1])
    counts[UP] += len(foreign) if name in INDEXING else 0
    is_wait = name in SCALARS | OF_UNKNOWN_SIZE
    counts[name if is_wait else "mask" if is_mask else "kernel"] += 1


def _computes(op: Any) -> bool:
    """Not where it only gives memory, or shows in another way what lies there."""
    is_view = any(r.alias_info and not r.alias_info.is_write for r in op._schema.returns)
    return not is_view and not op._schema.name.startswith(MEMORY)


def _lstm_cell(x: Any, h: Any, c: Any, *biases: Any) -> Any:
    i, f, g, o = sum((b for b in biases if b is not None), x + h).chunk(4, 1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    cell = f * c + i * g
    return o * cell.tanh(), cell, torch.cat([i, f, g, o], 1)


def _lstm_cell_backward(dh: Any, dc: Any, c: Any, cell: Any, gates: Any, has_bias: bool) -> Any:
    (i, f, g, o), t = gates.chunk(4, 1), cell.tanh()
    dh = torch.zeros_like(t) if dh is None else dh
    dc = dh * o * (1 - t * t) + (0 if dc is None else dc)
    slopes = dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dh * t * o * (1 - o)
    d = torch.cat(slopes, 1)
    return d, dc * f, d.sum(0) if has_bias else None


def _gru_cell(x: Any, h: Any, before: Any, bias_x: Any = None, bias_h: Any = None) -> Any:
    x, h = (gates if b is None else gates + b for gates, b in ((x, bias_x), (h, bias_h)))
    (r, z, n), (of_r, of_z, of_n) = x.chunk(3, 1), h.chunk(3, 1)
    r, z = (r + of_r).sigmoid(), (z + of_z).sigmoid()
    n = (n + r * of_n).tanh()
    return n + z * (before - n), torch.cat([r, z, n, before, of_n], 1)


def _gru_cell_backward(d: Any, kept: Any, has_bias: bool) -> Any:
    r, z, n, before, of_n = kept.chunk(5, 1)
    slope = d * (1 - z) * (1 - n * n)
    both = slope * of_n * r * (1 - r), d * (before - n) * z * (1 - z)
    of_x, of_h = torch.cat([*both, slope], 1), torch.cat([*both, slope * r], 1)
    return of_x, of_h, d * z, *((of_x.sum(0), of_h.sum(0)) if has_bias else (None, None))


INSTEAD = {  # of ops which a CPU has not
    "_thnn_fused_lstm_cell": _lstm_cell,
    "_thnn_fused_lstm_cell_backward_impl": _lstm_cell_backward,
    "_thnn_fused_gru_cell": _gru_cell,
    "_thnn_fused_gru_cell_backward": _gru_cell_backward,
}
_library = torch.library.Library("_", "IMPL")
