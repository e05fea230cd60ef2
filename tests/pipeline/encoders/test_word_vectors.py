"""Files of word vectors that can't be right are refused at once, whatever they claim."""

import struct
from pathlib import Path

import pytest

from pipeline.encoders.word_vectors import WordVectors
from pipeline.errors import UserError
from pipeline.io.hashing import of_bytes

WORD = b"well " + struct.pack("<3f", 1, 2, 3) + b"\n"


def read(content: bytes, folder: Path) -> WordVectors:
    path = folder / "vectors"
    path.write_bytes(content)
    return WordVectors(path, of_bytes(content))


@pytest.mark.parametrize(
    "head",
    [b"1 99999999999999999999", b"1 " + b"9" * 5000, b"1 100000", b"1 0", b"9" * 5000 + b" 3"],
)
@pytest.mark.parametrize("body", [WORD, b"well 1 2 3\n"], ids=["binary", "text"])
def test_an_absurd_first_line_is_told(head: bytes, body: bytes, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"vectors: its first line claims \d+ words of \d+ num"):
        read(head + b"\n" + body, tmp_path)


@pytest.mark.parametrize("kept", [0, 3, 6, 12, len(WORD)])
def test_a_truncated_file_is_told(kept: int, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        read((b"2 3\n" + WORD)[:kept], tmp_path)


def test_a_word_that_is_not_utf_8_costs_no_other(tmp_path: Path) -> None:
    found = read(b"2 3\n\xff\xfe 0 0 0\nwell 1 2 3\n", tmp_path).of("well")
    assert found is not None
    assert found.tolist() == [1, 2, 3]
