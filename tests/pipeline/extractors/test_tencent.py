"""Words and their vectors, from every kind of file, without ever reading one as a whole."""

import builtins
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from model.cli.group import main
from pipeline import open_cache
from pipeline.dataset.clip import Clip
from pipeline.encoders.segment import words
from pipeline.encoders.word_vectors import Layout, WordVectors, of_word
from pipeline.errors import UserError
from pipeline.extractors.tencent import Tencent
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.stage.transcript import written
from pipeline.weights import registry

WIDTH = 4
KNOWN = ["</s>", "我", "喜欢", "电影", "影", "坏", "good", "film", "!", "hit the"]
TABLE: Mapping[str, list[float]] = {w: [n + 0.5, -n, n / 4, 1.0] for n, w in enumerate(KNOWN)}


def floats(values: Any) -> np.ndarray:
    return np.array(values, np.float32)


def text_file(path: Path, heading: bool = True, table: Mapping[str, list[float]] = TABLE) -> Path:
    lines = [f"{len(table)} {WIDTH}"] if heading else []
    lines += [" ".join([word, *map(str, numbers)]) for word, numbers in table.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def binary_file(path: Path, line_ends: bool) -> Path:
    content = f"{len(TABLE) - 1} {WIDTH}\n".encode()
    for word, numbers in list(TABLE.items())[:-1]:  # a phrase can't be told from two words there
        content += word.encode() + b" " + struct.pack(f"<{WIDTH}f", *numbers)
        content += b"\n" if line_ends else b""
    path.write_bytes(content)
    return path


FILES = {
    "text": lambda folder: text_file(folder / "v.txt"),
    "GloVe": lambda folder: text_file(folder / "v.txt", heading=False),
    "binary": lambda folder: binary_file(folder / "v.bin", line_ends=False),
    "binary with line ends": lambda folder: binary_file(folder / "v.bin", line_ends=True),
}


@pytest.mark.parametrize("kind", FILES)
def test_every_word_has_its_own_vector(tmp_path: Path, kind: str) -> None:
    vectors = WordVectors(FILES[kind](tmp_path), "digest")
    assert vectors.width == WIDTH
    for word in list(TABLE)[: -1 if "binary" in kind else None]:
        np.testing.assert_array_equal(vectors.of(word), floats(TABLE[word]))
    for word in ("", "goo", "goods", "喜", "hit"):
        assert vectors.of(word) is None


def test_of_a_word_that_is_there_twice_the_first_counts(tmp_path: Path) -> None:
    path = tmp_path / "v.txt"
    path.write_text("2 2\na 1 2\na 3 4")
    assert WordVectors(path, "digest").of("a").tolist() == [1, 2]  # type: ignore[union-attr]


def test_the_file_is_gone_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = text_file(tmp_path / "v.txt")
    WordVectors(path, "one")
    with monkeypatch.context() as patch:
        patch.setattr(WordVectors, "_in_text", lambda self: pytest.fail("gone through again"))
        assert WordVectors(path, "one").of("good") is not None
        with pytest.raises(pytest.fail.Exception):
            WordVectors(path, "another content")
    index = Path(os.environ["XDG_CACHE_HOME"]) / "smp" / "vectors" / "one.npy"
    index.write_bytes(b"damaged")
    assert WordVectors(path, "one").of("good") is not None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x1f\x8b\x08\x00packed", "holds no word vectors: .* unpack what is compressed"),
        (b"", "holds no word vectors"),
        (b"only words here\n", "holds no word vectors"),
        (b"2 3\na 1 2 3\nb 1 2", "a word and 3 numbers were expected at byte 12.*cut off"),
        (b"2 3\na " + struct.pack("<3f", 1, 2, 3) + b"\nb \x00\x01", "ends at word 1 of 2"),
    ],
)
def test_a_file_that_cannot_be_right_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "v.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        WordVectors(path, str(len(content)))


def test_the_width_is_told_by_the_first_lines_alone(tmp_path: Path) -> None:
    path = text_file(tmp_path / "v.txt")
    with path.open("ab") as file:
        file.write(b"damaged further on")
    assert Layout.of(path).width == WIDTH


def test_words_and_marks_are_told_apart() -> None:
    assert words("I didn't LIKE it, at-all!") == ["I", "didn't", "LIKE", "it", ",", "at-all", "!"]
    assert words("我喜欢这部电影。") == ["我", "喜欢", "这部", "电影", "。"]
    assert words(" \n") == []


def test_jieba_reads_its_dictionary_where_no_one_else_writes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(registry, "_models", {})
    words("我喜欢")
    assert [path.name for path in (tmp_path / "smp" / "jieba").iterdir()] == ["jieba.cache"]


def test_without_jieba_the_command_that_installs_it_is_told(monkeypatch) -> None:
    imported = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "jieba":
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(registry, "_models", {})
    assert words("no Chinese") == ["no", "Chinese"]
    with pytest.raises(UserError, match=r'pip install "smp-sentiment\[chinese\]"'):
        words("我喜欢")


# --- the stage --------------------------------------------------------------------------------


