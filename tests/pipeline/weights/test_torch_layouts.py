"""Networks come out of every layout that people save them in, and nothing in a file is run."""

from __future__ import annotations

import argparse
import collections
import io
import json
import os
import pickle
import struct
import sys
import tarfile
import types
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pipeline.errors import UserError
from pipeline.weights import checkpoint
from pipeline.weights.tensors import all_tensors, digest_of

Tensors = dict[str, torch.Tensor]


class Block(nn.Module):
    """Two layers with a buffer between them."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.layers = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[n, 4] to [n, 2]."""
        return self.layers(self.norm(x))


class Recorder:
    """What training scripts keep beside the weights."""

    def __init__(self, **content: Any) -> None:
        self.__dict__.update(content)


class Wrapped(nn.Module):
    """A network with the wanted one inside."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.backbone = inner
        self.head = nn.Linear(2, 7)


NETWORK = Block()
with torch.no_grad():
    for number, tensor in enumerate(NETWORK.state_dict().values()):
        tensor.copy_(torch.arange(tensor.numel()).reshape(tensor.shape) + 10 * number)
STATE: Tensors = NETWORK.state_dict()
MEANT = {n: t for n, t in STATE.items() if not n.endswith("num_batches_tracked")}
OTHER = {name: tensor + 1 for name, tensor in STATE.items()}


def prefixed(prefix: str, state: Tensors = STATE) -> Tensors:
    return {prefix + name: tensor for name, tensor in state.items()}


def optimizer() -> dict[str, Any]:
    adam = torch.optim.Adam(NETWORK.parameters())
    for parameter in NETWORK.parameters():
        parameter.grad = torch.ones_like(parameter)
    was = {name: tensor.clone() for name, tensor in STATE.items()}
    adam.step()
    NETWORK.load_state_dict(was)
    return adam.state_dict()


WRAPPERS = [
    *("state_dict", "model_state_dict", "model_state", "net_state_dict", "model", "net"),
    *("backbone", "network", "weights", "params", "ema", "model_ema", "anything at all"),
]


def under(name: str) -> Callable[[], Any]:
    return lambda: {name: STATE}


LAYOUTS: dict[str, Callable[[], Any]] = {
    "the tensors alone": lambda: STATE,
    **{f"{{{name}: …}}": under(name) for name in WRAPPERS},
    "{state_dict, best_acc: tensor, epoch}": lambda: {
        "state_dict": STATE, "best_acc": torch.tensor(0.7), "epoch": 3
    },
    "nested three deep": lambda: {"checkpoint": {"model": {"state_dict": STATE}}},
    "in a list": lambda: [{"epoch": 1}, STATE],
    "module. before names": lambda: {"state_dict": prefixed("module.")},
    "backbone. and a head": lambda: prefixed("backbone.") | {"fc.weight": torch.ones(8, 2)},
    "module.encoder. before names": lambda: {"net": prefixed("module.encoder.")},
    "an optimizer's state": lambda: {"model": STATE, "optimizer": optimizer(), "epoch": 2},
    "argparse's args": lambda: {"model": STATE, "args": argparse.Namespace(lr=0.1, to=print)},
    "a recorder object": lambda: {"recorder": Recorder(acc=[0.5]), "state_dict": STATE},
    "weights within a recorder": lambda: Recorder(epoch=3, net=STATE),
    "numpy scalars": lambda: {"state_dict": STATE, "best": np.float64(0.7), "at": np.int64(3)},
    "numpy arrays": lambda: {"state_dict": STATE, "curve": np.arange(5.0)},
    "a path and a date": lambda: {"model": STATE, "out": Path("x"), "at": date(2026, 1, 1)},
    "defaultdict and Counter": lambda: {
        "model": collections.defaultdict(list, STATE), "counts": collections.Counter("ab")
    },
    "a simple namespace": lambda: {"model": STATE, "config": types.SimpleNamespace(a=1)},
    "parameters, not tensors": lambda: dict(NETWORK.named_parameters()) | STATE,
    "parameters and an object": lambda: {
        "net": dict(NETWORK.named_parameters()) | dict(NETWORK.named_buffers()), "r": Recorder()
    },
    "model before ema": lambda: {"ema": OTHER, "model": STATE},
    "state_dict before state_dict_ema": lambda: {"state_dict_ema": OTHER, "state_dict": STATE},
    "the same twice": lambda: {"model": STATE, "best": {n: t.clone() for n, t in STATE.items()}},
    "a pickled module": lambda: NETWORK,
    "a pickled module within": lambda: {"model": Wrapped(NETWORK), "epoch": 3},
    "DataParallel, pickled": lambda: nn.DataParallel(NETWORK),
    "half precision": lambda: {n: t.half() for n, t in STATE.items()},
    "half precision and an object": lambda: {
        "net": {n: t.bfloat16() for n, t in STATE.items()}, "recorder": Recorder()
    },
    "views of one memory": lambda: {"net": views(), "recorder": Recorder()},
}  # fmt: skip


def views() -> Tensors:
    """Tensors that lie in one storage, one of them transposed."""
    made, memory, at = {}, torch.zeros(200), 0
    for name, tensor in STATE.items():
        part = memory[at : at + tensor.numel()]
        part = part.view(tensor.shape[::-1]).T if tensor.ndim == 2 else part.view(tensor.shape)
        made[name] = part.copy_(tensor)
        at += tensor.numel()
    return made


def save_zip(content: Any, path: Path) -> None:
    torch.save(content, path)


def save_legacy(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


CONTAINERS = {"zip": save_zip, "before torch 1.6": save_legacy}


def read(path: Path) -> Tensors:
    return checkpoint.read_tensors(path, STATE, "Block", without=["layers.4.weight"])


def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickled classes of this module can't be imported: as on another's machine."""
    monkeypatch.delitem(sys.modules, __name__)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_network_comes_out_of_every_layout(
    layout: str, container: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CONTAINERS[container](LAYOUTS[layout](), tmp_path / "checkpoint.pth")
    clean(monkeypatch)
    found = read(tmp_path / "checkpoint.pth")
    assert found.keys() == MEANT.keys()
    for name, tensor in MEANT.items():
        torch.testing.assert_close(found[name].float(), tensor, rtol=0.01, atol=0)


def test_a_layout_does_not_change_the_digest(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "a.safetensors")
    meant = digest_of(read(tmp_path / "a.safetensors"))
    for layout in ("the tensors alone", "an optimizer's state", "a recorder object", "in a list"):
        for save in CONTAINERS.values():
            save(LAYOUTS[layout](), tmp_path / "b.pth")
            assert digest_of(read(tmp_path / "b.pth")) == meant
    torch.save(OTHER, tmp_path / "c.pth")
    assert digest_of(read(tmp_path / "c.pth")) != meant


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_traced_network_is_read_too(tmp_path: Path) -> None:
    with torch.no_grad():
        torch.jit.trace(NETWORK.eval(), torch.ones(2, 4)).save(str(tmp_path / "traced.pt"))
    NETWORK.train()
    found = read(tmp_path / "traced.pt")
    assert all(torch.equal(found[name], tensor) for name, tensor in MEANT.items())


class Runs:
    """Pickles as a call of `os.system`, and of what else could do harm."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("container", CONTAINERS)
def test_what_would_run_is_not_run(container: str, tmp_path: Path) -> None:
    mark = tmp_path / "it-ran"
    calls = [
        Runs(os.system, (f"touch {mark}",)),
        Runs(eval, (f"open({str(mark)!r}, 'w')",)),
        Runs(io.open, (str(mark), "w")),
        Runs(os.mkdir, (str(mark),)),
    ]
    CONTAINERS[container]({"state_dict": STATE, "extra": calls}, tmp_path / "evil.pth")
    loaded = set(sys.modules)
    assert read(tmp_path / "evil.pth").keys() == MEANT.keys()
    assert not mark.exists()
    assert not {name for name in set(sys.modules) - loaded if not name.startswith("torch")}


def refused(path: Path, *words: str) -> None:
    with pytest.raises(UserError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    for word in (path.name, *words):
        assert word in str(caught.value)


def test_what_lacks_is_told_by_number_and_name(tmp_path: Path) -> None:
    part = {name: tensor for name, tensor in STATE.items() if name != "layers.2.weight"}
    torch.save({"state_dict": prefixed("module.", part), "epoch": 1}, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", "6 of the 7 tensors", "'state_dict.module.layers.2.weight'")
    torch.save({"state_dict": {}, "note": "nothing"}, tmp_path / "b.pth")
    refused(tmp_path / "b.pth", "0 of the 7 tensors", "'norm.weight'")


def test_another_network_is_refused(tmp_path: Path) -> None:
    torch.save({**STATE, "layers.0.weight": torch.ones(5, 4)}, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", "'layers.0.weight' of shape [5, 4]")
    torch.save({**STATE, "layers.4.weight": torch.ones(2, 2)}, tmp_path / "b.pth")
    refused(tmp_path / "b.pth", "no 'layers.4.weight' at all")
    torch.save({"student": STATE, "teacher": OTHER}, tmp_path / "c.pth")
    refused(tmp_path / "c.pth", "2 networks", "'student.'", "'teacher.'")


def rewritten(path: Path, change: Callable[[str, bytes], bytes], how: int = 0) -> None:
    """A zip with other contents."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(name, change(name, content))


def outcome(path: Path) -> str:
    """Whether a file is read or told to be damaged; anything but a UserError is a failure."""
    try:
        return "" if read(path).keys() == MEANT.keys() else "other tensors"
    except UserError as error:
        return "told" if "\n" not in str(error) else str(error)


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize("container", CONTAINERS)
def test_a_damaged_file_is_one_clear_line(container: str, is_cut: bool, tmp_path: Path) -> None:
    path = tmp_path / "damaged.pth"
    CONTAINERS[container]({"net": STATE, "recorder": Recorder()}, path)
    whole = path.read_bytes()
    for at in range(100, len(whole), 157):
        path.write_bytes(whole[:at] if is_cut else whole[:at] + b"\xff" * 9 + whole[at + 9 :])
        assert outcome(path) in ("", "told")


def test_sizes_are_checked_against_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"net": STATE, "recorder": Recorder()}, path)
    rewritten(path, lambda name, content: content[:4] if "/data/1" in name else content)
    refused(path, "bytes of numbers where there are 4")
    torch.save({"net": STATE, "recorder": Recorder()}, path)
    rewritten(path, lambda _, content: content, zipfile.ZIP_DEFLATED)
    refused(path, "compressed")
    torch.save({"net": STATE, "recorder": Recorder()}, path)
    rewritten(path, lambda name, content: b"big" if "byteorder" in name else content)
    refused(path, "big-endian")


