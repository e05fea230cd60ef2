"""MTCNN with facenet-pytorch's networks: every face in a batch of pictures, nothing on none.

Source: Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional
Networks", 2016. The cascade gives what facenet-pytorch's `MTCNN.detect` gives for one picture;
unlike it, a picture's faces don't depend on its batch, and pictures smaller than a face, or
proposals outside the picture, are no error.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from facenet_pytorch.models.utils.detect_face import (
    bbreg,
    generateBoundingBox,
    imresample,
    nms_numpy,
    pad,
    rerec,
)
from torchvision.ops import nms

PROPOSAL_PX = 12  # what P-Net looks at; R-Net looks at 24, O-Net at 48
SAME_SCALE_IOU, SAME_FACE_IOU = 0.5, 0.7
CROPS_AT_ONCE = 512


@dataclass(frozen=True)
class Detections:
    """The n faces of one picture, the surest first.

    boxes: float32 [n, 4], x1 y1 x2 y2 in px, may reach out of the picture; probabilities:
    float32 [n]; landmarks: float32 [n, 5, 2] px: eyes, nose, corners of the mouth.
    """

    boxes: np.ndarray
    probabilities: np.ndarray
    landmarks: np.ndarray


@dataclass(frozen=True)
class Networks:
    """The three networks of the cascade on one device."""

    proposal: torch.nn.Module
    refinement: torch.nn.Module
    output: torch.nn.Module
    device: str

    @classmethod
    def load(cls, device: str) -> Networks:
        """With the weights that come with facenet-pytorch."""
        proposal, refinement, output = (
            network().eval().requires_grad_(False).to(device) for network in (PNet, RNet, ONet)
        )
        return cls(proposal, refinement, output, device)


@dataclass(frozen=True)
class Proposals:
    """boxes: [n, 5], x1 y1 x2 y2 in px and a score; picture: int64 [n], which one each is in."""

    boxes: torch.Tensor
    picture: torch.Tensor

    def __getitem__(self, which: torch.Tensor) -> Proposals:
        return Proposals(self.boxes[which], self.picture[which])


@dataclass(frozen=True)
class Detector:
    """The cascade with its settings, named as in facenet-pytorch but for `min_face_px`."""

    networks: Networks
    min_face_px: int = 20
    thresholds: Sequence[float] = (0.6, 0.7, 0.7)
    factor: float = 0.709

    @torch.inference_mode()
    def detect(self, pictures: np.ndarray) -> list[Detections]:
        """The faces of each of the rgb pictures, uint8 [n, height, width, 3]."""
        pixels = torch.as_tensor(pictures, device=self.networks.device)
        pixels = pixels.permute(0, 3, 1, 2).float()
        found = self._refined(pixels, self._proposed(pixels))
        found, landmarks = self._settled(pixels, found)
        return [_of_picture(found, landmarks, k) for k in range(len(pictures))]

    def scales(self, side_px: int) -> list[float]:
        """By how much a picture with this shorter side is scaled for P-Net; none if too small."""
        scale = PROPOSAL_PX / self.min_face_px
        side, scales = side_px * scale, []
        while side >= PROPOSAL_PX:
            scales.append(scale)
            scale, side = scale * self.factor, side * self.factor
        return scales

    def _proposed(self, pixels: torch.Tensor) -> Proposals:
        """P-Net over the pyramid: [n, 3, height, width] to square boxes."""
        scales = self.scales(min(pixels.shape[2:]))
        if not scales:
            return Proposals(pixels.new_zeros(0, 5), pixels.new_zeros(0, dtype=torch.int64))
        levels = [self._proposed_at(pixels, scale) for scale in scales]
        found = Proposals(
            torch.cat([level.boxes for level in levels]),
            torch.cat([level.picture for level in levels]),
        )
        found = found[_distinct(found, SAME_FACE_IOU)]
        size = (found.boxes[:, 2:4] - found.boxes[:, :2]).repeat(1, 2)
        moved = found.boxes[:, :4] + found.boxes[:, 5:9] * size
        return Proposals(rerec(torch.cat([moved, found.boxes[:, 4:5]], 1)), found.picture)

    def _proposed_at(self, pixels: torch.Tensor, scale: float) -> Proposals:
        """One level of the pyramid; boxes [n, 9] with P-Net's corrections as fractions."""
        height, width = pixels.shape[2:]
        level = imresample(pixels, (int(height * scale + 1), int(width * scale + 1)))
        corrections, probabilities = self.networks.proposal(_normalised(level))
        found = Proposals(
            *generateBoundingBox(corrections, probabilities[:, 1], scale, self.thresholds[0])
        )
        return found[_distinct(found, SAME_SCALE_IOU)]

    def _refined(self, pixels: torch.Tensor, found: Proposals) -> Proposals:
        """R-Net: drops most boxes and moves the others."""
        crops, found = _cropped(pixels, found, 2 * PROPOSAL_PX)
        if not len(crops):
            return found
        corrections, probabilities = _in_blocks(self.networks.refinement, crops)
        found, corrections = _likely(found, probabilities, self.thresholds[1], corrections)
        distinct = _distinct(found, SAME_FACE_IOU)
        found = found[distinct]
        return Proposals(rerec(bbreg(found.boxes, corrections[distinct])), found.picture)

    def _settled(self, pixels: torch.Tensor, found: Proposals) -> tuple[Proposals, torch.Tensor]:
        """O-Net: the boxes of faces, not square, and landmarks [n, 5, 2] px."""
        crops, found = _cropped(pixels, found, 4 * PROPOSAL_PX)
        if not len(crops):
            return found, pixels.new_zeros(0, 5, 2)
        corrections, points, probabilities = _in_blocks(self.networks.output, crops)
        found, corrections, points = _likely(
            found, probabilities, self.thresholds[2], corrections, points
        )
        boxes = found.boxes
        size = boxes[:, None, 2:4] - boxes[:, None, :2] + 1  # MTCNN counts pixels from one
        landmarks = points.view(-1, 2, 5).transpose(1, 2) * size + boxes[:, None, :2] - 1
        found = Proposals(bbreg(boxes, corrections), found.picture)
        distinct = _distinct_by_smaller(found, SAME_FACE_IOU)
        return found[distinct], landmarks[distinct]


