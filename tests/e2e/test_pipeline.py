"""The real stages over real faces, through the commands that a user types."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from model.cli.group import main
from pipeline import open_cache
from pipeline.sample.write import write_sample

pytestmark = pytest.mark.slow

CLIPS = 10
FEATURES = ("resnet18", "action_units", "mfcc", "wav2vec2", "bert")
Bytes = Callable[[str], dict[str, bytes]]


def smp(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "sample"
    write_sample(folder)
    return folder


def part_of(sample: Path, folder: Path, clips: int = CLIPS, partition: int = 4) -> Path:
    """A dataset of a few of the sample's clips, those that lack something among them."""
    rows = list(csv.DictReader((sample / "label.csv").open(encoding="utf-8", newline="")))
    lacking = set(special_clips(sample).values())
    rows.sort(key=lambda row: f"{row['video_id']}/{row['clip_id']}" not in lacking)
    folder.mkdir(parents=True)
    with (folder / "label.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows[:clips])
    for row in rows[:clips]:
        to = folder / "Raw" / row["video_id"]
        to.mkdir(parents=True, exist_ok=True)
        shutil.copy(sample / "Raw" / row["video_id"] / f"{row['clip_id']}.mp4", to)
    spec = yaml.safe_load((sample / "stages.yaml").read_text())
    (folder / "stages.yaml").write_text(yaml.safe_dump({**spec, "partition": partition}))
    return folder


def special_clips(sample: Path) -> dict[str, str]:
    from pipeline.sample.write import SPECIAL

    return dict(SPECIAL)


@pytest.fixture
def few(sample: Path, tmp_path: Path) -> Path:
    return part_of(sample, tmp_path / "few")


@pytest.fixture(scope="module")
def extracted(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A few clips and their cache, made once; tests copy what they change."""
    folder = tmp_path_factory.mktemp("extracted")
    few = part_of(sample, folder / "few")
    done = smp("extract", few, "--cache", folder / "cache")
    assert done.exit_code == 0, done.output
    return few, str(folder / "cache")


@pytest.fixture
def copied(extracted: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    few, cache = extracted
    shutil.copytree(few, tmp_path / "few")
    shutil.copytree(cache, tmp_path / "cache")
    return tmp_path / "few", str(tmp_path / "cache")


def ran(cache: str, since: int = 0) -> list[tuple[str, int]]:
    """The (stage, partition) of every task in the cache's log after the first `since`."""
    lines = (Path(cache) / "few" / "log.jsonl").read_text().splitlines()
    return [(r["stage"], r["partition"]) for r in map(json.loads, lines[since:])]


def test_every_stage_writes_32_steps_of_its_width(extracted: tuple[Path, str]) -> None:
    cache = open_cache(extracted[1] + "/few")
    widths = {name: cache[name].read().shape for name in FEATURES}
    assert {shape[:2] for shape in widths.values()} == {(CLIPS, 32)}
    assert widths["resnet18"][2] == 512
    assert widths["action_units"][2] == 34
    assert widths["mfcc"][2] == 39
    for name in FEATURES:
        features, lengths = cache[name].read(), cache[name].lengths
        padding = np.arange(32) >= lengths[:, None]
        assert features.dtype == np.float32
        assert not features[padding].any()
        assert np.isfinite(features).all()
        assert len(np.unique(features[lengths > 0], axis=0)) > 1, "clips differ"


def test_what_a_clip_lacks_is_a_state_and_no_failure(
    extracted: tuple[Path, str], sample: Path
) -> None:
    cache = open_cache(extracted[1] + "/few")
    states = {name: dict(zip(cache.clips["id"], cache[name].states, strict=True)) for name in cache}
    special = special_clips(sample)
    assert states["faces"][special["no face"]] == "missing"
    assert states["resnet18"][special["no face"]] == "missing"
    assert states["mfcc"][special["no face"]] == "ok"
    assert states["audio"][special["no sound"]] == "missing"
    assert states["wav2vec2"][special["no sound"]] == "missing"
    assert states["audio"][special["silence"]] == "ok"
    assert "failed" not in {state for stage in states.values() for state in stage.values()}


def test_extracting_again_does_nothing_and_says_so(
    copied: tuple[Path, str], stored_bytes: Bytes
) -> None:
    few, cache = copied
    before = stored_bytes(cache)
    done = smp("extract", few, "--cache", cache)
    assert done.exit_code == 0
    assert "Nothing to do" in done.output
    assert stored_bytes(cache) == before


def test_a_changed_mfcc_setting_runs_mfcc_alone(copied: tuple[Path, str]) -> None:
    few, cache = copied
    before = len(ran(cache))
    spec = yaml.safe_load((few / "stages.yaml").read_text())
    spec["stages"]["mfcc"]["coefficients"] = 20
    (few / "stages.yaml").write_text(yaml.safe_dump(spec))
    assert smp("extract", few, "--cache", cache).exit_code == 0
    assert sorted(ran(cache, before)) == [("mfcc", 0), ("mfcc", 1), ("mfcc", 2)]
    assert open_cache(cache + "/few")["mfcc"].read().shape == (CLIPS, 32, 60)


def test_a_deleted_video_costs_no_features(copied: tuple[Path, str]) -> None:
    few, cache = copied
    before = open_cache(cache + "/few")
    features = {name: before[name].read() for name in FEATURES}
    lost = before.clips["id"][5]
    (few / "Raw" / f"{lost}.mp4").unlink()
    for _ in ("told", "told again"):
        done = smp("extract", few, "--cache", cache)
        assert done.exit_code == 1
        assert f"{lost}: stale, video is gone" in done.output
    after = open_cache(cache + "/few")
    for name in FEATURES:
        np.testing.assert_array_equal(after[name].read(), features[name])


def test_a_garbled_video_costs_one_clip(copied: tuple[Path, str]) -> None:
    few, cache = copied
    before = open_cache(cache + "/few")
    features = {name: before[name].read() for name in FEATURES}
    lost = before.clips["id"][5]
    (few / "Raw" / f"{lost}.mp4").write_bytes(np.random.default_rng(0).bytes(20_000))
    done = smp("extract", few, "--cache", cache)
    assert done.exit_code == 1
    assert f"{lost}: failed" in done.output
    after = open_cache(cache + "/few")
    for name in FEATURES:
        rows = after[name].read()
        others = np.arange(CLIPS) != 5
        np.testing.assert_array_equal(rows[others], features[name][others])
        if name != "bert":
            assert after[name].states[5] == "failed"
            assert not rows[5].any()
    assert smp("extract", few, "--cache", cache).exit_code == 1, "the truth, also when asked again"


def test_the_plain_loop_writes_the_same_bytes(
    extracted: tuple[Path, str], tmp_path: Path, stored_bytes: Bytes
) -> None:
    few, cache = extracted
    done = smp("extract", few, "--cache", tmp_path / "cache", "--serial")
    assert done.exit_code == 0, done.output
    assert stored_bytes(str(tmp_path / "cache")) == stored_bytes(cache)


def test_a_clips_features_do_not_depend_on_its_batch(
    extracted: tuple[Path, str], sample: Path, tmp_path: Path
) -> None:
    alone = part_of(sample, tmp_path / "few", partition=1)
    assert smp("extract", alone, "--cache", tmp_path / "cache").exit_code == 0
    one_by_one = open_cache(tmp_path / "cache" / "few")
    batched = open_cache(extracted[1] + "/few")
    for name in FEATURES:
        np.testing.assert_allclose(
            one_by_one[name].read(), batched[name].read(), atol=1e-5, rtol=1e-5, err_msg=name
        )


def test_kept_frames_give_the_same_faces(
    extracted: tuple[Path, str], sample: Path, tmp_path: Path
) -> None:
    few = part_of(sample, tmp_path / "few", clips=4)
    spec = yaml.safe_load((few / "stages.yaml").read_text())
    spec["stages"]["frames"] = {**(spec["stages"]["frames"] or {}), "keep": True}
    (few / "stages.yaml").write_text(yaml.safe_dump(spec))
    done = smp("extract", few, "--cache", tmp_path / "cache", "--only", "faces")
    assert done.exit_code == 0, done.output
    kept = open_cache(tmp_path / "cache" / "few")
    assert kept.stages == ["frames", "faces"]
    streamed = open_cache(extracted[1] + "/few")
    assert kept["faces"].fingerprint == streamed["faces"].fingerprint
    np.testing.assert_array_equal(kept["faces"].read(), streamed["faces"].read()[:4])


def test_status_tells_programs_where_the_extraction_stands(
    extracted: tuple[Path, str], sample: Path
) -> None:
    few, cache = extracted
    done = smp("status", few, "--cache", cache, "--json")
    stages = json.loads(done.output)["stages"]
    assert done.exit_code == 0
    assert list(stages["faces"]["clips"]) == ["ok", "missing", "failed"]
    assert stages["faces"]["partitions"] == [3, 3]
    assert stages["faces"]["clips"]["missing"] == 1
    assert stages["faces"]["problems"][0]["clip"] == special_clips(sample)["no face"]
    assert "no face in" in stages["faces"]["problems"][0]["reason"]
    assert stages["resnet18"]["width"] == 512
    assert stages["resnet18"]["bytes"] > 0
    assert len(stages["mfcc"]["fingerprint"]) == 64
    readable = smp("status", few, "--cache", cache).output
    assert "resnet18" in readable
    assert "no face in" in readable


def test_bad_usage_and_settings_exit_with_2(few: Path, tmp_path: Path) -> None:
    cache = ("--cache", tmp_path / "cache")
    spec = yaml.safe_load((few / "stages.yaml").read_text())
    spec["stages"]["bert"]["weights"] = "nobody/has-this-model"
    (few / "other.yaml").write_text(yaml.safe_dump(spec))
    for arguments, message in [
        (("extract", tmp_path / "none", *cache), "no dataset"),
        (("extract", few, *cache, "--serial", "--workers", 2), "give one of"),
        (("extract", few, *cache, "--only", "mfc"), "did you mean 'mfcc'"),
        (("extract", few, *cache, "--stages", few / "other.yaml"), "nobody/has-this-model"),
        (("status", few, *cache), "nothing extracted yet"),
        (("train", few, *cache), "nothing extracted yet"),
    ]:
        done = smp(*arguments)
        assert done.exit_code == 2, arguments
        assert message in done.output
        assert "Traceback" not in done.output


def test_the_sample_is_learnt_better_than_chance_and_than_the_mean(
    sample: Path, tmp_path: Path
) -> None:
    cache = ("--cache", tmp_path / "cache")
    done = smp("extract", sample, *cache)
    assert done.exit_code == 0, done.output
    done = smp("train", sample, *cache, "--runs", tmp_path / "runs", "--json")
    assert done.exit_code == 0, done.output
    outcome = json.loads(done.stdout)
    test, mean = outcome["test"], outcome["references"]["median score"]
    assert test["mae"] < 0.9 * mean["mae"]
    assert test["corr"] > 0.4
    assert test["acc2"] > mean["acc2"]
    assert set(outcome["random_weights"]) == {"resnet18", "action_units", "wav2vec2", "bert"}
    written = {path.name for path in Path(outcome["run"]).iterdir()}
    assert {"settings.json", "metrics.json", "predictions.csv", "curve.csv"} <= written
