"""What a model is, and a model together with its standardisation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from model.batch import MODALITIES, Batch, real_steps
from model.threads import spread

CLASSES = ("negative", "neutral", "positive")
CHUNK = 256  # clips at a time in prediction
PIECE = 8  # clips at a time in standardisation
LIMIT = 10.0  # standard deviations beyond which a standardised feature is cut off


class NetworkSettings(BaseModel):
    """A model's own settings; what stands below a field, docs/settings.md says too."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True
    )


class Network(nn.Module):
    """A model: one class a file, found by the file's name.

    widths: feature width by modality; one that is not named takes no part. outputs: 1 for a
    score, or the number of classes.
    """

    class Settings(NetworkSettings):
        """No settings."""

    settings: Any

    def __init__(self, widths: Mapping[str, int], outputs: int, settings: Any) -> None:
        super().__init__()
        self.widths = {m: widths[m] for m in MODALITIES if widths.get(m)}
        self.outputs = outputs
        self.settings = settings

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Standardised features, zeros at padding and at what is missing, to [n, outputs]."""


class Scaler(nn.Module):
    """Standardisation by the real steps of the training clips; kept with the weights."""

    def __init__(self, widths: Mapping[str, int]) -> None:
        super().__init__()
        self.modalities = [m for m in MODALITIES if widths.get(m)]
        for m in self.modalities:
            self.register_buffer(f"{m}_mean", torch.zeros(widths[m]))
            self.register_buffer(f"{m}_std", torch.ones(widths[m]))

    @torch.no_grad()
    def fit(self, batch: Batch) -> Scaler:
        """Take mean and standard deviation from `batch`; a constant feature is only centred."""
        for m in self.modalities:
            mean, std = _moments(batch.features[m], batch.lengths[m])
            self.get_buffer(f"{m}_mean").copy_(mean)
            self.get_buffer(f"{m}_std").copy_(std)
        return self

    def forward(self, batch: Batch) -> Batch:
        """`batch` standardised, with zeros at padding and, the mean, at what a clip lacks."""
        return Batch({m: self._scaled(m, batch) for m in self.modalities}, batch.lengths)

    def _scaled(self, m: str, batch: Batch) -> Tensor:
        x = batch.features[m]
        real = real_steps(batch.lengths[m], x.shape[1])[..., None]
        mean, std = self.get_buffer(f"{m}_mean"), self.get_buffer(f"{m}_std")
        scaled = torch.empty_like(x)

        def scale(piece: slice) -> None:
            values = (x[piece] - mean).div_(std).clamp_(-LIMIT, LIMIT)
            scaled[piece] = values.nan_to_num_(0.0).where(real[piece], 0.0)

        spread(scale, _pieces(x))
        return scaled


def _moments(x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and std [width] over real steps, NaNs left out; summed in double, piece by piece."""
    real = real_steps(lengths, x.shape[1])

    def sums(piece: slice) -> tuple[Tensor, Tensor]:
        rows = x[piece][real[piece]]
        return len(rows) - rows.isnan().sum(0), rows.nansum(0).double()

    def squares(piece: slice) -> Tensor:
        apart = x[piece][real[piece]] - mean.float()
        return apart.square_().nansum(0).double()

    counts, totals = zip(*spread(sums, _pieces(x)), strict=True)
    count = sum(counts).clamp(min=1)
    mean = sum(totals) / count
    std = (sum(spread(squares, _pieces(x))) / count).sqrt()
    is_constant = std <= 1e-6 * (1e-6 + mean.abs())
    return mean, std.masked_fill(is_constant, 1.0)


def _pieces(x: Tensor) -> list[slice]:
    """Few clips at a time: each pass over them finds them in the processor's cache."""
    return [slice(i, i + PIECE) for i in range(0, len(x), PIECE)]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread of the CPU, then as before.

    On layers this small a second thread gains nothing, costs a factor of six where another
    process wants the core, and makes the last bits depend on how many cores there are.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Predictor(nn.Module):
    """A trained model: raw cached features in, scores or class probabilities out."""

    def __init__(self, scaler: Scaler, network: Network) -> None:
        super().__init__()
        self.scaler = scaler
        self.network = network

    def forward(self, batch: Batch) -> Tensor:
        """Raw features to [n, outputs]: a score, or a logit a class."""
        y: Tensor = self.network(self.scaler(batch))
        return y

    @one_thread()
    def predict(self, batch: Batch) -> np.ndarray:
        """Float32 scores [n], or probabilities [n, classes] (the softmax of eq. 23).

        The clips go through in equal chunks, on the device that the model is on.
        """
        self.eval()
        device = next(self.parameters()).device
        y = in_chunks(lambda chunk: self(chunk.to(device)), batch)
        y = y.squeeze(-1) if self.network.outputs == 1 else y.softmax(-1)
        return y.cpu().numpy()


def in_chunks(outputs: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
    """`outputs` of `batch`, CHUNK clips at a time, without gradients."""

    @torch.no_grad()
    def of_chunk(start: int) -> Tensor:
        return outputs(batch[start : start + CHUNK])

    return torch.cat(spread(of_chunk, range(0, len(batch), CHUNK)))
