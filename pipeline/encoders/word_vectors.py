"""Words' vectors in a file that may be larger than memory: only those asked for are read."""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Protocol
from zlib import crc32

import numpy as np

from pipeline.errors import UserError
from pipeline.io.atomic_write import atomic_write, sweep
from pipeline.io.user_cache import user_cache
from pipeline.weights.registry import load_once
from pipeline.weights.resolve import Weights

FLOAT_BYTES = 4
RANDOM_WIDTH = 64
MOST_WIDTH = 1 << 16  # numbers a word; the widest that are shared have 1,024
MOST_DIGITS = 18  # that are read of a number in the first line
LONGEST_LINE = 1 << 20  # bytes; 200 numbers are 2,000 or so


class Vectors(Protocol):
    """A vector for a word, float32 [width], or None."""

    width: int

    def of(self, word: str) -> np.ndarray | None:
        """None where the word is not known."""


@dataclass(frozen=True)
class Layout:
    """How a file of vectors is written. start: of its first word, in bytes; words: how many."""

    width: int
    is_binary: bool
    start: int
    words: int | None

    @classmethod
    def of(cls, path: Path) -> Layout:
        """By its first two lines, all that is read.

        Raises UserError for what is neither word2vec's text (with `words width` on its first line,
        or without, as GloVe has it) nor its binary format.
        """
        with path.open("rb") as file:
            head, line = file.readline(LONGEST_LINE), file.readline(LONGEST_LINE)
        fields = head.split()
        if len(fields) == 2 and all(field.isdigit() for field in fields):
            words, width = (int(field[:MOST_DIGITS]) for field in fields)
            if not 0 < width <= MOST_WIDTH or words > path.stat().st_size:
                raise UserError(
                    f"{path}: its first line claims {words} words of {width} numbers, which it "
                    "can't hold; get it again"
                )
            is_binary = _numbers(line, width) is None
            return cls(width, is_binary, len(head), words)
        width = len(fields) - 1
        if width < 2 or _numbers(head, width) is None:
            raise UserError(
                f"{path} holds no word vectors: expected word2vec's text or binary format, with "
                "the number of words and their width on the first line; unpack what is compressed"
            )
        return cls(width, is_binary=False, start=0, words=None)


class WordVectors:
    """A word2vec file as a table from words to vectors.

    Where each word is stands in an index, 16 bytes a word, that is made in one pass, kept under the
    content's digest and mapped into memory like the file itself.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self.path = path
        self.layout = Layout.of(path)
        self.width = self.layout.width
        with path.open("rb") as file:
            self._file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._digests, self._places = self._index(user_cache("vectors") / f"{digest}.npy")

    def of(self, word: str) -> np.ndarray | None:
        """Of a word that is there twice, the first."""
        wanted = word.encode("utf-8", "surrogatepass")
        digest = np.uint64(_digest(wanted))
        number = int(np.searchsorted(self._digests, digest))
        while number < len(self._digests) and self._digests[number] == digest:
            found, numbers = self._at(int(self._places[number]))
            if found == wanted:
                return numbers
            number += 1
        return None

    def _index(self, path: Path) -> np.ndarray:
        """uint64 [2, words]: digests of the words, sorted, and where each is in the file."""
        try:
            return np.load(path, mmap_mode="r")
        except (OSError, ValueError):
            index = self._indexed()
        with suppress(OSError):  # a read-only home: it is made again the next time
            sweep(path)
            with atomic_write(path) as part, part.open("wb") as file:
                np.save(file, index)
        return index

    def _indexed(self) -> np.ndarray:
        digests, places = array("Q"), array("Q")
        for word, place in self._in_binary() if self.layout.is_binary else self._in_text():
            digests.append(_digest(word))
            places.append(place)
        index = np.array([digests, places], np.uint64)
        return index[:, np.lexsort(index[::-1])]

    def _in_text(self) -> Iterator[tuple[bytes, int]]:
        at = self.layout.start
        self._file.seek(at)
        for read in iter(self._file.readline, b""):
            line = read.rstrip()
            if line.count(b" ") < self.width and line:
                raise UserError(
                    f"{self.path}: a word and {self.width} numbers were expected at byte {at}, "
                    f"there is {line[:40]!r}; is the file cut off?"
                )
            if line:
                yield _word(line, self.width), at
            at += len(read)

    def _in_binary(self) -> Iterator[tuple[bytes, int]]:
        at, size = self.layout.start, len(self._file)
        for number in range(self.layout.words or 0):
            stop = self._file.find(b" ", at)
            after = stop + 1 + FLOAT_BYTES * self.width
            if stop < 0 or after > size:
                raise UserError(f"{self.path} ends at word {number} of {self.layout.words}")
            yield self._file[at:stop].lstrip(b"\n"), at
            at = after

    def _at(self, place: int) -> tuple[bytes, np.ndarray]:
        """The word that begins at `place`, and its vector."""
        if self.layout.is_binary:
            stop = self._file.find(b" ", place)
            numbers = np.frombuffer(self._file, "<f4", self.width, stop + 1)
            return self._file[place:stop].lstrip(b"\n"), numbers.astype(np.float32)
        stop = self._file.find(b"\n", place)
        line = self._file[place : stop if stop >= 0 else len(self._file)].rstrip()
        read = _numbers(line, self.width)
        if read is None:
            raise UserError(f"{self.path}: no {self.width} numbers at byte {place}")
        return _word(line, self.width), read


class RandomVectors:
    """A seeded vector for every word, the same one everywhere."""

    width = RANDOM_WIDTH

    def of(self, word: str) -> np.ndarray | None:
        seed = crc32(word.encode("utf-8", "surrogatepass"))
        return np.random.default_rng(seed).standard_normal(self.width).astype(np.float32)


def of_word(word: str, vectors: Vectors) -> np.ndarray | None:
    """A word's vector, float32 [width]; or else the mean of those of its characters."""
    for form in dict.fromkeys((word, word.lower())):
        if (vector := vectors.of(form)) is not None:
            return vector
    found = [vector for vector in map(vectors.of, word.lower()) if vector is not None]
    return np.stack(found).mean(axis=0) if found else None


def loaded(weights: Weights) -> Vectors:
    """Those of a file, or random ones, once a process."""
    path = weights.path
    if path is None:
        return RandomVectors()
    return load_once(("tencent", weights.digest), lambda: WordVectors(path, weights.digest))


def _numbers(line: bytes, width: int) -> np.ndarray | None:
    """The last `width` fields of a line as float32, None where that is not what they are."""
    word, *fields = line.rstrip().rsplit(b" ", width)
    try:
        return np.array(fields, np.float32) if len(fields) == width and word else None
    except ValueError:
        return None


def _word(line: bytes, width: int) -> bytes:
    """What stands before the numbers; a phrase may hold spaces."""
    if line.count(b" ") == width:  # as of most, and ten times as fast
        return line[: line.find(b" ")]
    return line.rsplit(b" ", width)[0]


def _digest(word: bytes) -> int:
    return int.from_bytes(blake2b(word, digest_size=8).digest(), "little")
