"""Features that rest on a poor input stand, and everyone who looks at them is told."""

import json

from click.testing import CliRunner

from model.cli.group import main
from model.report import coverage
from model.report.context import ReportContext
from pipeline import open_cache
from pipeline.inspect.page import inspect
from pipeline.store.commit import Commit, RowState
from pipeline.store.status import status
from tests.conftest import Transcripts

DOUBT = "nothing but question marks"


def test_a_doubtful_clip_keeps_its_features_and_is_told_apart(transcripts: Transcripts) -> None:
    transcripts.texts(["one", "???", "two", "!fail"])
    transcripts.extract()
    cache = open_cache(transcripts.cache_url)
    letters, doubled = status(cache)
    assert letters.counts == {"ok": 3, "missing": 0, "failed": 1}
    assert letters.doubts == (("v/0001", DOUBT),)
    assert doubled.doubts == ()  # told where it arose
    assert cache["letters"].doubts == ["", DOUBT, "", ""]
    assert cache["letters"].read()[1].any()


def test_a_doubt_outlives_the_next_run(transcripts: Transcripts) -> None:
    transcripts.texts(["one", "???"])
    transcripts.extract()
    transcripts.texts(["another", "???"])
    transcripts.extract()
    assert transcripts.called()[-1] == ["v/0000"]  # the doubtful row was kept
    assert open_cache(transcripts.cache_url)["letters"].doubts == ["", DOUBT]


def test_status_report_and_inspect_say_so(transcripts: Transcripts) -> None:
    transcripts.texts(["one", "???"])
    transcripts.extract()
    shown = CliRunner().invoke(main, ["status", transcripts.cache_url])
    assert f"v/0001: doubtful, {DOUBT}" in shown.output
    shown = CliRunner().invoke(main, ["status", transcripts.cache_url, "--json"])
    assert json.loads(shown.output)["stages"]["letters"]["doubtful"] == [
        {"clip": "v/0001", "doubt": DOUBT}
    ]
    cache = open_cache(transcripts.cache_url)
    assert f"Doubtful: {DOUBT}" in inspect(cache, "v/0001")
    assert "Doubtful" not in inspect(cache, "v/0000")
    clips = [row.clip for row in cache.table.rows]
    found = coverage.section(ReportContext("t", "t", {}, "en", clips, cache, status(cache))).content
    assert [(p.clip, p.state, p.reason) for p in found.problems] == [("v/0001", "doubtful", DOUBT)]
    assert [stage.doubtful for stage in found.stages] == [1, 0]


def test_a_commit_without_doubts_is_written_as_before() -> None:
    rows = (RowState("a@1", "ok", 3), RowState("b@2", "ok", 3, "", DOUBT))
    content = Commit(rows).to_bytes()
    assert json.loads(content)["rows"] == [["a@1", "ok", 3, ""], ["b@2", "ok", 3, "", DOUBT]]
    assert Commit.from_bytes(content).rows == rows
