"""A device as benchmarks see it: its ceilings, how long work takes on it, where the host waits."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.system.device import described


@dataclass
class Device:
    """device: as torch calls it. quick: whether little of everything will do."""

    device: str
    quick: bool

    @property
    def is_cuda(self) -> bool:
        return self.device.startswith("cuda")

    def few(self, quick: int, usual: int) -> int:
        """How much of something."""
        return quick if self.quick else usual

    def ceilings(self) -> Iterator[str]:
        """What the device can do at best."""
        yield described(self.device)
        yield f"float32 products {self.flops / 1e12:.3g} TFLOP/s"
        yield f"bfloat16 products {self._flops(torch.bfloat16) / 1e12:.3g} TFLOP/s"
        x = torch.empty(self.few(1 << 20, 1 << 28), device=self.device)
        y = torch.empty_like(x)
        yield f"copies {2 * x.nbytes / self.seconds(lambda: y.copy_(x)) / 1e9:.3g} GB/s"
        small = torch.randn(64, 64, device=self.device)
        launch_s = self.seconds(lambda: [small @ small for _ in range(1000)]) / 1000
        yield f"a product of 64 by 64 {1e6 * launch_s:.1f} µs, most of it its launch"

    @cached_property
    def flops(self) -> float:
        """Of products in float32 a second."""
        return self._flops(torch.float32)

    def _flops(self, dtype: torch.dtype) -> float:
        side = self.few(512, 8192)
        a = torch.randn(side, side, device=self.device).to(dtype)
        return 2 * side**3 / self.seconds(lambda: a @ a)

    def seconds(self, run: Callable[[], object], times: int = 2) -> float:
        """The least of `times`, after a first one; what the device still does is waited for.

        Quick is one time, the first.
        """
        took = []
        for _ in range(self.few(1, 1 + times)):
            began = time.perf_counter()
            run()
            if self.is_cuda:
                torch.cuda.synchronize(self.device)
            took.append(time.perf_counter() - began)
        return min(took[-times:])

    def share_of_ceiling(self, run: Callable[[], object], seconds: float) -> float:
        """Of the products that the device could do in `seconds`, those that `run` does."""
        with FlopCounterMode(display=False) as counter:
            run()
        return counter.get_total_flops() / seconds / self.flops

    def waits(self, run: Callable[[], object]) -> str:
        """How often `run` makes the host wait for the device, and where most."""
        if not self.is_cuda:
            return "waits: needs a CUDA device"
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                run()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        at = [w for w in told if "synchroniz" in str(w.message)]
        most = Counter(f"{Path(w.filename).name}:{w.lineno}" for w in at).most_common(3)
        return f"{len(at)} waits {', '.join(f'{place} ×{n}' for place, n in most)}".rstrip()
