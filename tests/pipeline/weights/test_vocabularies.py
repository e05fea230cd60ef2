"""A text network comes with its vocabulary in any layout; without it, it is refused by name."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    AlbertConfig,
    AlbertModel,
    BertConfig,
    BertModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from pipeline.dataset.clip import Clip
from pipeline.errors import UserError
from pipeline.extractors.bert import Bert
from pipeline.stage.result import ClipInputs, ClipResult
from pipeline.weights.repository import TEXT

TEXTS = ["this is good", "I hate that film, it is bad!", "goodly"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    *SPECIAL,
    *[
        "i",
        "love",
        "hate",
        "this",
        "that",
        "film",
        "it",
        "is",
        "good",
        "bad",
        "##ly",
        "!",
        ",",
        ".",
    ],
]
LETTERS = sorted(ByteLevel.alphabet())
BYTES = [
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    *LETTERS,
    "Ġt",
    "hi",
    "is",
    "Ġi",
    "oo",
    "goo",
    "good",
    "<mask>",
]
MERGES = ["Ġ t", "h i", "i s", "Ġ i", "o o", "g oo", "goo d"]
PIECES = [
    "▁",
    "▁this",
    "▁is",
    "▁good",
    "▁bad",
    "▁film",
    "▁it",
    "▁hate",
    "▁that",
    "▁I",
    "ly",
    "!",
    ",",
]
SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
    "initializer_range": 0.3,
}  # fmt: skip


def network(folder: Path, kind: type, config: object) -> None:
    torch.manual_seed(1)
    kind(config).save_pretrained(folder)


def described(folder: Path, **settings: object) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def bert(folder: Path) -> None:
    network(folder, BertModel, BertConfig(vocab_size=len(WORDS), **SIZES))
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    described(folder, tokenizer_class="BertTokenizer", do_lower_case=True)


def bert_cased(folder: Path) -> None:
    words = [*WORDS, "I", "Film"]
    network(folder, BertModel, BertConfig(vocab_size=len(words), **SIZES))
    (folder / "vocab.txt").write_text("\n".join(words))
    described(folder, tokenizer_class="BertTokenizer", do_lower_case=False)


def bert_in_one_file(folder: Path) -> None:
    network(folder, BertModel, BertConfig(vocab_size=len(WORDS), **SIZES))
    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.add_special_tokens(SPECIAL)
    made.save(str(folder / "tokenizer.json"))
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    described(folder, tokenizer_class="BertTokenizer", do_lower_case=True, **names)


def roberta(folder: Path) -> None:
    config = RobertaConfig(vocab_size=len(BYTES), pad_token_id=1, **SIZES)
    network(folder, RobertaModel, config)
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(BYTES)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES]) + "\n")
    described(folder, tokenizer_class="RobertaTokenizer")


def roberta_with_both(folder: Path) -> None:
    from transformers import AutoTokenizer

    roberta(folder)
    AutoTokenizer.from_pretrained(folder).save_pretrained(folder)


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def pieces_file(path: Path, pieces: list[str], special: list[str]) -> None:
    """A sentencepiece model: each piece with its score and kind; the unknown one is of kind 2."""
    content = b""
    for number, piece in enumerate([*special, *pieces, *"abcdefghijklmnopqrstuvwxyz"]):
        kind = 2 if piece == "<unk>" else 3 if number < len(special) else 1
        score = b"\x15" + struct.pack("<f", -float(number) / 10 if len(piece) > 1 else -20.0)
        content += _field(1, _field(1, piece.encode()) + score + bytes([0x18, kind]))
    trainer = bytes([3 << 3, 1])  # unigram
    path.write_bytes(content + _field(2, trainer) + _field(3, _field(1, b"identity")))


def xlm_roberta(folder: Path) -> None:
    size = len(PIECES) + 26 + 3 + 2
    network(folder, XLMRobertaModel, XLMRobertaConfig(vocab_size=size, pad_token_id=1, **SIZES))
    pieces_file(folder / "sentencepiece.bpe.model", PIECES, ["<unk>", "<s>", "</s>"])
    described(folder, tokenizer_class="XLMRobertaTokenizer")


def albert(folder: Path) -> None:
    special = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    size = len(PIECES) + 26 + len(special)
    shape = AlbertConfig(vocab_size=size, embedding_size=16, **SIZES)
    network(folder, AlbertModel, shape)
    pieces_file(folder / "spiece.model", PIECES, special)
    described(folder, tokenizer_class="AlbertTokenizer")


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "vocab.txt (BERT)": bert,
    "vocab.txt, cased (BERT)": bert_cased,
    "tokenizer.json (BERT)": bert_in_one_file,
    "vocab.json and merges.txt (RoBERTa)": roberta,
    "vocab.json, merges.txt and tokenizer.json (RoBERTa)": roberta_with_both,
    "sentencepiece.bpe.model (XLM-R)": xlm_roberta,
    "spiece.model (ALBERT)": albert,
}


def made(layout: str, folder: Path) -> Path:
    folder.mkdir()
    LAYOUTS[layout](folder)
    return folder


def results(folder: Path | str, texts: list[str] = TEXTS) -> list[ClipResult]:
    batch = [ClipInputs(Clip(str(i), text=text)) for i, text in enumerate(texts)]
    return list(Bert(Bert.Settings(weights=str(folder), device="cpu")).extract(batch))


def outcome(layout: str, folder: Path) -> dict[str, str]:
    """What comes of the layout whole, and with each of its files removed in turn."""
    whole = results(made(layout, folder))
    found = {"whole": f"unknown {max(float(r.rows['unknown']) for r in whole):.2f}"}
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        path.unlink()
        found[path.name] = _without(folder, whole)
        path.write_bytes(content)
    return found


def _without(folder: Path, whole: list[ClipResult]) -> str:
    try:
        left = results(folder)
    except UserError as error:
        return "many lines" if "\n" in str(error) else f"error: {error}".replace(str(folder), "…")
    pairs = [(a.rows["features"], b.rows["features"]) for a, b in zip(left, whole, strict=True)]
    same = all(a.shape == b.shape and np.allclose(a, b, atol=1e-5) for a, b in pairs)
    return "the same features" if same else "OTHER FEATURES"


def in_pieces(layout: str) -> bool:
    """Whether a library that is not always there reads it."""
    return "sentencepiece" in layout or "spiece" in layout


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_one_of_its_files_features_are_the_same_or_there_are_none(
    layout: str, tmp_path: Path
) -> None:
    if in_pieces(layout) and not find_spec("sentencepiece"):
        with pytest.raises(UserError, match=r"pip install 'smp-sentiment\[sentencepiece\]'"):
            results(made(layout, tmp_path / "net"))
        return
    found = outcome(layout, tmp_path / "net")
    print(json.dumps({layout: found}, indent=1))
    assert found.pop("whole") == "unknown 0.00"
    for name, what in found.items():
        assert what == "the same features" or what.startswith("error: "), name
    assert found["config.json"].startswith("error: weights folder … lacks a configuration (config")
    assert found["model.safetensors"].startswith("error: weights folder … lacks weights (model.s")
    if "tokenizer.json" not in found:
        for name in found.keys() & set(TEXT.beside) - {"config.json", "tokenizer_config.json"}:
            assert found[name].startswith("error: weights folder … lacks a vocabulary (tokenizer")


def test_a_vocabulary_of_capitals_is_not_made_small(tmp_path: Path) -> None:
    folder = made("vocab.txt, cased (BERT)", tmp_path / "net")
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(UserError, match=r"'Film' for one.*fetch tokenizer_config\.json"):
        results(folder)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "knows 5 tokens, 0 of them no special ones, but the network was trained on about 19"),
        (SPECIAL, "knows 5 tokens, 0 of them no special ones"),
        (WORDS[:8], "knows 8 tokens, 3 of them no special ones"),
        ([*WORDS, "more"], "knows 20 tokens, 15 of them no special ones"),
    ],
)
def test_a_vocabulary_of_another_size_is_refused(
    words: list[str], told: str, tmp_path: Path
) -> None:
    folder = made("vocab.txt (BERT)", tmp_path / "net")
    (folder / "vocab.txt").write_text("\n".join(words))
    with pytest.raises(UserError, match=told):
        results(folder)


def test_an_embedding_that_is_padded_is_fine(tmp_path: Path) -> None:
    network(tmp_path, BertModel, BertConfig(vocab_size=len(WORDS) + 12, **SIZES))
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    described(tmp_path, tokenizer_class="BertTokenizer")
    assert {result.state for result in results(tmp_path)} == {"ok"}


def test_a_text_of_unknown_tokens_is_doubtful_and_its_share_stored(tmp_path: Path) -> None:
    folder = made("vocab.txt (BERT)", tmp_path / "net")
    known, some, mostly = results(folder, ["this is good", "this is good, sir", "电影 is 很好看"])
    assert [float(r.rows["unknown"]) for r in (known, some, mostly)] == pytest.approx(
        [0, 1 / 5, 5 / 6]
    )
    assert (known.doubt, some.doubt) == ("", "")
    assert mostly.doubt == "5 of 6 tokens are not in the vocabulary of these weights"
    assert (mostly.state, mostly.length) == ("ok", 8)
    (random,) = results("random", ["电影"])
    assert (float(random.rows["unknown"]), random.doubt) == (0, "")


def test_bytes_are_never_unknown(tmp_path: Path) -> None:
    folder = made("vocab.json and merges.txt (RoBERTa)", tmp_path / "net")
    (result,) = results(folder, ["电影很好看"])
    assert (float(result.rows["unknown"]), result.doubt) == (0, "")


def test_a_text_longer_than_a_roberta_has_places_is_cut_without_its_tokenizers_word(
    tmp_path: Path,
) -> None:
    folder = made("vocab.json and merges.txt (RoBERTa)", tmp_path / "net")
    (folder / "tokenizer_config.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    (result,) = results(folder, ["good " * 900])
    assert config["max_position_embeddings"] == 512
    assert result.reason.startswith("text truncated: 510 of ")


def in_the_hub_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a snapshot of someone/net."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    root = folder / "models--someone--net"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    snapshot = root / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    return snapshot


def test_what_automodel_alone_leaves_in_a_hub_cache_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = in_the_hub_cache(tmp_path, monkeypatch)
    network(snapshot, BertModel, BertConfig(vocab_size=len(WORDS), **SIZES))
    with pytest.raises(UserError) as caught:
        results("someone/net")
    message = str(caught.value)
    assert message.startswith(
        "weights 'someone/net' lack a vocabulary (tokenizer.json, vocab.txt, vocab.json with "
        "merges.txt or a sentencepiece model): looked at ./someone/net, in the hub cache "
        f"{snapshot} and offline"
    )
    assert "`smp models pull` or `hf download someone/net`" in message
    (snapshot / "vocab.txt").write_text("\n".join(WORDS))
    assert {result.state for result in results("someone/net")} == {"ok"}


def main() -> None:
    """Print a table of layouts and what comes of each with one of its files removed."""
    import tempfile

    print("| layout | file removed | outcome |\n|---|---|---|")
    for layout in LAYOUTS:
        for name, what in outcome(layout, Path(tempfile.mkdtemp()) / "net").items():
            print(f"| {layout} | {name} | {what[:120]} |")


if __name__ == "__main__":
    main()
