"""A model together with the text encoder that is trained with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from model.data.batch import Batch, drop_features
from model.data.samples import Samples
from model.data.scaler import Scaler
from model.finetune.encoder import Encoder
from model.finetune.settings import FineTune
from model.finetune.text_stage import text_stage
from model.network import Criterion, Network, Optimizer
from model.step.adam import Adam
from pipeline.errors import UserError

TEXT = ("text_mean", "text_std")


class FineTuned(Network):
    """A model whose text is what the encoder makes of a batch's tokens, not what was cached.

    Steps and standardisation are those of the cached features, so that before its first step the
    model sees what it would see without.
    """

    def __init__(self, model: Network, encoder: Encoder, feature_dropout: float = 0.0) -> None:
        super().__init__(model.widths, model.outputs, model.settings)
        self.model, self.encoder, self._dropout = model, encoder, feature_dropout
        self.scaler = Scaler({"text": self.widths["text"]})
        self._waits = False

    def forward(self, batch: Batch) -> Tensor:
        y: Tensor = self.model(self._encoded(batch))
        return y

    def begin(self, epoch: int, clips: int) -> None:
        self._waits = epoch <= self.encoder.settings.after
        self.model.begin(epoch, clips)

    def loss(self, batch: Batch, targets: Tensor, criterion: Criterion, rows: Tensor) -> Tensor:
        return self.model.loss(self._encoded(batch), targets, criterion, rows)

    def optimizer(self, lr: float, weight_decay: float) -> Optimizer:
        """Each layer of the encoder learns at its own rate, the model at `lr`."""
        rates = [(self.model.parameters(), lr), *self.encoder.by_rate()]
        return _Each([Adam(own, rate, weight_decay) for own, rate in rates])

    def _encoded(self, batch: Batch) -> Batch:
        if self._waits:
            return batch
        assert batch.tokens is not None
        states = self.encoder(batch.tokens)[:, : batch.features["text"].shape[1]]
        x = self.scaler.standardised("text", states, batch.lengths["text"])
        if self.training:
            x = drop_features(Batch({"text": x}, {}), self._dropout).features["text"]
        return replace(batch, features={**batch.features, "text": x})


class _Each:
    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self._optimizers = optimizers

    def step(self) -> None:
        for optimizer in self._optimizers:
            optimizer.step()


def fine_tuned(
    model: Network, samples: Samples, scaler: Scaler, settings: FineTune, feature_dropout: float
) -> FineTuned:
    """The model with the encoder that made the text of `samples`, as yet untrained."""
    if samples.batch.tokens is None:
        raise UserError(
            "fine-tuning takes the texts, which `smp train` and `smp compare` read with --finetune "
            "text, and no other command"
        )
    stage = text_stage(samples.channels, samples.provenance.get("extraction"))
    network = FineTuned(model, Encoder(stage, settings), feature_dropout)
    network.scaler.load_state_dict({name: scaler.get_buffer(name) for name in TEXT})
    return network
