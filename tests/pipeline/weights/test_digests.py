"""The same weights have one digest, whatever files they are in and whatever lies beside them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner
from safetensors.torch import save_file

from model.cli.group import main as smp
from pipeline.errors import UserError
from pipeline.weights import tensors
from pipeline.weights.repository import SOUND, SPEECH_TO_TEXT, TEXT
from pipeline.weights.resolve import find
from pipeline.weights.tensors import digest_of
from tests.pipeline.weights.test_vocabularies import in_the_hub_cache

STATE = {
    "bert.embeddings.word_embeddings.weight": torch.arange(40.0).reshape(10, 4),
    "bert.encoder.weight": torch.arange(16.0).reshape(4, 4).half(),
    "bert.steps": torch.tensor(3),
}


def described(folder: Path, **config: object) -> None:
    content = {"model_type": "bert", "hidden_size": 4, **config}
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "vocab.txt").write_text("[UNK]\na\nb")


def safetensors(folder: Path) -> None:
    save_file(STATE, folder / "model.safetensors", {"format": "pt"})


def in_another_order(folder: Path) -> None:
    backwards = dict(reversed(STATE.items()))
    save_file(backwards, folder / "model.safetensors", {"made": "elsewhere"})


def pickled(folder: Path) -> None:
    torch.save(STATE, folder / "pytorch_model.bin")


def before_torch_1_6(folder: Path) -> None:
    torch.save(STATE, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def with_a_tied_head(folder: Path) -> None:
    embedding = STATE["bert.embeddings.word_embeddings.weight"]
    torch.save({**STATE, "cls.decoder.weight": embedding}, folder / "pytorch_model.bin")


def with_a_tied_head_before_torch_1_6(folder: Path) -> None:
    embedding = STATE["bert.embeddings.word_embeddings.weight"]
    content = {**STATE, "cls.decoder.weight": embedding}
    torch.save(content, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def both(folder: Path) -> None:
    safetensors(folder)
    torch.save({name: t * 2 for name, t in STATE.items()}, folder / "pytorch_model.bin")


def sharded(folder: Path, kind: str = "safetensors") -> None:
    base, end = ("model", "safetensors") if kind == "safetensors" else ("pytorch_model", "bin")
    places = {name: f"{base}-0000{1 + i % 2}-of-00002.{end}" for i, name in enumerate(STATE)}
    for place in set(places.values()):
        part = {name: STATE[name] for name, where in places.items() if where == place}
        if kind == "safetensors":
            save_file(part, folder / place)
        else:
            torch.save(part, folder / place)
    index = {"metadata": {}, "weight_map": places}
    (folder / f"{base}.{end}.index.json").write_text(json.dumps(index))


def sharded_bin(folder: Path) -> None:
    sharded(folder, "bin")


def with_much_beside(folder: Path) -> None:
    safetensors(folder)
    (folder / "README.md").write_text("A card.")
    (folder / ".gitattributes").write_text("*.bin lfs")
    (folder / "trainer_state.json").write_text("{}")
    for name in ("tf_model.h5", "flax_model.msgpack", "training_args.bin", "rust_model.ot"):
        (folder / name).write_bytes(b"other")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "config.json").write_text("{}")
    save_file({"x": torch.ones(1)}, folder / "onnx" / "model.safetensors")


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "safetensors": safetensors,
    "safetensors, another order": in_another_order,
    "bin": pickled,
    "bin of torch before 1.6": before_torch_1_6,
    "bin with a tied head": with_a_tied_head,
    "bin of torch before 1.6 with a tied head": with_a_tied_head_before_torch_1_6,
    "safetensors beside another bin": both,
    "sharded safetensors": sharded,
    "sharded bin": sharded_bin,
    "with a README, onnx, tf and flax": with_much_beside,
}


def digest(folder: Path) -> str:
    return find(str(folder), TEXT).digest


@pytest.fixture
def meant(tmp_path: Path) -> str:
    folder = tmp_path / "meant"
    folder.mkdir()
    safetensors(folder)
    described(folder)
    return digest(folder)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_weights_have_one_digest(layout: str, meant: str, tmp_path: Path) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    LAYOUTS[layout](folder)
    described(folder, _name_or_path="elsewhere", transformers_version="4.1", torch_dtype="float16")
    assert digest(folder) == meant


UNSAFE = {
    "posix.system": (os.system, ("true",)),
    "__builtin__.eval": (eval, ("1",)),
    "torch.hub.load": (torch.hub.load, ("a", "b")),
}


class Runs:
    """Pickles as a call."""

    def __init__(self, call: tuple[Any, ...]) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("name", UNSAFE)
def test_weights_that_could_run_something_are_one_error_before_anything_runs(
    name: str, is_zip: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    described(folder)
    content = {**STATE, "extra": Runs(UNSAFE[name])}
    path = folder / "pytorch_model.bin"
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    (tmp_path / "data.csv").write_text("id,text,label,split\na,hm,0,train\nb,oh,0,train\n")
    stages = {"partition": 1, "stages": {"bert": {"weights": str(folder)}}}
    (tmp_path / "stages.yaml").write_text(yaml.safe_dump(stages))
    words = ["extract", tmp_path / "data.csv", "--stages", tmp_path / "stages.yaml"]
    done = CliRunner().invoke(smp, [*map(str, words), "--cache", str(tmp_path / "cache")])
    assert done.exit_code == 2
    (line,) = done.output.splitlines()
    assert f"{path} names {name}, which is no tensor" in line
    assert ".safetensors" in line
    assert not list((tmp_path / "cache").rglob("*.zarr"))


def test_what_torch_takes_as_harmless_is_no_reason_to_refuse_weights(
    meant: str, tmp_path: Path
) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    described(folder)
    beside = {"size": torch.Size([1]), "type": torch.float16, "bytes": b"\xff", "names": {"a"}}
    parameters = {name: torch.nn.Parameter(t, False) for name, t in STATE.items()}
    torch.save({**parameters, **beside}, folder / "pytorch_model.bin")
    torch.load(folder / "pytorch_model.bin", weights_only=True)
    assert digest(folder) == meant


@pytest.mark.parametrize("layout", LAYOUTS)
def test_in_the_hub_cache_too(
    layout: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = in_the_hub_cache(tmp_path / "hub", monkeypatch)
    LAYOUTS[layout](snapshot)
    described(snapshot)
    blobs = snapshot.parent.parent / "blobs"
    blobs.mkdir()
    for number, path in enumerate(p for p in list(snapshot.iterdir()) if p.is_file()):
        path.rename(blobs / str(number))
        path.symlink_to(blobs / str(number))
    assert find("someone/net", TEXT).digest == meant


CHANGES: dict[str, Callable[[Path], object]] = {
    "a number": lambda f: save_file(
        {**STATE, "bert.steps": torch.tensor(4)}, f / "model.safetensors"
    ),
    "a type": lambda f: save_file(
        {name: t.float() for name, t in STATE.items()}, f / "model.safetensors"
    ),
    "a shape": lambda f: save_file(
        {**STATE, "bert.encoder.weight": STATE["bert.encoder.weight"].reshape(2, 8)},
        f / "model.safetensors",
    ),
    "a name": lambda f: save_file(
        {name.replace("steps", "step"): t for name, t in STATE.items()}, f / "model.safetensors"
    ),
    "a word": lambda f: (f / "vocab.txt").write_text("[UNK]\na\nc"),
    "another tokenizer's file": lambda f: (f / "added_tokens.json").write_text('{"c": 3}'),
    "a size": lambda f: described(f, hidden_size=5),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_a_result_changes_the_digest(change: str, meant: str, tmp_path: Path) -> None:
    CHANGES[change](tmp_path / "meant")
    assert digest(tmp_path / "meant") != meant


def test_two_tensors_that_change_places_change_the_digest() -> None:
    a, b = torch.arange(4.0), torch.arange(4.0) + 1
    assert digest_of({"a": a, "b": b}) != digest_of({"a": b, "b": a})
    assert digest_of({"a": a, "b": a.clone()}) != digest_of({"a": a})


def test_tensors_are_read_once_for_it(
    meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "meant"
    for path in folder.iterdir():
        os.utime(path, (time.time() - 60,) * 2)
    time.sleep(2.1)  # a file that changed a moment ago is not remembered
    assert digest(folder) == meant
    monkeypatch.setattr(tensors, "all_tensors", lambda _: pytest.fail("read again"))
    assert digest(folder) == meant


def test_a_shard_that_is_not_there_is_named(tmp_path: Path) -> None:
    sharded(tmp_path)
    described(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match=r"lacks model-00002-of-00002\.safetensors: put it there"):
        digest(tmp_path)
    (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(UserError, match="lacks the list of the shards"):
        digest(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "lacks"),
    [
        (TEXT, "a vocabulary"),
        (SOUND, "a feature extractor"),
        (SPEECH_TO_TEXT, "a vocabulary .*; a feature extractor"),
    ],
)
def test_what_belongs_to_the_weights_has_to_be_there(
    wanted: object, lacks: str, tmp_path: Path
) -> None:
    safetensors(tmp_path)
    described(tmp_path)
    (tmp_path / "vocab.txt").unlink()
    with pytest.raises(UserError, match=f"lacks {lacks}") as caught:
        find(str(tmp_path), wanted)  # type: ignore[arg-type]
    assert str(tmp_path) in str(caught.value)
    assert "hf download" in str(caught.value)


def main() -> None:
    """Print a table of layouts and their digests."""
    import tempfile

    print("| layout | digest |\n|---|---|")
    for layout, make in LAYOUTS.items():
        folder = Path(tempfile.mkdtemp())
        make(folder)
        described(folder)
        print(f"| {layout} | {digest(folder)[:12]} |")


if __name__ == "__main__":
    main()
