"""Clips whose files vanish: their features stand, marked as stale, until someone says otherwise."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from model.cli.group import main
from pipeline.dag.task import Task
from pipeline.errors import DataError, UserError
from pipeline.io.file_digests import FileDigests
from pipeline.runner.serial import run_serially
from pipeline.runner.stop import Stop
from pipeline.runner.types import Outcome
from pipeline.store.status import status
from tests.conftest import Transcripts
from tests.support.films import Films

CLIPS = 12
LETTERS = {"extractor": "tests.support.toys.letters"}


@pytest.fixture
def films(transcripts: Transcripts) -> Films:
    made = Films(transcripts, [f"text {i}" for i in range(CLIPS)], least=1, letters=LETTERS)
    transcripts.extract()
    return made


def smp(films: Films, command: str, *options: str) -> Result:
    made = films.transcripts
    words = [command, str(made.folder), "--cache", made.cache_root, *options]
    return CliRunner().invoke(main, words, catch_exceptions=False)


def extract(films: Films, *options: str) -> Result:
    return smp(
        films, "extract", "--stages", str(films.transcripts.stages_file), "--serial", *options
    )


def sizes(films: Films) -> list[int]:
    return films.cache["sizes"].read().tolist()


def files(folder: str) -> dict[Path, bytes]:
    """All but the lock, which says who holds the cache."""
    found = [p for p in Path(folder).rglob("*") if p.is_file() and not p.name.startswith(".lock")]
    return {path: path.read_bytes() for path in found}


def remove(path: Path) -> str:
    path.unlink()
    return f"video is gone: {path}"


def empty(path: Path) -> str:
    path.write_bytes(b"")
    return f"video is empty: {path}"


@pytest.mark.parametrize("lose", [remove, empty])
def test_a_file_that_vanishes_leaves_its_features_stale(
    films: Films, lose: Callable[[Path], str]
) -> None:
    before = films.file(1).read_bytes()
    reason = lose(films.file(1))
    done = extract(films)
    assert done.exit_code == 1, done.output
    assert "Nothing to do" in done.stdout
    assert f"v/0001: stale, {reason}" in done.stdout
    assert "1 clip stale: features are kept though their files are gone" in done.stderr
    assert sizes(films) == [1 + i for i in range(CLIPS)]
    assert films.cache["sizes"].stale == ["", reason, *[""] * (CLIPS - 2)]
    assert films.cache["letters"].stale == [""] * CLIPS, "the text is there"
    assert films.cache.clips["stale"].tolist()[:3] == ["", reason, ""]
    films.file(1).unlink(missing_ok=True)
    films.file(1).write_bytes(before)
    back = extract(films)
    assert (back.exit_code, films.cache["sizes"].stale) == (0, [""] * CLIPS)
    assert "Nothing to do" in back.stdout


def test_a_file_that_can_not_be_read_leaves_its_features_stale(
    films: Films, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: FileDigests, path: str) -> str:
        raise UserError(f"{path} can't be read: Input/output error")

    films.file(1).write_bytes(films.file(1).read_bytes())  # looked at anew
    with monkeypatch.context() as broken:
        broken.setattr(FileDigests, "of", refused)
        done = extract(films, "--keep-missing")
    assert done.exit_code == 1, done.output
    assert "Nothing to do" in done.stdout
    assert films.cache["sizes"].stale[1] == f"video can't be read: {films.file(1)}"
    assert sizes(films) == [1 + i for i in range(CLIPS)]
    assert extract(films).exit_code == 0
    assert films.cache["sizes"].stale == [""] * CLIPS


def test_a_file_that_comes_back_changed_is_computed(films: Films) -> None:
    films.file(1).unlink()
    films.transcripts.extract()
    films.file(1).write_text("another one")
    assert extract(films).exit_code == 0
    assert sizes(films)[:3] == [1, 11, 3]


def test_neighbours_of_a_stale_clip_are_computed_beside_it(films: Films) -> None:
    films.file(1).unlink()
    films.file(2).write_text("another one")
    assert extract(films).exit_code == 1
    assert sizes(films)[:4] == [1, 2, 11, 4]
    assert films.states == ["ok"] * CLIPS


def test_a_folder_that_vanishes_stops_the_run_before_it_writes(films: Films) -> None:
    raw = films.transcripts.folder / "Raw"
    before = files(films.transcripts.cache_root)
    raw.rename(raw.with_name("elsewhere"))
    for options in ([], ["--plan"], ["--retry"]):
        done = extract(films, *options)
        assert done.exit_code == 1, done.output
        assert (
            "the files of 12 of 12 clips are gone, empty or unreadable in "
            f"{raw / 'v'} (v/0000, v/0001" in done.stderr
        )
        assert "--keep-missing" in done.stderr
        assert "--drop-missing" in done.stderr
    assert files(films.transcripts.cache_root) == before
    raw.with_name("elsewhere").rename(raw)
    assert extract(films).exit_code == 0


def test_a_few_of_many_may_vanish_and_several_of_few(films: Films) -> None:
    for number in range(3):
        films.file(number).unlink()
    films.transcripts.extract()
    for number in range(3, 7):
        films.file(number).unlink()
    with pytest.raises(DataError, match="the files of 4 of 12 clips are gone"):
        films.transcripts.extract()


def test_features_without_files_are_kept_or_dropped_as_one_says(films: Films) -> None:
    raw = films.transcripts.folder / "Raw"
    raw.rename(raw.with_name("elsewhere"))
    assert extract(films, "--keep-missing").exit_code == 1
    assert films.cache["sizes"].stale[0] == f"video is gone: {films.file(0)}"
    assert sizes(films) == [1 + i for i in range(CLIPS)]
    assert extract(films).exit_code == 1, "known by now"
    assert sizes(films) == [1 + i for i in range(CLIPS)]
    extract(films, "--drop-missing")
    assert sizes(films) != [1 + i for i in range(CLIPS)], "computed as what they are: no films"
    assert set(films.cache.clips["stale"]) == {""}
    raw.with_name("elsewhere").rename(raw)
    assert extract(films).exit_code == 0
    assert sizes(films) == [1 + i for i in range(CLIPS)]


def test_what_was_never_made_of_a_stale_clip_fails_until_its_file_is_back(films: Films) -> None:
    before = films.file(1).read_bytes()
    films.file(1).unlink()
    spec = yaml.safe_load(films.transcripts.stages_file.read_text())
    spec["stages"]["again"] = {"extractor": "tests.support.toys.sizes"}
    films.transcripts.stages_file.write_text(yaml.safe_dump(spec))
    assert extract(films).exit_code == 1
    again = films.cache["again"]
    assert again.states.tolist() == ["ok", "failed", *["ok"] * (CLIPS - 2)]
    assert again.reasons[1] == f"can't be made, its video is gone: {films.file(1)}"
    assert again.stale == [""] * CLIPS
    assert not films.transcripts.extract(retry=True).outcomes
    films.file(1).write_bytes(before)
    assert extract(films).exit_code == 0
    assert films.cache["again"].states.tolist() == ["ok"] * CLIPS


def test_files_that_are_back_after_a_run_without_them_are_computed(films: Films) -> None:
    """A disk that goes and comes amid a run: nothing of it needs `--retry`."""

    def as_files_go(tasks: Sequence[Task], stop: Stop) -> Iterator[Outcome]:
        away = films.file(1).rename(films.file(1).with_suffix(".away"))
        yield from run_serially(tasks, stop)
        away.rename(films.file(1))

    films.file(1).write_text("another")
    films.transcripts.extract(as_files_go)
    assert films.states == ["ok", "failed", *["ok"] * (CLIPS - 2)]
    assert extract(films).exit_code == 0
    assert sizes(films)[:3] == [1, 7, 3]


def test_the_plan_and_the_status_tell_of_stale_clips_once(films: Films) -> None:
    films.file(1).unlink()
    planned = extract(films, "--plan")
    assert planned.stdout.splitlines()[1] == "clips: 1 without their files now (v/0001)"
    films.transcripts.extract()
    told = smp(films, "status")
    assert told.stdout.count("v/0001: stale, video is gone") == 1
    assert "stale" in told.stdout.splitlines()[0]
    of_sizes = json.loads(smp(films, "status", "--json").stdout)["stages"]["sizes"]
    assert of_sizes["stale"] == [{"clip": "v/0001", "reason": f"video is gone: {films.file(1)}"}]
    assert [len(stage.stale) for stage in status(films.cache)] == [0, 1]


def test_a_table_of_an_earlier_version_is_read(films: Films) -> None:
    """It says nothing of sizes and times."""
    from pipeline.io.hashing import sealed, unsealed

    table = Path(films.transcripts.cache_url, "clips.json")
    record = unsealed(table.read_bytes())
    del record["columns"]["stamps"]
    table.write_bytes(sealed(record))
    films.file(1).unlink()
    assert extract(films).exit_code == 1
    assert sizes(films) == [1 + i for i in range(CLIPS)]


def test_the_inspect_page_shows_a_stale_clip(films: Films, tmp_path: Path) -> None:
    films.file(1).unlink()
    films.transcripts.extract()
    page = tmp_path / "page.html"
    assert smp(films, "inspect", "v/0001", "--output", str(page)).exit_code == 0
    assert f"Stale: video is gone: {films.file(1)}" in page.read_text().replace("&#39;", "'")


def test_the_report_shows_stale_clips(films: Films, tmp_path: Path) -> None:
    films.file(1).unlink()
    films.transcripts.extract()
    page = tmp_path / "page.html"
    assert smp(films, "report", "--output", str(page)).exit_code == 0
    assert '<th scope="col" class="n">stale</th>' in page.read_text()
    assert f'<td class="stale">stale</td><td>video is gone: {films.file(1)}' in page.read_text()
