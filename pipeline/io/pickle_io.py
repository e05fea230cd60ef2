"""Pickles of arrays and plain values: read without running what they name, written for numpy 1."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from typing import IO, Any

import numpy as np

from pipeline.errors import UserError
from pipeline.io.pickle_budgets import (
    FLOOR,
    MOST_DEPTH,
    MOST_SHARED,
    MOST_TOLD,
    BudgetError,
    ForbiddenError,
)
from pipeline.io.pickled_arrays import Array
from pipeline.io.unpickler import Unpickler
from pipeline.messages import one_line

NUMPY_2_NAME, NUMPY_1_NAME = b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"
HEAD_BYTES = 256

# ---- reading -----------------------------------------------------------------------------------


def load(file: IO[bytes], where: str) -> Any:
    """The content of a pickle of arrays, scalars, containers, texts and numbers.

    file: one that can seek. Written with numpy 1 or 2, Python 2 or 3; arrays can't be written to.
    Raises UserError for anything else, by name, for a damaged file, and for a bomb.
    """
    try:
        unpickler = Unpickler(file)
        return _Plain(max(FLOOR, MOST_SHARED * unpickler.size))(unpickler.load())
    except ForbiddenError as error:
        raise UserError(
            f"{where}: holds {error}, which is neither an array nor a plain value; a pickle can "
            "run what it names, so this one is not opened"
        ) from None
    except BudgetError as error:
        raise UserError(
            f"{where}: {error}; no file of features does that, so this one is not opened"
        ) from None
    except Exception as error:  # what is damaged can fail anywhere
        raise UserError(
            f"{where}: not a pickle, or a damaged one ({one_line(error)[:MOST_TOLD]}); get it again"
        ) from None


HOLDING = (Array, dict, list, tuple, set, frozenset)


class _Plain:
    """Values with arrays in the place of what was to become one.

    What is shared is walked once and stays shared. Raises BudgetError for what is too deep, holds
    itself, or is too much when every share of it is written out, as what reads it later will.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._done: dict[int, tuple[Any, int]] = {}  # by id: the result, and how many objects it is
        self._open: set[int] = set()

    def __call__(self, value: Any) -> Any:
        return self._all([value], 0)[0][0]

    def _walked(self, value: Any, depth: int) -> tuple[Any, int]:
        if found := self._done.get(id(value)):
            return found
        if id(value) in self._open:
            raise BudgetError("holds a list that holds itself")
        if depth > MOST_DEPTH:
            raise BudgetError(f"is more than {MOST_DEPTH} lists deep")
        self._open.add(id(value))
        found = self._made(value, depth + 1)
        if found[1] > self._most:
            raise BudgetError(f"is more than {self._most} objects, written out")
        self._open.remove(id(value))
        self._done[id(value)] = found
        return found

    def _made(self, value: Any, depth: int) -> tuple[Any, int]:
        if isinstance(value, Array):
            array = value.value
            if not array.dtype.hasobject:
                return array, 1
            inner, count = self._all(array.reshape(-1).tolist(), depth)
            for at, one in zip(np.ndindex(array.shape), inner, strict=True):
                array[at] = one
            return array, count
        if isinstance(value, dict):
            inner, count = self._all(value.values(), depth)
            return dict(zip(value, inner, strict=True)), count + len(value)
        if isinstance(value, (set, frozenset)):
            return value, 1 + len(value)
        inner, count = self._all(value, depth)
        return type(value)(inner), count

    def _all(self, values: Iterable[Any], depth: int) -> tuple[list[Any], int]:
        walked = [
            self._walked(one, depth) if isinstance(one, HOLDING) else (one, 1) for one in values
        ]
        return [one for one, _ in walked], 1 + sum(count for _, count in walked)


# ---- writing -----------------------------------------------------------------------------------


def dumps(value: Any) -> list[bytes | memoryview]:
    """A pickle in two pieces, with the name that numpy 1 has for its arrays; numpy 2 knows both.

    Protocol 3 names it once, ahead of the first array's data, which must come early in `value`.
    """
    try:
        content = pickle.dumps(value, protocol=3)
    except OverflowError:
        raise UserError(
            "this format can't hold an array of 4 GB or more; export fewer stages"
        ) from None
    head = content[:HEAD_BYTES].replace(NUMPY_2_NAME, NUMPY_1_NAME, 1)
    return [head, memoryview(content)[HEAD_BYTES:]]
