"""MTCNN with facenet-pytorch's networks: every face in a batch of images, nothing on none.

Source: Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks", 2016. The cascade gives what facenet-pytorch's `MTCNN.detect` gives for one image;
unlike it, an image's faces don't depend on its batch, and images smaller than a face, or
proposals outside the image, are no error. Nothing here loops over boxes or waits for a device
once a scale: one path serves CPU and CUDA.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torchvision.ops import batched_nms

from pipeline.faces.detections import NO_FACES, Detections
from pipeline.faces.integral_image import IntegralImages, Pictures, Span, brought
from pipeline.faces.mtcnn_networks import FIELD_PX, STRIDE, Networks, Scale
from pipeline.system.device import uploaded
from pipeline.system.turns import turn

SAME_SCALE_IOU, SAME_FACE_IOU = 0.5, 0.7
IMAGES_PX = (1 << 20, 1 << 25)  # through the cascade at once, on a CPU and elsewhere


@dataclass(frozen=True)
class Boxes:
    """n boxes in a batch of images.

    box: float32 [n, 4], x1 y1 x2 y2 px; score: float32 [n]; image: int64 [n], which one.
    """

    box: torch.Tensor
    score: torch.Tensor
    image: torch.Tensor

    def __getitem__(self, which: torch.Tensor) -> Boxes:
        return Boxes(self.box[which], self.score[which], self.image[which])

    def distinct(self, iou: float, group: torch.Tensor | None = None) -> torch.Tensor:
        """Which are left when the less sure of two overlapping ones goes, group by group.

        group: int64 [n], the image unless given.
        """
        # In double precision, because groups are told apart by shifting them out of the image.
        group = self.image if group is None else group
        return batched_nms(self.box.double(), self.score.double(), group, iou)


@dataclass(frozen=True)
class Detector:
    """The cascade with its settings, named as in facenet-pytorch but for `min_face_px`."""

    networks: Networks
    min_face_px: int = 20
    thresholds: Sequence[float] = (0.6, 0.7, 0.7)
    factor: float = 0.709

    @torch.inference_mode()
    def detect(self, images: Sequence[np.ndarray]) -> list[Detections]:
        """The faces of each of the rgb images, uint8 [height, width, 3]."""
        found: dict[int, Detections] = {}
        for some in self._blocks(images):
            pictures = brought([images[i] for i in some], self.networks.device)
            with turn(self.networks.device):
                integrals = IntegralImages.of(pictures)
                boxes = self._refined(integrals, self._proposed(integrals))
                crops = _crops(integrals, boxes, self.networks.output.side_px)
                faces = self._looked(boxes.box, *crops)
                rows = torch.cat([faces, boxes.image[:, None]], 1).cpu().numpy()
            rows = rows[rows[:, 4] > self.thresholds[2]]
            for k, i in enumerate(some):
                found[i] = Detections.of(_distinct_by_smaller(rows[rows[:, -1] == k]))
        return [found[i] for i in range(len(images))]

    @torch.inference_mode()
    def look(self, images: Sequence[np.ndarray], squares: Sequence[np.ndarray]) -> list[Detections]:
        """What O-Net alone sees in given squares of each image, float32 [m, 4] px.

        There is a face for every square, in their order, however improbable.
        """
        found = [Detections.of(NO_FACES) for _ in images]
        shown = [i for i, some in enumerate(squares) if len(some)]
        if not shown:
            return found
        blocks = [[shown[k] for k in b] for b in self._blocks([images[i] for i in shown])]
        order = [i for block in blocks for i in block]
        parts = [self._around([images[i] for i in b], [squares[i] for i in b]) for b in blocks]
        box = _there(np.concatenate([squares[i] for i in order]), self.networks.device)
        with turn(self.networks.device):
            side_px = self.networks.output.side_px
            crops = [_crops(IntegralImages.of(part), at, side_px) for part, at in parts]
            rows = self._looked(box, *map(torch.cat, zip(*crops, strict=True))).cpu().numpy()
        ends = np.cumsum([len(squares[i]) for i in order])
        for i, faces in zip(order, np.split(rows, ends[:-1]), strict=True):
            found[i] = Detections.of(faces)
        return found

    def _around(
        self, images: Sequence[np.ndarray], squares: Sequence[np.ndarray]
    ) -> tuple[Pictures, Boxes]:
        """The part of images of one size that all squares lie in, and the squares in that."""
        device = self.networks.device
        box = np.concatenate(squares)
        # Only what the squares cover is taken: faces are small, and stay where they are.
        size = images[0].shape[1::-1]
        left, top = np.clip(np.floor(box[:, :2].min(0)).astype(int) - 1, 0, np.subtract(size, 1))
        right, bottom = np.clip(
            np.ceil(box[:, 2:].max(0)).astype(int) + 1, (left + 1, top + 1), size
        )
        pictures = brought([rgb[top:bottom, left:right] for rgb in images], device)
        shift = np.array((left, top, left, top), np.float32)
        moved = _there(box - shift, device)
        image = np.repeat(np.arange(len(images)), [len(some) for some in squares])
        return pictures, Boxes(moved, moved[:, 0], _there(image, device))

    def _blocks(self, images: Sequence[np.ndarray]) -> Iterator[list[int]]:
        """Which images go through together: some of one size, all of them in the end."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for i, rgb in enumerate(images):
            by_size.setdefault(rgb.shape, []).append(i)
        for (height, width, _), those in by_size.items():
            size = max(1, IMAGES_PX[self.networks.device != "cpu"] // (height * width))
            yield from (those[i : i + size] for i in range(0, len(those), size))

    def scales(self, size: tuple[int, int]) -> list[Scale]:
        """The pyramid of images of this height and width; none if they are too small."""
        factor, scales = FIELD_PX / self.min_face_px, []
        side = min(size) * factor
        while side >= FIELD_PX:
            scales.append(Scale.of(size, factor))
            factor, side = factor * self.factor, side * self.factor
        return scales

    def searched_px(self, size: tuple[int, int]) -> int:
        """What `detect` looks at in an image of this height and width: itself and its pyramid."""
        return size[0] * size[1] + sum(scale.height * scale.width for scale in self.scales(size))

    def _proposed(self, integrals: IntegralImages) -> Boxes:
        """P-Net over the pyramid: square boxes."""
        scales = self.scales(integrals.size)
        sums = integrals.sums
        if not scales:
            empty = sums.new_zeros(0, dtype=torch.float32)
            return Boxes(empty.view(0, 4), empty, sums.new_zeros(0, dtype=torch.int64))
        fields = self.networks.proposal(integrals, scales)
        probabilities = torch.sigmoid(fields[:, :, 0])
        image, field = (probabilities >= self.thresholds[0]).nonzero(as_tuple=True)
        box, scale = _places(field, scales)
        corrections = fields[image, field, 1:]
        found = Boxes(box, probabilities[image, field], image)
        kept = found.distinct(SAME_SCALE_IOU, image * len(scales) + scale)
        found, corrections = found[kept], corrections[kept]
        kept = found.distinct(SAME_FACE_IOU)
        found, corrections = found[kept], corrections[kept]
        size = (found.box[:, 2:] - found.box[:, :2]).repeat(1, 2)
        return Boxes(_squared(found.box + corrections * size), found.score, found.image)

    def _refined(self, integrals: IntegralImages, found: Boxes) -> Boxes:
        """R-Net: drops most boxes and moves the others; square ones again."""
        if not len(found.score):
            return found
        network = self.networks.refinement
        crops, inside = _crops(integrals, found, network.side_px)
        answers = network(crops)
        found = Boxes(found.box, torch.sigmoid(answers[:, 0]) * inside, found.image)
        likely = found.score > self.thresholds[1]
        found, corrections = found[likely], answers[likely, 1:]
        kept = found.distinct(SAME_FACE_IOU)
        found, corrections = found[kept], corrections[kept]
        return Boxes(_squared(_moved(found.box, corrections)), found.score, found.image)

    def _looked(self, box: torch.Tensor, crops: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """O-Net: a row of `Detections` for each box, of probability 0 where nothing is inside."""
        if not len(box):
            return box.new_zeros(0, NO_FACES.shape[1])
        logit, corrections, points = self.networks.output(crops).split((1, 4, 10), 1)
        size = box[:, None, 2:] - box[:, None, :2] + 1  # MTCNN counts pixels from one
        landmarks = points.view(-1, 2, 5).transpose(1, 2) * size + box[:, None, :2] - 1
        probability = torch.sigmoid(logit) * inside[:, None]
        return torch.cat([_moved(box, corrections), probability, landmarks.flatten(1), box], 1)


def _moved(box: torch.Tensor, corrections: torch.Tensor) -> torch.Tensor:
    """Boxes [n, 4] with their sides moved by shares of their size."""
    return box + corrections * (box[:, 2:] - box[:, :2] + 1).repeat(1, 2)


def _squared(box: torch.Tensor) -> torch.Tensor:
    """The square around the middle of each box, as long as its longer side."""
    size = box[:, 2:] - box[:, :2]
    side = size.amax(1, keepdim=True)
    corner = box[:, :2] + size * 0.5 - side * 0.5
    return torch.cat([corner, corner + side], 1)


def _places(field: torch.Tensor, scales: Sequence[Scale]) -> tuple[torch.Tensor, torch.Tensor]:
    """The box of each field and the number of its scale, from its number among all fields."""
    sizes = _there(np.array([(s.rows * s.columns, s.columns) for s in scales]), field.device)
    ends = sizes[:, 0].cumsum(0)
    scale = torch.bucketize(field, ends, right=True)
    inside = field - (ends - sizes[:, 0])[scale]
    columns = sizes[scale, 1]
    corner = torch.stack([inside % columns, inside // columns], 1) * STRIDE
    factor = _there(np.array([s.factor for s in scales], np.float32), field.device)[scale, None]
    return torch.cat([(corner + 1) / factor, (corner + FIELD_PX) / factor], 1).floor(), scale


def _crops(
    integrals: IntegralImages, found: Boxes, side_px: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What lies under each box, [n, 3, side, side], and whether any of it is in the image."""
    height, width = integrals.size
    x1, y1, x2, y2 = found.box.trunc().long().T  # counted from one, ends included
    cells = torch.arange(side_px, device=found.box.device)
    spans, inside = [], torch.ones_like(found.image, dtype=torch.bool)
    for first, last, limit in ((y1, y2, height), (x1, x2, width)):
        first, last = first.clamp(min=1), last.clamp(max=limit)
        inside &= first <= last
        first = torch.minimum(first, last.clamp(min=1))
        length = (last - first + 1).clamp(min=1)
        spans.append(Span.of(cells, side_px, length[:, None], first[:, None] - 1))
    return integrals.crops(found.image, *spans), inside


def _distinct_by_smaller(rows: np.ndarray) -> np.ndarray:
    """Without the less sure of two where the overlap is large against the smaller box."""
    low, high = rows[:, :2].astype(float), rows[:, 2:4].astype(float)
    area = np.prod(high - low + 1, axis=1)
    left, kept = np.argsort(rows[:, 4]), []
    while left.size:
        best, left = left[-1], left[:-1]
        kept.append(best)
        sides = np.minimum(high[best], high[left]) - np.maximum(low[best], low[left]) + 1
        shared = np.prod(np.maximum(sides, 0), axis=1)
        left = left[shared / np.minimum(area[best], area[left]) <= SAME_FACE_IOU]
    return rows[kept]


def _there(array: np.ndarray, device: str | torch.device) -> torch.Tensor:
    return uploaded(torch.from_numpy(array), device)
