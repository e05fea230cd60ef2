"""Speech features against a plain one-clip transformers call, on checkpoints as hubs have them."""

import json
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from pipeline.dataset.clip import Clip
from pipeline.encoders import wav2vec2
from pipeline.encoders.front_ends import Waveform
from pipeline.encoders.wav2vec2 import Network, loaded
from pipeline.errors import UserError
from pipeline.extractors.wav2vec2 import Wav2vec2
from pipeline.stage.result import ClipInputs
from tests.support.paths import ROOT

LENGTHS = [16_000, 16_000, 9_999, 24_321, 400, 16_400, 720]


class SpeechClassifier(nn.Module):
    """The backbone under a head, named as in the MSP-Podcast checkpoint."""

    def __init__(self, shape: Wav2Vec2Config) -> None:
        super().__init__()
        self.wav2vec2 = Wav2Vec2Model(shape)
        self.classifier = nn.Linear(shape.hidden_size, 3)


def config(norm: str) -> Wav2Vec2Config:
    return Wav2Vec2Config(
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        conv_dim=(24,) * 7,
        conv_bias=norm == "layer",
        feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer",
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        initializer_range=0.2,
    )


def checkpoint(folder: Path, norm: str = "layer", drop: str = "", as_bin: bool = False) -> Path:
    """A folder laid out like the hub's: weight norm under its old names, a head on top."""
    folder.mkdir(parents=True)
    torch.manual_seed(2)
    shape = config(norm)
    shape.architectures = ["Wav2Vec2ForSpeechClassification"]
    model = SpeechClassifier(shape)
    shape.save_pretrained(folder)
    prefix = "parametrizations.weight.original"
    renamed = {
        name.replace(f"{prefix}0", "weight_g").replace(f"{prefix}1", "weight_v"): tensor.clone()
        for name, tensor in model.state_dict().items()
    }
    tensors = {name: t for name, t in renamed.items() if not drop or drop not in name}
    if as_bin:
        torch.save(tensors, folder / "pytorch_model.bin")
    else:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    normaliser = Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer")
    normaliser.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["layer", "group"])
def folder(request, tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("weights") / request.param, request.param)


def speech(n, seed=0):
    return np.random.default_rng(seed).normal(500, 4000, n).astype(np.int16)


SOUNDS = [speech(n, seed) for seed, n in enumerate(LENGTHS)]


def results(sounds, steps=32, **settings):
    stage = Wav2vec2(Wav2vec2.Settings(**settings), steps)
    return list(stage.extract([ClipInputs(Clip("a"), {"samples": sound}) for sound in sounds]))


def features(sounds, steps=32, **settings):
    found = results(sounds, steps, **settings)
    assert [r.length for r in found] == [len(r.rows["features"]) for r in found]
    return [r.rows["features"] for r in found]


def reference(folder: Path, samples: np.ndarray) -> np.ndarray:
    """All frames of one clip by the network that was saved, no batch, no padding."""
    torch.manual_seed(2)
    model = SpeechClassifier(Wav2Vec2Config.from_pretrained(folder)).wav2vec2.eval()
    wave = samples / 32_768
    values = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
    with torch.no_grad():
        states = model(torch.tensor(values[None], dtype=torch.float32))
    return states.last_hidden_state[0].numpy()


def test_frames_are_those_of_a_plain_call_on_one_clip(folder):
    got = features(SOUNDS, steps=1000, weights=str(folder))
    for samples, rows in zip(SOUNDS, got, strict=True):
        expected = reference(folder, samples)
        assert rows.shape == expected.shape
        np.testing.assert_allclose(rows, expected, atol=1e-4)


@pytest.fixture
def accelerated(monkeypatch):
    """Batches are made as on an accelerator."""
    monkeypatch.setattr(wav2vec2, "batch_size", lambda setting, device: setting)


def test_on_a_processor_a_clip_does_not_depend_on_its_batch_by_a_bit(folder):
    together = features(SOUNDS, weights=str(folder))
    for samples, rows in zip(SOUNDS, together, strict=True):
        np.testing.assert_array_equal(rows, features([samples], weights=str(folder))[0])


