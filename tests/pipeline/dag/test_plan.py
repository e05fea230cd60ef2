"""The plan: what it says, what it runs again, and what a clip takes along under another name."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from model.cli.group import main
from pipeline import open_cache
from pipeline.dag.task import Task
from pipeline.io.file_digests import FileDigests
from pipeline.io.hashing import of_file
from pipeline.runner.serial import run_serially
from pipeline.runner.stop import Stop
from pipeline.runner.types import Outcome
from tests.conftest import Transcripts
from tests.support.films import Films

TEXTS = ["hello", "world", "a third", "a fourth", "a fifth", "a sixth"]
LETTERS: dict[str, object] = {"extractor": "tests.support.toys.letters"}


def planned(transcripts: Transcripts, *options: str) -> list[str]:
    """What `smp extract --plan` prints below the name of the stages file."""
    done = smp(transcripts, "--plan", *options)
    assert done.exit_code == 0, done.output
    first, *lines = done.stdout.splitlines()
    assert first == f"stages: {transcripts.stages_file}"
    return lines


def smp(transcripts: Transcripts, *options: str) -> Result:
    paths = ["--stages", str(transcripts.stages_file), "--cache", transcripts.cache_root]
    return CliRunner().invoke(main, ["extract", str(transcripts.folder), *paths, *options])


def ran(
    transcripts: Transcripts, retry: bool = False, only: Sequence[str] = ()
) -> set[tuple[str, int]]:
    outcomes = transcripts.extract(retry=retry, only=only).outcomes
    return {(outcome.stage, outcome.partition) for outcome in outcomes}


def rewrite(transcripts: Transcripts, ids: Sequence[str], texts: Sequence[str]) -> None:
    """The table with these clips, whose ids are `video/clip`."""
    rows = [f"{id.replace('/', ',')},{text},0,,train" for id, text in zip(ids, texts, strict=True)]
    head = "video_id,clip_id,text,label,annotation,mode"
    (transcripts.folder / "label.csv").write_text("\n".join([head, *rows]))


def test_a_plan_of_a_fresh_cache(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    assert planned(transcripts) == [
        "letters: 2 partitions, 6 clips — never extracted",
        "doubled: 2 partitions, 6 clips — never extracted",
        "Would run 4 partitions; 0 partitions committed; nothing was written.",
    ]
    assert not Path(transcripts.cache_root).exists()
    transcripts.extract()
    assert planned(transcripts) == ["Nothing to do; 4 partitions committed; nothing was written."]


def test_a_plan_names_the_setting_and_both_values_and_knows_the_way_back(
    transcripts: Transcripts,
) -> None:
    transcripts.texts(TEXTS)
    transcripts.extract()
    transcripts.stages(letters={**LETTERS, "scale": 2})
    assert planned(transcripts)[:2] == [
        "letters: 2 partitions, 6 clips — settings.scale: 1.0 → 2.0",
        "doubled: 2 partitions, 6 clips — needs letters, whose settings.scale: 1.0 → 2.0",
    ]
    transcripts.extract()
    transcripts.stages(letters=LETTERS)
    there = "nothing to do, extracted with these settings before"
    assert planned(transcripts) == [
        f"letters: {there} — settings.scale: 2.0 → 1.0",
        f"doubled: {there} — needs letters, whose settings.scale: 2.0 → 1.0",
        "Nothing to do; 4 partitions committed; nothing was written.",
    ]


def test_a_plan_says_what_holds_for_all_stages_once_a_stage(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    transcripts.extract()
    transcripts.stages(partition=3, letters=LETTERS)
    assert planned(transcripts)[1] == "doubled: 2 partitions, 6 clips — partition: 4 → 3"


def test_a_plan_names_changed_and_new_clips(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    transcripts.extract()
    transcripts.texts([*TEXTS[:1], "changed", *TEXTS[2:], "a new one"])
    assert planned(transcripts, "--only", "letters") == [
        "clips: 1 new (v/0006)",
        "letters: 2 partitions, 2 clips — new clips: 1; clip v/0001: text changed",
        "Would run 2 partitions; 0 partitions committed; nothing was written.",
    ]
    transcripts.texts([f"other {i}" for i in range(6)])
    assert planned(transcripts, "--only", "letters")[0].endswith(
        "clip v/0000: text changed; clip v/0001: text changed; clip v/0002: text changed; "
        "3 more clips changed"
    )


def test_a_change_that_nobody_remembers_is_told_as_such(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    transcripts.extract()
    Path(transcripts.cache_url, "clips.json").unlink()
    transcripts.texts([*TEXTS[:1], "changed", *TEXTS[2:]])
    assert planned(transcripts)[0] == "letters: 1 partition, 1 clip — clip v/0001: changed"


def test_a_plan_names_lost_commits_and_an_interrupted_run(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    transcripts.extract()
    (commit,) = Path(transcripts.cache_url, "letters").glob("*/commits/00001.json")
    commit.unlink()
    assert planned(transcripts)[0] == "letters: 1 partition, 2 clips — no commit: 1 partition"


def test_a_plan_names_the_stage_at_the_root_of_a_change(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    spec = yaml.safe_load(transcripts.stages_file.read_text())

    def write(scale: float) -> None:
        spec["stages"]["letters"]["scale"] = scale
        spec["stages"]["again"] = {
            "extractor": "tests.support.toys.echoed", "needs": ["doubled", "letters"],
        }  # fmt: skip
        transcripts.stages_file.write_text(yaml.safe_dump(spec))

    write(1)
    transcripts.extract()
    write(2)
    assert planned(transcripts)[2] == (
        "again: 2 partitions, 6 clips — needs doubled, which needs letters, whose "
        "settings.scale: 1.0 → 2.0; needs letters, whose settings.scale: 1.0 → 2.0"
    )


def test_a_plan_in_json_says_the_same(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    transcripts.extract()
    transcripts.stages(letters={**LETTERS, "scale": 2})
    plan = json.loads(smp(transcripts, "--plan", "--json").stdout)
    assert plan["stages_file"] == str(transcripts.stages_file)
    assert plan["cache"] == transcripts.cache_url
    assert plan["stages"]["letters"]["partitions"] == [2, 2]
    assert plan["stages"]["letters"]["clips"] == 6
    assert plan["stages"]["letters"]["why"] == ["settings.scale: 1.0 → 2.0"]
    assert smp(transcripts, "--json").exit_code == 2


def test_a_run_says_why_it_starts(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    transcripts.extract()
    transcripts.stages(letters={**LETTERS, "scale": 2})
    assert "letters: 2 partitions, 6 clips — settings.scale: 1.0 → 2.0" in (
        smp(transcripts, "--serial").stderr
    )


def test_failed_clips_run_again_when_asked_and_no_other(
    transcripts: Transcripts, tmp_path: Path
) -> None:
    wanted = tmp_path / "wanted"
    transcripts.texts(["hello", f"!needs {wanted}", "", "!fail", "a fifth", "a sixth"])
    transcripts.extract()
    transcripts.called()
    wanted.touch()
    assert ran(transcripts) == set()
    lines = planned(transcripts, "--retry")
    assert lines[0] == "letters: 1 partition, 2 clips — failed before: v/0001, v/0003"
    assert ran(transcripts, retry=True) == {("letters", 0), ("doubled", 0)}
    assert transcripts.called() == [["v/0001", "v/0003"]]
    for stage in ("letters", "doubled"):
        states = open_cache(transcripts.cache_url)[stage].states.tolist()
        assert states == ["ok", "ok", "missing", "failed", "ok", "ok"]


def test_what_a_retried_clip_makes_good_downstream_is_not_forgotten(
    transcripts: Transcripts, tmp_path: Path
) -> None:
    wanted = tmp_path / "wanted"
    transcripts.texts(["hello", f"!needs {wanted}", "!fail"])
    transcripts.extract()
    wanted.touch()
    assert ran(transcripts, retry=True, only=["letters"]) == {("letters", 0)}
    why = "a stage it needs gave another result since: v/0001"
    assert planned(transcripts)[0] == f"doubled: 1 partition, 1 clip — {why}"
    assert ran(transcripts) == {("doubled", 0)}
    states = open_cache(transcripts.cache_url)["doubled"].states.tolist()
    assert states == ["ok", "ok", "failed"]
    assert ran(transcripts) == set()


def test_a_renamed_clip_takes_its_features_along(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    transcripts.extract()
    before = open_cache(transcripts.cache_url)["doubled"].read()
    ids = ["v/0000", "w/7", *(f"v/{i:04d}" for i in range(2, 6))]
    rewrite(transcripts, ids, TEXTS)
    assert planned(transcripts)[0] == "clips: 1 renamed (v/0001 → w/7)"
    assert ran(transcripts) == set()
    cache = open_cache(transcripts.cache_url)
    assert list(cache.clips["id"]) == ids
    assert (cache["doubled"].read() == before).all()
    rewrite(transcripts, [*ids, "v/0001"], [*TEXTS, "another text under the old name"])
    assert ran(transcripts) == {("letters", 1), ("doubled", 1)}
    rewrite(transcripts, [*ids, "v/0001"], [TEXTS[0], "changed", *TEXTS[2:], "another text"])
    transcripts.called()
    assert ran(transcripts) == {(s, p) for s in ("letters", "doubled") for p in (0, 1)}
    assert transcripts.called() == [["w/7"], ["v/0001"]]
    assert len(set(open_cache(transcripts.cache_url).clips["id"])) == 7


def test_a_dataset_whose_clips_are_all_renamed_is_the_same(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    transcripts.extract()
    rewrite(transcripts, [f"w/{i}" for i in range(6)], TEXTS)
    assert ran(transcripts) == set()
    assert list(open_cache(transcripts.cache_url).clips["id"]) == [f"w/{i}" for i in range(6)]


def test_clips_that_exchange_their_names_cost_themselves(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    transcripts.extract()
    transcripts.called()
    transcripts.texts([TEXTS[1], TEXTS[0], *TEXTS[2:]])
    transcripts.extract()
    assert transcripts.called() == [["v/0000", "v/0001"]]


def test_a_clip_that_comes_back_is_computed_where_it_never_was(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    transcripts.extract()
    transcripts.texts(TEXTS, skip=[1])
    transcripts.stages(letters={**LETTERS, "scale": 2})
    transcripts.extract()
    transcripts.texts(TEXTS)
    assert planned(transcripts)[:2] == [
        "clips: 1 back (v/0001)",
        "letters: 1 partition, 1 clip — back in the dataset: v/0001",
    ]
    assert ran(transcripts) == {("letters", 0), ("doubled", 0)}
    assert open_cache(transcripts.cache_url)["doubled"].states.tolist() == ["ok"] * 6


def test_the_language_stays_what_it_was(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    transcripts.extract()
    transcripts.texts([*TEXTS, *["你好"] * 9])
    transcripts.stages(letters={**LETTERS, "scale": {"en": 1, "zh": 2}})
    assert ran(transcripts) == {(s, p) for s in ("letters", "doubled") for p in (1, 2, 3)}


@pytest.fixture
def films(transcripts: Transcripts) -> Films:
    return Films(transcripts, TEXTS)


def test_a_file_that_changes_while_it_is_read_fails_and_runs_again_by_itself(films: Films) -> None:
    def as_files_change(tasks: Sequence[Task], stop: Stop) -> Iterator[Outcome]:
        films.file(1).write_text("another, after the plan was made")
        films.file(2).write_bytes(films.file(2).read_bytes())  # touched: no matter
        films.file(3).unlink()
        return run_serially(tasks, stop)

    films.transcripts.extract(as_files_change)
    assert films.states == ["ok", "failed", "ok", "failed", "ok", "ok"]
    reason = open_cache(films.transcripts.cache_url)["sizes"].reasons[1]
    assert reason == f"{films.file(1)} changed while this ran; run again"
    films.file(3).write_text("back, but another")
    assert ran(films.transcripts) == {("sizes", 0)}
    assert films.states == ["ok"] * 6
    sizes = open_cache(films.transcripts.cache_url)["sizes"].read()
    assert sizes.tolist() == [0, 32, 2, 17, 4, 5]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that can't be read")
def test_a_file_that_cannot_be_read_costs_its_clip(films: Films) -> None:
    films.file(1).unlink()
    films.file(1).symlink_to("/proc/self/mem")
    films.transcripts.extract()
    assert films.states[0] == "ok"
    films.file(1).unlink()
    films.file(1).write_text("mended")
    assert ran(films.transcripts) == {("sizes", 0)}


def test_paths_outside_the_datasets_folder_and_through_links_are_kept(
    films: Films, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = films.transcripts.folder
    link = folder.parent / "link"
    link.symlink_to(folder)
    monkeypatch.chdir(folder.parent)
    films.transcripts.folder = Path("link")
    films.transcripts.extract(name="talks")
    videos = open_cache(films.transcripts.cache_url).clips["video"]
    assert [Path(video).samefile(films.file(i)) for i, video in enumerate(videos)] == [True] * 6
    Path("other").mkdir()
    manifest = {"id": "a", "video": "../talks/Raw/v/0003.mp4", "text": "", "label": 0}
    Path("other/films.jsonl").write_text(json.dumps({**manifest, "split": "train"}))
    films.transcripts.folder = Path("other/films.jsonl")
    films.transcripts.extract()
    (video,) = open_cache(f"{films.transcripts.cache_root}/films").clips["video"]
    assert Path(video).samefile(folder / "Raw/v/0003.mp4")


def test_a_digest_is_remembered_once_the_file_has_been_still(tmp_path: Path) -> None:
    file, memory = tmp_path / "file", tmp_path / "memory.sqlite"
    file.write_text("a")
    assert read_again(file, memory), "it may change again within the same tick"


def test_a_file_rewritten_in_place_with_its_time_restored_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, memory = tmp_path / "file", tmp_path / "memory.sqlite"
    monkeypatch.setattr("pipeline.io.file_digests.CLOCK_S", -1.0)  # remember new files at once
    file.write_text("a")
    assert not read_again(file, memory)
    with FileDigests(memory) as digests:
        before, first = file.stat(), digests.of(file)
        file.write_text("b")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert digests.of(file) != first


def read_again(file: Path, memory: Path) -> bool:
    """Whether a second look at a file reads it again."""
    reads = []

    def noted(path: Path) -> str:
        reads.append(path)
        return of_file(path)

    for _ in range(2):
        with FileDigests(memory) as digests:
            digests.of(file, noted)
    return len(reads) == 2
