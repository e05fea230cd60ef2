"""Commands that take a dataset read its table: no label of yesterday, no run of another dataset."""

import json
import shutil
from pathlib import Path

import pytest

from model.cli.commands.report import report
from model.report import health
from pipeline.store.stage_view import StageView
from tests.conftest import Transcripts
from tests.model.conftest import WORDS, lettered
from tests.support.commands import smp


@pytest.fixture
def talks(tmp_path: Path) -> Transcripts:
    return lettered(tmp_path, WORDS)


def where(talks: Transcripts) -> list[str]:
    runs = talks.folder.parent / "runs"
    return ["--cache", talks.cache_root, "--runs", str(runs)]


def edit(folder: Path, old: str, new: str) -> None:
    table = folder / "label.csv"
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new))


def another(talks: Transcripts) -> Path:
    """A dataset with the same name and ids, but other texts."""
    at = Path(shutil.copytree(talks.folder, talks.folder.parent / "other" / "talks"))
    lines = (at / "label.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines]
    told = [[*row[:2], row[2].upper() if row[0] == "v" else row[2], *row[3:]] for row in rows]
    (at / "label.csv").write_text("\n".join(",".join(row) for row in told))
    return at


def test_a_training_takes_labels_and_splits_as_they_are_now(talks: Transcripts) -> None:
    edit(talks.folder, f"v,0003,{WORDS[3]},0.3,,train", f"v,0003,{WORDS[3]},-2.5,,test")
    told = smp("train", talks.folder, *where(talks), "--epochs", "1", "--json")
    lines = (Path(json.loads(told.stdout)["run"]) / "predictions.csv").read_text().splitlines()
    [clip] = [line for line in lines if line.startswith("v/0003,")]
    assert clip.startswith("v/0003,test,-2.5,")


@pytest.mark.parametrize(
    "command",
    [["train"], ["compare"], ["ablate", "modalities"], ["export", "out.pkl", "--format", "mmsa"]],
    ids=lambda words: words[0],
)
def test_a_text_that_changed_since_the_extraction_ends_the_command(
    talks: Transcripts, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(talks.folder.parent)
    edit(talks.folder, f"{WORDS[3]},0.3", "other,0.3")
    name, *arguments = command
    options = where(talks)[: 2 if name == "export" else 4]
    told = smp(name, talks.folder, *arguments, *options, code=1).stderr
    assert "talks: 1 clip changed (v/0003) since `smp extract`; run it again" in told


@pytest.mark.parametrize("command", ["train", "compare", "report"])
def test_a_dataset_that_the_cache_does_not_hold_is_refused(
    talks: Transcripts, command: str
) -> None:
    told = smp(command, another(talks), *where(talks), code=2).stderr
    assert "the cache of 'talks' holds another dataset" in told


def test_a_report_shows_what_is_not_extracted_yet(talks: Transcripts) -> None:
    edit(talks.folder, f"{WORDS[3]},0.3", "other,0.3")
    smp("report", talks.folder, *where(talks))
    page = (talks.folder.parent / "runs/talks-report.html").read_text()
    assert "Not every clip went through every stage yet." in page


def test_a_report_opens_a_cache_again_that_a_run_changed_meanwhile(
    talks: Transcripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    examine, left = health.examine, ["once"]

    def examined(view: StageView) -> health.StageHealth:
        if left:
            left.pop()
            assert view.committed
            edit(talks.folder, f"{WORDS[3]},0.3", "other,0.3")
            talks.extract()
        return examine(view)

    monkeypatch.setattr(health, "examine", examined)
    report.main([str(talks.folder), *where(talks)], standalone_mode=False)
    page = (talks.folder.parent / "runs/talks-report.html").read_text()
    assert not left
    assert "Not every clip" in page  # of the dataset as it was when the command began


def test_the_newest_run_of_another_dataset_is_not_taken(talks: Transcripts) -> None:
    other, runs = another(talks), where(talks)[2:]
    smp("train", talks.folder, *where(talks), "--epochs", "1")
    told = smp("predict", other, "v/0003", *runs, code=2).stderr
    assert f"was trained on {talks.folder} and not on {other}; give the folder of a run" in told
    smp("predict", talks.folder, "v/0003", "--trust", *runs)
    moved = Path(shutil.copytree(talks.folder, talks.folder.parent / "moved" / "talks"))
    smp("predict", moved, "v/0003", "--trust", *runs)