def _normalised(pixels: torch.Tensor) -> torch.Tensor:
    return (pixels - 127.5) / 128


def _cropped(
    pixels: torch.Tensor, found: Proposals, side_px: int
) -> tuple[torch.Tensor, Proposals]:
    """The picture under each box as [n, 3, side, side], and the boxes that have any under them."""
    height, width = pixels.shape[2:]
    y1, y2, x1, x2 = pad(found.boxes, width, height)  # counted from one, ends included
    inside = np.flatnonzero((y2 >= y1) & (x2 >= x1))
    found = found[torch.as_tensor(inside, device=pixels.device)]
    crops = [
        imresample(pixels[k : k + 1, :, y1[i] - 1 : y2[i], x1[i] - 1 : x2[i]], (side_px, side_px))
        for i, k in zip(inside, found.picture.tolist(), strict=True)
    ]
    empty = pixels.new_zeros(0, 3, side_px, side_px)
    return _normalised(torch.cat([empty, *crops])), found


def _in_blocks(network: torch.nn.Module, crops: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The outputs of a network over any number of crops, in bounded memory."""
    outputs = [network(block) for block in crops.split(CROPS_AT_ONCE)]
    return tuple(torch.cat(parts) for parts in zip(*outputs, strict=True))


def _likely(
    found: Proposals, probabilities: torch.Tensor, threshold: float, *others: torch.Tensor
) -> tuple:
    """What is a face with more than `threshold`, with that for a score, and its `others`."""
    score = probabilities[:, 1]
    likely = score > threshold
    boxes = torch.cat([found.boxes[likely, :4], score[likely, None]], 1)
    return Proposals(boxes, found.picture[likely]), *(other[likely] for other in others)


def _by_picture(found: Proposals) -> Iterator[torch.Tensor]:
    """The indices of each picture's boxes."""
    for k in found.picture.unique().tolist():
        yield (found.picture == k).nonzero()[:, 0]


def _distinct(found: Proposals, iou: float) -> torch.Tensor:
    """Which boxes are left when, picture by picture, the less sure of two overlapping ones goes."""
    kept = [i[nms(found.boxes[i, :4], found.boxes[i, 4], iou)] for i in _by_picture(found)]
    return torch.cat([found.picture[:0], *kept])


def _distinct_by_smaller(found: Proposals, share: float) -> torch.Tensor:
    """The same where the overlap is measured against the smaller box: no face inside a face."""
    kept = []
    for i in _by_picture(found):
        boxes = found.boxes[i].cpu().numpy()
        order = nms_numpy(boxes[:, :4], boxes[:, 4], share, "Min").astype(np.int64)
        kept.append(i[torch.as_tensor(order, device=i.device)])
    return torch.cat([found.picture[:0], *kept])


def _of_picture(found: Proposals, landmarks: torch.Tensor, k: int) -> Detections:
    here = found.picture == k
    boxes = found.boxes[here].cpu().numpy()
    return Detections(boxes[:, :4], boxes[:, 4], landmarks[here].cpu().numpy())