@pytest.mark.parametrize("objects", [{}, {"recorder": Recorder()}])
def test_what_is_compressed_is_refused_before_it_is_unpacked(
    objects: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pth"
    torch.save({"net": STATE, **objects}, path)
    rewritten(path, lambda _, content: content, zipfile.ZIP_DEFLATED)
    refused(path, "compressed")
    for part in ("data.pkl", "version", "data/0"):
        torch.save({"net": STATE, **objects}, path)
        swell(path, f"a/{part}")
        with monkeypatch.context() as patch:
            patch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("unpacked"))
            refused(path, "bytes are compressed into")


def swell(path: Path, part: str) -> None:
    """Put 10 MB of zeros behind a part, which take 10 kB."""
    rewritten(path, lambda n, c: c + bytes(10_000_000) * (n == part), zipfile.ZIP_DEFLATED)


def test_tensors_that_all_lie_in_the_same_place_are_refused_when_they_become_many(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.pth"
    numbers = torch.arange(10_000.0)
    torch.save({f"{n}": numbers[n:] for n in range(40)}, path)
    refused(path, "bytes in a file of")
    torch.save({**STATE, **{f"{n}": numbers[n:] for n in range(10)}}, path)
    assert read(path).keys() == MEANT.keys()


@pytest.mark.parametrize("container", CONTAINERS)
def test_complex_numbers_are_read_and_what_shares_its_numbers_still_does(
    container: str, tmp_path: Path
) -> None:
    state = {"odd": torch.ones(3, dtype=torch.int8), "a": torch.arange(4) * 1j, "b": torch.ones(5)}
    CONTAINERS[container]({**state, "tied": state["b"]}, tmp_path / "a.pth")
    found = all_tensors(tmp_path / "a.pth", only_tensors=True)
    assert all(torch.equal(found[name], tensor) for name, tensor in state.items())
    assert found["tied"].data_ptr() == found["b"].data_ptr()


def test_a_tensor_that_reaches_beyond_its_numbers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"net": {"x": torch.arange(4.0)}, "recorder": Recorder()}, path)
    rewritten(path, lambda name, c: c.replace(b"K\x00K\x04\x85", b"K\x02K\x04\x85"))
    refused(path, "beyond its numbers")


