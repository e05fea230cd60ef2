"""openSMILE's values are those of its package called directly, and its absence is one line."""

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from pipeline.dag.spec import Stages
from pipeline.dataset.clip import Clip
from pipeline.errors import UserError
from pipeline.extractors.opensmile import LEVELS, WIDTHS, FeatureSet, Level, Opensmile
from pipeline.stage.result import FAILED, OK, ClipInputs, ClipResult
from pipeline.stage.steps import sample_indices
from tests.support.commands import smp
from tests.support.voiced import voiced

opensmile = pytest.importorskip("opensmile")


def extract(samples: np.ndarray, **settings: Any) -> ClipResult:
    stage = Opensmile(Opensmile.Settings(**settings))
    [result] = stage.extract([ClipInputs(Clip("a"), {"samples": samples})])
    return result


def direct(samples: np.ndarray, set: str, level: Level) -> np.ndarray:
    smile = opensmile.Smile(opensmile.FeatureSet[set], opensmile.FeatureLevel[LEVELS[level]])
    return smile.process_signal(samples.astype(np.float32) / 32_768, 16_000).to_numpy()


def test_every_set_is_as_wide_as_the_package_says() -> None:
    assert list(WIDTHS) == list(get_args(FeatureSet))
    for set, widths in WIDTHS.items():
        for level, width in widths.items():
            smile = opensmile.Smile(
                opensmile.FeatureSet[set], opensmile.FeatureLevel[LEVELS[level]]
            )
            assert smile.num_features == width, (set, level)


@pytest.mark.parametrize("set", ["eGeMAPSv02", "ComParE_2016", "IS09"])
@pytest.mark.parametrize("level", ["functionals", "lld"])
def test_values_are_those_of_a_direct_call(set: FeatureSet, level: Level) -> None:
    samples = voiced(1.3)
    expected = direct(samples, set, level)
    result = extract(samples, feature_set=set, level=level)
    kept = expected[sample_indices(len(expected))]
    np.testing.assert_allclose(result.rows["features"], kept, rtol=1e-6, atol=1e-6)
    assert result.length == (1 if level == "functionals" else 32)
    assert np.std(kept) > 0


def test_descriptors_may_be_averaged() -> None:
    samples = voiced(1.3)
    expected = direct(samples, "eGeMAPSv02", "lld")
    features = extract(samples, level="lld", sampling="mean").rows["features"]
    np.testing.assert_allclose(features.mean(0), expected.mean(0), rtol=1e-4, atol=1e-4)


def test_silence_has_finite_values() -> None:
    for level in LEVELS:
        result = extract(np.zeros(16_000, np.int16), level=level)
        assert result.state == OK
        assert np.isfinite(result.rows["features"]).all()


def test_sound_that_is_too_short_fails_with_its_length() -> None:
    result = extract(voiced(0.03))
    assert result.state == FAILED
    assert result.reason == "its sound of 30 ms is too short for eGeMAPSv02"


def test_clips_side_by_side_in_threads_have_their_own_values() -> None:
    sounds = [voiced(0.5 + i / 10, 100 + 20 * i) for i in range(6)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(extract, sounds))
    for sound, result in zip(sounds, together, strict=True):
        alone = extract(sound)
        assert result.rows["features"].tobytes() == alone.rows["features"].tobytes()


def test_without_the_package_one_line_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "pipeline.system.libraries.find_spec",
        lambda name: None if name == "opensmile" else find_spec(name),
    )
    stages = Stages({"stages": {"audio": {}, "opensmile": {"needs": "audio"}}})
    expected = "stage 'opensmile': opensmile is not installed: pip install .smp-sentiment.opensmile"
    with pytest.raises(UserError, match=expected):
        stages.identities(stages.chosen([]))
    assert stages.identities(stages.chosen(["audio"]))


def test_a_plan_and_a_run_show_the_terms_of_the_library(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text("id,text,label,split\na,hello,0.1,train\n")
    stages = tmp_path / "stages.yaml"
    stages.write_text("stages:\n  audio: {}\n  opensmile: {needs: audio}\n")
    words = ["extract", tmp_path / "clips.csv", "--stages", stages, "--cache", tmp_path / "cache"]
    told = "stage opensmile: openSMILE is for research and other non-commercial use"
    assert told in smp(*words, "--plan").output
    assert told in smp(*words, "--serial").output
    assert told not in smp(*words, "--serial").output


def test_planning_does_without_loading_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "opensmile"]:
        monkeypatch.delitem(sys.modules, name)
    stages = Stages({"stages": {"audio": {}, "opensmile": {"needs": "audio"}}})
    assert stages.identities(stages.chosen([]))
    assert "opensmile" not in sys.modules
