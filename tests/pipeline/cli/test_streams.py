"""Whatever names, files and errors hold: no terminal is given a control or an unseen character."""

import io
import json
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from model.cli.group import main
from pipeline.cli.console import Terminal
from pipeline.cli.streams import Shown, shown, undisguised
from pipeline.io.hashing import sealed
from pipeline.messages import printable
from tests.conftest import Transcripts

HOSTILE = "a\x1b[2J\x1b]8;;file:///x\x07\u202eb\u200bc\x9bd\x85\U000e0041\r"
NEVER = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e\U000e0041]")
OWN = re.compile(r"\x1b\[(?:\?25[hl]|[\d;]*m|2K|\d*A)|\r")  # what rich draws with


class Tty(io.TextIOWrapper):
    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding)

    def isatty(self) -> bool:
        return True

    def said(self) -> str:
        self.flush()
        written = self.buffer
        assert isinstance(written, io.BytesIO)
        return written.getvalue().decode()


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command with both its streams on a terminal, and give what was written there."""
    monkeypatch.setenv("TERM", "xterm")

    def run(*words: object) -> str:
        with monkeypatch.context() as patched:
            tty = Tty()
            patched.setattr(sys, "stdout", tty)
            patched.setattr(sys, "stderr", tty)
            try:
                main([str(word) for word in words], prog_name="smp")
            except SystemExit:
                pass
            except Exception:
                sys.excepthook(*sys.exc_info())
        return tty.said()

    return run


def is_harmless(said: str) -> bool:
    return NEVER.search(OWN.sub("", said)) is None


def manifest(folder: Path) -> Path:
    path = folder / "talks.jsonl"
    rows = [
        {"id": f"x\u202e{n}\u200b", "text": text, "label": "1", "split": "train"}
        for n, text in enumerate(["hello", "!fail", "!raise"])
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_ids_on_a_terminal_are_shown_as_escapes(
    transcripts: Transcripts, on_a_terminal: Callable[..., str], tmp_path: Path
) -> None:
    where = manifest(tmp_path), "--cache", transcripts.cache_root
    stages = "--stages", transcripts.stages_file
    for words in (
        ("extract", *where, *stages, "--serial"),
        ("extract", *where, *stages, "--plan"),
        ("status", *where, "--all"),
        ("dataset", "check", where[0]),
    ):
        said = on_a_terminal(*words)
        assert is_harmless(said), said
        assert "x\\u202e1\\u200b" in said or words[1:3] == ("check", where[0]) or "--plan" in words


def test_json_stays_json(
    transcripts: Transcripts, on_a_terminal: Callable[..., str], tmp_path: Path
) -> None:
    where = manifest(tmp_path), "--cache", transcripts.cache_root
    on_a_terminal("extract", *where, "--stages", transcripts.stages_file, "--serial")
    said = on_a_terminal("status", *where, "--json")
    assert is_harmless(said)
    problems = json.loads(said)["stages"]["letters"]["problems"]
    assert {problem["clip"] for problem in problems} >= {"x\u202e1\u200b"}


def test_what_is_wrong_with_hostile_files_is_told_harmlessly(
    transcripts: Transcripts, on_a_terminal: Callable[..., str], tmp_path: Path
) -> None:
    transcripts.texts(["a"])
    transcripts.extract()
    (bad := tmp_path / f"bad{HOSTILE.replace('/', '')}.yaml").write_text("stages: {bert: {x: [")
    (odd := tmp_path / "odd.yaml").write_text(json.dumps({"stages": {HOSTILE: {HOSTILE: 1}}}))
    (own := tmp_path / "own.yaml").write_text(json.dumps({"stages": {"a": {"extractor": HOSTILE}}}))
    names_code = b"cos\n" + HOSTILE.replace("\r", "").replace("\x85", "").encode() + b"\n."
    (code := tmp_path / "code.pkl").write_bytes(names_code)
    columns = "video_id,clip_id,text,label,annotation,mode"
    (table := tmp_path / "label.csv").write_text(f"{columns}\na\x1b[2J\u202e,1,hi,0,,train\n")
    for words in (
        ("extract", transcripts.folder, "--stages", bad),
        ("extract", transcripts.folder, "--stages", odd),
        ("extract", transcripts.folder, "--stages", own),
        ("extract", tmp_path / HOSTILE),
        ("import", code),
        ("dataset", "check", table.parent),
        ("settings", HOSTILE),
        (HOSTILE,),
        ("status", "x", f"--{HOSTILE}"),
    ):
        said = on_a_terminal(*words)
        assert is_harmless(said), said
        assert re.search(r"\\(?:u001b|x1b)\[2J", said), said


def test_a_stage_that_a_cache_names_is_told_harmlessly(
    transcripts: Transcripts, on_a_terminal: Callable[..., str]
) -> None:
    transcripts.texts(["a"])
    transcripts.extract()
    Path(transcripts.cache_url, "current.json").write_bytes(sealed({HOSTILE: {}}))
    for command in ("status", "verify", "clean", "train", "report"):
        said = on_a_terminal(command, transcripts.cache_url)
        assert is_harmless(said), said


def test_a_traceback_is_harmless(
    on_a_terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(HOSTILE)

    monkeypatch.setattr("pipeline.store.cache.open_cache", fail)
    said = on_a_terminal("status", tmp_path)
    assert is_harmless(said), said
    assert said.startswith("Traceback")
    assert "RuntimeError: a\\u001b[2J" in said


def test_rich_draws_itself_and_nothing_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    tty = Tty()
    monkeypatch.setattr(sys, "stderr", shown(tty))
    console = Terminal(stderr=True)
    table = Table(HOSTILE, title=HOSTILE)
    table.add_row(HOSTILE, style="red")
    console.print(table, HOSTILE, Text(HOSTILE, style="link file:///x"))
    with Progress(console=console) as bars:
        bars.add_task(HOSTILE.replace("[", ""), total=3)
        print(HOSTILE, file=sys.stderr)
    said = tty.said()
    assert "\x1b[31m" in said, "its colours come through"
    assert is_harmless(said), said


def test_bars_of_downloads_still_move() -> None:
    bar = Shown(stream := io.StringIO())
    own = ["\r", "\n", "\x1b[A", "\n\n", "\x1b[A\x1b[A", "\r 10%"]
    for text in (*own, "\r\x1b[2J", "a\rb", "c\x1b[A", "\r\r"):
        bar.write(text)
    rest = r"\u001b[2J", r"a\rb", r"c\u001b[A", r"\r\r"
    assert stream.getvalue() == "".join([*own, "\r", *rest])


def test_a_stream_that_is_shown_is_otherwise_the_stream() -> None:
    tty = Tty()
    stream = shown(tty)
    assert shown(stream) is stream
    assert undisguised(stream) is undisguised(tty) is tty
    assert (stream.isatty(), stream.encoding, shown(None)) == (True, "utf-8", None)
    with pytest.raises(TypeError):
        stream.write(b"\x1b")
    stream.buffer.write("é\x1b\n".encode() + b"\xff")
    stream.buffer.flush()
    assert tty.said() == "é\\u001b\n\\xff"


def test_in_a_terminal_of_another_encoding_nothing_gets_around_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tty = Tty("ascii")
    monkeypatch.setattr(sys, "stdout", shown(tty))
    click.echo("a – \x1b]8;;x\x07")
    click.echo(b"b" + b"\x9b")
    assert tty.said() == "a \\u2013 \\u001b]8;;x\\u0007\nb\\x9b\n"


@pytest.mark.parametrize("text", [HOSTILE, "\x7f", "\ud800", "\n\t", "é 你 \u00a0 👍🏽"])
def test_an_escape_is_what_json_calls_it(text: str) -> None:
    assert json.loads(f'"{printable(text)}"') == text
    assert printable(printable(text)) == printable(text)


def test_text_of_any_script_stays_as_it_is() -> None:
    for text in ("naïve – “quoted”", "情感分析", "تحليل", "भावना", "👍🏽", "a\u00a0b", "한국어"):
        assert printable(text) == text


def test_a_pickle_is_a_pickle() -> None:
    """What the test above holds to be refused is one: it names something of `os`."""
    with pytest.raises(AttributeError):
        pickle.loads(b"cos\nno_such_thing\n.")
