"""What a stage may be called."""

from pathlib import Path

import pytest

from pipeline import open_cache
from pipeline.dag.spec import Stages
from pipeline.errors import DamagedError, UserError
from pipeline.io.hashing import sealed
from pipeline.stage.name import RESERVED, require_stage_names
from tests.conftest import Transcripts
from tests.support.commands import smp

BAD = [
    "../../x", "..", ".", "", "a/b", "/x", "a\\b", "-a", ".a", "a b", "a\n", "é", "a" * 65,
    "\x1b[2J", "a\u202eb", "Current.json", *sorted(RESERVED),
]  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_is_no_folder_of_a_cache_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="can't be a stage's name; use letters, digits"):
        require_stage_names("here", [name])


def test_names_that_people_use_are_taken() -> None:
    require_stage_names("here", ["bert", "clip-vit-large-UTT", "_a", "1", "v1.5", "A", "a" * 64])


def test_names_that_are_one_folder_on_some_disks_are_refused() -> None:
    with pytest.raises(UserError, match="here: stages 'bert' and 'BERT' differ only in case"):
        require_stage_names("here", ["bert", "mfcc", "BERT"])


@pytest.mark.parametrize("name", [1, 1.5, True, None])
def test_a_name_that_is_not_text_is_refused(name: object) -> None:
    with pytest.raises(UserError, match=f"stage {name} is not text; write it in quotes: '{name}'"):
        Stages({"stages": {name: {}}})


def test_no_stage_writes_outside_its_cache(transcripts: Transcripts, tmp_path: Path) -> None:
    transcripts.texts(["a", "b"])
    before = set(tmp_path.rglob("*"))
    (file := tmp_path / "s.yaml").write_text(
        'stages: {"../../x": {extractor: bert, weights: random}}'
    )
    words = "--stages", file, "--cache", transcripts.cache_root
    done = smp("extract", transcripts.folder, "--serial", *words, code=2)
    assert f"Error: {file}: '../../x' can't be a stage's name" in done.stderr
    assert set(tmp_path.rglob("*")) - before <= {
        file,
        *tmp_path.glob("cache/**/*"),
        tmp_path / "cache",
    }
    assert not list(tmp_path.rglob("x"))


def test_a_cache_whose_record_names_another_folder_is_damaged(transcripts: Transcripts) -> None:
    transcripts.texts(["a", "b"])
    transcripts.extract()
    path = Path(transcripts.cache_url, "current.json")
    path.write_bytes(sealed({"../letters": {}}, indent=1))
    with pytest.raises(DamagedError, match=r"current.json is damaged .*'../letters' is no stage"):
        open_cache(transcripts.cache_url)["letters"]