def test_what_holds_itself_comes_to_an_end(tmp_path: Path) -> None:
    ring: dict[str, Any] = {"net": STATE, "recorder": Recorder()}
    ring["again"] = ring
    torch.save(ring, tmp_path / "ring.pth")
    assert read(tmp_path / "ring.pth").keys() == MEANT.keys()
    doubled: list[Any] = []
    for _ in range(60):
        doubled = [doubled, doubled]
    torch.save({"net": STATE, "laughs": doubled}, tmp_path / "laughs.pth")
    refused(tmp_path / "laughs.pth", "not a checkpoint")


@pytest.mark.parametrize("content", [b"", b"no checkpoint", struct.pack("<d", 1.0), b"PK\x03\x04"])
def test_what_is_no_checkpoint_is_one_clear_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    refused(tmp_path / "a.pth", "can't be read as a checkpoint")


HEADERS: dict[str, Any] = {
    "bytes beyond the file": {"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}},
    "a shape beyond its bytes": {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 8]}},
    "a shape beyond all numbers": {
        "a": {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 8]}
    },
    "bytes that overlap": {
        name: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for name in "ab"
    },
    "bytes that run backwards": {"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}},
    "an unknown type": {"a": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}},
    "no table": [1, 2],
}


@pytest.mark.parametrize("what", HEADERS)
def test_absurd_safetensors_are_one_clear_line(what: str, tmp_path: Path) -> None:
    header = json.dumps(HEADERS[what]).encode()
    content = struct.pack("<Q", len(header)) + header + bytes(8)
    (tmp_path / "a.safetensors").write_bytes(content)
    refused(tmp_path / "a.safetensors", "can't be read as a checkpoint")


