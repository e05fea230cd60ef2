"""What a pickle of features may name: arrays, their types and sets, made without believing it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pipeline.io.pickle_budgets import (
    MOST_EMPTY,
    MOST_TOLD,
    BudgetError,
    ForbiddenError,
    require_key,
)

KINDS = "biufSUO"  # of an array's elements: numbers, texts, and lists of what is allowed itself


def _named(value: object) -> str:
    """What a message calls it: its repr may never end, where it shares enough."""
    return repr(value[:MOST_TOLD]) if isinstance(value, str) else f"a {type(value).__name__}"


class Dtype:
    """A type of elements, by its name alone: numpy itself would believe any size and flag."""

    def __init__(self, name: str, align: object = False, copy: object = True) -> None:
        self.value = np.dtype(name) if isinstance(name, str) else np.dtype("V")
        if self.value.kind not in KINDS:
            raise ForbiddenError(f"an array of {_named(name)}")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order, *parts = state[1:5]
        if any(part is not None for part in parts):
            raise ForbiddenError("an array of structures")
        self.value = self.value.newbyteorder(order)


class Array:
    """An array to be, made from its pickled state: numpy's own way crashes on a damaged one."""

    value: np.ndarray

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        *_, shape, dtype, is_fortran, data = state
        self.value = _shaped(_elements(data, dtype), shape, "F" if is_fortran else "C")


def _shaped(elements: np.ndarray, shape: Any, order: Any) -> np.ndarray:
    """`elements` in a shape; one without elements may claim any number of rows."""
    array = elements.reshape(shape, order=order)
    if not array.size and max(array.shape) > MOST_EMPTY:
        raise BudgetError(f"has an empty array of shape {list(array.shape)}")
    return array


def _elements(data: Any, dtype: object) -> np.ndarray:
    """[n] of a type, from their bytes, or from a list where they are objects."""
    if not isinstance(dtype, Dtype):
        raise ForbiddenError(f"an array of {_named(dtype)}")
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


def _set(kind: type) -> Callable[..., Any]:
    def make(items: Any = ()) -> Any:
        for item in items:
            require_key(item)
        return kind(items)

    return make


def _frombuffer(buffer: Any, dtype: object, shape: Any, order: Any) -> Array:
    array = Array()
    array.value = _shaped(_elements(buffer, dtype), shape, order)
    return array


def _scalar(dtype: object, data: Any) -> Any:
    return _elements(data, dtype)[0]


_PLAIN = (list, tuple, dict, str, int, float, bool)  # as a value; no file of features calls one
ALLOWED: Mapping[tuple[str, str], Any] = {
    **{(m, kind.__name__): kind.__name__ for m in ("builtins", "__builtin__") for kind in _PLAIN},
    **{
        (m, kind.__name__): _set(kind)
        for m in ("builtins", "__builtin__")
        for kind in (set, frozenset)
    },
    # How protocols before 3 write bytes; `bytes` itself makes as many zeros as a file asks for.
    **{(module, "bytes"): lambda: b"" for module in ("builtins", "__builtin__")},
    ("_codecs", "encode"): lambda text, encoding: text.encode("latin1"),
    ("numpy", "ndarray"): "numpy.ndarray",
    ("numpy", "dtype"): Dtype,
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", lambda *_: Array()),  # filled by its state
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _frombuffer),
        )
    },
}
