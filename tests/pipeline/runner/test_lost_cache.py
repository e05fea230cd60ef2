"""A cache that goes away while a run writes to it: the true cause, in one line, and a resume."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from model.cli.group import main
from pipeline import open_cache
from pipeline.io import lease
from pipeline.store.commit import Commit
from pipeline.store.store import Store
from tests.conftest import Transcripts
from tests.support.crashing import differences, files_of
from tests.support.lost_storage import LostStorage

ENGINES = {"serial": ["--serial"], "threads": []}
TEXTS = [f"text number {i}" for i in range(24)]


def smp_extract(transcripts: Transcripts, root: str, options: Sequence[str]) -> Result:
    stages = ["--stages", str(transcripts.stages_file), "--cache", root]
    return CliRunner().invoke(main, ["extract", str(transcripts.folder), *stages, *options])


@pytest.fixture
def lost() -> Iterator[type[LostStorage]]:
    yield LostStorage
    LostStorage.gone = ""


@pytest.mark.parametrize("engine", ENGINES)
def test_storage_that_goes_away_is_told_in_one_line_and_a_resume_completes(
    transcripts: Transcripts,
    lost: type[LostStorage],
    engine: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    root, write, written = f"lost://{tmp_path.name}/{engine}", Store.write, list[object]()

    def cut_off(*arguments: Any) -> Commit:
        written.append(arguments)
        lost.gone = "no route to host" if len(written) == 3 else lost.gone
        return write(*arguments)

    transcripts.texts(TEXTS)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", cut_off)
        told = smp_extract(transcripts, root, ENGINES[engine])
    assert told.exit_code == 1, told.output
    assert told.stderr.splitlines()[-1] == (
        f"Error: {root}/talks can't be reached: no route to host; what is committed stays, fix it "
        "and run again"
    )
    assert "failed" not in told.output
    lost.gone = ""
    monkeypatch.setattr(lease, "_is_there", lambda process: False)  # the first run's is gone
    told = smp_extract(transcripts, root, ENGINES[engine])
    assert told.exit_code == 0, told.output
    assert open_cache(f"{root}/talks")["letters"].states.tolist() == ["ok"] * 24


@pytest.mark.parametrize("engine", ENGINES)
def test_a_cache_that_is_removed_is_named_and_made_again(
    transcripts: Transcripts, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = Store.write, list[object]()

    def removed(*arguments: Any) -> Commit:
        written.append(arguments)
        if len(written) == 3:
            shutil.rmtree(transcripts.cache_url, ignore_errors=True)
        return write(*arguments)

    transcripts.texts(TEXTS)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", removed)
        told = smp_extract(transcripts, transcripts.cache_root, ENGINES[engine])
    assert told.exit_code == 1, told.output
    said = f"Error: {transcripts.cache_url} was removed while this ran, or the .lease in it"
    assert told.stderr.splitlines()[-1].startswith(said)
    told = smp_extract(transcripts, transcripts.cache_root, ENGINES[engine])
    assert told.exit_code == 0, told.output
    transcripts.extract(cache_root=f"{transcripts.cache_root}-whole")
    whole, again = (files_of(f"{transcripts.cache_root}{x}/talks") for x in ("-whole", ""))
    assert differences(whole, again) == []
