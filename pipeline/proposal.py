"""P-Net over the scales of a picture: the first and by far the largest part of MTCNN's work.

The network of facenet-pytorch, laid out for speed: pixels before channels throughout, both of its
answers from one product, and on a CPU a strip of a picture at a time, so that what is between the
layers stays in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from facenet_pytorch.models.mtcnn import PNet
from torch.nn.functional import conv2d, linear

from pipeline.integral import IntegralImages, Span

STRIDE, FIELD_PX = 2, 12  # P-Net looks at fields of 12 px, 2 px apart
STRIP_PX = {"cpu": 1 << 16, "cuda": 1 << 25}  # pixels of scaled pictures that go through at once
CONVOLUTIONS = ("1", "2", "3")


@dataclass(frozen=True)
class Scale:
    """One level of the pyramid: the size of a scaled picture; `rows` × `columns` fields in it."""

    factor: float
    height: int
    width: int

    @classmethod
    def of(cls, size: tuple[int, int], factor: float) -> Scale:
        """Of a picture of height and width `size`."""
        return cls(factor, *(int(side * factor + 1) for side in size))

    @property
    def rows(self) -> int:
        return (self.height - 1) // STRIDE - 4  # the pooling layer rounds up

    @property
    def columns(self) -> int:
        return (self.width - 1) // STRIDE - 4


class ProposalNetwork:
    """P-Net with facenet-pytorch's weights."""

    def __init__(self, network: PNet, device: str) -> None:
        network = network.eval().requires_grad_(False).to(device)
        self._strip_px = STRIP_PX[torch.device(device).type]
        self._layers = []
        for k in CONVOLUTIONS:
            conv, prelu = getattr(network, f"conv{k}"), getattr(network, f"prelu{k}")
            weight = conv.weight.contiguous(memory_format=torch.channels_last)
            self._layers.append((weight, conv.bias, prelu.weight))
        # A softmax over two is a sigmoid of their difference.
        face, box = network.conv4_1, network.conv4_2
        self._weight = torch.cat([face.weight[1:] - face.weight[:1], box.weight])[:, :, 0, 0]
        self._bias = torch.cat([face.bias[1:] - face.bias[:1], box.bias])

    def __call__(self, pictures: IntegralImages, scales: Sequence[Scale]) -> torch.Tensor:
        """Each field's logit of a face and four corrections: [n, fields of all scales, 5]."""
        return torch.cat([self._map(pictures, scale).flatten(1, 2) for scale in scales], 1)

    def _map(self, pictures: IntegralImages, scale: Scale) -> torch.Tensor:
        """Of one scale: [n, rows, columns, 5]."""
        n = len(pictures.sums)
        found = pictures.sums.new_empty(n, scale.rows, scale.columns, 5, dtype=torch.float32)
        together = max(1, self._strip_px // (scale.height * scale.width))
        height = max(8, self._strip_px // (together * scale.width) // STRIDE)
        for i in range(0, n, together):
            some = IntegralImages(pictures.sums[i : i + together])
            for top in range(0, scale.rows, height):
                end = min(top + height, scale.rows)
                found[i : i + together, top:end] = self._strip(some, scale, top, end)
        return found

    def _strip(self, pictures: IntegralImages, scale: Scale, top: int, end: int) -> torch.Tensor:
        """Of the rows `top` to `end` of a map."""
        height, width = pictures.size
        device = pictures.sums.device
        y = torch.arange(STRIDE * top, STRIDE * end + 10, device=device)
        x = torch.arange(STRIDE * scale.columns + 10, device=device)
        rows = Span.of(y.clamp(max=scale.height - 1), scale.height, height)
        columns = Span.of(x.clamp(max=scale.width - 1), scale.width, width)
        first, second, third = self._layers
        n = len(pictures.sums)
        pixels = pictures.cells(torch.arange(n, device=device), rows.expand(n), columns.expand(n))
        maps = _convolved(pixels, *first)
        # An odd side got one line more, to be pooled in pairs: it must not count.
        if scale.height % 2 and end == scale.rows:
            maps[:, :, -1] = -torch.inf
        if scale.width % 2:
            maps[..., -1] = -torch.inf
        maps = torch.maximum(maps[:, :, ::2], maps[:, :, 1::2])
        maps = torch.maximum(maps[..., ::2], maps[..., 1::2])
        maps = _convolved(_convolved(maps, *second), *third)
        return linear(maps.permute(0, 2, 3, 1), self._weight, self._bias)


def _convolved(
    maps: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, slope: torch.Tensor
) -> torch.Tensor:
    """A convolution and its PReLU, x + (slope − 1) · min(x, 0), on whole lines of pixels."""
    maps = conv2d(maps, weight, bias)
    n, channels, height, width = maps.shape
    lines = maps.permute(0, 2, 3, 1).view(n * height, width * channels)
    lines.addcmul_(lines.clamp(max=0), (slope - 1).repeat(width))
    return maps
