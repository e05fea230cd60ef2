"""A whole corpus of bad and odd clips through `smp extract`: each comes out as the table says."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from model.cli.group import main
from pipeline import open_cache
from pipeline.cli.console import print_problems
from pipeline.dataset.clip import Clip
from pipeline.extractors.audio import Audio
from pipeline.extractors.frames import Frames
from pipeline.media.limits import TimeLimit
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.store.cache import Cache
from pipeline.store.stage_view import StageView
from pipeline.store.status import status
from tests.support.bad_media.cases import CASES, NEIGHBOURS, REFUSED, UNEVEN_S, BadClips, Case
from tests.support.bad_media.making import good, plain
from tests.support.paths import ROOT

STAGES = ROOT / "pipeline/sample/stages.yaml"
COMMAND = [sys.executable, "-c", "from model.cli.group import main; main()"]
# VmHWM, since getrusage tells what the process that started this one took, where that is more.
MEASURED = """
import atexit
from model.cli.group import main
status = open("/proc/self/status")
atexit.register(lambda: print(status.read().split("VmHWM:")[1].split()[0]))
main()
"""
HANGS_S = 400  # of what takes a tenth of that on a quiet machine
MEMORY_GB = 4  # of which the libraries take 1.4
VARIANTS = 120
CORPUS = [case for case in CASES if case.can_be_made()]
AMONG = {  # NEIGHBOURS, with whom they fill a partition
    "cut off at 10 %", "noise in the middle tenth", "video without sound", "sound without video",
    "one frame", "variable frame rate", "4K", "one sample", "NaN samples", "digital silence",
    "two people", "10,000 words",
}  # fmt: skip
Line = tuple[str, str, str, str]  # case, stage, expected, seen


def manifest(clips: BadClips, name: str, cases: Sequence[Case]) -> Path:
    path = clips.folder / f"{name}.jsonl"
    path.write_text("\n".join(json.dumps(clips.rows[case.name]) for case in cases))
    return path


def arguments(dataset: Path, cache: Path, stages: Path = STAGES) -> list[str]:
    return ["extract", str(dataset), "--stages", str(stages), "--cache", str(cache)]


@pytest.fixture(scope="module")
def measured(bad_clips: BadClips, tmp_path_factory: pytest.TempPathFactory) -> tuple[Cache, float]:
    """All clips, extracted in a process of its own, and how many GB it took at the most.

    Not by networks, which read no file.
    """
    folder = tmp_path_factory.mktemp("corpus")
    spec = yaml.safe_load(STAGES.read_text())
    spec["stages"] = {name: spec["stages"][name] for name in ("frames", "faces", "audio", "bert")}
    (folder / "stages.yaml").write_text(yaml.safe_dump(spec))
    dataset = manifest(bad_clips, "corpus", [*NEIGHBOURS, *CORPUS])
    words = arguments(dataset, folder, folder / "stages.yaml")
    command = [sys.executable, "-c", MEASURED, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANGS_S)
    assert done.returncode == 1, done.stderr  # for there are clips that fail
    return open_cache(folder / "corpus"), int(done.stdout.split()[-1]) / 1e6


@pytest.fixture(scope="module")
def corpus(measured: tuple[Cache, float]) -> Cache:
    return measured[0]


def number_of(cache: Cache, name: str) -> int:
    return list(cache.clips["id"]).index(name)


def result(stage: StageView, number: int) -> ClipResult:
    """All that the store holds of a clip."""
    partition, row = divmod(number, stage.store.partition)
    return list(stage.store.rows(partition))[row]


def seen(stage: StageView, number: int) -> str:
    """A clip's outcome in the words of the table: state, number or reason, without the path."""
    reason = re.sub(r": /.*", "", stage.reasons[number])
    if stage.states[number] != "ok":
        return f"{stage.states[number]}: {reason}"
    size = f"{stage.lengths[number]}"
    if stage.name == "audio":
        size = f"{stage.read('duration_s')[number]:.2f} s"
    return ", ".join(filter(None, [f"ok {size}", reason]))