def results(path: Path | str, *batch: ClipInputs, **settings: Any) -> list[ClipResult]:
    stage = Tencent(Tencent.Settings(weights=str(path), **settings), 32)
    return list(stage.extract(batch))


def said(text: str, **rows: Any) -> ClipInputs:
    return ClipInputs(Clip("a", text=text), rows)


def test_a_text_is_its_words_vectors_in_order(tmp_path: Path) -> None:
    (chinese, english) = results(
        text_file(tmp_path / "v.txt"), said("我喜欢电影"), said("GOOD film!")
    )
    expected = floats([TABLE[word] for word in ("我", "喜欢", "电影")])
    np.testing.assert_array_equal(chinese.rows["features"], expected)
    assert (chinese.state, chinese.length, chinese.reason) == ("ok", 3, "")
    expected = floats([TABLE[word] for word in ("good", "film", "!")])
    np.testing.assert_array_equal(english.rows["features"], expected)


def test_an_unknown_word_is_the_mean_of_its_characters_or_zero_and_counted(tmp_path: Path) -> None:
    path = text_file(tmp_path / "v.txt")
    vectors = WordVectors(path, "digest")
    mean = floats([TABLE["坏"], TABLE["影"]]).mean(axis=0)
    np.testing.assert_allclose(floats(of_word("坏影", vectors)), mean)
    np.testing.assert_allclose(floats(of_word("坏丽", vectors)), floats(TABLE["坏"]))
    (result,) = results(path, said("good blah xyz film"))
    assert result.state == "ok"
    assert (result.reason, result.doubt) == ("", "2 of 4 words have no vector")
    assert float(result.rows["unknown"]) == 0.5
    (few,) = results(path, said("good film good xyz film"))
    assert (few.reason, few.doubt) == ("1 of 5 words have no vector", "")
    assert float(few.rows["unknown"]) == pytest.approx(0.2)
    assert not result.rows["features"][1:3].any()
    assert result.rows["features"][[0, 3]].any(axis=1).all()


def test_long_texts_are_sampled_and_empty_ones_missing(tmp_path: Path) -> None:
    path = text_file(tmp_path / "v.txt")
    long, empty = results(path, said("good film " * 40), said(" "))
    assert long.rows["features"].shape == (32, WIDTH)
    assert (empty.state, empty.reason) == ("missing", "empty text")


def test_a_heard_transcript_stands_in_for_none_and_only_for_none(tmp_path: Path) -> None:
    path = text_file(tmp_path / "v.txt")
    heard = written("good film")
    own, other = results(path, said("film", transcript=heard), said("", transcript=heard))
    assert own.length == 1
    assert other.length == 2


def test_random_vectors_know_every_word_again() -> None:
    first, second = results("random", said("a fine film"), said("fine"))
    np.testing.assert_array_equal(first.rows["features"][1], second.rows["features"][0])
    assert first.rows["features"].shape == (3, 64)


def test_a_folder_with_several_files_wants_one_named(tmp_path: Path) -> None:
    text_file(tmp_path / "a.txt")
    binary_file(tmp_path / "b.bin", line_ends=False)
    with pytest.raises(UserError, match="2 files that fit, a.txt and b.bin"):
        results(tmp_path, said("film"))
    (result,) = results(tmp_path, said("film"), file="b.bin")
    np.testing.assert_array_equal(result.rows["features"], floats([TABLE["film"]]))


@pytest.fixture
def talks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of transcripts, extracted with both kinds of text features."""
    monkeypatch.chdir(tmp_path)
    splits = ["train"] * 8 + ["valid"] * 4 + ["test"] * 4
    lines = ["id,text,label,split"]
    for i, split in enumerate(splits):
        lines.append(f"{i},{('good film !', '坏电影')[i % 2]},{(0.8, -0.6)[i % 2]},{split}")
    Path("talks.csv").write_text("\n".join(lines), encoding="utf-8")
    boxes = {"bert": {"weights": "random"}, "tencent": {"weights": str(text_file(Path("v.txt")))}}
    Path("stages.yaml").write_text(yaml.safe_dump({"stages": boxes}))
    done = CliRunner().invoke(main, ["extract", "talks.csv", "--serial"])
    assert done.exit_code == 0, done.output
    return tmp_path


@pytest.mark.parametrize(
    ("text", "stages"),
    [("", ["bert"]), ("tencent", ["tencent"]), ("bert,tencent", ["bert", "tencent"])],
)
def test_a_model_is_trained_on_either_text_or_both(
    talks: Path, text: str, stages: list[str]
) -> None:
    assert open_cache("cache/talks")["tencent"].read().shape == (16, 32, WIDTH)
    options = ["--epochs", "1", "--json", *(["--text", text] if text else [])]
    done = CliRunner().invoke(main, ["train", "talks.csv", *options])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    run = json.loads((Path(told["run"]) / "settings.json").read_text())
    assert run["data"]["channels"] == {"text": stages}
    refused = CliRunner().invoke(main, ["train", "talks.csv", "--text", "glove"])
    assert (refused.exit_code, "no stage 'glove'" in refused.output) == (2, True)
