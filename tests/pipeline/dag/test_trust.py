"""Stages that came with data run nothing that is not in the package, unless a person says so."""

import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.dag.recipe import Recipe
from pipeline.dag.spec import DEFAULT_FILE, Stages, StagesFile, file_for
from pipeline.dag.stage import built_in, extractor_class
from pipeline.dag.trust import VARIABLE
from pipeline.errors import UserError
from pipeline.io.source_code import imported, modules_of
from tests.conftest import Transcripts
from tests.support.commands import smp

FACES = {"frames": {}, "faces": {"needs": "frames"}}
OPENFACE = {"needs": ["frames", "faces"], "backend": "openface", "binary": "FaceLandmarkImg"}
SHA256 = "0" * 64
IDENTITY: dict[str, Any] = {
    "extractor": "mfcc", "version": 1, "settings": {}, "located": {}, "weights": None,
    "weights_id": None, "needs": {}, "steps": None, "partition": 32, "fingerprint": SHA256,
}  # fmt: skip


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of transcripts with a program beside it, and a module that can be imported.

    What is returned is the file that each of them makes when it is run.
    """
    sprung = tmp_path / "sprung"
    (module := tmp_path / "own_trap").mkdir()
    (module / "__init__.py").write_text(f"open({str(sprung)!r}, 'w')\n")
    (module / "stage.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("own_trap", "own_trap.stage"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    program = tmp_path / "talks" / "FaceLandmarkImg"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {sprung}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return sprung


def write(folder: Path, **boxes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "stages.yaml"
    path.write_text(yaml.safe_dump({"stages": {**FACES, **boxes}}))
    return path


@pytest.mark.parametrize(
    "command",
    [
        ("extract", "{}"),
        ("extract", "{}", "--plan"),
        ("extract", "{}", "--only", "faces"),
        ("models", "list", "{}"),
        ("models", "pull", "{}"),
        ("clean", "{}", "--dry-run"),
        ("clean", "--dry-run"),
    ],
    ids=" ".join,
)
def test_every_command_shows_what_a_datasets_own_file_would_run_and_runs_none_of_it(
    transcripts: Transcripts, trap: Path, command: tuple[str, ...]
) -> None:
    transcripts.texts(["a", "b"])
    transcripts.extract()
    program = transcripts.folder / "FaceLandmarkImg"
    units = {**OPENFACE, "binary": str(program)}
    write(transcripts.folder, action_units=units, own={"extractor": "own_trap.stage"})
    words = [word.format(transcripts.folder) for word in command]
    words += ["--cache", transcripts.cache_root] if command[0] != "models" else []
    done = smp(*words, code=2)
    assert f"stage 'action_units' would run {program}" in done.stderr
    assert "stage 'own' would import own_trap.stage; add --trust if you wrote it" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not trap.exists()


@pytest.mark.parametrize("how", ["--trust", "--stages", "SMP_TRUST"])
def test_what_a_person_vouches_for_is_theirs(
    transcripts: Transcripts, trap: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcripts.texts(["a", "b"])
    path = write(transcripts.folder, own={"extractor": "own_trap.stage"})
    if how == "SMP_TRUST":
        monkeypatch.setenv(VARIABLE, f"/nowhere:{transcripts.folder.parent}")
    given: dict[str, list[object]] = {"--trust": ["--trust"], "--stages": ["--stages", path]}
    done = smp("extract", transcripts.folder, "--plan", *given.get(how, []), code=2)
    assert "own_trap.stage: expected one Extractor in this file" in done.stderr
    assert trap.exists(), "it was imported"


@pytest.mark.parametrize(
    ("boxes", "told"),
    [
        ({"action_units": OPENFACE}, "'action_units' would run FaceLandmarkImg"),
        ({"action_units": {**OPENFACE, "binary": {"en": "a", "zh": "b"}}}, "would run a;"),
        (
            {"action_units": {"backend": "xgb", "trusted_sha256": SHA256}},
            f"would rebuild Python objects from the file with SHA-256 {SHA256};",
        ),
        ({"own": {"extractor": {"en": "os.path", "zh": "mfcc"}}}, "'own' would import os.path;"),
        ({"own": {"extractor": "pipeline.__main__"}}, "would import pipeline.__main__;"),
        ({"own": {"extractor": "..a"}}, "would import ..a;"),
        ({"a.b": {}}, "'a.b' would import a.b;"),
    ],
)
def test_a_foreign_file_names_no_code_however_it_is_written(
    boxes: Mapping[str, Any], told: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "talks", **boxes)
    with pytest.raises(UserError) as refused:
        Stages.load(file_for(path.parent))
    assert told in str(refused.value)


def test_a_foreign_file_may_set_all_that_runs_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "talks"
    path = write(folder, bert={"weights": "random"}, action_units={"needs": ["frames", "faces"]})
    file = file_for(folder)
    assert file == StagesFile(path, is_own=False)
    assert {"bert", "action_units"} <= {stage.name for stage in Stages.load(file)}


def test_a_file_is_a_persons_own_unless_it_lies_beside_a_datasets_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transcripts: Transcripts
) -> None:
    transcripts.texts(["a"])
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert file_for(transcripts.folder) == file_for(None) == StagesFile(DEFAULT_FILE)
    Path("stages.yaml").touch()
    assert file_for(transcripts.folder) == file_for(None) == StagesFile(Path("stages.yaml"))
    assert not file_for(Path("talks.csv")).is_own, "its table is beside it"
    beside = transcripts.folder / "stages.yaml"
    beside.touch()
    assert file_for(transcripts.folder) == StagesFile(beside, is_own=False)
    monkeypatch.chdir(transcripts.folder)
    for dataset in (None, Path(), transcripts.folder / "label.csv", Path("../elsewhere")):
        assert not file_for(dataset).is_own, "the folder one works in came with data"
        assert file_for(dataset, is_trusted=True).is_own
        assert file_for(dataset, Path("stages.yaml")).is_own


def test_a_record_that_came_with_a_run_names_no_code() -> None:
    units = {**IDENTITY, "extractor": "action_units", "located": {"binary": "/data/run/x"}}
    own = {**IDENTITY, "extractor": "not_there.stage", "located": {"binary": None}}
    recipe = Recipe(32, 32, {"action_units": units, "own": own})
    with pytest.raises(
        UserError, match=r"^runs/a comes with data.* run /data/run/x; .* import not_there"
    ):
        recipe.here(where="runs/a")
    with pytest.raises(UserError, match="no extractor"):
        recipe.here(where="runs/a", is_own=True)


def test_an_extractor_that_starts_programs_says_which_setting_names_one() -> None:
    """Else a stages file that came with data could name it."""
    for name in built_in():
        modules = modules_of([f"pipeline.extractors.{name}"], lambda m: m.startswith("pipeline."))
        starts = any("subprocess" in imported(module) for module in modules)
        settings = extractor_class(name, name).Settings.code_settings()
        assert ("run" in settings.values()) == starts, name


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"stages": 3}, "stages: Input should be a valid dictionary"),
        ({"stages": {"mfcc": 3}}, "stages.mfcc: "),
        ({"stages": {"mfcc": {**IDENTITY, "settings": 1}}}, "stages.mfcc.settings: "),
        ({"stages": {"mfcc": {**IDENTITY, "needs": ["audio"]}}}, "stages.mfcc.needs: "),
        ({"stages": {"mfcc": {**IDENTITY, "extractor": None}}}, "stages.mfcc.extractor: "),
        ({"stages": {"../mfcc": IDENTITY}}, "'../mfcc' can't be a stage's name"),
        ({"steps": "32"}, "steps: "),
        ({"more": 1}, "more: Extra inputs"),
    ],
)
def test_a_damaged_record_is_told_in_one_line(change: dict[str, Any], told: str) -> None:
    content = {"partition": 32, "steps": 32, "stages": {"mfcc": IDENTITY}}
    assert Recipe.from_json(content).to_json() == content
    with pytest.raises(UserError) as refusal:
        Recipe.from_json({**content, **change})
    assert str(refusal.value).startswith("the record of the extraction: ")
    assert told in str(refusal.value)
