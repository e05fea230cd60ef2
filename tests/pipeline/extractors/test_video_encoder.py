"""Video encoders: what their library gives of the same faces, averaged over places."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torchvision.transforms.functional import to_pil_image

from pipeline.dataset.clip import Clip
from pipeline.encoders import shades, video_encoder
from pipeline.errors import UserError
from pipeline.extractors.video_encoder import VideoEncoder
from pipeline.stage.result import ClipInputs
from pipeline.weights.repository import VIDEO
from tests.support.image_checkpoints import VIDEOS, faces

CLASSES = {"VideoMAE": "VideoMAEModel", "ViViT": "VivitModel", "TimeSformer": "TimesformerModel"}
STEPS = {"VideoMAE": 4, "ViViT": 4, "TimeSformer": 8}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name, family in VIDEOS.items():
        family.save(folder / name, "safetensors")
    return folder


def extractor(weights: object, steps: int = 32, **settings: Any) -> VideoEncoder:
    said = {"weights": str(weights), "device": "cpu", **settings}
    return VideoEncoder(VideoEncoder.Settings(**said), steps)


def features(weights: object, n: int, **settings: Any) -> np.ndarray:
    [result] = extractor(weights, **settings).extract([ClipInputs(Clip("a"), {"images": faces(n)})])
    assert result.length == len(result.rows["features"])
    return result.rows["features"]


def by_transformers(folder: Path, which: list[int]) -> Any:
    """What the library makes of these of 32 faces, class and processor named in so many words."""
    network = getattr(transformers, CLASSES[folder.name]).from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    x = processor([to_pil_image(face) for face in faces(32)[which]], return_tensors="pt")
    with torch.inference_mode():
        return network(**x, output_hidden_states=True)


def over_places(name: str, tokens: torch.Tensor) -> np.ndarray:
    """The mean of the 16 tokens of each time, one after the other."""
    if name == "TimeSformer":  # all times of a place lie together, behind the class token
        means = [tokens[0, 1 + time :: 8].mean(dim=0) for time in range(8)]
    else:
        tokens = tokens[0, 1:] if name == "ViViT" else tokens[0]
        means = [tokens[16 * time : 16 * time + 16].mean(dim=0) for time in range(4)]
    return torch.stack(means).numpy()


@pytest.mark.parametrize("name", VIDEOS)
def test_features_are_the_librarys_own(name: str, checkpoints: Path) -> None:
    found = features(checkpoints / name, 32)
    expected = by_transformers(checkpoints / name, [0, 4, 9, 13, 18, 22, 27, 31])
    own = over_places(name, expected.last_hidden_state)
    assert found.shape == own.shape == (STEPS[name], 32)
    assert found.dtype == np.float32
    assert extractor(checkpoints / name).writes()["features"].width == 32
    assert np.abs(found - own).max() <= min(1e-4, 0.01 * own.std(axis=0).mean())


@pytest.mark.parametrize("name", VIDEOS)
def test_bytes_on_a_device_become_the_librarys_own_floats(name: str, checkpoints: Path) -> None:
    network = video_encoder.loaded(extractor(checkpoints / name).weights(), "cpu")
    assert network.shades is None
    there = replace(network, shades=shades.found(network.prepared, network.sized, "cpu:0"))
    assert (there.shades is None) == (name == "ViViT")
    assert torch.equal(there.input_of(faces(8)), network.prepared(faces(8)))


@pytest.mark.parametrize("name", VIDEOS)
def test_a_bin_file_holds_the_same(name: str, checkpoints: Path, tmp_path: Path) -> None:
    other = extractor(VIDEOS[name].save(tmp_path / name, "bin")).weights()
    same = extractor(checkpoints / name).weights()
    assert other.digest == same.digest
    one, two = (video_encoder._checkpoint(weights, "cpu") for weights in (other, same))
    states = [video_encoder.Network(*network).states(faces(8), "last") for network in (one, two)]
    assert states[0] == pytest.approx(states[1], abs=1e-6)


@pytest.mark.parametrize("name", VIDEOS)
def test_layers_are_the_librarys_hidden_states(name: str, checkpoints: Path) -> None:
    found = by_transformers(checkpoints / name, [0, 4, 9, 13, 18, 22, 27, 31]).hidden_states
    one, two = (over_places(name, state) for state in found[1:])
    assert features(checkpoints / name, 32, layer=1) == pytest.approx(one, abs=1e-4)
    both = features(checkpoints / name, 32, layer=[-2, -1])
    assert both == pytest.approx((one + two) / 2, abs=1e-4)


def test_fewer_faces_than_the_network_takes_are_seen_more_than_once(checkpoints: Path) -> None:
    folder = checkpoints / "VideoMAE"
    expected = by_transformers(folder, [0, 0, 1, 1, 1, 1, 2, 2]).last_hidden_state
    assert features(folder, 3) == pytest.approx(over_places("VideoMAE", expected), abs=1e-4)
    assert np.isfinite(features(folder, 1)).all()


def test_no_more_steps_than_are_asked_for(checkpoints: Path) -> None:
    few = features(checkpoints / "TimeSformer", 32, steps=3)
    assert few == pytest.approx(features(checkpoints / "TimeSformer", 32)[[0, 4, 7]])


def test_lower_precision_is_close(checkpoints: Path) -> None:
    exact = features(checkpoints / "VideoMAE", 8)
    lower = features(checkpoints / "VideoMAE", 8, precision="bfloat16")
    assert 0 < np.abs(lower - exact).max() < 0.1 * np.abs(exact).max()


def test_what_is_fetched() -> None:
    there = ["config.json", "preprocessor_config.json", "pytorch_model.bin", "model.safetensors"]
    assert sorted(VIDEO.chosen([*there, "tf_model.h5"])) == sorted({*there} - {"pytorch_model.bin"})
    assert VIDEO.lacking(["config.json", "model.safetensors"])
    [source] = extractor("MCG-NJU/videomae-base", revision="main").models()
    assert (source.id, source.revision, source.files) == ("MCG-NJU/videomae-base", "main", VIDEO)


# ---- what can't be taken


def told(folder: Path, *words: str) -> None:
    """It is refused in one line that names the weights."""
    with pytest.raises(UserError) as caught:
        extractor(folder).writes(), features(folder, 2)
    assert "\n" not in str(caught.value)
    for word in (str(folder), *words):
        assert word in str(caught.value)


def altered(folder: Path, name: str, file: str, **content: Any) -> Path:
    VIDEOS[name].save(folder, "safetensors")
    was = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**was, **content}))
    return folder


@pytest.mark.parametrize(
    ("name", "file", "content", "words"),
    [
        ("VideoMAE", "config.json", {"model_type": "bert"}, "this stage takes videomae or vivit"),
        ("TimeSformer", "config.json", {"attention_type": "space_only"}, "each picture by itself"),
        ("TimeSformer", "config.json", {"num_frames": 10**9}, "can't be loaded"),
        ("VideoMAE", "preprocessor_config.json", {"size": {"shortest_edge": 10**7}}, "resizes to"),
        ("VideoMAE", "preprocessor_config.json", {"crop_size": {"height": 48, "width": 64}},
         "makes pictures of 64 x 48 px, not 64"),
    ],
)  # fmt: skip
def test_a_network_for_something_else_is_one_clear_line(
    name: str, file: str, content: dict[str, Any], words: str, tmp_path: Path
) -> None:
    told(altered(tmp_path, name, file, **content), words)


def test_a_missing_tensor_is_refused(tmp_path: Path) -> None:
    VIDEOS["VideoMAE"].save(tmp_path, "safetensors")
    state = load_file(tmp_path / "model.safetensors")
    del state["videomae.encoder.layer.0.output.dense.weight"]
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    told(tmp_path, "missing", "layer.0.output.dense.weight")
