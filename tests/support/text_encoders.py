"""Small checkpoints of the families of text encoders, laid out as the hub has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing

from pipeline.encoders import bert, packing
from pipeline.weights import registry

SAFE, BIN = ("model.safetensors",), ("pytorch_model.bin",)
FORMATS = SAFE + BIN
WORDS = ["i", "love", "hate", "this", "film", "it", "is", "good", "bad", "##ly", "!", ".", "好"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = ["▁", "▁this", "▁is", "▁good", "▁bad", "▁film", "▁it", "▁I", "ly", "!", "."]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
BYTES = sorted(ByteLevel.alphabet())
MERGES = [("Ġ", "t"), ("h", "i"), ("i", "s"), ("o", "o"), ("g", "oo"), ("goo", "d")]
SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
    "max_position_embeddings": 64, "initializer_range": 0.3,
}  # fmt: skip
DECODER = {**SIZES, "num_key_value_heads": 1, "pad_token_id": None}


def in_words(**settings: Any) -> Any:
    """WordPiece, as BERT's."""
    vocabulary = {word: id for id, word in enumerate([*SPECIAL, *WORDS])}
    return transformers.BertTokenizer(vocab=vocabulary, **settings)


def in_bytes(kind: str, *special: str, **settings: Any) -> Any:
    """Byte pairs, as GPT-2's; `special` are its first ids."""
    joined = ["".join(pair) for pair in MERGES]
    vocabulary = {token: id for id, token in enumerate([*special, *BYTES, *joined])}
    return getattr(transformers, kind)(vocab=vocabulary, merges=MERGES, **settings)


def in_pieces(kind: str, *special: str, **settings: Any) -> Any:
    """Sentencepiece's unigrams; `special` are the first of them."""
    pieces = [(piece, -1.0 - id / 10) for id, piece in enumerate([*special, *PIECES])]
    letters = [(letter, -20.0) for letter in LETTERS]
    return getattr(transformers, kind)(vocab=[*pieces, *letters], **settings)


def after_a_start() -> Any:
    """LLaMA 3's: byte pairs after a token that begins every text; none to pad with."""
    backend = in_bytes("GPT2Tokenizer", "<s>", unk_token="<s>").backend_tokenizer
    backend.post_processor = TemplateProcessing("<s> $A", None, [("<s>", 0)])
    kind = transformers.PreTrainedTokenizerFast
    return kind(tokenizer_object=backend, bos_token="<s>", eos_token="<s>")


def of_clip() -> Any:
    """CLIP's byte pairs: small letters alone, each also as the end of a word."""
    ends = [f"{letter}</w>" for letter in BYTES]
    tokens = [*BYTES, *ends, "hi", "his</w>", "<|startoftext|>", "<|endoftext|>"]
    merges = [("h", "i"), ("hi", "s</w>")]
    vocabulary = {token: id for id, token in enumerate(tokens)}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)


@dataclass(frozen=True)
class Family:
    """example: one on the hub. saved: the class whose tensors its checkpoint holds. plain: the
    class that a user of transformers calls. names: what the library's tensors are called there.
    formats: of its checkpoints on the hub. limit: the most tokens of this small one.
    """

    example: str
    saved: str
    tokenizer: Callable[[], Any]
    shape: Mapping[str, Any] = field(default_factory=lambda: SIZES)
    plain: str = "AutoModel"
    names: Callable[[str], str] = str
    formats: tuple[str, ...] = FORMATS
    limit: int = 64

    def save(self, folder: Path, as_format: str = "model.safetensors") -> Path:
        """A checkpoint with seeded weights in `folder`, the same in either format."""
        tokenizer = self.tokenizer()
        kind = getattr(transformers, self.saved)
        torch.manual_seed(1)
        config = kind.config_class(**_sized(self.shape, len(tokenizer)))
        return saved(folder, kind(config), tokenizer, self.names, as_format)

    def plain_states(self, folder: Path, text: str, **how: Any) -> Any:
        """What transformers itself makes of one text, with no batch: its output."""
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = getattr(transformers, self.plain).from_pretrained(folder).eval()
        is_half = self.plain == "AutoModel" and model.config.is_encoder_decoder
        with torch.no_grad():
            network = model.get_encoder() if is_half else model
            return network(**tokenizer(text, return_tensors="pt"), **how)


def padded_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have texts go through networks, loaded anew, in padded batches, as on an accelerator."""
    monkeypatch.setattr(registry, "_models", {})
    monkeypatch.setattr(packing, "made_for", lambda model: False)
    monkeypatch.setattr(bert, "batch_size", lambda setting, device: setting)


def saved(
    folder: Path, model: Any, beside: Any, names: Callable[[str], str], as_format: str
) -> Path:
    """A network and what prepares its inputs, in the hub's layout."""
    model.save_pretrained(folder)
    beside.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    tensors = {names(name): tensor for name, tensor in tensors.items()}
    if as_format == "model.safetensors":
        save_file(tensors, folder / as_format, {"format": "pt"})
    else:
        torch.save(tensors, folder / as_format)
    return folder


def _old(name: str) -> str:
    """As BERT's layer norms are called in the first checkpoints."""
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"
    )


def _bare(name: str) -> str:
    return name.removeprefix("transformer.")


def _sized(shape: Mapping[str, Any], vocabulary: int) -> dict[str, Any]:
    """The shape with the number of tokens, which a network of two towers has within."""
    if "text_config" in shape:
        return {**shape, "text_config": {**shape["text_config"], "vocab_size": vocabulary}}
    return {**shape, "vocab_size": vocabulary}


