"""YAML: plain settings are read, all else is refused in one line that names file and line."""

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.dag.spec import DEFAULT_FILE
from pipeline.errors import UserError
from pipeline.io.yaml_file import MOST_BYTES, MOST_DEPTH, parsed, read_yaml
from pipeline.recipes.ready import BETWEEN
from tests.support.paths import ROOT

PLAIN = (
    "a: {b: 1, c: -2.5, d: 1.0e-3, e: null, f: true, g: [x, '010', \"2024-01-01\"], h: }\n"
    "i: >-\n  one\n  two\nj: 1e-3\nk: +0\n'1': no\n"
)


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "some.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_plain_settings_are_read(tmp_path: Path) -> None:
    assert read_yaml(written(tmp_path, PLAIN)) == {
        "a": {"b": 1, "c": -2.5, "d": 0.001, "e": None, "f": True, "g": ["x", "010", "2024-01-01"],
              "h": None},
        "i": "one two", "j": "1e-3", "k": 0, "1": False,
    }  # fmt: skip
    assert read_yaml(written(tmp_path, "\ufeffa: é")) == {"a": "é"}
    assert read_yaml(written(tmp_path, "")) is None


@pytest.mark.parametrize(
    ("content", "line", "told"),
    [
        ("a: 1\nstages:\n  bert: {}\n  bert: {}\n", 4, "'bert' is here again, after line 3"),
        ("a: {b: 1, 'b': 2}", 1, "'b' is here again"),
        ("a: &x [1]\nb: 2", 1, "aliases"),
        ("a: [1]\nb: *a", 2, "aliases"),
        ("&a [*a]", 1, "aliases"),
        ("a: {<<: {b: 1}}", 1, "<< is not read"),
        ("a:\n  1: {}", 2, "the key 1 is not text; write '1'"),
        ("a:\n  1.5: {}", 2, "the key 1.5 is not text"),
        ("true: {}", 1, "the key true is not text"),
        ("null: {}", 1, "the key null is not text"),
        ("2024-01-01: {}", 1, "the key 2024-01-01 is not text"),
        ("? [a]\n: b", 1, "a list or a mapping can't be a key"),
        ("a: !!python/object/apply:os.system [ls]", 1, "tags "),
        ("a: !!int x", 1, "tags "),
        ("a: !own x", 1, "tags "),
        ("a: 100000000000000000000", 1, "the number 100000000000000000000 has more than 15"),
        (f"a: {'9' * 9999}", 1, "has more than 15 digits"),
        ("a: 1:30", 1, "the number 1:30 has"),
        ("a: 1:30.5", 1, "the number 1:30.5 is"),
        ("a: 010", 1, "write plain digits, or text in quotes"),
        ("a: 0x10", 1, "the number 0x10"),
        ("a: 1_000", 1, "the number 1_000"),
        ("a: 1_0.5", 1, "the number 1_0.5"),
        ("a: .inf", 1, "the number .inf is not finite"),
        ("a: -.INF", 1, "is not finite"),
        ("a: .nan", 1, "is not finite"),
        ("a: 1.0e+999", 1, "is not finite"),
        ("b:\n- 2024-01-01", 2, "2024-01-01 is a date; write it in quotes"),
        ("a: =", 1, "is not YAML"),
        ("a:\n\tb: 1", 2, "is not YAML: found character"),
        ("a: [", 1, "is not YAML"),
        ("a: 1\n--- \nb: 2", 2, "is not YAML"),
        ("a: \x00", 1, "is not YAML: character 0 is not allowed"),
        ("a: \x1b[2J", 1, "is not YAML: character 27 is not allowed"),
        (b"a: 1\nb: \x80", 2, "is not UTF-8"),
        ("a: 1".encode("utf-16"), 1, "is not UTF-8"),
    ],
)  # fmt: skip
def test_what_surprises_is_refused_with_its_line(
    content: str | bytes, line: int, told: str, tmp_path: Path
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(UserError) as refusal:
        read_yaml(path)
    assert str(refusal.value).startswith(f"{path}, line {line}: ")
    assert told in str(refusal.value)
    assert len(str(refusal.value).removeprefix(str(path))) < 200
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("pair", [("[", "]"), ("{a: ", "}"), ("- ", "")])
def test_depth_has_a_limit(pair: Sequence[str], tmp_path: Path) -> None:
    def nested(levels: int) -> Path:
        return written(tmp_path, pair[0] * levels + "x" + pair[1] * levels)

    assert read_yaml(nested(MOST_DEPTH - 1))
    for levels in (MOST_DEPTH, 10_000):
        with pytest.raises(UserError, match=f"line 1: more than {MOST_DEPTH} levels"):
            read_yaml(nested(levels))


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"/dev/zero: more than {MOST_BYTES} bytes"):
        read_yaml(Path("/dev/zero"))
    os.truncate(written(tmp_path, "a"), 2**40)  # of which next to nothing is on disk
    with pytest.raises(UserError, match=f"more than {MOST_BYTES} bytes"):
        read_yaml(tmp_path / "some.yaml")


def test_what_a_shell_hands_over_is_read(tmp_path: Path) -> None:
    """As in `--stages <(sed … stages.yaml)`."""
    os.mkfifo(pipe := tmp_path / "pipe")
    writer = threading.Thread(target=pipe.write_text, args=("a: 1",))
    writer.start()
    assert read_yaml(pipe) == {"a": 1}
    writer.join()


def test_what_can_not_be_opened_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(UserError, match=f"^{path} can't be read: "):
            read_yaml(path)


def test_every_file_of_ours_is_plain() -> None:
    own = [path for top in ("pipeline", "model") for path in (ROOT / top).rglob("*.yaml")]
    assert DEFAULT_FILE in own
    for path in own:
        for part in path.read_text(encoding="utf-8").split(BETWEEN):
            assert isinstance(parsed(part.encode(), str(path)), dict), path


def test_no_other_code_reads_yaml() -> None:
    reads = ("yaml.safe_load", "yaml.load", "import yaml")
    sources = [path for top in ("pipeline", "model") for path in (ROOT / top).rglob("*.py")]
    found = [p for p in sources if any(word in p.read_text(encoding="utf-8") for word in reads)]
    assert found == [ROOT / "pipeline/io/yaml_file.py"]