def is_as_expected(expected: str, seen: str) -> bool:
    return re.fullmatch(re.escape(expected).replace("…", ".*"), seen) is not None


def lines(cache: Cache, cases: Sequence[Case]) -> list[Line]:
    """One line a case and stage."""
    return [
        (case.name, name, getattr(case, name), seen(cache[name], number_of(cache, case.name)))
        for case in cases
        for name in ("faces", "audio", "bert")
    ]


def printed(table: Sequence[Line]) -> str:
    """The lines that say more than "as in a good clip"; one of each clip at least."""
    heading: Line = ("case", "stage", "expected", "seen")
    plain = {getattr(Case(""), stage) for stage in ("faces", "audio", "bert")}
    told = [line for line in table if line[2] not in plain or line[3] != line[2]]
    as_good = {line[0]: (line[0], "all", "as in a good clip", "") for line in table}
    for line in told:
        as_good.pop(line[0], None)
    shown = [*told, *((name, "all", e, "ok, all of it") for name, _, e, _ in as_good.values())]
    shown.sort(key=lambda line: [entry[0] for entry in table].index(line[0]))
    widths = [max(len(line[i]) for line in [heading, *shown]) for i in range(3)]
    texts, last = [], ""
    for line in [heading, *shown]:
        cells = ("" if line[0] == last else line[0], *line[1:])
        texts.append("  ".join(c.ljust(w) for c, w in zip(cells, [*widths, 0], strict=True)))
        last = line[0]
    return "\n".join(texts)


@pytest.mark.slow
def test_every_clip_comes_out_as_the_table_says(
    measured: tuple[Cache, float], capsys: pytest.CaptureFixture[str]
) -> None:
    cache, peak_gb = measured
    table = lines(cache, [*NEIGHBOURS, *CORPUS])
    with capsys.disabled():
        print(f"\n\n{printed(table)}\n\n{len(cache.clips)} clips, {peak_gb:.1f} GB at the most\n")
    assert [line for line in table if not is_as_expected(*line[2:])] == []
    assert peak_gb < MEMORY_GB


@pytest.mark.slow
def test_faces_from_damaged_pictures_are_doubtful(corpus: Cache) -> None:
    cache = corpus
    stage, number = cache["faces"], number_of(cache, "noise in the middle tenth")
    damaged = re.search(r"(\d+) of 20 pictures are damaged", stage.reasons[number])
    assert damaged is not None
    share = f"{int(damaged[1]) * 5} % of the pictures are damaged (at most 10 %)"
    assert share in stage.doubts[number]
    assert stage.doubts[number_of(cache, NEIGHBOURS[0].name)] == ""


@pytest.mark.slow
def test_the_features_of_neighbours_do_not_change_by_a_bit(
    bad_clips: BadClips, tmp_path: Path
) -> None:
    """In a partition of every kind of bad clip, and through every stage."""
    bad = [case for case in CASES if case.name in AMONG]
    mixed = [case for pair in zip_longest(bad, NEIGHBOURS) for case in pair if case]
    for name, cases in (("mixed", mixed), ("alone", NEIGHBOURS)):
        words = arguments(manifest(bad_clips, name, cases), tmp_path)
        assert CliRunner().invoke(main, [*words, "--serial"]).exit_code == (name == "mixed")
    among_bad, alone = (open_cache(tmp_path / name) for name in ("mixed", "alone"))
    assert len(among_bad["faces"].states) <= among_bad["faces"].store.partition
    for case in NEIGHBOURS:
        here, there = number_of(alone, case.name), number_of(among_bad, case.name)
        for name in alone:
            one, other = result(alone[name], here), result(among_bad[name], there)
            assert (one.state, one.length, one.reason) == (other.state, other.length, other.reason)
            assert one.rows.keys() == other.rows.keys()
            for field, values in one.rows.items():
                np.testing.assert_array_equal(values, other.rows[field], f"{case.name}: {name}")


