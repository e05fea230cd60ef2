"""A transcript's tokens, and which steps they became."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.encoders.segment import words
from pipeline.encoders.tokenizer import spelled as bert_tokens
from pipeline.errors import ClipError, UserError
from pipeline.inspect.features import FeaturesPanel
from pipeline.inspect.features import panel as features_panel
from pipeline.inspect.stage_result import StageResult
from pipeline.stage.steps import sample_indices
from pipeline.weights.repository import TEXT
from pipeline.weights.resolve import find

MOST_TOKENS = 600


@dataclass(frozen=True)
class Token:
    """A token as it is spelled, and the steps it is part of: none where it was not sampled."""

    text: str
    steps: tuple[int, ...]

    @property
    def is_special(self) -> bool:
        """Whether it stands for no part of the text: [CLS], <s> and their like."""
        return self.text[:1] + self.text[-1:] in ("[]", "<>") and len(self.text) > 2


@dataclass(frozen=True)
class TextPanel:
    """tokens: the first of them. more: how many are left out. why_not: why there are none."""

    tokens: tuple[Token, ...]
    more: int
    why_not: str
    features: FeaturesPanel
    template: str = "text"


def panel(result: StageResult, text: str) -> TextPanel:
    """The text as the stage split it, and its features."""
    found, why_not = [], ""
    try:
        found = tokens(result, text)
    except (UserError, ClipError) as error:
        why_not = str(error)
    shown = tuple(found[:MOST_TOKENS])
    return TextPanel(shown, len(found) - len(shown), why_not, features_panel(result))


def tokens(result: StageResult, text: str) -> list[Token]:
    """The tokens of `text` as the stage saw it, each with its steps.

    Raises UserError where the stage's weights are not here, are others by now, or do not give as
    many steps as were stored.
    """
    if result.settings.get("sampling") == "words":
        raise UserError("a step is a word here; the stage `alignment` tells which")
    spelled = words(text) if result.about.panel == "words" else _of_bert(result, text)
    sampling = result.settings.get("sampling", "uniform")
    taken = _taken(len(spelled), result.steps or 0, sampling)
    if len(taken) != result.length:
        raise UserError(f"{len(spelled)} tokens give {len(taken)} steps, not {result.length}")
    return [
        Token(word, tuple(step for step, of in enumerate(taken) if index in of))
        for index, word in enumerate(spelled)
    ]


def _of_bert(result: StageResult, text: str) -> list[str]:
    id, revision = result.settings.get("weights", ""), result.settings.get("revision")
    weights = find(id, TEXT, revision, download=False)
    if weights.digest != result.identity["weights"]:
        raise UserError(f"weights {id!r} have changed since the text was extracted")
    return bert_tokens(weights, text)


def _taken(n: int, steps: int, sampling: str) -> Sequence[range]:
    """By step, the tokens that it is made from."""
    if n <= steps or sampling == "uniform":
        return [range(index, index + 1) for index in sample_indices(n, steps).tolist()]
    bounds = np.linspace(0, n, steps + 1)
    starts, ends = np.floor(bounds[:-1]).astype(int), np.ceil(bounds[1:]).astype(int)
    return [range(a, b) for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]
