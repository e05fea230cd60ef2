"""The script that a researcher writes today: clip by clip, frame by frame, batches of one."""

from __future__ import annotations

import pickle
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
import torchvision
from facenet_pytorch import MTCNN
from feat.multitask.inference import MultitaskModel
from python_speech_features import delta, mfcc
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from pipeline.dataset.clip import Clip
from pipeline.faces.align import align

STEPS = 32
RATE_HZ = 16_000
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


class Script:
    """Models loaded once, then every clip for itself, everything in memory, one pickle at the end.

    weights: checkpoint by stage. seconds: of the processor so far, by row of the benchmark's table.
    """

    def __init__(self, weights: dict[str, str], min_face_px: int) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.mtcnn = MTCNN(keep_all=True, min_face_size=min_face_px, device="cpu")
        self.resnet = torchvision.models.resnet18().eval()
        self.resnet.load_state_dict(load_file(weights["resnet18"]))
        self.resnet.fc = torch.nn.Identity()
        self.units = MultitaskModel(device="cpu", weights_path=weights["action_units"], amp=False)
        self.wav2vec2 = Wav2Vec2Model.from_pretrained(weights["wav2vec2"]).eval()
        self.normaliser = Wav2Vec2FeatureExtractor.from_pretrained(weights["wav2vec2"])
        self.bert = AutoModel.from_pretrained(weights["bert"]).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(weights["bert"])

    def run(self, clips: tuple[Clip, ...], out: Path) -> list[dict[str, np.ndarray]]:
        """The features of every clip, by stage; a clip without a face has no visual ones."""
        with torch.no_grad():
            features = [self.clip(clip) for clip in clips]
        with self._timed("write"):
            out.write_bytes(pickle.dumps(features))
        return features

    def clip(self, clip: Clip) -> dict[str, np.ndarray]:
        """One clip through everything."""
        assert clip.video is not None
        with self._timed("decode"):
            frames = decoded(clip.video)
        faces = [face for frame in frames if (face := self.face(frame)) is not None]
        found: dict[str, np.ndarray] = {}
        if faces:
            with self._timed("resnet18"):
                found["resnet18"] = sampled([self.embedding(face) for face in faces])
            with self._timed("action_units"):
                found["action_units"] = sampled([self.intensities(face) for face in faces])
        found.update(self.heard(clip))
        with self._timed("bert"):
            tokens = self.tokenizer(clip.text, return_tensors="pt", truncation=True)
            found["bert"] = sampled(list(self.bert(**tokens).last_hidden_state[0].numpy()))
        return found

    def heard(self, clip: Clip) -> dict[str, np.ndarray]:
        """What the sound of a clip gives."""
        assert clip.video is not None
        with self._timed("audio"):
            sound = heard(clip.video)
        with self._timed("mfcc"):
            static = mfcc(sound, RATE_HZ, winlen=0.025, winstep=0.01, nfft=512)
            first = delta(static, 2)
            rows = np.concatenate([static, first, delta(first, 2)], axis=1)
            mfccs = sampled(list(rows))
        with self._timed("wav2vec2"):
            values = self.normaliser(
                sound / 32768.0, sampling_rate=RATE_HZ, return_tensors="pt"
            ).input_values
            states = sampled(list(self.wav2vec2(values).last_hidden_state[0].numpy()))
        return {"mfcc": mfccs, "wav2vec2": states}

    def face(self, rgb: np.ndarray) -> np.ndarray | None:
        """The largest face of a frame, aligned, uint8 [112, 112, 3]."""
        with self._timed("detect"):
            boxes, _, landmarks = self.mtcnn.detect(rgb, landmarks=True)
        if boxes is None:
            return None
        with self._timed("align"):
            largest = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).argmax()
            return align(rgb, landmarks[largest])

    def embedding(self, face: np.ndarray) -> np.ndarray:
        """The 512 values before ResNet18's classifier."""
        large = cv2.resize(face, (224, 224), interpolation=cv2.INTER_LINEAR)
        x = (torch.from_numpy(large).float() / 255 - MEAN) / STD
        embedding: np.ndarray = self.resnet(x.permute(2, 0, 1)[None])[0].numpy()
        return embedding

    def intensities(self, face: np.ndarray) -> np.ndarray:
        """py-feat's action units."""
        x = torch.from_numpy(face).permute(2, 0, 1)[None].float() / 255
        units: np.ndarray = self.units(x).au[0]
        return units

    @contextmanager
    def _timed(self, row: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self.seconds[row] += time.process_time() - started


def decoded(path: str) -> list[np.ndarray]:
    """Every frame as rgb."""
    capture = cv2.VideoCapture(path)
    frames: list[np.ndarray] = []
    while True:
        is_there, bgr = capture.read()
        if not is_there:
            return frames
        frames.append(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def heard(path: str) -> np.ndarray:
    """The sound, int16 at 16 kHz, its peak at −3 dBFS."""
    with av.open(path) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
        parts = [
            part.to_ndarray()[0]
            for frame in container.decode(audio=0)
            for part in resampler.resample(frame)
        ]
    sound = np.concatenate(parts)
    gain = 10 ** (-3 / 20) / max(float(np.abs(sound).max()), 1e-9)
    return np.rint(sound * gain * 32768).astype(np.int16)


def sampled(rows: list[Any]) -> np.ndarray:
    """At most 32 rows, evenly spaced, float32."""
    if len(rows) > STEPS:
        rows = [rows[round(i)] for i in np.linspace(0, len(rows) - 1, STEPS)]
    return np.stack(rows).astype(np.float32)
