"""The command's help, and errors that a user can fix."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.__main__ import main
from tests.conftest import Transcripts


def test_every_summary_fits_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for arguments in (["--help"], ["dataset", "--help"]):
        told = CliRunner().invoke(main, arguments).output
        assert "..." not in told.partition("Commands:")[2]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place for no folders")
def test_a_folder_that_cannot_be_made_is_one_line(transcripts: Transcripts) -> None:
    transcripts.texts(["one"])
    where = ["--stages", str(transcripts.stages_file), "--cache", "/proc/x"]
    for arguments in (["extract", str(transcripts.folder), *where], ["sample", "/proc/x"]):
        told = CliRunner().invoke(main, arguments)
        assert told.exit_code == 1
        assert told.stderr.startswith("Error: /proc/x")
        assert told.stderr.count("\n") == 1
