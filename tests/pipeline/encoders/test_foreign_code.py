"""A checkpoint that brings code of its own: none of it runs, with and without a terminal."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

from pipeline.encoders import huggingface
from pipeline.encoders.huggingface import NEEDS_CODE
from pipeline.errors import UserError
from pipeline.formats.mmsa import text_bert
from pipeline.weights.resolve import Weights
from tests.support.paths import ROOT

KINDS = ("AutoModel", "AutoConfig", "AutoTokenizer", "AutoFeatureExtractor")
MAP = {kind: f"own.{kind}" for kind in KINDS} | {"AutoTokenizer": ["own.AutoTokenizer", None]}
SMALL = BertConfig(
    vocab_size=9, hidden_size=4, num_hidden_layers=1, num_attention_heads=1, intermediate_size=4
)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint of a kind that only its own code knows; that code makes the file `sprung`."""
    (folder := tmp_path / "own").mkdir()
    (folder / "own.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\n")
    settings = {"auto_map": MAP, "tokenizer_class": "OwnTokenizer", "model_max_length": 8}
    for name in ("config.json", "tokenizer_config.json", "preprocessor_config.json"):
        kind = {"model_type": "own", "feature_extractor_type": "Own", "hidden_size": 4}
        (folder / name).write_text(json.dumps({**settings, **kind}))
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n")
    save_file({"x": torch.zeros(1)}, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(autouse=True)
def nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> str:
        pytest.fail("a person was asked whether to run it")

    monkeypatch.setattr("builtins.input", asked)


@pytest.mark.parametrize("kind", KINDS)
def test_code_in_a_checkpoint_is_never_run_and_the_error_says_so(
    checkpoint: Path, kind: str
) -> None:
    with pytest.raises(UserError, match="can't be loaded") as refusal:
        huggingface.from_pretrained(kind, Weights("own", checkpoint, ""))
    assert str(refusal.value).endswith(NEEDS_CODE)
    assert not (checkpoint.parent / "sprung").exists()


def test_a_model_that_the_library_knows_is_loaded_without_the_code_beside_it(
    checkpoint: Path,
) -> None:
    BertModel(SMALL).save_pretrained(checkpoint)
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, "auto_map": MAP}))
    (checkpoint / "tokenizer_config.json").write_text(
        json.dumps({"auto_map": MAP, "tokenizer_class": "BertTokenizer"})
    )
    weights = Weights("own", checkpoint, "")
    assert huggingface.network("AutoModel", weights, "cpu").config.hidden_size == 4
    assert len(huggingface.from_pretrained("AutoTokenizer", weights)) == 7
    assert text_bert(["a b"], str(checkpoint), download=False).shape == (1, 3, 4)
    assert not (checkpoint.parent / "sprung").exists()


def forgetful(checkpoint: Path) -> None:
    """Name as the tokenizer's class the one that picks a class: it forgets what it was told."""
    path = checkpoint / "tokenizer_config.json"
    settings = {**json.loads(path.read_text()), "tokenizer_class": "AutoTokenizer"}
    path.write_text(json.dumps(settings))


def test_a_tokenizer_that_names_itself_runs_no_code_either(checkpoint: Path) -> None:
    forgetful(checkpoint)
    with pytest.raises(UserError, match="can't be loaded: maximum recursion depth"):
        huggingface.from_pretrained("AutoTokenizer", Weights("own", checkpoint, ""))
    assert not (checkpoint.parent / "sprung").exists()


@pytest.mark.slow
def test_on_a_terminal_nobody_is_asked(checkpoint: Path) -> None:
    """There transformers would ask, though told not to trust, and take a `y`."""
    forgetful(checkpoint)
    leader, follower = pty.openpty()
    os.write(leader, b"y\ny\ny\n")
    code = (
        "import sys; from pipeline.formats.mmsa import text_bert as t; t('a', sys.argv[1], False)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, checkpoint],
        stdin=follower, capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    os.close(leader)
    os.close(follower)
    assert "can't be loaded: " in done.stderr
    assert "Do you wish to run" not in done.stdout + done.stderr
    assert not (checkpoint.parent / "sprung").exists()


def test_no_other_code_loads_a_checkpoint() -> None:
    every = [path for top in ("pipeline", "model") for path in (ROOT / top).rglob("*.py")]
    calls = [path for path in every if ".from_pretrained(" in path.read_text(encoding="utf-8")]
    source = (ROOT / "pipeline/encoders/huggingface.py").read_text(encoding="utf-8")
    assert [
        path.name
        for path in calls
        if "huggingface.from_pretrained(" not in path.read_text(encoding="utf-8")
    ] == ["huggingface.py"]
    assert source.count(".from_pretrained(") == source.count("trust_remote_code=False") == 1
