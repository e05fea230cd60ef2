"""What a person is told where memory runs out in a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from model.training.settings import TrainSettings
from pipeline.errors import BrokenOffError
from pipeline.system.device import is_out_of_memory


class OutOfMemoryError(BrokenOffError):
    """Memory ran out, the machine's or the accelerator's; the message says what to lower."""

    @classmethod
    def of(cls, settings: TrainSettings, where: str = "") -> OutOfMemoryError:
        """A smaller batch is not taken by itself, as it gives other numbers."""
        smaller = f"--batch {settings.batch // 2}, " if settings.batch > 1 else ""
        return cls(
            f"out of memory{where}: training {settings.model!r} with batches of {settings.batch} "
            f"on device {settings.device!r}; try {smaller}a smaller model or another --device"
        )


@contextmanager
def out_of_memory_told(settings: TrainSettings) -> Iterator[None]:
    """Raise OutOfMemoryError in place of what torch and Python raise."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError.of(settings) from error
