"""Files of `torch.save` with whatever beside the tensors, read without running what they name."""

from __future__ import annotations

import math
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch

from pipeline.errors import UserError
from pipeline.io.unpickler import Unpickler

DTYPES = {  # by the names of the storages that hold them
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
TYPES = [name for name, value in vars(torch).items() if isinstance(value, torch.dtype)]
PLAIN = ("set", "bytearray", "complex", "int", "float", "bool", "str", "list", "dict", "tuple")
HARMLESS = {  # of what torch loads with `weights_only`, what may stand in a checkpoint
    *(("torch", name) for name in ("Size", "device", "Tensor", *TYPES)),
    *(("collections", name) for name in ("Counter", "defaultdict")),
    *((module, name) for module in ("builtins", "__builtin__") for name in PLAIN),
    ("torch.nn.parameter", "Parameter"),
    ("torch.nn.parameter", "Buffer"),
    ("torch.serialization", "_get_layout"),
    ("_codecs", "encode"),
}
BEFORE_ZIP = 0x1950A86A20F9469CFC6C  # what files of torch before 1.6 begin with
MOST_SHARED = 16  # times the file's size: what its tensors are in all, or its parts unpacked
LOCAL_HEADER = struct.Struct("<26xHH")  # of a file in a zip: how long its name and its extras are


class Foreign:
    """What stands in for an object of any class but a tensor: what it was given, and no code.

    content: by name, its state and what was set in it; by number, what it was made with.
    """

    def __new__(cls, *given: Any, **named: Any) -> Foreign:
        made = super().__new__(cls)
        made.content = {**dict(enumerate(given)), **named}
        return made

    def __init__(self, *given: Any, **named: Any) -> None:
        self.content: dict[Any, Any]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.content[key] = value

    def append(self, value: Any) -> None:
        """As a list that is a class of its own is filled."""
        self.content[len(self.content)] = value

    add = append


@dataclass(frozen=True)
class _Storage:
    """Numbers in the file: where they begin and how many they are."""

    key: str
    dtype: torch.dtype
    numbers: int


def _load_build(unpickler: Any) -> None:
    """Give a `Foreign` its state; nothing else is let change by what a file says."""
    state, made = unpickler.stack.pop(), unpickler.stack[-1]
    for part in state if isinstance(state, tuple) else (state,):
        if isinstance(made, Foreign) and isinstance(part, Mapping):
            made.content.update(part)


def load(path: Path, only_tensors: bool = False) -> Any:
    """What was saved at `path`, with tensors where tensors were and `Foreign` for other objects.

    Tensors are parts of the file, mapped into memory: nothing is unpacked or copied. Raises
    UserError, one line, for what is no such file or not a whole one; with `only_tensors` also for
    one that names what torch itself would not load without running it.
    """
    try:
        file = (_Zip if zipfile.is_zipfile(path) else _BeforeZip)(path)
        content = file.content()
    except Exception as error:  # what is damaged can fail anywhere
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} can't be read as a checkpoint: {reason}") from error
    if only_tensors and file.foreign:
        raise UserError(
            f"{path} names {min(file.foreign)}, which is no tensor, and a pickle can run what it "
            "names: it is not loaded; get the same weights as .safetensors"
        )
    return content


@dataclass
class _File:
    """A file of tensors, mapped into memory.

    starts: where each storage begins, and its size, in bytes. foreign: names in it of what is
    neither a tensor nor what torch takes as harmless. moved: storages at odd places, copied. made:
    bytes of all tensors so far.
    """

    path: Path
    starts: dict[str, tuple[int, int]] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)
    moved: dict[str, torch.UntypedStorage] = field(default_factory=dict)
    made: int = 0

    def __post_init__(self) -> None:
        self.size = os.path.getsize(self.path)
        self.whole = torch.UntypedStorage.from_file(str(self.path), False, self.size)

    def unpickler(self, file: IO[bytes]) -> _Unpickler:
        return _Unpickler(file, self.tensor, self.foreign)

    def tensor(
        self, storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
    ) -> torch.Tensor:
        """A view of a storage; ValueError where it reaches beyond, whatever the file says."""
        if not isinstance(storage, _Storage) or len(size) != len(stride):
            raise ValueError("a tensor without numbers of its own")
        if min((offset, *size, *stride)) < 0:
            raise ValueError("a tensor of an impossible shape")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if math.prod(size) and last >= storage.numbers:
            raise ValueError("a tensor that reaches beyond its numbers")
        self.made += math.prod(size) * storage.dtype.itemsize
        if self.made > MOST_SHARED * self.size:
            raise ValueError(f"tensors of {self.made} bytes in a file of {self.size}")
        numbers = self._numbers(storage)
        return torch.empty(0, dtype=storage.dtype).set_(numbers, offset, size, stride)

    def _numbers(self, storage: _Storage) -> torch.UntypedStorage:
        start, there = self.starts[storage.key]
        length = storage.numbers * storage.dtype.itemsize
        if length > there or start + length > self.size:
            raise ValueError(f"{length} bytes of numbers where there are {there}")
        if start % storage.dtype.itemsize == 0:
            return self.whole[start : start + length]
        # Once: tensors that share numbers are told by that.
        if storage.key not in self.moved:
            self.moved[storage.key] = self.whole[start : start + there].clone()
        return self.moved[storage.key]


