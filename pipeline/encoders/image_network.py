"""What is asked of a picture encoder, whichever library it is of, and what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from pipeline.encoders.shades import Shades
from pipeline.errors import UserError
from pipeline.system.device import uploaded
from pipeline.weights.resolve import Weights

Rgb = tuple[float, float, float]
Pooling = Literal["own", "cls", "mean"]
Interpolation = Literal["bilinear", "bicubic"]
MOST_PX = 2048  # to which a checkpoint's config may have a face resized
META = "meta"  # torch's device of shapes without numbers


@dataclass(frozen=True)
class Asked:
    """What is asked of an encoder beside its weights; None is what the checkpoint says.

    architecture: timm's name of the network in a file without a config. input_px: the side of the
    square that it sees. crop: whether what the config cuts off is cut off. layers: the first and
    the last of the hidden states whose mean is taken, as the library counts them.
    """

    architecture: str | None = None
    input_px: int | None = None
    crop: bool = True
    interpolation: Interpolation | None = None
    mean: Rgb | None = None
    std: Rgb | None = None
    layers: tuple[int, int] | None = None
    pooling: Pooling = "own"


@dataclass(frozen=True)
class Tokens:
    """A hidden state of n faces.

    first: class and register tokens [n, k, width]. patches: those of places [n, p, width].
    """

    first: torch.Tensor
    patches: torch.Tensor

    @classmethod
    def of_map(cls, states: torch.Tensor) -> Tokens:
        """Of a feature map [n, width, height, width]."""
        patches = states.flatten(2).transpose(1, 2)
        return cls(patches[:, :0], patches)

    @classmethod
    def of_row(cls, states: torch.Tensor, first: int) -> Tokens:
        """Of tokens [n, k + p, width], of which the `first` k are of no place."""
        return cls(states[:, :first], states[:, first:])

    def pooled(self, pooling: Pooling) -> torch.Tensor:
        """[n, width]; UserError where a class token is asked of a network without one."""
        if pooling == "mean":
            return self.patches.mean(dim=1)
        if not self.first.shape[1]:
            raise UserError("this network has no class token; set `pooling` to mean")
        return self.first[:, 0]


class Encoder(ABC):
    """A network and how a face is made into its input.

    shades: the last step of that, on the network's device; where there are none, all is `prepared`.
    """

    network: torch.nn.Module
    shades: Shades | None = None

    @abstractmethod
    def prepared(self, faces: np.ndarray) -> torch.Tensor:
        """uint8 rgb `faces` [n, h, w, 3] to float32 [n, 3, px, px], on the CPU."""

    @abstractmethod
    def sized(self, faces: np.ndarray) -> torch.Tensor:
        """The same before values are scaled and normalised, uint8."""

    def input_of(self, faces: np.ndarray, device: torch.device) -> torch.Tensor:
        """What is `prepared`, on the network's device."""
        if self.shades is None:
            return uploaded(self.prepared(faces), device)
        return self.shades(uploaded(self.sized(faces), device))

    @abstractmethod
    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        """What the network itself makes of a face before a classifier, [n, width]."""

    @abstractmethod
    def output(self, x: torch.Tensor) -> Tokens:
        """The network's last hidden state, normalised where the network does that."""

    @abstractmethod
    def hidden(self, x: torch.Tensor, first: int, last: int) -> Sequence[Tokens]:
        """Its hidden states from `first` to `last`."""


def require_size(weights: Weights, px: float) -> None:
    """UserError where a config would have faces made larger than any network takes them."""
    if not 1 <= px <= MOST_PX:
        raise UserError(f"weights {weights.id!r}: their config resizes to {px:.0f} px; at most "
                        f"{MOST_PX} are made; set `input_px`")  # fmt: skip