@pytest.mark.parametrize("length", [0, 1 << 40, (1 << 64) - 1])
@pytest.mark.parametrize("header", [b"", b"{" * 1000, b'{"a":' * 1000])
def test_a_header_of_absurd_length_or_depth_is_one_clear_line(
    length: int, header: bytes, tmp_path: Path
) -> None:
    content = struct.pack("<Q", length or len(header)) + header
    (tmp_path / "a.safetensors").write_bytes(content)
    refused(tmp_path / "a.safetensors", "can't be read as a checkpoint")


def test_a_tar_of_old_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            info = tarfile.TarInfo(name)
            info.size = 10
            archive.addfile(info, io.BytesIO(bytes(10)))
    refused(path, "can't be read as a checkpoint")


def test_numbers_that_a_file_before_zip_says_it_holds_are_not_made(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    save_legacy({"a": torch.arange(4.0)}, path)
    content = path.read_bytes()
    many = pickle.dumps(1 << 40, protocol=2)[2:-1]
    path.write_bytes(content.replace(b"K\x04Nt", many + b"Nt"))
    assert path.read_bytes() != content
    refused(path, "bytes of numbers where there are")


def main() -> None:
    """Print a table of layouts and what comes of each."""
    import tempfile

    print("| layout | zip | before torch 1.6 |\n|---|---|---|")
    for layout, make in LAYOUTS.items():
        outcomes = []
        for save in CONTAINERS.values():
            path = Path(tempfile.mkdtemp()) / "checkpoint.pth"
            save(make(), path)
            try:
                outcomes.append(f"{len(read(path))} of {len(MEANT)} tensors")
            except UserError as error:
                outcomes.append(str(error).replace(str(path), "…"))
        print(f"| {layout} | {' | '.join(outcomes)} |")


if __name__ == "__main__":
    main()
