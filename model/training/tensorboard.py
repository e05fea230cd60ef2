"""A training as TensorBoard shows it: curves while it runs, settings and metrics when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from model.training.loop import Trained
from model.training.presets import flat
from model.training.settings import TrainSettings
from pipeline.errors import UserError


def require_tensorboard() -> None:
    """Raise UserError, before hours of training, where TensorBoard is not installed."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise UserError(
            f'--tensorboard needs the package tensorboard ({error}): pip install "smp-sentiment'
            '[tensorboard]"'
        ) from None


def replay(folder: Path, settings: TrainSettings, trained: Trained) -> None:
    """Write all of a training that has ended to `folder`."""
    with Events(folder, settings) as events:
        for row in trained.curve:
            events.epoch(row)
        events.end(trained)


class Events:
    """Event files in `folder`, on disk after every epoch."""

    def __init__(self, folder: Path, settings: TrainSettings) -> None:
        # Imported here: an optional package, and seconds.
        from torch.utils.tensorboard import FileWriter

        self._writer = FileWriter(folder)
        self._settings = settings

    @classmethod
    def in_new_folder(cls, folder: Path, settings: TrainSettings) -> Self:
        """In `folder`, or where that is there, in the first of `folder`-2, -3 … that is not."""
        names = chain([folder.name], (f"{folder.name}-{k}" for k in count(2)))
        return cls(next(path for path in map(folder.with_name, names) if _made(path)), settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writer.close()

    def epoch(self, row: Mapping[str, float]) -> None:
        """A row of the curve: losses, validation metrics, the learning rate."""
        epoch = int(row["epoch"])
        for name, value in row.items():
            if name != "epoch":
                self._add(_tag(name), value, epoch)
        self._add("learning_rate", self._settings.lr, epoch)
        self._writer.flush()

    def end(self, trained: Trained) -> None:
        """The settings, the network's defaults among them, with the metrics of the split judged."""
        from torch.utils.tensorboard.summary import hparams

        network = trained.predictor.network.settings.model_dump()
        settings = _flat({**self._settings.model_dump(), "network": network})
        of = trained.judged
        measured = {f"{of}/{name}": value for name, value in trained.metrics[of].items()}
        # Not by a SummaryWriter's `add_hparams`: it would begin a second run in a folder below.
        for summary in hparams(settings, measured):
            self._writer.add_summary(summary)
        for name, value in measured.items():
            self._add(name, value, trained.best_epoch)

    def _add(self, tag: str, value: float, epoch: int) -> None:
        from torch.utils.tensorboard.summary import scalar

        self._writer.add_summary(scalar(tag, value), epoch)


def _made(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    return True


def _tag(name: str) -> str:
    """`train_loss` and `valid_loss` in one group, and the metrics of `valid` in another."""
    split, _, measure = name.partition("_")
    return f"loss/{split}" if measure == "loss" else f"{split}/{measure}"


def _flat(settings: Mapping[str, Any]) -> dict[str, bool | float | str]:
    """Settings by dotted names, as TensorBoard takes them."""
    return {
        name: value if isinstance(value, (bool, int, float)) else str(value)
        for name, value in flat(settings).items()
    }
