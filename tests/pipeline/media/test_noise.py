"""Noise is as loud as it is said to be, looks as its name says, and is a clip's own."""

import numpy as np
import pytest
import soundfile
from pydantic import ValidationError

from pipeline.dataset.clip import Clip
from pipeline.extractors.audio import Audio
from pipeline.io.hashing import seed_of
from pipeline.media.noise import noisy
from pipeline.media.waveform import RATE_HZ
from pipeline.stage.result import ClipInputs

KINDS = ("white", "pink", "speech_shaped")
TIMES = np.arange(RATE_HZ * 2) / RATE_HZ
HUM = (0.1 * np.sin(2 * np.pi * 200 * TIMES) + 0.03 * np.sin(2 * np.pi * 900 * TIMES)).astype("f4")


def power(samples: np.ndarray) -> float:
    return float(np.mean(samples.astype(float) ** 2))


def noise(samples: np.ndarray, *how) -> np.ndarray:
    return noisy(samples, *how).astype(float) - samples


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("snr_db", [20, 0, -10])
def test_the_ratio_is_that_of_the_mean_squares(kind, snr_db):
    ratio = power(HUM) / power(noise(HUM, snr_db, kind, 0))
    assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_neither_counts_as_sound_nor_stays_silent(kind):
    padded = np.pad(HUM, (0, len(HUM)))
    added = noise(padded, 0, kind, 0)
    assert power(added) == pytest.approx(power(HUM), rel=0.01)
    assert power(added[len(HUM) :]) > 0.3 * power(HUM)


@pytest.mark.parametrize("kind", KINDS)
def test_silence_and_a_single_sample_are_no_trouble(kind):
    silence = np.full(1000, 1e-6, np.float32)
    assert np.array_equal(noisy(silence, 0, kind, 0), silence)
    assert np.isfinite(noisy(np.ones(1, np.float32), 0, kind, 0)).all()


def test_each_kind_has_its_spectrum():
    def octave(samples: np.ndarray, hz: float) -> float:
        lines = np.abs(np.fft.rfft(samples)) ** 2
        at = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
        return float(lines[(at >= hz) & (at < 2 * hz)].sum())

    white, pink, shaped = (noise(HUM, 0, kind, 0) for kind in KINDS)
    assert octave(white, 2000) / octave(white, 500) == pytest.approx(4, rel=0.3)
    assert octave(pink, 2000) / octave(pink, 500) == pytest.approx(1, rel=0.1)
    assert octave(shaped, 150) / octave(shaped, 800) == pytest.approx((0.1 / 0.03) ** 2, rel=0.01)
    assert octave(shaped, 2000) < 1e-6 * octave(shaped, 800)
    clicks = np.zeros(RATE_HZ, np.float32)
    clicks[::160] = 0.5
    shaped = noise(clicks, 0, "speech_shaped", 0)
    assert np.abs(shaped).max() < 0.3, "the same lines, but no clicks"
    spectra = (np.abs(np.fft.rfft(sound))[1:-1] for sound in (shaped, clicks))
    np.testing.assert_allclose(next(spectra), next(spectra), atol=1)


def heard(clip: Clip, **augment) -> np.ndarray:
    (result,) = Audio(Audio.Settings(augment=augment)).extract([ClipInputs(clip)])
    assert result.state == "ok", result.reason
    return result.rows["samples"].astype(float)


@pytest.fixture
def file(tmp_path):
    soundfile.write(tmp_path / "hum.wav", HUM, RATE_HZ, subtype="FLOAT")
    return str(tmp_path / "hum.wav")


def test_the_stage_brings_both_together_to_its_level(file):
    for snr_db in (20, -20):
        assert np.abs(heard(Clip("a", audio=file), snr_db=snr_db)).max() == 23_198  # −3 dBFS


def test_the_same_clip_has_the_same_noise_at_every_ratio_and_another_clip_other_noise(file):
    def correlated(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.corrcoef(a, b)[0, 1])

    soft, loud = (heard(Clip("a", audio=file), snr_db=snr_db) for snr_db in (-20, -40))
    assert correlated(soft, loud) > 0.99
    assert abs(correlated(loud, heard(Clip("b", audio=file), snr_db=-40))) < 0.05
    expected = noisy(HUM, -20, "white", seed_of("a"))
    assert correlated(soft, expected) > 0.9999


def test_without_noise_nothing_is_another_and_the_fingerprint_is_as_ever(file):
    clip = Clip("a", audio=file)
    assert np.array_equal(heard(clip), heard(clip, snr_db=None))
    plain, set_to_it = Audio.Settings(), Audio.Settings(augment={"snr_db": None})
    assert plain.affecting_results() == set_to_it.affecting_results()
    assert "augment" not in plain.affecting_results()
    changed = Audio.Settings(augment={"snr_db": 10}).affecting_results()
    assert changed["augment"] == {"snr_db": 10.0, "noise": "white"}


@pytest.mark.parametrize(
    "wrong", [{"snr_db": 61}, {"snr_db": float("nan")}, {"snr_db": 0, "noise": "brown"},
              {"noise": "pink"}, {"snr": 3}]
)  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        Audio.Settings(augment=wrong)
