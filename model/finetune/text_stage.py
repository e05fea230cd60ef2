"""The stage whose encoder is trained: what it reads of each clip, as token ids.

They are made from the transcripts that the cache keeps, by the stage's own tokenizer: a store of
any age will do, and the ids are those behind its features, as both follow from the clip's text and
the weights, whose digests the commit and the fingerprint hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from model.data.samples import Samples
from pipeline.dag.recipe import Recipe
from pipeline.dag.stage import Stage
from pipeline.encoders.tokenizer import tokenizer_of
from pipeline.errors import MissingModalityError, UserError
from pipeline.extractors.bert import Bert
from pipeline.stage import transcript
from pipeline.store.cache import Cache

BEYOND = -1  # the end of a text


def text_stage(
    channels: Mapping[str, Sequence[str]],
    extraction: Mapping[str, Any] | None,
    weights: Mapping[str, str] | None = None,
    where: str = "the cache",
) -> Stage:
    """The one stage that is the text, as it was run and with the weights that it had.

    extraction: a `Recipe` as JSON. weights: where those of a stage are, that lie elsewhere now.
    Raises UserError where there is no such stage, or it would give other features here.
    """
    recipe, names = Recipe.from_json(extraction) if extraction else None, channels.get("text", ())
    kinds = [recipe.stages[name]["extractor"] if recipe else "imported" for name in names]
    if not recipe or kinds != ["bert"]:
        found = ", ".join(f"{n!r} ({kind})" for n, kind in zip(names, kinds, strict=True)) or "none"
        raise UserError(f"fine-tuning takes text of one `bert` stage; the text here is {found}")
    own = recipe.only(names[0])
    elsewhere = {name: at for name, at in (weights or {}).items() if name in own.stages}
    stage = own.here(elsewhere, where)[names[0]]
    if cast(Bert, stage.make()).sampling == "words":
        raise UserError(
            f"stage {stage.name!r}: fine-tuning can't take steps that are words; extract with "
            "`sampling: uniform` or `mean`"
        )
    return stage


def tokens_of(stage: Stage, cache: Cache, ids: Sequence[str]) -> Tensor:
    """The token ids of the clips `ids`: int64 [n, most], BEYOND after each text's end."""
    tokenizer = tokenizer_of(cast(Bert, stage.make()).weights())
    texts = _texts(stage, cache)

    def row(text: str) -> Tensor:
        try:
            found = tokenizer.tokens(transcript.whole_characters(text)).ids
        except MissingModalityError:
            found = []
        return torch.tensor(found or [BEYOND], dtype=torch.int64)

    return pad_sequence([row(texts[id]) for id in ids], batch_first=True, padding_value=BEYOND)


def with_tokens(samples: Samples, cache: Cache) -> Samples:
    """The samples with the token ids that fine-tuning takes."""
    stage = text_stage(samples.channels, samples.provenance.get("extraction"))
    tokens = tokens_of(stage, cache, samples.ids)
    return replace(samples, batch=replace(samples.batch, tokens=tokens))


def _texts(stage: Stage, cache: Cache) -> dict[str, str]:
    """By clip id, what the stage reads: its own transcript, or else what another stage heard."""
    heard = next((cache[n] for n in stage.needs if "transcript" in cache[n].store.fields), None)
    texts = {}
    for number in cache.table.present:
        clip = cache.table.rows[number].clip
        texts[clip.id] = clip.text
        if heard and not clip.text.strip():
            rows = heard.row(number, ["transcript"]).rows
            texts[clip.id] = transcript.read(rows["transcript"]) if rows else ""
    return texts
