"""MFCC rows against python_speech_features called directly."""

import numpy as np
import pytest
from pydantic import ValidationError
from python_speech_features import delta, mfcc

from pipeline.dataset.clip import Clip
from pipeline.extractors.mfcc import Mfcc
from pipeline.stage.result import ClipInputs


def noise(n, seed=0):
    return np.random.default_rng(seed).normal(0, 5000, n).astype(np.int16)


def features(samples, steps=32, **settings):
    stage = Mfcc(Mfcc.Settings(**settings), steps)
    (result,) = stage.extract([ClipInputs(Clip("a"), {"samples": samples})])
    field = stage.writes()["features"]
    assert result.state == "ok"
    assert result.length == len(result.rows["features"]) <= steps
    assert result.rows["features"].shape[1:] == field.shape(steps)[1:]
    assert result.rows["features"].dtype == np.float32
    return result.rows["features"]


def reference(samples, **options):
    static = mfcc(samples, 16_000, **options)
    first = delta(static, 2)
    return np.hstack([static, first, delta(first, 2)])


@pytest.mark.parametrize("n", [400, 5_000, 16_000, 58_720])
def test_every_row_is_python_speech_features_own(n):
    samples = noise(n)
    got = features(samples, steps=10_000)
    np.testing.assert_allclose(got, reference(samples), rtol=1e-6, atol=1e-5)


def test_one_row_per_10_ms_is_sampled_uniformly():
    samples = noise(16_000)
    expected = reference(samples)
    assert len(expected) == 99
    chosen = np.round(np.linspace(0, 98, 32)).astype(int)
    np.testing.assert_allclose(features(samples), expected[chosen], rtol=1e-6, atol=1e-5)


def test_mean_sampling_keeps_the_overall_mean():
    samples = noise(64 * 160 + 240)
    got = features(samples, sampling="mean")
    assert len(got) == 32
    np.testing.assert_allclose(got.mean(0), reference(samples).mean(0), rtol=1e-4, atol=1e-3)


def test_settings_reach_the_reference():
    samples = noise(8_000)
    got = features(samples, steps=1000, coefficients=20, filters=40, window_ms=64, hop_ms=16)
    options = {"winlen": 0.064, "winstep": 0.016, "numcep": 20, "nfilt": 40, "nfft": 1024}
    np.testing.assert_allclose(got, reference(samples, **options), rtol=1e-6, atol=1e-5)
    assert got.shape[1] == 60


@pytest.mark.parametrize("n", [1, 30, 399])
def test_sound_shorter_than_a_window_gives_one_row(n):
    got = features(noise(n))
    assert got.shape == (1, 39)
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got[:, 13:], 0, atol=1e-12)


def test_digital_silence_is_finite():
    assert np.isfinite(features(np.zeros(8_000, np.int16))).all()


def test_more_coefficients_than_filters_are_refused():
    with pytest.raises(ValidationError, match="30 coefficients need as many filters, not 26"):
        Mfcc.Settings(coefficients=30)
