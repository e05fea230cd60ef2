"""Pickles of arrays and plain values: read without running what they name, written for numpy 1."""

from __future__ import annotations

import pickle
import struct
import sys
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

from pipeline.errors import UserError
from pipeline.messages import one_line

KINDS = "biufSUO"  # of an array's elements: numbers, texts, and lists of what is allowed itself
NUMPY_2_NAME, NUMPY_1_NAME = b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"
HEAD_BYTES = 256

# ---- reading -----------------------------------------------------------------------------------


class ForbiddenError(Exception):
    """The pickle names what is neither numpy's nor a plain value."""


def load(file: IO[bytes], where: str) -> Any:
    """The content of a pickle of arrays, scalars, containers, texts and numbers.

    Written with numpy 1 or 2, Python 2 or 3; arrays can't be written to. Raises UserError for
    anything else, by name, and for a damaged file.
    """
    try:
        return _plain(Unpickler(file, encoding="latin1").load())
    except ForbiddenError as error:
        raise UserError(
            f"{where}: holds {error}, which is neither an array nor a plain value; a pickle can "
            "run what it names, so this one is not opened"
        ) from None
    except Exception as error:  # what is damaged can fail anywhere
        raise UserError(
            f"{where}: not a pickle, or a damaged one ({one_line(error)}); get it again"
        ) from None


def _load_bytearray(unpickler: Any) -> None:
    """Bytes in its stead: all of it would be filled before it shows that the file is shorter."""
    (size,) = struct.unpack("<Q", unpickler.read(8))
    unpickler.append(unpickler.read(size))


class Unpickler(pickle._Unpickler):
    """Knows the names in ALLOWED, each standing for a function of this file or a plain type.

    It is the one in Python: a few bytes have the one in C fill the memory with a table.
    """

    dispatch = {**pickle._Unpickler.dispatch, pickle.BYTEARRAY8[0]: _load_bytearray}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise ForbiddenError(f"{module}.{name}")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise ForbiddenError("a reference to another file")


class _Dtype:
    """A type of elements, by its name alone: numpy itself would believe any size and flag."""

    def __init__(self, name: str, align: object = False, copy: object = True) -> None:
        self.value = np.dtype(name) if isinstance(name, str) else np.dtype("V")
        if self.value.kind not in KINDS:
            raise ForbiddenError(f"an array of {name!r}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order, *parts = state[1:5]
        if any(part is not None for part in parts):
            raise ForbiddenError("an array of structures")
        self.value = self.value.newbyteorder(order)


class _Array:
    """An array to be, made from its pickled state: numpy's own way crashes on a damaged one."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        *_, shape, dtype, is_fortran, data = state
        self.value = _elements(data, dtype).reshape(shape, order="F" if is_fortran else "C")


def _elements(data: Any, dtype: object) -> np.ndarray:
    """[n] of a type, from their bytes, or from a list where they are objects."""
    if not isinstance(dtype, _Dtype):
        raise ForbiddenError(f"an array of {dtype!r}")
    kind = dtype.value
    if kind.hasobject:
        if not isinstance(data, list):
            raise ForbiddenError("an array of pointers")
        elements = np.empty(len(data), object)
        for number, value in enumerate(data):
            elements[number] = value
        return elements
    content = data.encode("latin1") if isinstance(data, str) else data
    if not isinstance(content, bytes):
        raise ForbiddenError(f"an array of {kind} made from a {type(data).__name__}")
    elements = np.frombuffer(content, kind) if content else np.empty(0, kind)
    if kind.kind == "U" and (elements.view(f"{kind.byteorder}u4") > sys.maxunicode).any():
        raise ValueError("a text with no such character")
    return elements


def _plain(value: Any) -> Any:
    """`value` with arrays in the place of what was to become one."""
    if isinstance(value, _Array):
        array = value.value
        for at in np.ndindex(array.shape) if array.dtype.hasobject else ():
            array[at] = _plain(array[at])
        return array
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(inner) for inner in value)
    return value


def _frombuffer(buffer: Any, dtype: object, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.value = _elements(buffer, dtype).reshape(shape, order=order)
    return array


def _scalar(dtype: object, data: Any) -> Any:
    return _elements(data, dtype)[0]


_PLAIN = (set, frozenset, list, tuple, dict, str, int, float, bool)
ALLOWED: Mapping[tuple[str, str], Any] = {
    **{(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in _PLAIN},
    # How protocols before 3 write bytes; `bytes` itself makes as many zeros as a file asks for.
    **{(module, "bytes"): lambda: b"" for module in ("builtins", "__builtin__")},
    ("_codecs", "encode"): lambda text, encoding: text.encode("latin1"),
    ("numpy", "ndarray"): "numpy.ndarray",
    ("numpy", "dtype"): _Dtype,
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", lambda *_: _Array()),  # filled by its state
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _frombuffer),
        )
    },
}

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
