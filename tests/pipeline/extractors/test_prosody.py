"""Prosody is librosa's own, in the order of CH-SIMS' features."""

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.dataset.clip import Clip
from pipeline.extractors.prosody import Prosody
from pipeline.stage.result import ClipInputs
from pipeline.stage.steps import sample_indices
from tests.support.voiced import voiced

librosa = pytest.importorskip("librosa")


def features(samples: np.ndarray, steps: int = 32, **settings: object) -> np.ndarray:
    stage = Prosody(Prosody.Settings.model_validate(settings), steps)
    [result] = stage.extract([ClipInputs(Clip("a"), {"samples": samples})])
    assert result.length == len(result.rows["features"]) <= steps
    return result.rows["features"]


def as_loaded(samples: np.ndarray) -> np.ndarray:
    return librosa.resample(samples.astype(np.float32) / 32_768, orig_sr=16_000, target_sr=22_050)


def test_the_33_columns_are_those_of_direct_calls() -> None:
    samples = voiced(1.7)
    y = as_loaded(samples)
    crossings = librosa.feature.zero_crossing_rate(y, hop_length=512)
    mfcc = librosa.feature.mfcc(y=y, sr=22_050, hop_length=512, htk=True)
    chroma = librosa.feature.chroma_cqt(y=y, sr=22_050, hop_length=512)
    expected = np.concatenate([crossings, mfcc, chroma]).T
    assert expected.shape == (1 + len(y) // 512, 33)
    everything = features(samples, steps=1000)
    np.testing.assert_allclose(everything, expected, rtol=1e-5, atol=1e-5)
    kept = everything[sample_indices(len(everything))]
    assert features(samples).tobytes() == kept.tobytes()


def test_pitch_and_energy_are_those_of_direct_calls_and_unvoiced_frames_are_0() -> None:
    samples = np.concatenate([voiced(0.5), np.zeros(8_000, np.int16)])
    y = as_loaded(samples)
    hz, _, _ = librosa.pyin(y, fmin=60, fmax=500, sr=22_050, hop_length=512)
    assert 0 < np.isnan(hz).sum() < len(hz)
    expected = np.c_[np.nan_to_num(np.log(hz)), librosa.feature.rms(y=y, hop_length=512)[0]]
    got = features(samples, steps=1000, groups=["energy", "f0", "f0"])
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert np.median(got[got[:, 0] > 0, 0]) == pytest.approx(np.log(140), abs=0.02)


@pytest.mark.parametrize("n", [1, 300, 512, 1024])
@pytest.mark.parametrize("level", [0, 5000])
def test_short_and_silent_sound_has_finite_rows(n: int, level: int) -> None:
    samples = np.random.default_rng(n).normal(0, level, n).astype(np.int16)
    got = features(samples, groups=["zero_crossings", "f0", "energy", "mfcc", "chroma"])
    assert got.shape == (1 + -(-n * 22_050 // 16_000) // 512, 35)
    assert np.isfinite(got).all()


def test_level_moves_energy_and_the_first_mfcc_alone() -> None:
    """What `audio` changes of a file; with MFCC less than 80 dB apart, which librosa cuts off."""
    samples = voiced(1.0)
    loud = features(samples, groups=["zero_crossings", "energy", "mfcc", "chroma"])
    soft = features(samples // 2 * 2 // 2, groups=["zero_crossings", "energy", "mfcc", "chroma"])
    change = np.abs(loud - soft).max(0)
    assert change[1] > 0.01
    assert change[2] > 10
    assert np.delete(change, [1, 2]).max() < 0.5


def test_a_range_of_pitch_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"f0_min_hz 300\.0 is not below 200\.0"):
        Prosody.Settings(f0_min_hz=300, f0_max_hz=200)
