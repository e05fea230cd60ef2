"""What stacked trainings tell of an epoch, read on the host while the device is in the next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from model.training.loop import Curve, Prepared, curve_row, is_over
from model.training.settings import TrainSettings


@dataclass
class Record:
    """What is known on the host of one seed's training."""

    prepared: Prepared
    settings: TrainSettings
    tell: Callable[[dict[str, float]], None]
    curve: Curve = field(default_factory=list)

    @property
    def goes_on(self) -> bool:
        """Whether its patience has not run out."""
        return not (self.curve and is_over(self.curve, self.settings))

    def add(self, epoch: int, losses: tuple[float, float], outputs: Tensor) -> None:
        """Tell of one more epoch."""
        row = curve_row(self.prepared, self.settings, epoch, losses, outputs)
        self.curve.append(row)
        self.tell(row)


class Late:
    """What an epoch gave, on its way to the host while the device goes on."""

    def __init__(self, epoch: int, *found: Tensor) -> None:
        self._epoch, device = epoch, found[0].device
        self._found = [x.detach().to("cpu", non_blocking=True) for x in found]
        self._arrived = None if device.type == "cpu" else torch.Event(device)
        if self._arrived:
            self._arrived.record()

    def told(self, records: Sequence[Record]) -> bool:
        """Tell the seeds that go on of it; whether any still does."""
        if self._arrived:
            self._arrived.synchronize()
        for record, train, valid, outputs in zip(records, *self._found, strict=True):
            if record.goes_on:
                record.add(self._epoch, (float(train), float(valid)), outputs)
        return any(record.goes_on for record in records)