def test_a_clip_does_not_depend_on_its_batch(folder, accelerated):
    together = features(SOUNDS, weights=str(folder))
    for samples, rows in zip(SOUNDS, together, strict=True):
        (alone,) = features([samples], weights=str(folder), batch_size=1)
        np.testing.assert_allclose(rows, alone, atol=1e-5)


def test_only_equal_lengths_share_a_batch_under_group_norm(tmp_path, monkeypatch, accelerated):
    sizes: list[set[int]] = []
    forward = Network.forward

    def watched(network, rows, layer):
        sizes.append({len(row.given) for row in rows})
        return forward(network, rows, layer)

    monkeypatch.setattr(Network, "forward", watched)
    features(SOUNDS, weights=str(checkpoint(tmp_path / "group", "group")))
    assert sorted(map(len, sizes)) == [1] * 6
    sizes.clear()
    features(SOUNDS, weights=str(checkpoint(tmp_path / "layer", "layer")))
    assert [len(lengths) for lengths in sizes] == [6]


def test_long_frames_are_sampled_to_the_steps(folder):
    every = features(SOUNDS[:1], steps=1000, weights=str(folder))[0]
    assert len(every) == 49
    chosen = np.round(np.linspace(0, 48, 32)).astype(int)
    np.testing.assert_array_equal(features(SOUNDS[:1], weights=str(folder))[0], every[chosen])
    mean = features(SOUNDS[:1], weights=str(folder), sampling="mean")[0]
    np.testing.assert_allclose(mean.mean(0), every.mean(0), atol=1e-5)


def test_states_that_are_kept_are_those_of_all_and_of_several_windows_all_are(folder, accelerated):
    network = loaded(Wav2vec2(Wav2vec2.Settings(weights=str(folder))).weights(), "cpu")
    every, some = (
        network.states(SOUNDS, 20_000, "last", 4, *kept)
        for kept in ([], [lambda states: np.arange(0, states, 3)])
    )
    assert [len(rows) for rows in every if len(rows) > 62] == [75]  # of 24,321 samples
    for rows, kept in zip(every, some, strict=True):
        np.testing.assert_array_equal(kept, rows if len(rows) > 62 else rows[::3])


@pytest.mark.parametrize("n", [1, 399])
def test_sound_shorter_than_a_frame_gives_one_frame(folder, n):
    (rows,) = features([speech(n)], weights=str(folder))
    assert rows.shape == (1, 48)
    assert np.isfinite(rows).all()


def test_digital_silence_is_finite(folder):
    (rows,) = features([np.zeros(8_000, np.int16)], weights=str(folder))
    assert np.isfinite(rows).all()


def test_windows_of_long_sound_give_the_whole_sounds_frames(folder):
    front = loaded(Wav2vec2(Wav2vec2.Settings(weights=str(folder))).weights(), "cpu").front
    assert isinstance(front, Waveform)
    for n in (400, 16_000, 48_123, 50_000):
        sound = np.zeros(n, np.float32)
        windows = front.windows(sound, 16_000)
        assert max(map(len, windows)) <= 16_000
        assert sum(front.frames(len(w)) for w in windows) == (n - 400) // 320 + 1
    long = speech(40_000)
    whole = features([long], steps=1000, weights=str(folder))[0]
    parts = features([long], steps=1000, weights=str(folder), window_s=1.0)[0]
    assert parts.shape == whole.shape
    middle = parts[10:40].ravel(), whole[10:40].ravel()
    assert np.corrcoef(*middle)[0, 1] > 0.8


@pytest.mark.parametrize("as_bin", [False, True])
def test_either_weights_format_loads(tmp_path, as_bin):
    path = checkpoint(tmp_path / "w", as_bin=as_bin)
    got = features(SOUNDS[:1], steps=100, weights=str(path))[0]
    np.testing.assert_allclose(got, reference(path, SOUNDS[0]), atol=1e-4)


def test_a_hub_id_is_found_in_the_hub_cache(tmp_path, monkeypatch):
    root = tmp_path / "models--someone--speech"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("a" * 40)
    snapshot = checkpoint(root / "snapshots" / ("a" * 40))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    got = features(SOUNDS[:1], steps=100, weights="someone/speech")[0]
    np.testing.assert_allclose(got, reference(snapshot, SOUNDS[0]), atol=1e-4)


