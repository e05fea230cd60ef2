"""Small seeded stand-ins for py-feat's trained networks and classifiers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from pipeline.encoders.precision import FULL, Precision
from pipeline.encoders.py_feat import (
    CLASSIFIERS,
    PARTS,
    POINTS,
    Multitask,
    hog_inside,
    hog_layer,
    landmark_network,
)
from pipeline.encoders.py_feat_library import MEGraphAUv2, ModelV2Config
from pipeline.encoders.random_init import random_init
from pipeline.faces.chip import STRETCHED_PX

SEED = 0
PICTURES = 64
COMPONENTS = 8
UPPER_LEFT, LOWER_RIGHT = np.array([[0.12, 0.3], [0.88, 0.92]])  # brows and temples, chin
UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 11, 12, 14, 15, 17, 20, 23, 24, 25, 26, 28, 43)
MULTITASK = ModelV2Config(
    backbone="test_convnext",
    pretrained=False,
    n_au=len(UNITS),
    n_emotion=7,
    n_blendshape=52,
    mesh_normalized=True,
    afg_channels=32,
    mefl_channels=32,
    unified_lmk_dim=16,
    use_head_v3=True,
    drop_mefl=True,
)


def landmarks(device: str) -> torch.nn.Module:
    """py-feat's network, shifted so that it gives a mean face that trembles with the picture."""
    network = random_init(lambda: landmark_network(device), device, SEED)
    last = network.output_layer.bn
    last.weight.fill_(0.003)  # leaves about 2 px of trembling
    last.bias.copy_(torch.from_numpy(mean_face()).flatten())
    return cast(torch.nn.Module, network)


def mean_face() -> np.ndarray:
    """py-feat's neutral face, 68 landmarks [68, 2], in a crop of side 1."""
    from pipeline.encoders.py_feat_hog import neutral

    face = neutral.to_numpy()
    low, high = face.min(axis=0), face.max(axis=0)
    return cast(np.ndarray, UPPER_LEFT + (face - low) / (high - low) * (LOWER_RIGHT - UPPER_LEFT))


def classifier(backend: str) -> Any:
    """py-feat's classifier, its parts fitted to noise with the layout of real features."""
    # Imported here: the multitask network needs no scikit-learn.
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    hog, points = _noise()
    scaler = StandardScaler().fit(hog)
    pca = PCA(COMPONENTS, svd_solver="full").fit(scaler.transform(hog))
    rows = np.c_[pca.transform(scaler.transform(hog)), points]
    labels = np.random.default_rng(SEED).permuted(
        np.tile(np.arange(PICTURES) % 2, (len(UNITS), 1)), axis=1
    )
    trained = CLASSIFIERS[backend]()
    trained.load_weights(
        **{part: scaler if part.startswith("scaler") else pca for part in PARTS},
        classifiers={
            f"AU{unit}": _untrained(backend).fit(rows, of_unit)
            for unit, of_unit in zip(UNITS, labels, strict=True)
        },
    )
    return trained


def _untrained(backend: str) -> Any:
    if backend == "svm":
        from sklearn.svm import LinearSVC

        return LinearSVC(C=1e-4, dual=True, random_state=SEED, max_iter=10_000)
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=8, max_depth=2, random_state=SEED)


def _noise() -> tuple[np.ndarray, np.ndarray]:
    """HOG and landmarks of blurred noise behind trembling mean faces."""
    generator = torch.Generator().manual_seed(SEED)
    noise = torch.rand(PICTURES, 3, 14, 14, generator=generator)
    pictures = F.interpolate(noise, (STRETCHED_PX, STRETCHED_PX), mode="bicubic").clamp(0, 1)
    mean = torch.from_numpy(mean_face()).float().flatten()
    points = mean + 0.01 * torch.randn(PICTURES, 2 * POINTS, generator=generator)
    hog, pixels = hog_inside(pictures, points, hog_layer("cpu"))
    return hog.astype(np.float64), np.stack(pixels).reshape(PICTURES, -1)


def multitask(device: str, precision: Precision = FULL) -> Multitask:
    """py-feat's network, narrow, through a file as if it had been trained."""
    network = random_init(lambda: MEGraphAUv2(MULTITASK), "cpu", SEED)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "random.safetensors"
        save_file(network.state_dict(), path, {"config": json.dumps(asdict(MULTITASK))})
        return Multitask.load(path, device, precision)
