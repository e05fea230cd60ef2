"""Pickles from anywhere: plain content comes through, what could run is refused and not run."""

import io
import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from pipeline.errors import UserError
from pipeline.io import pickle_io, unpickler

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
PLAIN = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(3, dtype=">f4"),
    np.array([True, False]),
    np.array(["a", "längere"]),
    np.array([b"bytes", b"more"]),
    np.zeros((0, 3)),
    np.array(2.5),
    np.float32(1.5),
    np.int64(-3),
    np.bool_(True),
    {"a": [1, (2.5, None), {3, 4}, frozenset({"x"}), b"raw", b"", True, "文"]},
]


def load(content: bytes) -> Any:
    return pickle_io.load(io.BytesIO(content), "file.pkl")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", PLAIN, ids=lambda value: repr(value)[:30])
def test_plain_values_and_arrays_come_through(value: Any, protocol: int) -> None:
    found = load(pickle.dumps(value, protocol=protocol))
    if isinstance(value, np.ndarray):
        found = np.asarray(found)
        assert found.dtype.newbyteorder("=") == value.dtype.newbyteorder("=")
        assert found.shape == value.shape
    np.testing.assert_equal(found, value)


numbers = of_numpy.arrays(
    st.sampled_from(["f4", "f8", "i4", "u1", "?", "U3"]),
    of_numpy.array_shapes(min_dims=0, min_side=0, max_side=4),
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | numbers,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=60)
@given(values, st.sampled_from(PROTOCOLS))
def test_whatever_is_plain_comes_through(value: Any, protocol: int) -> None:
    np.testing.assert_equal(load(pickle.dumps(value, protocol=protocol)), value)


def test_an_array_of_objects_holds_what_was_put_in() -> None:
    value = np.empty(2, object)
    value[:] = ["a text", np.arange(3)]
    found = load(pickle.dumps(value))
    assert found[0] == "a text"
    assert found[1].tolist() == [0, 1, 2]


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_names_of_numpy_1_are_known(protocol: int) -> None:
    content = pickle.dumps([np.arange(3.0), np.float32(2)], protocol=protocol)
    assert b"numpy._core" in content
    array, scalar = load(content.replace(b"numpy._core", b"numpy.core"))
    assert array.tolist() == [0, 1, 2]
    assert scalar == 2


def test_an_array_of_python_2_is_read() -> None:
    data = np.array([1.5, -2], "<f4")
    content = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x08" + data.tobytes() + b"tb."
    )
    assert load(content).tolist() == [1.5, -2]


