"""An encoder that learns with the model begins as its stage did; a run has what rebuilds it."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from model.data.samples import Samples, load_samples
from model.exported.run import export_run
from model.finetune.network import FineTuned
from model.finetune.settings import FineTune
from model.finetune.text_stage import tokens_of, with_tokens
from model.inference.predict import TrainedModel
from model.training.loop import prepare, train, untrained
from model.training.settings import TrainSettings
from pipeline.dag.spec import Stages
from pipeline.errors import UserError
from pipeline.store.cache import open_cache
from tests.conftest import Transcripts
from tests.support.commands import smp
from tests.support.text_encoders import FAMILIES

SHORT = ["i love this film !", "i hate it .", "this is bad", "it is good ly good", "good", "bad !"]
LONG = " ".join(["this film is good and bad , i love it"] * 5)  # of more tokens than steps
TEXTS = [*SHORT, LONG] * 3
SETTINGS = TrainSettings(
    model="lf_dnn", epochs=2, batch=8, lr=1e-3, feature_dropout=0.1, device="cpu",
    finetune=FineTune(lr=1e-2),
)  # fmt: skip
LORA = FineTune(rank=2, lr=1e-2)


def talks(
    folder: Path, texts: Sequence[str] = TEXTS, stages: Any = MappingProxyType({}), **settings: Any
) -> Transcripts:
    """A dataset whose texts a small BERT has read; `settings` are its stage's."""
    encoder = FAMILIES["BERT"].save(folder / "encoder")
    made = Transcripts(folder)
    made.texts(texts)
    named = {**stages, "bert": {"weights": str(encoder), **settings}}
    made.stages_file.write_text(json.dumps({"partition": 4, "stages": named}))
    made.extract()
    return made


def samples_of(made: Transcripts) -> Samples:
    cache = open_cache(made.cache_url)
    return with_tokens(load_samples(cache), cache)


