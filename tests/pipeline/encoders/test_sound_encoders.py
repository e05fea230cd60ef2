"""Every family of speech encoders, as its hub has it, against a plain call of transformers."""

from pathlib import Path

import numpy as np
import pytest
import transformers

from pipeline.dataset.clip import Clip
from pipeline.encoders import wav2vec2
from pipeline.errors import UserError
from pipeline.extractors.wav2vec2 import Wav2vec2
from pipeline.stage.result import ClipInputs
from tests.support.sound_encoders import FAMILIES, Family

LENGTHS = (16_000, 24_321, 5_333, 16_000)
SOUNDS = [
    np.random.default_rng(seed).normal(500, 4_000, n).astype(np.int16)
    for seed, n in enumerate(LENGTHS)
]
FORMATS = [(name, kind) for name, family in FAMILIES.items() for kind in family.formats]
WHISPER = FAMILIES["Whisper (the encoder)"]
W2V_BERT = FAMILIES["w2v-BERT 2.0"]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def folder(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return family.save(tmp_path_factory.mktemp("weights") / "net", family.formats[0])


def features(
    folder: Path | str, sounds: list[np.ndarray], steps: int = 2000, **settings: object
) -> list[np.ndarray]:
    made = Wav2vec2.Settings(weights=str(folder), device="cpu", **settings)
    clips = [ClipInputs(Clip("a"), {"samples": sound}) for sound in sounds]
    return [result.rows["features"] for result in Wav2vec2(made, steps).extract(clips)]


def plain(family: Family, folder: Path, sound: np.ndarray) -> np.ndarray:
    """The library's states of one sound; of Whisper's 1,500, those of the sound itself."""
    states = family.plain_states(folder, sound).last_hidden_state[0].numpy()
    return states[: -(-len(sound) // 320)] if family is WHISPER else states


@pytest.mark.parametrize(("name", "kind"), FORMATS)
def test_states_are_those_of_a_plain_call_in_each_format(
    name: str, kind: str, tmp_path: Path
) -> None:
    family = FAMILIES[name]
    folder = family.save(tmp_path / "net", kind)
    for sound, got in zip(SOUNDS[:2], features(folder, SOUNDS[:2]), strict=True):
        expected = plain(family, folder, sound)
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, atol=1e-4)
    writes = Wav2vec2(Wav2vec2.Settings(weights=str(folder))).writes()
    assert writes["features"].axes == ("step", 32)


def test_a_layer_is_the_one_that_transformers_counts(family: Family, folder: Path) -> None:
    states = family.plain_states(folder, SOUNDS[0], output_hidden_states=True).hidden_states
    every = [of[0].numpy() for of in states]
    assert len(every) == 3
    for layer, expected in ((0, every[0]), (1, every[1]), (-1, every[2])):
        (got,) = features(folder, SOUNDS[:1], layer=layer)
        np.testing.assert_allclose(got, expected[: len(got)], atol=1e-4)
    (mean,) = features(folder, SOUNDS[:1], layer=(-2, -1))
    np.testing.assert_allclose(mean, ((every[1] + every[2]) / 2)[: len(mean)], atol=1e-4)


def test_a_sound_does_not_depend_on_its_batch(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [features(folder, [sound])[0] for sound in SOUNDS]
    for together, by_itself in zip(features(folder, SOUNDS), alone, strict=True):
        np.testing.assert_array_equal(together, by_itself)
    monkeypatch.setattr(wav2vec2, "batch_size", lambda setting, device: setting)
    for padded, by_itself in zip(features(folder, SOUNDS), alone, strict=True):
        np.testing.assert_allclose(padded, by_itself, atol=3e-5)


def test_windows_of_long_sound_give_as_many_states_and_short_sound_one(folder: Path) -> None:
    long = np.concatenate(SOUNDS[:3])
    (whole,), (parts,) = features(folder, [long]), features(folder, [long], window_s=1.0)
    assert parts.shape == whole.shape
    assert features(folder, [SOUNDS[0][:1]])[0].shape == (1, 32)
    assert np.isfinite(features(folder, [np.zeros(9_000, np.int16)])[0]).all()


def test_whisper_hears_half_a_minute_at_a_time_and_gives_no_state_for_what_is_filled_up(
    tmp_path: Path,
) -> None:
    folder = WHISPER.save(tmp_path)
    long = np.tile(SOUNDS[0], 31)
    (got,) = features(folder, [long])
    assert len(got) == 31 * 50
    half_minutes = [long[:480_000], long[480_000:]]
    expected = np.concatenate([plain(WHISPER, folder, part) for part in half_minutes])
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_of_w2v_bert_a_last_frame_without_its_neighbour_is_left_out(tmp_path: Path) -> None:
    folder = W2V_BERT.save(tmp_path)
    sound = SOUNDS[0][: 400 + 160 * 28]  # 29 frames of 25 ms
    (got,) = features(folder, [sound])
    states = W2V_BERT.plain_states(folder, sound).last_hidden_state[0].numpy()
    assert (len(got), len(states)) == (14, 15)
    np.testing.assert_allclose(got, states[:14], atol=1e-4)


def test_networks_that_make_sound_are_refused_before_anything_runs(tmp_path: Path) -> None:
    folder = WHISPER.save(tmp_path)
    transformers.EncodecConfig().save_pretrained(folder)
    told = "are of a 'encodec' model; this stage takes wav2vec2 or hubert or .* or whisper"
    with pytest.raises(UserError, match=told):
        Wav2vec2(Wav2vec2.Settings(weights=str(folder))).writes()