class _Zip(_File):
    """What torch writes since 1.6: a pickle and, uncompressed beside it, the numbers."""

    def content(self) -> Any:
        with zipfile.ZipFile(self.path) as archive, self.path.open("rb") as file:
            entries = archive.infolist()
            if (unpacked := sum(entry.file_size for entry in entries)) > MOST_SHARED * self.size:
                raise ValueError(f"{unpacked} bytes are compressed into {self.size}")
            main = next((e for e in entries if e.filename.split("/")[1:] == ["data.pkl"]), None)
            if main is None:
                raise ValueError("a zip without the data.pkl of torch")
            root = main.filename.removesuffix("data.pkl")
            for entry in entries:
                if entry.filename == f"{root}byteorder" and _short(archive, entry) != b"little":
                    raise ValueError("it was written on a big-endian machine")
                if entry is main or entry.filename.startswith(f"{root}data/"):
                    key = entry.filename.removeprefix(f"{root}data/")
                    self.starts[key] = _start(file, entry), entry.file_size
            with archive.open(main) as content:
                return self.unpickler(content).load()


def _short(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """The content of a file in a zip that is a word."""
    with archive.open(entry) as content:
        return content.read(16)


def _start(file: IO[bytes], entry: zipfile.ZipInfo) -> int:
    """Where the content of a file in a zip begins; ValueError where it is compressed."""
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError("it is compressed, as torch never does")
    file.seek(entry.header_offset)
    return entry.header_offset + LOCAL_HEADER.size + sum(LOCAL_HEADER.unpack(file.read(30)))


class _BeforeZip(_File):
    """What torch wrote before 1.6: pickles, and the numbers behind them."""

    def content(self) -> Any:
        """The first reading finds how long the pickles are, the second one makes the tensors."""
        with self.path.open("rb") as file:
            if Unpickler(file).load() != BEFORE_ZIP:
                raise ValueError("it is no file of torch's")
            for _ in ("protocol", "sizes of the machine's types"):
                Unpickler(file).load()
            begin = file.tell()
            sizes: dict[str, int] = {}
            _Unpickler(file, lambda at, *_: sizes.update({at.key: at.dtype.itemsize}), set()).load()
            for key in Unpickler(file).load():
                (numbers,) = struct.unpack("<q", file.read(8))
                self.starts[key] = file.tell(), numbers * sizes[key]
                file.seek(numbers * sizes[key], os.SEEK_CUR)
            file.seek(begin)
            return self.unpickler(file).load()


class _Unpickler(Unpickler):
    """Knows tensors and dictionaries; for anything else a `Foreign` stands there."""

    dispatch = {**Unpickler.dispatch, pickle.BUILD[0]: _load_build}

    def __init__(self, file: IO[bytes], tensor: Callable[..., Any], foreign: set[str]) -> None:
        super().__init__(file, encoding="latin1")
        self.foreign = foreign
        self.known: Mapping[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): dict,
            ("torch._utils", "_rebuild_tensor"): tensor,
            ("torch._utils", "_rebuild_tensor_v2"): tensor,
            # A parameter is its tensor.
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
            ("torch._utils", "_rebuild_parameter_with_state"): lambda data, *_: data,
            **{("torch", name): dtype for name, dtype in DTYPES.items()},
            ("torch.storage", "UntypedStorage"): torch.uint8,
        }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self.known:
            return self.known[module, name]
        if (module, name) not in HARMLESS:
            self.foreign.add(f"{module}.{name}")
        return Foreign

    def persistent_load(self, pid: Any) -> Any:
        kind, what, *rest = pid
        if kind == "module":  # a class, and the source of its code
            return what
        key, _, numbers, *view = rest
        if kind != "storage" or not isinstance(what, torch.dtype) or any(view):
            return None
        return _Storage(str(key), what, int(numbers))