_XLM_R = ("<s>", "<pad>", "</s>", "<unk>")
_ROBERTA = {**SIZES, "max_position_embeddings": 66, "pad_token_id": 1}
_T5 = {"d_model": 32, "num_layers": 2, "num_heads": 2, "d_kv": 16, "d_ff": 48}
_RELATIVE = {
    "relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False, "type_vocab_size": 0, "norm_rel_ebd": "layer_norm",
    "share_att_key": True, "max_relative_positions": -1,
}  # fmt: skip
FAMILIES: dict[str, Family] = {
    "BERT": Family("google-bert/bert-base-uncased", "BertForPreTraining", in_words, names=_old),
    "MacBERT, RoBERTa-wwm": Family(
        "hfl/chinese-macbert-base", "BertForMaskedLM", in_words, formats=BIN
    ),
    "RoBERTa": Family(
        "FacebookAI/roberta-base", "RobertaForMaskedLM",
        lambda: in_bytes("RobertaTokenizer", "<s>", "<pad>", "</s>", "<unk>", "<mask>"), _ROBERTA,
    ),
    "XLM-RoBERTa": Family(
        "FacebookAI/xlm-roberta-base", "XLMRobertaForMaskedLM",
        lambda: in_pieces("XLMRobertaTokenizer", *_XLM_R), _ROBERTA,
    ),
    "MPNet": Family(
        "sentence-transformers/all-mpnet-base-v2", "MPNetModel",
        lambda: transformers.MPNetTokenizer(
            vocab={w: i for i, w in enumerate([*_XLM_R, "[UNK]", "<mask>", *WORDS])}
        ), {**_ROBERTA},
    ),
    "ALBERT": Family(
        "albert/albert-base-v2", "AlbertForPreTraining",
        lambda: in_pieces("AlbertTokenizer", "<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"),
        {**SIZES, "embedding_size": 16},
    ),
    "DeBERTa": Family(
        "microsoft/deberta-base", "DebertaForMaskedLM",
        lambda: in_bytes("DebertaTokenizer", "[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"),
        {**SIZES, "relative_attention": True, "pos_att_type": ["c2p", "p2c"],
         "position_biased_input": False, "type_vocab_size": 0, "max_relative_positions": -1},
        formats=BIN,
    ),
    "DeBERTa V2, V3": Family(
        "microsoft/deberta-v3-base", "DebertaV2ForMaskedLM",
        lambda: in_pieces("DebertaV2Tokenizer", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
        {**SIZES, **_RELATIVE}, formats=BIN,
    ),
    "ELECTRA": Family(
        "google/electra-small-discriminator", "ElectraForPreTraining", in_words,
        {**SIZES, "embedding_size": 16},
    ),
    "DistilBERT": Family(
        "distilbert/distilbert-base-uncased", "DistilBertForMaskedLM", in_words,
        {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "max_position_embeddings": 64,
         "initializer_range": 0.3},
    ),
    "ModernBERT": Family(
        "answerdotai/ModernBERT-base", "ModernBertForMaskedLM",
        lambda: in_bytes("RobertaTokenizer", "<s>", "<pad>", "</s>", "<unk>", "<mask>"),
        {**SIZES, "pad_token_id": 1, "local_attention": 8, "global_attn_every_n_layers": 2,
         "bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2},
    ),
    "XLNet": Family(
        "xlnet/xlnet-base-cased", "XLNetLMHeadModel",
        lambda: in_pieces("XLNetTokenizer", "<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>",
                          "<mask>", "<eod>", "<eop>"),
        {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48, "initializer_range": 0.3},
        limit=512,
    ),
    "T5, FLAN-T5 (the encoder)": Family(
        "google-t5/t5-small", "T5ForConditionalGeneration",
        lambda: in_pieces("T5Tokenizer", "<pad>", "</s>", "<unk>", extra_ids=2), _T5,
        plain="T5EncoderModel", limit=512,
    ),
    "mT5 (the encoder)": Family(
        "google/mt5-small", "MT5ForConditionalGeneration",
        lambda: in_pieces("T5Tokenizer", "<pad>", "</s>", "<unk>", extra_ids=0), _T5,
        plain="MT5EncoderModel", formats=BIN, limit=512,
    ),
    "BART (the encoder)": Family(
        "facebook/bart-base", "BartForConditionalGeneration",
        lambda: in_bytes("RobertaTokenizer", "<s>", "<pad>", "</s>", "<unk>", "<mask>"),
        {"d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2,
         "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
         "max_position_embeddings": 64, "init_std": 0.3},
    ),
    "GPT-2": Family(
        "openai-community/gpt2", "GPT2LMHeadModel",
        lambda: in_bytes("GPT2Tokenizer", "<|endoftext|>"),
        {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "initializer_range": 0.3,
         "bos_token_id": 0, "eos_token_id": 0}, names=_bare,
    ),
    "LLaMA": Family(
        "meta-llama/Llama-3.2-1B", "LlamaForCausalLM",
        after_a_start,
        {**DECODER, "bos_token_id": 0, "eos_token_id": 0}, formats=SAFE,
    ),
    "Qwen2, Qwen2.5": Family(
        "Qwen/Qwen2.5-0.5B", "Qwen2ForCausalLM",
        lambda: in_bytes("Qwen2Tokenizer", "<|endoftext|>"),
        {**DECODER, "bos_token_id": 0, "eos_token_id": 0}, formats=SAFE,
    ),
    "CLIP (the text tower)": Family(
        "openai/clip-vit-base-patch32", "CLIPModel", of_clip,
        {"text_config": {**SIZES, "bos_token_id": 514, "eos_token_id": 515, "pad_token_id": 515},
         "vision_config": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                           "intermediate_size": 16, "image_size": 8, "patch_size": 4},
         "projection_dim": 16},
        plain="CLIPTextModel",
    ),
}  # fmt: skip