@pytest.mark.slow
def test_every_bad_clip_is_listed_on_a_line_of_its_own(
    corpus: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = corpus
    print_problems(status(cache), "", all_of_them=True)
    report = capsys.readouterr().out
    failed = [case for case in CORPUS if "failed" in case.faces]
    for case in failed:
        assert len(re.findall(rf"^  {re.escape(case.name)}: failed, .*$", report, re.M)) >= 1
    assert r"gone, a newline in the name: failed, video not found" in report
    assert r"a\nb.mp4" in report


@pytest.mark.slow
def test_odd_pictures_give_the_right_faces_at_the_right_times(corpus: Cache) -> None:
    faces = corpus["faces"]
    turned, uneven, late, two, first = (
        number_of(corpus, name)
        for name in (
            "turned by 90°",
            "variable frame rate",
            "face only at the end",
            "two people",
            "good",
        )
    )
    images, landmarks = faces.read("images").astype(float), faces.read("landmarks")
    eyes_y, mouth_y = landmarks[turned, :20, :2, 1], landmarks[turned, :20, 3:, 1]
    assert (eyes_y.max(axis=1) < mouth_y.min(axis=1)).all(), "upright"
    assert np.abs(images[turned, :20] - images[first, :20]).mean() < 8, "and the same face"
    np.testing.assert_allclose(faces.read("times")[uneven, :12], UNEVEN_S, atol=1e-3)
    assert faces.read("times")[late, 0] > 3
    assert (faces.read("boxes")[two, :20, 2] < 480).all(), "the larger of two, who is on the left"
    for name in ("grey", "10 bit", "alpha", "HEVC", "VP9, WebM", "MPEG-4 part 2, AVI", "4K"):
        number = number_of(corpus, name)
        assert np.abs(images[number, 0] - images[first, 0]).mean() < 25, name


@pytest.mark.parametrize(("name", "content", "expected"), REFUSED, ids=[r[0] for r in REFUSED])
def test_a_bad_dataset_is_refused_with_file_and_line(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    (tmp_path / "data.csv").write_bytes(content)
    done = CliRunner().invoke(main, arguments(tmp_path / "data.csv", tmp_path / "cache"))
    assert done.exit_code == 2
    (line,) = done.output.splitlines()
    assert is_as_expected(expected, line), line


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="as POSIX has it")
def test_no_encoder_leaves_the_tests_with_a_real_time_thread(tmp_path: Path) -> None:
    before = os.sched_getscheduler(0)
    case = next(case for case in CASES if case.name == "AV1")
    if case.video is not None and case.can_be_made():
        case.video(tmp_path / "clip.mp4")
    assert os.sched_getscheduler(0) == before


def test_a_clip_over_the_time_limit_fails_and_says_how_to_wait_longer(tmp_path: Path) -> None:
    good(plain(50, 64, 48))(tmp_path / "clip.mp4")
    inputs = ClipInputs(Clip("a", video=str(tmp_path / "clip.mp4")))
    for kind, stage in ((Frames, "frames"), (Audio, "audio")):
        (result,) = kind(kind.Settings(time_limit_s=1e-6)).extract([inputs])
        assert result.state == "failed"
        assert result.reason.startswith(
            "decoding took longer than the limit of 1e-06 s; to wait longer, raise "
            f"`time_limit_s` of {stage} in stages.yaml and run `smp extract --retry`: /"
        )
        (result,) = kind(kind.Settings()).extract([inputs])
        assert result.state == "ok"
        assert "time_limit_s" not in kind.Settings().affecting_results()


def test_the_time_limit_counts_decoding_and_not_what_is_done_with_it() -> None:
    for _ in TimeLimit("frames", 0.05).within(range(3), "video", "clip.mp4"):
        time.sleep(0.04)


@pytest.mark.slow
def test_no_random_damage_is_worse_than_a_clip_that_fails(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.bad_media.fuzz", str(tmp_path), str(VARIANTS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=HANGS_S,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert sum(found["outcomes"].values()) == VARIANTS
    assert found["slowest_s"] < 20
    assert {"pictures, sound ok", "none, sound failed"} <= set(found["outcomes"])