def begun(samples: Samples, finetune: FineTune) -> FineTuned:
    settings = SETTINGS.model_copy(update={"finetune": finetune})
    found = untrained(prepare(samples, settings), samples, settings)
    assert isinstance(found, FineTuned)
    return found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Transcripts:
    return talks(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def samples(small: Transcripts) -> Samples:
    return samples_of(small)


@pytest.mark.parametrize("stage", [{}, {"sampling": "mean", "layer": 1}], ids=str)
def test_before_its_first_step_a_model_sees_what_is_cached(
    tmp_path: Path, stage: dict[str, Any]
) -> None:
    samples = samples_of(talks(tmp_path, **stage))
    prepared = prepare(samples, SETTINGS)
    for finetune in (FineTune(), LORA):
        network = begun(samples, finetune).eval()
        seen = network._encoded(prepared.inputs).features["text"]
        torch.testing.assert_close(seen, prepared.inputs.features["text"], rtol=0, atol=2e-4)
        assert not network.encoder(torch.full((2, 1), -1)).any()  # of clips without a text


def test_texts_side_by_side_are_those_below_each_other_and_one_without_text_is_zeros(
    samples: Samples,
) -> None:
    encoder, tokens = begun(samples, LORA).encoder.eval(), samples.batch.tokens
    assert tokens is not None
    tokens = torch.cat([tokens[:3], torch.full_like(tokens[:1], -1), tokens[3:9]])
    side_by_side = encoder(tokens)
    assert encoder._packs
    encoder._packs = False
    encoder.network.set_attn_implementation("sdpa")
    torch.testing.assert_close(side_by_side, encoder(tokens), rtol=0, atol=1e-5)
    assert not side_by_side[3].any()


def test_the_encoder_joins_after_the_epochs_that_the_model_has_for_itself(
    samples: Samples,
) -> None:
    network = begun(samples, FineTune(after=2)).train()
    inputs = prepare(samples, SETTINGS).inputs
    for epoch, joined in ((1, False), (2, False), (3, True)):
        network.begin(epoch, len(inputs))
        network.zero_grad()
        network(inputs).square().sum().backward()
        assert any(x.grad is not None for x in network.encoder.parameters()) == joined
        assert any(x.grad is not None for x in network.model.parameters())


def test_what_was_heard_is_read_where_a_clip_has_no_transcript(tmp_path: Path) -> None:
    heard = {"extractor": "tests.support.toys.heard"}
    made = talks(tmp_path, ["i hate it .", "", "  "] * 3, stages={"heard": heard}, needs="heard")
    cache, stage = open_cache(made.cache_url), Stages.load(made.stages_file)["bert"]
    tokens = tokens_of(stage, cache, cache.clips["id"].tolist())
    assert (tokens >= 0).sum(1).tolist() == cache["bert"].lengths.tolist()
    assert tokens[1].equal(tokens[2])
    assert not tokens[1].equal(tokens[0])


def test_the_encoder_learns_with_the_model_and_what_lora_leaves_alone_does_not(
    samples: Samples,
) -> None:
    whole, lora = begun(samples, FineTune()), begun(samples, LORA)
    learning = [name for name, _ in lora.encoder.named_parameters()]
    assert learning
    assert all("lora_" in name for name in learning)
    assert set(lora.encoder.state_dict()) == set(learning)
    assert len(whole.encoder.state_dict()) > len(whole.encoder.by_rate())
    fixed = [x for name, x in lora.encoder.named_buffers() if name.endswith("base_layer.weight")]
    before = [x.clone() for x in fixed]
    for network in (whole, lora):
        was = {name: x.detach().clone() for name, x in network.named_parameters()}
        optimizer = network.train().optimizer(1e-3, 0.0)
        for _ in range(2):  # LoRA's second matrices are zero before the first
            network.zero_grad()
            network(prepare(samples, SETTINGS).inputs).square().sum().backward()
            optimizer.step()
        now = dict(network.named_parameters())
        unmoved = {name for name, x in was.items() if torch.equal(x, now[name])}
        # Attention is the same whatever is added to all keys.
        assert not {name for name in unmoved if "key.bias" not in name}
    assert fixed
    assert all(map(torch.equal, fixed, before))


def test_lower_layers_learn_more_slowly(samples: Samples) -> None:
    encoder = begun(samples, FineTune(lr=0.1, layer_decay=0.5)).encoder
    groups = encoder.by_rate()
    assert [rate for _, rate in groups] == pytest.approx([0.025, 0.05, 0.1])
    assert sum(len(own) for own, _ in groups) == len(list(encoder.parameters()))
    places = encoder.network.embeddings.position_embeddings.weight
    assert any(own is places for own in groups[0][0])
    words = encoder.network.get_input_embeddings().weight  # of which a text has few
    assert not any(own is words for own in encoder.parameters())


def test_the_same_seed_gives_the_same_bits_and_tokens_change_no_cached_training(
    samples: Samples,
) -> None:
    found = [train(samples, SETTINGS).curve for _ in range(2)]
    assert found[0] == found[1]
    cached = SETTINGS.model_copy(update={"finetune": None})
    without = replace(samples, batch=replace(samples.batch, tokens=None))
    curves = [train(one, cached).curve for one in (samples, without)]
    assert curves[0] == curves[1] != found[0]


@pytest.mark.parametrize("rank", [0, 2])
def test_a_run_rebuilds_its_encoder_and_predicts_new_clips_as_training_did(
    small: Transcripts, tmp_path: Path, rank: int
) -> None:
    where = ["--cache", small.cache_root, "--runs", tmp_path, "--device", "cpu"]
    how = ["--model", "lf_dnn", "--epochs", 2, "--set", f"finetune.rank={rank}"]
    done = smp("train", small.folder, "--finetune", "text", *where, *how, "--json")
    run = Path(json.loads(done.stdout)["run"])
    with safe_open(run / "weights.safetensors", framework="pt") as file:
        kept = [name for name in file.keys() if ".encoder." in name]  # noqa: SIM118, no dict
    assert all("lora_" in name for name in kept) == bool(rank)
    with (run / "predictions.csv").open(newline="") as table:
        recorded = {row["id"]: float(row["prediction"]) for row in csv.DictReader(table)}
    model = TrainedModel(run)
    clips = list(model.dataset().values())
    said = [one.score or 0.0 for one in model(clips)]
    assert said == pytest.approx([recorded[clip.id] for clip in clips], abs=1e-4)
    assert np.std(said) > 0
    with pytest.raises(UserError, match="can't be exported"):
        export_run(run, "torch", tmp_path / "program")


def test_a_comparison_has_each_model_frozen_and_fine_tuned_and_does_each_once(
    small: Transcripts, tmp_path: Path
) -> None:
    where = ["--cache", small.cache_root, "--runs", tmp_path, "--device", "cpu", "--json"]
    how = ["--models", "lf_dnn", "--seeds", 1, "--epochs", 1, "--set", "finetune.rank=2"]
    compare = ["compare", small.folder, "--finetune", "text"]
    found = [json.loads(smp(*compare, *how, *where).stdout)["rows"] for _ in range(2)]
    rows = [[row for row in own if row["kind"] == "model"] for own in found]
    assert [row["label"] for row in rows[0]] == ["LF-DNN", "LF-DNN, text fine-tuned"]
    settings = [row["settings"]["finetune"] for row in rows[0]]
    assert settings == [None, FineTune(rank=2).model_dump()]
    assert [[row["trained"] for row in own] for own in rows] == [[[0], [0]], [[], []]]
    done = smp(*compare, "--tuned", *where, code=2)
    assert "--finetune goes with neither" in done.output


def test_other_weights_than_those_that_training_began_with_are_refused_by_name(
    tmp_path: Path,
) -> None:
    made = talks(tmp_path)
    where = ["--cache", made.cache_root, "--runs", tmp_path / "runs", "--model", "lf_dnn"]
    done = smp("train", made.folder, "--finetune", "text", *where, "--epochs", 1, "--json")
    FAMILIES["ELECTRA"].save(tmp_path / "encoder")
    with pytest.raises(UserError, match="stage 'bert' is not what the model was trained on"):
        TrainedModel(json.loads(done.stdout)["run"])


def test_what_is_no_text_of_a_bert_or_is_not_trained_alone_is_refused_in_a_line(
    lettered_talks: Transcripts, samples: Samples
) -> None:
    where = ["--cache", lettered_talks.cache_root, "--finetune", "text"]
    done = smp("train", lettered_talks.folder, *where, code=2)
    assert "takes text of one `bert` stage; the text here is 'bert' (tests." in done.output
    without = replace(samples, batch=replace(samples.batch, tokens=None))
    with pytest.raises(UserError, match="fine-tuning takes the texts"):
        train(without, SETTINGS)
