"""Every family of text encoders, as its hub has it, against a plain call of transformers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from pipeline.encoders.tokenizer import spelled
from pipeline.errors import UserError
from pipeline.extractors.bert import Bert
from pipeline.stage.result import ClipResult
from tests.contracts.test_extractors import texts
from tests.support.text_encoders import (
    FAMILIES,
    SIZES,
    Family,
    in_bytes,
    in_words,
    padded_batches,
    saved,
)

TEXTS = ["this is good film ! it is", "it is bad .", "I", "good " * 9 + "film"]
FORMATS = [(name, kind) for name, family in FAMILIES.items() for kind in family.formats]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def folder(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return family.save(tmp_path_factory.mktemp("weights") / "net", family.formats[0])


def results(folder: Path | str, said: list[str], **settings: object) -> list[ClipResult]:
    made = Bert.Settings(weights=str(folder), device="cpu", **settings)
    return list(Bert(made, steps=600).extract(texts(*said)))


def features(folder: Path | str, said: list[str], **settings: object) -> list[np.ndarray]:
    return [result.rows["features"] for result in results(folder, said, **settings)]


@pytest.mark.parametrize(("name", "kind"), FORMATS)
def test_states_are_those_of_a_plain_call_in_each_format(
    name: str, kind: str, tmp_path: Path
) -> None:
    family = FAMILIES[name]
    folder = family.save(tmp_path / "net", kind)
    stage = Bert(Bert.Settings(weights=str(folder)))
    for text, got in zip(TEXTS, features(folder, TEXTS), strict=True):
        expected = family.plain_states(folder, text).last_hidden_state[0].numpy()
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, atol=1e-4)
        assert stage.writes()["features"].axes == ("step", expected.shape[1])
        assert len(spelled(stage.weights(), text)) == len(got)


def test_a_layer_is_the_one_that_transformers_counts(family: Family, folder: Path) -> None:
    plain = family.plain_states(folder, TEXTS[0], output_hidden_states=True).hidden_states
    every = [states[0].numpy() for states in plain]
    assert len(every) == 3
    for layer, expected in ((0, every[0]), (1, every[1]), (-1, every[2]), (-3, every[0])):
        (got,) = features(folder, TEXTS[:1], layer=layer)
        np.testing.assert_allclose(got, expected, atol=1e-4)
    (mean,) = features(folder, TEXTS[:1], layer=[-2, -1])
    np.testing.assert_allclose(mean, (every[1] + every[2]) / 2, atol=1e-4)


def test_a_text_does_not_depend_on_its_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = [features(folder, [text])[0] for text in TEXTS]
    for together, by_itself in zip(features(folder, TEXTS), alone, strict=True):
        np.testing.assert_array_equal(together, by_itself)
    padded_batches(monkeypatch)
    for padded, by_itself in zip(features(folder, TEXTS), alone, strict=True):
        np.testing.assert_allclose(padded, by_itself, atol=2e-5)


def test_a_long_text_is_cut_where_the_network_has_no_more_places(
    family: Family, folder: Path
) -> None:
    (result,) = results(folder, ["good " * 600])
    assert result.reason.startswith(f"text truncated: {family.limit} of ")
    assert np.isfinite(result.rows["features"]).all()


def test_nothing_but_blanks_is_no_text(folder: Path) -> None:
    blank, good = results(folder, [" \n", "good"])
    assert (blank.state, blank.reason, good.state) == ("missing", "empty text", "ok")


def test_a_roberta_that_leaves_its_padding_to_the_library_wastes_its_places(tmp_path: Path) -> None:
    folder = FAMILIES["RoBERTa"].save(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    del config["pad_token_id"]
    (folder / "config.json").write_text(json.dumps(config))
    (result,) = results(folder, ["good " * 90])
    assert config["max_position_embeddings"] == 66
    assert result.reason.startswith("text truncated: 64 of ")


def test_a_layer_that_is_not_there_is_told(tmp_path: Path) -> None:
    folder = FAMILIES["BERT"].save(tmp_path)
    for layer in (3, -4, [2, 1], [-4, -1]):
        with pytest.raises(UserError, match=r"these weights have 2 layers; name one from 0.* to 2"):
            results(folder, ["good"], layer=layer)


def test_a_network_for_something_else_is_refused_by_its_kind(tmp_path: Path) -> None:
    config = transformers.CLIPVisionConfig(
        **{k: SIZES[k] for k in ("hidden_size", "num_attention_heads", "intermediate_size")},
        num_hidden_layers=1, image_size=8, patch_size=4,
    )  # fmt: skip
    pictures = saved(
        tmp_path / "pictures", transformers.CLIPVisionModel(config), in_words(), str,
        "model.safetensors",
    )  # fmt: skip
    with pytest.raises(UserError, match="of a 'clip_vision_model' model; this stage takes text"):
        results(pictures, ["good"])


def test_a_network_without_a_vocabulary_is_told_with_its_kind(tmp_path: Path) -> None:
    folder = FAMILIES["BERT"].save(tmp_path)
    (folder / "tokenizer.json").unlink()
    transformers.ResNetConfig().save_pretrained(folder)
    told = r"lacks a vocabulary .*; it holds a 'resnet' model, and this stage takes text encoders"
    with pytest.raises(UserError, match=told):
        Bert(Bert.Settings(weights=str(folder))).weights()


@pytest.mark.parametrize("own", [{}, {"auto_map": {"AutoConfig": "own.Config"}}])
def test_a_kind_that_transformers_does_not_know_is_told_and_no_code_run(
    own: dict[str, object], tmp_path: Path
) -> None:
    folder = FAMILIES["BERT"].save(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "curious", **own}))
    (folder / "own.py").write_text("raise SystemExit('run')")
    with pytest.raises(UserError, match="curious" if not own else "code of its own") as caught:
        results(folder, ["good"])
    assert "\n" not in str(caught.value)
    assert "trust_remote_code" not in str(caught.value)


def test_decoders_give_the_beginning_of_a_text_what_it_has_alone(tmp_path: Path) -> None:
    """Their states look back alone, and no token is added that would stand before them."""
    folder = FAMILIES["GPT-2"].save(tmp_path)
    (long,), (short,) = features(folder, ["this is good"]), features(folder, ["this is"])
    np.testing.assert_allclose(long[: len(short)], short, atol=1e-5)
    torch.manual_seed(0)
    assert in_bytes("GPT2Tokenizer", "<|endoftext|>").pad_token is None