def test_the_width_is_read_from_the_config(folder):
    assert Wav2vec2(Wav2vec2.Settings(weights=str(folder))).writes()["features"].axes == (
        "step",
        48,
    )


@pytest.mark.parametrize("drop", ["encoder.layers.1.", "pos_conv_embed.conv.weight_g"])
def test_a_checkpoint_that_lacks_tensors_is_refused_by_name(tmp_path, drop):
    path = checkpoint(tmp_path / "holed", drop=drop)
    with pytest.raises(UserError, match=r"missing \d+ tensors of Wav2Vec2Model \(encoder\."):
        results(SOUNDS[:1], weights=str(path))


def test_what_masks_frames_in_training_may_be_lacking(tmp_path):
    path = checkpoint(tmp_path / "w", drop="masked_spec_embed")
    got = features(SOUNDS[:1], steps=100, weights=str(path))[0]
    np.testing.assert_allclose(got, reference(path, SOUNDS[0]), atol=1e-4)


def test_other_kinds_of_checkpoint_are_refused(tmp_path):
    path = checkpoint(tmp_path / "w")
    settings = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**settings, "model_type": "encodec"}))
    told = "are of a 'encodec' model; this stage takes wav2vec2 or hubert or .*whisper$"
    with pytest.raises(UserError, match=told):
        results(SOUNDS[:1], weights=str(path))


def test_a_checkpoint_for_another_rate_is_refused(tmp_path):
    path = checkpoint(tmp_path / "w", drop="classifier")
    Wav2Vec2FeatureExtractor(sampling_rate=8_000).save_pretrained(path)
    with pytest.raises(UserError, match="8000 Hz, not 16000"):
        results(SOUNDS[:1], weights=str(path))


@pytest.mark.parametrize("normalises", [True, False])
def test_sound_is_normalised_as_the_checkpoint_says(tmp_path, normalises):
    path = checkpoint(tmp_path / "w")
    Wav2Vec2FeatureExtractor(do_normalize=normalises).save_pretrained(path)
    stage = Wav2vec2(Wav2vec2.Settings(weights=str(path)))
    front = loaded(stage.weights(), "cpu").front
    assert isinstance(front, Waveform)
    given = front.normalised(SOUNDS[0])
    wave = SOUNDS[0] / 32_768
    expected = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7) if normalises else wave
    np.testing.assert_allclose(given, expected, atol=1e-5)


def test_a_checkpoint_that_does_not_say_how_to_normalise_is_refused(tmp_path):
    path = checkpoint(tmp_path / "w")
    (path / "preprocessor_config.json").unlink()
    told = r"lacks a feature extractor \(preprocessor_config\.json\)"
    with pytest.raises(UserError, match=told):
        results(SOUNDS[:1], weights=str(path))


def test_random_weights_are_the_same_every_time_and_hear_a_difference():
    from pipeline.weights import registry

    first = features(SOUNDS[:3], weights="random")
    registry._models.clear()
    torch.manual_seed(5)
    for a, b in zip(first, features(SOUNDS[:3], weights="random"), strict=True):
        np.testing.assert_array_equal(a, b)
    assert Wav2vec2(Wav2vec2.Settings(weights="random")).writes()["features"].axes == ("step", 64)
    time_s = np.arange(16_000) / 16_000
    tones = [(9_000 * np.sign(np.sin(6.2832 * hz * time_s))).astype(np.int16) for hz in (110, 330)]
    low, high = (rows.mean(0) for rows in features(tones, weights="random"))
    assert np.abs(low - high).max() > 0.3


@pytest.mark.slow
def test_threads_that_all_come_first_load_one_network_each_and_agree():
    code = """
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from pipeline.dataset.clip import Clip
from pipeline.stage.extractor import ClipInputs
from pipeline.extractors.bert import Bert
from pipeline.extractors.wav2vec2 import Wav2vec2

clip = ClipInputs(Clip("a", text="hello"), {"samples": np.arange(4000, dtype=np.int16)})

def first_row(kind):
    return next(iter(kind(kind.Settings(weights="random")).extract([clip]))).rows["features"][0]

with ThreadPoolExecutor(6) as threads:
    rows = list(threads.map(first_row, [Bert, Wav2vec2] * 3))
assert all(np.array_equal(row, rows[i % 2]) for i, row in enumerate(rows))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