class Reduced:
    """Pickles as a call of whatever function with whatever arguments."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call


def refused(value: object, protocol: int = 4) -> str:
    with pytest.raises(UserError) as caught:
        load(pickle.dumps({"train": value}, protocol=protocol))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("function", [os.system, eval, exec, getattr, __import__, np.load])
def test_a_function_is_refused_by_name_and_not_run(
    function: Any, protocol: int, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    argument = f"touch {trace}" if function is os.system else f"open({str(trace)!r}, 'w')"
    said = refused(Reduced(function, (argument,)), protocol)
    assert function.__name__ in said
    assert "is not opened" in said
    assert not trace.exists()


def test_other_libraries_objects_are_refused_by_name() -> None:
    import pandas as pd
    import torch

    assert "collections.OrderedDict" in refused(OrderedDict(a=1))
    assert "datetime.date" in refused(date(2020, 1, 1))
    assert "torch" in refused(torch.zeros(2))
    assert "pandas" in refused(pd.DataFrame({"a": [1]}))


class Named(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        return "elsewhere" if isinstance(value, bytes) else None


def test_a_reference_to_another_file_is_refused() -> None:
    content = io.BytesIO()
    Named(content).dump([b"x"])
    with pytest.raises(UserError, match="reference to another file"):
        load(content.getvalue())


OBJECTS_AS_BYTES = (3, "|", None, None, None, -1, -1, 0)  # flags that hide the pointers


@pytest.mark.parametrize(
    ("type_name", "state"),
    [
        ("O8", OBJECTS_AS_BYTES),
        ("f4,f4", (3, "|", None, None, None, 8, 1, 0)),
        ("V8", (3, "|", None, None, None, 8, 1, 0)),
        ("f8", (3, "<", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)),
        ("f8", (3, "<", (np.dtype("O"), (1,)), None, None, 8, 1, 0)),
    ],
)
def test_an_array_of_made_up_pointers_is_refused(type_name: str, state: tuple[Any, ...]) -> None:
    """numpy believes a pickled type: the first of these makes it follow any address."""
    dtype = Reduced(np.dtype, (type_name, False, True), state)
    make = np.zeros(1).__reduce__()[0]
    array = Reduced(make, (np.ndarray, (0,), b"b"), (1, (1,), dtype, False, b"A" * 8))
    assert refused(array)


def test_a_shape_that_does_not_fit_its_data_is_refused() -> None:
    make = np.zeros(1).__reduce__()[0]
    state = (1, (1 << 40,), np.dtype("f4"), False, b"A" * 8)
    assert "not a pickle, or a damaged one" in refused(
        Reduced(make, (np.ndarray, (0,), b"b"), state)
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_wherever_it_is_cut_a_file_is_not_taken_for_whole(protocol: int) -> None:
    content = pickle.dumps({"train": {"vision": np.zeros((2, 3))}}, protocol=protocol)
    for length in range(len(content)):
        with pytest.raises(UserError, match="or a damaged one|is not opened"):
            load(content[:length])


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x80\x02K\x01r\xff\xff\xff\x7f.",  # a place far away in the table of what was seen
        b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little"),  # a bytearray larger than the file
        b"\x80\x04\x8e" + (1 << 40).to_bytes(8, "little"),  # bytes
    ],
)
def test_a_few_bytes_do_not_fill_the_memory(bomb: bytes, tmp_path: Path) -> None:
    (tmp_path / "bomb.pkl").write_bytes(bomb)
    code = (
        "import resource, sys\n"
        "from pipeline.io import pickle_io\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    pickle_io.load(open(sys.argv[1], 'rb'), 'file.pkl')\n"
        "except Exception as error:\n    print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bomb.pkl")], capture_output=True, text=True
    )
    assert int(done.stdout.split()[-1]) < 100_000, done.stdout  # KB


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_damage_anywhere_is_read_or_refused_and_crashes_nothing(protocol: int) -> None:
    """numpy's own reading of a pickled array ends the process on some of these."""
    value = {"train": {"vision": np.ones((2, 3, 4), "f4"), "id": np.array(["a", "b"])}}
    whole, random = pickle.dumps(value, protocol=protocol), Random(0)
    refusals = 0
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(random.randint(1, 4)):
            content[random.randrange(len(content))] = random.randrange(256)
        try:
            load(bytes(content))
        except UserError:
            refusals += 1
    assert refusals > 200


# ---- bombs: written by opcodes, as no pickler makes them ----


