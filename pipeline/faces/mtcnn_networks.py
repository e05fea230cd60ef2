"""MTCNN's three networks with facenet-pytorch's weights, laid out for speed.

Pixels lie before channels throughout; pooling takes the larger of neighbours; a network's answers
come from one product, as a logit (a softmax over two is a sigmoid of their difference) and the
corrections after it. P-Net, by far the largest part of the work, sees a strip of an image at a
time where there is a CPU, so that what lies between its layers stays in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from facenet_pytorch import ONet, PNet, RNet
from torch.nn import Conv2d, Linear, PReLU
from torch.nn.functional import conv2d, linear, prelu

from pipeline.faces.integral_image import Grid, IntegralImages, Span

STRIDE, FIELD_PX = 2, 12  # P-Net looks at fields of 12 px, 2 px apart
# On a CPU as much as its cache holds, elsewhere as much as fits.
STRIP_PX = (1 << 16, 1 << 25)  # of scaled images that P-Net sees at once
CROPS = (32, 2048)  # that R-Net and O-Net see at once


@dataclass(frozen=True)
class Scale:
    """One level of the pyramid: the size of a scaled image; `rows` × `columns` fields in it."""

    factor: float
    height: int
    width: int

    @classmethod
    def of(cls, size: tuple[int, int], factor: float) -> Scale:
        """Of an image of height and width `size`."""
        return cls(factor, *(int(side * factor + 1) for side in size))

    @property
    def rows(self) -> int:
        return (self.height - 1) // STRIDE - 4  # the pooling layer rounds up

    @property
    def columns(self) -> int:
        return (self.width - 1) // STRIDE - 4


class Convolution:
    """A convolution and its PReLU."""

    def __init__(self, conv: Conv2d, activation: PReLU) -> None:
        self.weight = conv.weight.contiguous(memory_format=torch.channels_last)
        self.bias = conv.bias
        self._less = activation.weight - 1
        self._of_width: dict[int, torch.Tensor] = {}

    def __call__(self, maps: torch.Tensor) -> torch.Tensor:
        maps = conv2d(maps, self.weight, self.bias)
        n, channels, height, width = maps.shape
        # x + (slope − 1) · min(x, 0) on whole lines: torch's own is slow on few channels.
        lines = maps.permute(0, 2, 3, 1).view(n * height, width * channels)
        if width not in self._of_width:
            self._of_width[width] = self._less.repeat(width)
        lines.addcmul_(lines.clamp(max=0), self._of_width[width])
        return maps


class ProposalNetwork:
    """P-Net, on all fields of images at all scales."""

    def __init__(self, device: str) -> None:
        network = PNet().eval().requires_grad_(False).to(device)
        self._strip_px = STRIP_PX[device != "cpu"]
        self._first, self._second, self._third = (
            Convolution(getattr(network, f"conv{k}"), getattr(network, f"prelu{k}"))
            for k in (1, 2, 3)
        )
        self._heads = _heads(network.conv4_1, network.conv4_2)

    def __call__(self, images: IntegralImages, scales: Sequence[Scale]) -> torch.Tensor:
        """A logit and four corrections for each field: [n, fields of all scales, 5]."""
        return torch.cat([self._map(images, scale).flatten(1, 2) for scale in scales], 1)

    def _map(self, images: IntegralImages, scale: Scale) -> torch.Tensor:
        """Of one scale: [n, rows, columns, 5]."""
        n = len(images.sums)
        found = images.sums.new_empty(n, scale.rows, scale.columns, 5, dtype=torch.float32)
        together = max(1, self._strip_px // (scale.height * scale.width))
        height = max(8, self._strip_px // (together * scale.width) // STRIDE)
        for i in range(0, n, together):
            some = IntegralImages(images.sums[i : i + together])
            for top in range(0, scale.rows, height):
                end = min(top + height, scale.rows)
                found[i : i + together, top:end] = self._strip(some, scale, top, end)
        return found

    def _strip(self, images: IntegralImages, scale: Scale, top: int, end: int) -> torch.Tensor:
        """Of the rows `top` to `end` of a map."""
        height, width = images.size
        grid = _grid(height, width, scale, top, end, images.sums.device)
        maps = self._first(images.cells(grid))
        # An odd side got one line more, to be pooled in pairs: it must not count.
        if scale.height % 2 and end == scale.rows:
            maps[:, :, -1] = -torch.inf
        if scale.width % 2:
            maps[..., -1] = -torch.inf
        maps = self._third(self._second(_pooled(maps, 2)))
        return linear(maps.permute(0, 2, 3, 1), *self._heads)


@lru_cache(maxsize=32)
def _grid(height: int, width: int, scale: Scale, top: int, end: int, device: torch.device) -> Grid:
    """Where the pixels of a scaled image come from that the fields of some rows look at."""
    y = torch.arange(STRIDE * top, STRIDE * end + 10, device=device)
    x = torch.arange(STRIDE * scale.columns + 10, device=device)
    rows = Span.of(y.clamp(max=scale.height - 1), scale.height, height)
    columns = Span.of(x.clamp(max=scale.width - 1), scale.width, width)
    return Grid.of(rows, columns, width)


class CropNetwork:
    """R-Net or O-Net, on crops of `side_px`."""

    def __init__(self, side_px: int, convolutions: Sequence[tuple], dense: tuple, *heads: Linear):
        """convolutions: with the size of the pooling after each; dense: with its PReLU."""
        self.side_px = side_px
        self._convolutions = [(Convolution(conv, p), window) for conv, p, window in convolutions]
        hidden, activation = dense
        # Columns before rows, as they were trained, to rows before columns, as they lie here.
        channels = convolutions[-1][0].out_channels
        cells = round((hidden.in_features // channels) ** 0.5)
        weight = hidden.weight.view(-1, cells, cells, channels).transpose(1, 2).flatten(1)
        self._hidden = weight.contiguous(), hidden.bias, activation.weight
        self._heads = _heads(*heads)

    @classmethod
    def refinement(cls, device: str) -> CropNetwork:
        """R-Net: a logit and four corrections."""
        n = RNet().eval().requires_grad_(False).to(device)
        convolutions = [(n.conv1, n.prelu1, 3), (n.conv2, n.prelu2, 3), (n.conv3, n.prelu3, 1)]
        return cls(2 * FIELD_PX, convolutions, (n.dense4, n.prelu4), n.dense5_1, n.dense5_2)

    @classmethod
    def output(cls, device: str) -> CropNetwork:
        """O-Net: a logit, four corrections, and five landmarks, all x before all y."""
        n = ONet().eval().requires_grad_(False).to(device)
        convolutions = [
            (n.conv1, n.prelu1, 3),
            (n.conv2, n.prelu2, 3),
            (n.conv3, n.prelu3, 2),
            (n.conv4, n.prelu4, 1),
        ]
        heads = n.dense6_1, n.dense6_2, n.dense6_3
        return cls(4 * FIELD_PX, convolutions, (n.dense5, n.prelu5), *heads)

    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        """A row of answers for each crop, [n, 3, side, side], in bounded memory."""
        blocks = crops.split(CROPS[crops.device.type != "cpu"])
        return torch.cat([self._answers(block) for block in blocks])

    def _answers(self, maps: torch.Tensor) -> torch.Tensor:
        for convolution, window in self._convolutions:
            maps = convolution(maps)
            maps = _pooled(maps, window) if window > 1 else maps
        weight, bias, slope = self._hidden
        hidden = prelu(linear(maps.permute(0, 2, 3, 1).flatten(1), weight, bias), slope)
        return linear(hidden, *self._heads)


@dataclass(frozen=True)
class Networks:
    """The three networks of the cascade on one device."""

    proposal: ProposalNetwork
    refinement: CropNetwork
    output: CropNetwork
    device: str

    @classmethod
    def load(cls, device: str) -> Networks:
        """With the weights that come with facenet-pytorch."""
        networks = CropNetwork.refinement(device), CropNetwork.output(device)
        return cls(ProposalNetwork(device), *networks, device)


def _heads(face: Conv2d | Linear, *others: Conv2d | Linear) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of a product that gives the logit of a face, then what the others give."""
    weights = [face.weight[1:] - face.weight[:1], *(other.weight for other in others)]
    biases = [layer.bias for layer in (face, *others) if layer.bias is not None]
    biases[0] = biases[0][1:] - biases[0][:1]
    return torch.cat(weights).flatten(1), torch.cat(biases)


def _pooled(maps: torch.Tensor, window: int) -> torch.Tensor:
    """The maximum of 2 or 3 neighbours in both directions, two apart, a last lone pair included."""
    for axis in (2, 3):
        pairs = maps.shape[axis] // 2
        maps = maps.transpose(axis, 0)
        pooled = torch.maximum(maps[: 2 * pairs : 2], maps[1::2])
        if window == 3:
            third = maps[2::2]
            torch.maximum(pooled[: len(third)], third, out=pooled[: len(third)])
        maps = pooled.transpose(axis, 0)
    return maps
