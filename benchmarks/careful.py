"""The script that a careful engineer writes in an hour with plain libraries.

Frames are detected 16 at a time, 32 faces are kept before any network sees them, a clip's faces
are one batch and so are 32 texts; sound, whose padding some networks count in, goes clip by clip.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import torch
from feat.utils.image_operations import extract_face_square_pad_torch

from benchmarks import naive
from benchmarks.naive import MEAN, STD, STEPS, decoded, sampled
from pipeline.dataset.clip import Clip
from pipeline.faces.align import align

FRAMES, TEXTS = 16, 32  # a batch


class Script(naive.Script):
    """The same networks as the naive script's, in batches."""

    def run(self, clips: tuple[Clip, ...], out: Path) -> list[dict[str, np.ndarray]]:
        with torch.inference_mode():
            features = [{**self.seen(clip), **self.heard(clip)} for clip in clips]
            for start in range(0, len(clips), TEXTS):
                texts = [clip.text for clip in clips[start : start + TEXTS]]
                for found, states in zip(features[start:], self.read(texts), strict=False):
                    found["bert"] = states
        with self._timed("write"):
            out.write_bytes(pickle.dumps(features))
        return features

    def seen(self, clip: Clip) -> dict[str, np.ndarray]:
        """What the faces of a clip give; nothing where there are none."""
        assert clip.video is not None
        with self._timed("decode"):
            frames = decoded(clip.video)
        with self._timed("detect"):
            faces = [face for i in range(0, len(frames), FRAMES) for face in self.found(frames, i)]
        if not faces:
            return {}
        kept = [
            faces[i]
            for i in np.linspace(0, len(faces) - 1, min(STEPS, len(faces))).round().astype(int)
        ]
        with self._timed("align"):
            small = [align(frames[i], landmarks) for i, _, landmarks in kept]
        with self._timed("resnet18"):
            large = np.stack([cv2.resize(face, (224, 224)) for face in small])
            x = (torch.from_numpy(large).float() / 255 - MEAN) / STD
            embeddings = self.resnet(x.permute(0, 3, 1, 2)).numpy()
        with self._timed("action_units"):
            chips = [self.chip(frames[i], box) for i, box, _ in kept]
            units = self.units(torch.cat(chips)).au
        return {"resnet18": embeddings, "action_units": units}

    def found(
        self, frames: list[np.ndarray], start: int
    ) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """The largest face of each frame of a batch: the frame's number, box and landmarks."""
        boxes, _, landmarks = self.mtcnn.detect(frames[start : start + FRAMES], landmarks=True)
        found = []
        for number, (of_frame, points) in enumerate(zip(boxes, landmarks, strict=True), start):
            if of_frame is not None:
                of_frame, points = of_frame.astype(np.float32), points.astype(np.float32)
                largest = np.prod(of_frame[:, 2:] - of_frame[:, :2], axis=1).argmax()
                found.append((number, of_frame[largest], points[largest]))
        return found

    @staticmethod
    def chip(rgb: np.ndarray, box: np.ndarray) -> torch.Tensor:
        """A face as py-feat crops it for its network, float32 [1, 3, 256, 256] of 0..1."""
        frame = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
        chip, _ = extract_face_square_pad_torch(frame, torch.from_numpy(box)[None])
        return chip

    def read(self, texts: list[str]) -> list[np.ndarray]:
        """The states of each text of a batch."""
        with self._timed("bert"):
            tokens = self.tokenizer(texts, return_tensors="pt", truncation=True, padding=True)
            states = self.bert(**tokens).last_hidden_state.numpy()
            lengths = tokens["attention_mask"].sum(1).tolist()
            return [sampled(list(of[:n])) for of, n in zip(states, lengths, strict=True)]