PROTO = b"\x80\x04"
CALL_STR = b"cbuiltins\nstr\n"
NEST = {
    "tuples": PROTO + b")q\x000" + b"h\x00h\x00\x86q\x000" * 30 + b"h\x00.",
    "lists": PROTO + b"]q\x000" + b"](h\x00h\x00eq\x000" * 30 + b"h\x00.",
    "dicts": PROTO + b"}q\x000" + b"}(K\x01h\x00K\x02h\x00uq\x000" * 30 + b"h\x00.",
}
TALL = b")q\x000" + b"h\x00h\x00\x86q\x000" * 60  # a tuple whose hash takes 2^60 steps
BOMBS = {
    **{f"shared {kind}": (content, "objects, written out") for kind, content in NEST.items()},
    "a key": (PROTO + TALL + b"}h\x00K\x01s.", "a key of more than 1000 objects"),
    "keys": (PROTO + TALL + b"}(h\x00K\x01u.", "a key of more than 1000 objects"),
    "keys of old": (PROTO + TALL + b"(h\x00K\x01d.", "a key of more than 1000 objects"),
    "members": (PROTO + TALL + b"\x8f(h\x00\x90.", "a key of more than 1000 objects"),
    "frozen members": (PROTO + TALL + b"(h\x00\x91.", "a key of more than 1000 objects"),
    "a set": (PROTO + TALL + b"cbuiltins\nset\n]h\x00a\x85R.", "a key of more than 1000"),
    "a text of all of it": (PROTO + TALL + CALL_STR + b"h\x00\x85R.", "damaged"),
    "a deep key": (PROTO + b")" + b"\x85" * 10**6 + b"q\x00}h\x00K\x01s.", "a key of more than"),
    "a deep list": (PROTO + b"]" * 10**5 + b"a" * (10**5 - 1) + b".", "more than 100 lists deep"),
    "itself": (PROTO + b"]q\x00h\x00a.", "a list that holds itself"),
    "numbers": (PROTO + b"\x8b" + (300).to_bytes(4, "little") + b"\x7f" * 300 + b".", "255 bytes"),
    "a long key": (PROTO + b"}\x8a\xff" + b"\x7f" * 255 + b"K\x01s.", "a key of more than 64 bits"),
    "a frame": (PROTO + b"\x95" + (1 << 40).to_bytes(8, "little") + b"N.", "of a file of 13"),
    "an empty array": (
        pickle.dumps({"a": np.zeros((0, 3))}).replace(b"K\x03\x86", b"J\xff\xff\xff\x7f\x86"),
        "an empty array of shape",
    ),
    "sets of sets": (PROTO + b"\x8f" * 2_000_000 + b".", "objects for each of its bytes"),
}  # fmt: skip


def copies(of: bytes, call: bytes, times: int) -> bytes:
    """A million bytes, handed to a call again and again."""
    text = of + (1 << 20).to_bytes(4, "little") + b"a" * (1 << 20)
    return PROTO + text + b"q\x000(" + call * times + b"l."


CODED = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"
NAMED = PROTO + b"]q\x000" + b"](h\x00h\x00eq\x000" * 40 + b"cnumpy\ndtype\nh\x00\x85R."
BOMBS["a name"] = NAMED, "an array of a list"
SET = b"cbuiltins\nset\nh\x00\x85R"
BOMBS["bytes"] = copies(b"X", CODED, 1000), "objects for each of its bytes"
BOMBS["members by a call"] = copies(b"X", SET, 1000), "objects for each of its bytes"


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_by_the_budget_that_it_breaks(name: str) -> None:
    content, told = BOMBS[name]
    with pytest.raises(UserError, match=told):
        load(content)


def test_a_state_of_what_is_not_an_array_is_refused() -> None:
    """It would change a function of this program for every file that is read after."""
    content = PROTO + b"c_codecs\nencode\nN}X\x01\x00\x00\x00aK\x01s\x86b."
    with pytest.raises(UserError, match="a state of a function"):
        load(content)


def test_what_is_shared_stays_shared() -> None:
    inner = [np.arange(3), {"a": 1}]
    found = load(pickle.dumps({"a": inner, "b": inner, "c": (inner, inner)}))
    assert found["a"] is found["b"] is found["c"][0]
    assert found["a"][0].tolist() == [0, 1, 2]


def test_plain_types_are_values_and_are_not_called() -> None:
    assert load(pickle.dumps({"kind": float})) == {"kind": "float"}
    assert "or a damaged one" in refused(Reduced(str, ("a",)))


def test_honest_files_are_far_from_the_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the field's files are: arrays, and thousands of small things that share a few."""
    for module in (pickle_io, unpickler):
        monkeypatch.setattr(module, "FLOOR", 0)
    monkeypatch.setattr(unpickler, "MOST_MADE", 2)
    monkeypatch.setattr(pickle_io, "MOST_SHARED", 2)
    clips = range(2000)
    value = {
        "id": [f"video$_${n}" for n in clips],
        "labels": [{"emo": 0, "val": n / 7} for n in clips],
        "scalars": [np.float32(n) for n in clips],
        "arrays": [np.zeros(n % 3, np.float32) for n in clips],
        "sets": [{n} for n in clips],
        "spans": {("video", n): [n, n + 0.5] for n in clips},
    }
    for protocol in PROTOCOLS:
        assert load(pickle.dumps(value, protocol=protocol))["spans"] == value["spans"]
