"""Spans of one file through a run: each is a clip of its own, and the file is read once."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from model.cli.group import main
from pipeline import open_cache
from pipeline.checks.dataset import check
from pipeline.io import file_digests
from pipeline.runner.extract import Extraction, RunOptions, extract
from pipeline.runner.serial import run_serially
from tests.support.media_files import write

STAGES = "stages:\n  audio: {}\n  letters: {extractor: tests.support.toys.letters}\n"


class Talk:
    """A file of 3 s and its spans, each with a text."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.table = folder, folder / "talk.csv"
        write(folder / "talk.mkv", "pcm_s16le", "libx264", seconds=3.0)
        (folder / "stages.yaml").write_text(STAGES)

    def spans(self, **spans: str) -> None:
        rows = [f"{id},talk.mkv,{span},text,,train" for id, span in spans.items()]
        self.table.write_text("\n".join(["id,video,start,end,text,label,split", *rows]) + "\n")

    def extract(self) -> Extraction:
        cache, options = str(self.folder / "cache"), RunOptions()
        return extract(self.table, self.folder / "stages.yaml", run_serially, cache, options)

    def smp(self, *arguments: str) -> str:
        return CliRunner().invoke(main, [*arguments]).output


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    talk = Talk(tmp_path)
    talk.spans(a="0,1", b="1,2.5", c="2.5,")
    return talk


def why(run: Extraction) -> dict[str, tuple[int, tuple[str, ...]]]:
    return {plan.stage: (plan.clips, plan.why) for plan in run.plans}


def test_each_span_has_its_own_sound(talk: Talk) -> None:
    talk.extract()
    rows = open_cache(str(talk.folder / "cache" / "talk"))["audio"].rows(0)
    seconds = [float(row.rows["duration_s"]) for row in rows]
    assert seconds == pytest.approx([1.0, 1.5, 0.48], abs=0.001)  # from a picture on
    assert [float(row.rows["begins_s"]) for row in rows] == pytest.approx([0, 1, 2.52], abs=0.001)


def test_a_changed_span_runs_that_clip_alone_and_no_stage_of_its_text(talk: Talk) -> None:
    talk.extract()
    assert not talk.extract().outcomes
    talk.spans(a="0,1", b="1,2.25", c="2.5,")
    assert why(talk.extract()) == {
        "audio": (1, ("clip b: span changed",)),
        "letters": (0, ()),
    }
    talk.spans(a=",", b="1,2.25", c="2.5,")
    assert why(talk.extract())["audio"] == (1, ("clip a: span changed",))
    assert not talk.extract().outcomes


def test_a_span_under_another_name_keeps_its_features(talk: Talk) -> None:
    talk.extract()
    talk.spans(a="0,1", renamed="1,2.5", c="2.5,")
    assert not talk.extract().outcomes


def test_a_long_file_is_read_once_for_all_its_spans(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return "1" * 64

    monkeypatch.setattr(file_digests.FileDigests, "of", lambda _, path, *rest: counted(path))
    talk.spans(**{f"c{n}": f"{n / 10},{(n + 1) / 10}" for n in range(30)})
    talk.extract()
    assert len(read) == 1


def test_a_span_beyond_the_end_fails_alone_and_is_told(talk: Talk) -> None:
    talk.spans(a="0,1", b="1,9.5", c="5,")
    talk.extract()
    assert list(open_cache(str(talk.folder / "cache" / "talk"))["audio"].states) == [
        "ok",
        "failed",
        "failed",
    ]
    said = talk.smp("dataset", "check", str(talk.table))
    assert "b: 1.0 s to 9.5 s, but " in said
    assert "is over at 3.0" in said
    assert "c: 5.0 s to the end, but " in said


def test_the_check_counts_seconds_of_spans_and_finds_those_that_overlap(talk: Talk) -> None:
    found = check(talk.table)
    assert found.splits["train"].seconds == pytest.approx(3.0, abs=0.01)
    assert not found.fails
    assert {issue.kind for issue in found.issues} == {"empty split"}
    talk.table.write_text(
        "id,video,start,end,text,label,split\n"
        "a,talk.mkv,0,2,x,1,train\nb,talk.mkv,1,2.5,x,1,test\nc,talk.mkv,2.45,3,x,1,test\n"
    )
    said = talk.smp("dataset", "check", str(talk.table))
    assert "b: overlaps with a (train; this is test)" in said
    assert "overlaps with b" not in said  # by 50 ms alone


def test_the_page_of_a_clip_says_which_span_it_is(talk: Talk) -> None:
    talk.extract()
    page = talk.folder / "page.html"
    cache = str(talk.folder / "cache")
    talk.smp("inspect", str(talk.table), "b", "--cache", cache, "--output", str(page))
    assert "1.0 s to 2.5 s" in page.read_text(encoding="utf-8")


def test_a_changed_part_of_the_picture_runs_that_clip_alone(talk: Talk) -> None:
    head = "id,video,start,end,region,text,label,split"

    def regions(*regions: str) -> None:
        rows = [f"{n},talk.mkv,0,1,{part},text,,train" for n, part in enumerate(regions)]
        talk.table.write_text("\n".join([head, *rows]) + "\n")

    regions("left", "right", "")
    talk.extract()
    assert not talk.extract().outcomes
    regions("left", "left", "")
    assert why(talk.extract())["audio"] == (1, ("clip 1: region changed",))
    assert {issue.kind for issue in check(talk.table).issues} == {"empty split", "same content"}
    regions("left", "right", "")
    assert {issue.kind for issue in check(talk.table).issues} == {"empty split"}
