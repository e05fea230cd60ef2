"""An unpickler that runs nothing, and that a file can't make run for ever or fill the memory."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable
from typing import IO, Any

from pipeline.io.pickle_budgets import (
    EMPTY_COST,
    FLOOR,
    MOST_MADE,
    BudgetError,
    ForbiddenError,
    require_key,
)
from pipeline.io.pickled_arrays import ALLOWED, Array, Dtype


def _load_bytearray(unpickler: Any) -> None:
    """Bytes in its stead: all of it would be filled before it shows that the file is shorter."""
    (size,) = struct.unpack("<Q", unpickler.read(8))
    unpickler.append(unpickler.read(size))


def _load_long4(unpickler: Any) -> None:
    raise BudgetError("holds a whole number of more than 255 bytes")


def _load_reduce(unpickler: Any) -> None:
    """A call; what it is given counts, as that may be shared by many calls."""
    unpickler.spend(sum(map(_weight, unpickler.stack[-1])))
    _PYTHONS.load_reduce(unpickler)


def _load_build(unpickler: Any) -> None:
    """A state, for what is made here alone: that of anything else would change the anything."""
    if not isinstance(unpickler.stack[-2], (Array, Dtype)):
        raise ForbiddenError(f"a state of a {type(unpickler.stack[-2]).__name__}")
    unpickler.spend(sum(map(_weight, unpickler.stack[-1])))
    _PYTHONS.load_build(unpickler)


def _spending(load: Callable[[Any], None]) -> Callable[[Any], None]:
    def load_empty(unpickler: Any) -> None:
        unpickler.spend(EMPTY_COST)
        load(unpickler)

    return load_empty


def _keyed(load: Callable[[Any], None], keys: slice) -> Callable[[Any], None]:
    """`load` where those `keys` of the stack can be hashed at no cost."""

    def load_keyed(unpickler: Any) -> None:
        for key in unpickler.stack[keys]:
            if not isinstance(key, str):  # as most are
                require_key(key)
        load(unpickler)

    return load_keyed


_PYTHONS: Any = pickle._Unpickler  # the unpickler in Python, which typeshed leaves out


class Unpickler(pickle._Unpickler):
    """Knows the names in ALLOWED, each standing for a function of this file or a plain type.

    It is the one in Python: a few bytes have the one in C fill the memory with a table.
    """

    dispatch = {
        **_PYTHONS.dispatch,
        pickle.BYTEARRAY8[0]: _load_bytearray,
        pickle.LONG4[0]: _load_long4,
        pickle.REDUCE[0]: _load_reduce,
        pickle.BUILD[0]: _load_build,
        pickle.EMPTY_DICT[0]: _spending(_PYTHONS.load_empty_dictionary),
        pickle.EMPTY_SET[0]: _spending(_PYTHONS.load_empty_set),
        pickle.DICT[0]: _keyed(_PYTHONS.load_dict, slice(None, None, 2)),
        pickle.SETITEM[0]: _keyed(_PYTHONS.load_setitem, slice(-2, -1)),
        pickle.SETITEMS[0]: _keyed(_PYTHONS.load_setitems, slice(None, None, 2)),
        pickle.ADDITEMS[0]: _keyed(_PYTHONS.load_additems, slice(None)),
        pickle.FROZENSET[0]: _keyed(_PYTHONS.load_frozenset, slice(None)),
    }

    def __init__(self, file: IO[bytes], encoding: str = "latin1") -> None:
        super().__init__(file, encoding=encoding)
        begun, self.size = file.tell(), file.seek(0, os.SEEK_END)
        file.seek(begun)
        self._left = max(FLOOR, MOST_MADE * self.size)
        read = file.read

        def at_most_the_file(size: int) -> bytes:  # or its size would be allocated before it fails
            if size > self.size:
                raise EOFError(f"{size} bytes of a file of {self.size}")
            return read(size)

        self._file_read = at_most_the_file

    def spend(self, objects: int) -> None:
        """Count what a call is given."""
        self._left -= objects
        if self._left < 0:
            raise BudgetError(f"makes more than {MOST_MADE} objects for each of its bytes")

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise ForbiddenError(f"{module}.{name}")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise ForbiddenError("a reference to another file")


def _weight(value: Any) -> int:
    """The bytes or objects in what a call is given."""
    if isinstance(value, Dtype):
        return int(value.value.itemsize)
    return len(value) if isinstance(value, (str, bytes, list, tuple, dict, set, frozenset)) else 1
