"""What a model says of one clip: a score or a class, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from model.data.left_out import NOTHING
from model.metrics import Scale

POLARITIES = ("negative", "neutral", "positive")


@dataclass(frozen=True)
class Prediction:
    """What a model says of one clip.

    clip: as it was named. score: on the scale that the model was trained on, None from a
    classifier. probabilities: of negative, neutral and positive, or of the target's own classes or
    labels. sentiment: the likeliest class; confidence: its probability. Of equally likely ones it
    is that in which the score lies, if it is among them, else the first in that order. Of labels it
    is those that are likelier present than not, `happy + sad` or `none`, without a confidence.
    A score on another scale than CMU-MOSI's and CH-SIMS's has no classes.

    A classifier's probabilities are its softmax, to which its training fitted the classes. Those
    of a score are how often the true one would be in each class if it lay about this one as it
    did on the run's validation clips, to which the model was not fitted: see `of_scores`. A score
    within a narrow class, as neutral is on CH-SIMS's scale, may well be likelier to lie beside it.

    others: by target, what a model of several says beside the first of them. missing: why, by each
    modality that the clip lacks, or by stage where it lacks one of several. error: why nothing is
    said; then there is no score, sentiment or confidence.
    """

    clip: str
    score: float | None = None
    sentiment: str | None = None
    confidence: float | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    others: Mapping[str, Prediction] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    error: str = ""

    @property
    def is_left_out(self) -> bool:
        """Whether nothing is said as the clip has nothing that the model reads."""
        return self.error.startswith(NOTHING)

    def to_json(self) -> dict[str, Any]:
        """Every field, for programs."""
        return asdict(self)

    @property
    def told(self) -> str:
        """The score, the class and how sure it is, as far as there are such."""
        score = None if self.score is None else f"{self.score:+.3f}"
        sure = None if self.confidence is None else f"{self.confidence:.2f}"
        return ", ".join(filter(None, [score, self.sentiment, sure]))


def of_scores(scores: np.ndarray, residuals: np.ndarray, scale: Scale) -> Iterator[Prediction]:
    """From scores [n] and the validation clips' residuals [m], true minus predicted score.

    Each residual is one vote for the class of score + residual: neutral is what rounds to 0 on
    CMU-MOSI's scale (the middle of Acc-7), what lies within ±0.1 on CH-SIMS's (of Acc-3). Every
    class has a vote of its own (Laplace's rule), so that few validation clips make no certainty.
    They have also chosen the epoch, which makes them a little kinder than new clips. Without
    those votes this is the conformal predictive distribution of Vovk et al. 2019.
    """
    votes = scale.predicted_classes(scores[:, None] + residuals)
    counts = np.stack([(votes == c).sum(axis=1) for c in range(len(POLARITIES))], axis=1)
    probabilities = (counts + 1) / (len(residuals) + len(POLARITIES))
    classes = scale.predicted_classes(scores)
    for score, own, p in zip(scores.tolist(), classes.tolist(), probabilities, strict=True):
        yield _prediction(score, p, POLARITIES, own)


def of_classes(
    probabilities: np.ndarray, names: Sequence[str] = POLARITIES
) -> Iterator[Prediction]:
    """From a classifier's softmax [n, classes]."""
    for p in probabilities:
        yield _prediction(None, p, names)


def of_labels(probabilities: np.ndarray, names: Sequence[str]) -> Iterator[Prediction]:
    """From the probabilities [n, labels] of several labels."""
    for p in probabilities:
        by_label = dict(zip(names, p.tolist(), strict=True))
        present = [name for name, share in by_label.items() if share > 0.5]
        yield Prediction("", sentiment=" + ".join(present) or "none", probabilities=by_label)


def _prediction(
    score: float | None, probabilities: np.ndarray, names: Sequence[str], own: int | None = None
) -> Prediction:
    """own: the class in which the score lies."""
    likeliest = np.flatnonzero(probabilities == probabilities.max()).tolist()
    sentiment = names[own if own in likeliest else likeliest[0]]
    by_class = dict(zip(names, probabilities.tolist(), strict=True))
    return Prediction("", score, sentiment, by_class[sentiment], by_class)
