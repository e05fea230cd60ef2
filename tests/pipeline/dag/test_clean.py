"""Cleaning: stores that nothing reaches go, whatever else there is stays."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from model.cli.group import main
from pipeline import open_cache
from pipeline.dag import clean
from pipeline.dag.clean import find
from pipeline.errors import UserError
from pipeline.io import lock
from pipeline.io.folder import Folder
from tests.conftest import Transcripts

TEXTS = ["hello", "world", "a third", "a fourth", "a fifth"]


def letters(scale: float = 1) -> dict[str, object]:
    return {"extractor": "tests.support.toys.letters", "scale": scale}


def smp(
    transcripts: Transcripts, *options: str, dataset: bool = True, stages: bool = True
) -> Result:
    named = [str(transcripts.folder)] if dataset else []
    file = ["--stages", str(transcripts.stages_file)] if stages else []
    cache = ["--cache", transcripts.cache_root]
    return CliRunner().invoke(main, ["clean", *named, *file, *cache, *options])


def stores(cache_url: str) -> set[str]:
    return {path.relative_to(cache_url).as_posix() for path in Path(cache_url).glob("*/*.zarr")}


def files(cache_url: str) -> set[Path]:
    return {path for path in Path(cache_url).rglob("*") if not path.name.startswith(".")}


@pytest.fixture
def twice(transcripts: Transcripts) -> tuple[Transcripts, set[str], set[str]]:
    """A dataset extracted with two settings, the stores of the first and of the second."""
    transcripts.texts(TEXTS)
    transcripts.stages(letters=letters(1))
    transcripts.extract()
    first = stores(transcripts.cache_url)
    transcripts.stages(letters=letters(2))
    transcripts.extract()
    return transcripts, first, stores(transcripts.cache_url) - first


Twice = tuple[Transcripts, set[str], set[str]]


def test_stores_of_earlier_settings_go_and_the_others_stay(twice: Twice) -> None:
    transcripts, first, second = twice
    before = open_cache(transcripts.cache_url)["doubled"].read()
    done = smp(transcripts)
    assert done.exit_code == 0, done.output
    assert stores(transcripts.cache_url) == second
    for store in first:
        assert f"{transcripts.cache_url}/{store}: " in done.output
    assert "settings.scale: 1.0 → 2.0" in done.output
    assert "Removed 2 stores, 0.0 MB; kept 2 stores." in done.output
    assert (open_cache(transcripts.cache_url)["doubled"].read() == before).all()
    assert transcripts.extract().outcomes == ()
    assert "Removed 0 stores" in smp(transcripts).output


def test_a_dry_run_says_the_same_and_removes_nothing(twice: Twice) -> None:
    transcripts, first, _ = twice
    before = files(transcripts.cache_url)
    done = smp(transcripts, "--dry-run")
    assert "Would remove 2 stores, 0.0 MB; kept 2 stores." in done.output
    assert all(f"{transcripts.cache_url}/{store}: " in done.output for store in first)
    assert files(transcripts.cache_url) == before


def test_what_was_extracted_last_stays_until_the_next_extraction(twice: Twice) -> None:
    transcripts, _, second = twice
    transcripts.stages(letters=letters(3))
    smp(transcripts)
    assert stores(transcripts.cache_url) == second
    assert open_cache(transcripts.cache_url)["letters"].read()[0, 0, 0] == 2 * ord("h")


def test_every_given_stages_file_keeps_its_stores(twice: Twice, tmp_path: Path) -> None:
    transcripts, first, second = twice
    other = tmp_path / "other.yaml"
    other.write_bytes(transcripts.stages_file.read_bytes())
    transcripts.stages(letters=letters(1))
    done = smp(transcripts, "--stages", str(other), "--strict")
    assert "Removed 0 stores" in done.output
    assert stores(transcripts.cache_url) == first | second


def test_strictly_only_what_the_file_reaches_stays_and_readers_know(twice: Twice) -> None:
    transcripts, first, _ = twice
    spec = yaml.safe_load(transcripts.stages_file.read_text())
    del spec["stages"]["doubled"]
    spec["stages"]["letters"]["scale"] = 1
    transcripts.stages_file.write_text(yaml.safe_dump(spec))
    done = smp(transcripts, "--strict")
    assert "no stages file has this stage" in done.output
    kept = {store for store in first if store.startswith("letters")}
    assert stores(transcripts.cache_url) == kept
    assert open_cache(transcripts.cache_url).stages == []
    transcripts.extract()
    assert open_cache(transcripts.cache_url).stages == ["letters"]


def test_whatever_is_not_a_store_of_this_cache_stays(twice: Twice, tmp_path: Path) -> None:
    transcripts, first, _ = twice
    cache = Path(transcripts.cache_url)
    (one,) = (cache / store for store in first if store.startswith("letters"))
    elsewhere = tmp_path / "elsewhere"
    (cache / "letters" / "notes.txt").write_text("mine")
    (cache / "letters" / "0badc0de.zarr").mkdir()
    (cache / "letters" / "0badc0de.zarr" / "precious").write_text("mine")
    foreign = cache / "doubled" / one.name  # a copy under another stage
    foreign.mkdir()
    (foreign / "zarr.json").write_bytes((one / "zarr.json").read_bytes())
    one.rename(elsewhere)
    one.symlink_to(elsewhere)
    before = files(transcripts.cache_url) | set(elsewhere.rglob("*"))
    done = smp(transcripts)
    assert "Removed 1 store," in done.output
    gone = before - (files(transcripts.cache_url) | set(elsewhere.rglob("*")))
    (doubled,) = (cache / store for store in first if store.startswith("doubled"))
    assert gone == {path for path in before if path.is_relative_to(doubled)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("stages: [", "is not YAML"),
        ("stages: {bert: {weights: own/none}}", "stage 'bert': weights 'own/none' not found"),
        (None, "can't be read"),
    ],
)
def test_what_is_reached_must_be_known_or_nothing_goes(
    twice: Twice, content: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcripts, first, second = twice
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    if content is None:
        transcripts.stages_file.unlink()
    else:
        transcripts.stages_file.write_text(content)
    done = smp(transcripts)
    assert done.exit_code == 2
    assert message in done.output
    assert stores(transcripts.cache_url) == first | second


def test_a_cache_in_use_is_not_cleaned(twice: Twice) -> None:
    transcripts, first, second = twice
    with lock.held(Folder(transcripts.cache_url)):
        done = smp(transcripts)
    assert done.exit_code == 2
    assert "in use" in done.output
    assert stores(transcripts.cache_url) == first | second


def test_where_there_is_no_cache_none_is_made(transcripts: Transcripts) -> None:
    transcripts.texts(TEXTS)
    done = smp(transcripts)
    assert done.exit_code == 2
    assert "no cache" in done.output
    assert not Path(transcripts.cache_root).exists()


def test_every_dataset_is_cleaned_with_the_stages_file_in_its_folder(twice: Twice) -> None:
    transcripts, _, second = twice
    own = transcripts.folder / "stages.yaml"
    transcripts.stages_file.rename(own)
    refused = smp(transcripts, dataset=False, stages=False)
    assert "would import tests.support.toys.letters" in refused.output
    done = smp(transcripts, "--trust", dataset=False, stages=False)
    assert "Removed 2 stores" in done.output, done.output
    assert stores(transcripts.cache_url) == second
    transcripts.folder.rename(transcripts.folder.with_name("moved"))
    done = smp(transcripts, dataset=False, stages=False)
    assert done.exit_code == 2
    assert "is not at" in done.output


def test_an_interrupted_removal_vouches_for_nothing_and_is_finished_the_next_time(
    twice: Twice, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcripts, first, second = twice
    remove_all = Folder.remove_all
    removed: list[str] = []

    def interrupted(folder: Folder, name: str) -> None:
        if len(removed) == 2:
            raise KeyboardInterrupt
        removed.append(name)
        remove_all(folder, name)

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "remove_all", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(find(transcripts.cache_url, [transcripts.stages_file]).carry_out())
    assert removed[0].endswith(".zarr/commits")
    half = [
        store for store in first if not (Path(transcripts.cache_url) / store / "commits").exists()
    ]
    assert len(half) == 1
    assert stores(transcripts.cache_url) == first | second
    smp(transcripts)
    assert stores(transcripts.cache_url) == second


def test_a_cache_on_object_storage_is_cleaned(transcripts: Transcripts) -> None:
    root = "memory://clean/cache"
    transcripts.texts(TEXTS)
    transcripts.extract(cache_root=root)
    transcripts.stages(letters=letters(2))
    transcripts.extract(cache_root=root)
    assert clean.caches(root) == [f"{root}/talks"]
    sweep = find(f"{root}/talks", [transcripts.stages_file])
    assert [store.stage for store in sweep.carry_out()] == ["doubled", "letters"]
    for stage in ("doubled", "letters"):
        assert len((Folder(f"{root}/talks") / stage).names()) == 1
    assert transcripts.extract(cache_root=root).outcomes == ()


def test_a_cache_named_by_itself_finds_its_dataset(twice: Twice) -> None:
    transcripts, _, second = twice
    transcripts.stages_file.rename(transcripts.folder / "stages.yaml")
    done = CliRunner().invoke(main, ["clean", transcripts.cache_url, "--trust"])
    assert "Removed 2 stores" in done.output
    assert stores(transcripts.cache_url) == second


def test_current_json_alone_does_not_make_a_cache(tmp_path: Path) -> None:
    (tmp_path / "current.json").write_text(json.dumps({}))
    with pytest.raises(UserError, match="no cache"):
        find(str(tmp_path))
