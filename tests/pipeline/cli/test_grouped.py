"""Reasons that say the same are told once, with some of their clips."""

import json
import string

import pytest
from click.testing import CliRunner

from model.cli.group import main
from pipeline.cli.console import MOST_LINES, print_problems
from pipeline.messages import folded, grouped
from pipeline.store.status import Problem, StageStatus
from tests.conftest import Transcripts

SAME = [
    ("no face in 48 frames", "no face in N frames"),
    ("sound not found: /data/my clips/v 1.mp4", "sound not found"),
    ("pictures stop at 0.80 s of 2.06 s: s3://bucket/v/1.mp4", "pictures stop at N s of N s"),
    ("no number in 'v/1'", "no number in '…'"),
    ("can't read /a/b.json: damaged", "can't read …: damaged"),
    ("sound stops at 1 s: /a/b c.avi; 2 s are silent", "sound stops at N s; N s are silent"),
    ("either/or", "either/or"),
]


@pytest.mark.parametrize(("reason", "shared"), SAME)
def test_ids_paths_and_numbers_are_folded(reason: str, shared: str) -> None:
    assert folded(reason, "v/1") == shared


def test_what_is_the_same_word_for_word_is_told_so() -> None:
    (group,) = grouped([("a", "cut to 128 tokens"), ("b", "cut to 128 tokens")])
    assert group.line("note") == "note, cut to 128 tokens: 2 clips, a, b"


def test_the_largest_group_comes_first_with_examples() -> None:
    reasons = [("z", "no sound stream: /z.mp4")]
    reasons += [(f"v/{i}", f"no face in {i} frames") for i in range(5)]
    lines = [group.line("missing") for group in grouped(reasons)]
    assert lines == [
        "missing, no face in N frames: 5 clips, e.g. v/0, v/1, v/2",
        "z: missing, no sound stream: /z.mp4",
    ]


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["status", *arguments])
    return str(result.output)


def test_status_folds_and_names_the_command_that_shows_each_clip(transcripts: Transcripts) -> None:
    transcripts.texts(["!fail"] * 30 + ["one"])
    transcripts.extract()
    url = transcripts.cache_url
    short = shown(url)
    assert "30 clips, e.g. v/0000, v/0001, v/0002" in short
    assert "v/0007" not in short
    assert f"All clips with their reasons: smp status {url} --all" in short
    every = shown(url, "--all")
    assert [f"v/{i:04}: failed, " in every for i in range(30)] == [True] * 30
    assert "--all" not in every
    problems = json.loads(shown(url, "--json"))["stages"]["letters"]["problems"]
    assert len(problems) == 30


def test_many_different_reasons_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    problems = tuple(Problem(f"v/{c}", "failed", f"broken {c}") for c in string.ascii_lowercase)
    counts = {"ok": 0, "missing": 0, "failed": 26}
    stage = StageStatus("audio", "f" * 64, (1, 1), counts, problems, (), (), None, 0)
    print_problems([stage], "cache/talks")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + MOST_LINES + 2
    assert lines[-2] == "  … and 6 more lines"
    assert lines[-1] == "All clips with their reasons: smp status cache/talks --all"
    print_problems([stage], "cache/talks", all_of_them=True)
    assert len(capsys.readouterr().out.splitlines()) == 1 + 26
