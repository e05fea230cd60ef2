"""What every model must do, as a test class: subclass it in a test file of your own.

from model.testing import ModelContract

class TestLastStates(ModelContract):
    name = "last_states"
    settings = {"hidden": 8, "dropout": 0.0}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from model.data.batch import Batch, real_steps
from model.data.scaler import Scaler
from model.metrics import MOSI
from model.network import Network
from model.objectives.score import Score
from model.registry import build
from model.step.threads import one_thread
from model.training.predictor import Predictor

STEPS = 6
WIDTHS = {"visual": 5, "audio": 4, "text": 3}
LENGTHS = {"visual": [6, 2, 0, 5, 1], "audio": [6, 4, 3, 1, 0], "text": [4, 6, 2, 3, 0]}


def some_batch(seed: int = 0, widths: Mapping[str, int] = WIDTHS) -> Batch:
    """Five clips of noise of several lengths, some without a modality; padding is zero."""
    random = torch.Generator().manual_seed(seed)
    lengths = {m: torch.tensor(LENGTHS[m]) for m in widths}
    features = {m: torch.randn(5, STEPS, w, generator=random) for m, w in widths.items()}
    return Scaler(widths)(Batch(features, lengths))


def with_padding(batch: Batch, value: float) -> Batch:
    """`batch` with `value` in place of every padded number."""
    features = {
        m: x.masked_fill(~real_steps(batch.lengths[m], x.shape[1])[..., None], value)
        for m, x in batch.features.items()
    }
    return Batch(features, batch.lengths)


SCORE = Score(name="label", scale=MOSI)
TARGETS = torch.tensor([[2.0], [-1.0], [0.5], [-2.5], [1.5]])


def step_loss(model: Network, batch: Batch, epoch: int) -> Tensor:
    """What the training step of an epoch lessens, where `batch` is all there is to train on."""
    model.begin(epoch, len(batch))
    targets = TARGETS[: len(batch)].expand(-1, model.outputs)
    return model.loss(batch, targets, nn.functional.mse_loss, torch.arange(len(batch)))


def first_losses(model: Network, batch: Batch) -> Tensor:
    """The sum over three epochs: until then a model may have to learn of its clips."""
    return torch.stack([step_loss(model, batch, epoch) for epoch in (1, 2, 3)]).sum()


class ModelContract:
    """The tests that every model passes, on a few small clips on the CPU.

    name: of the model, that of its file. settings: small ones, without dropout, so that the model
    gives the same in training as afterwards.
    """

    name: str
    settings: Mapping[str, Any] = {}

    def network(self, outputs: int = 1) -> Network:
        """The model, with the same weights at every call."""
        torch.manual_seed(3)
        return build(self.name, WIDTHS, outputs, self.settings)

    @one_thread()
    def outputs(self, batch: Batch, model: nn.Module | None = None) -> Tensor:
        """What a model, by default `network`, gives for `batch` once it is trained."""
        y: Tensor = (model or self.network()).eval()(batch)
        return y

    def test_padding_is_never_read(self) -> None:
        """NaN in padding reaches no score: the scaler clears it."""
        batch, predictor = some_batch(), Predictor(Scaler(WIDTHS), self.network(), SCORE)
        soiled = self.outputs(with_padding(batch, float("nan")), predictor)
        assert torch.equal(soiled, self.outputs(batch, predictor))

    def test_padding_is_never_read_behind_the_scaler(self) -> None:
        """The network by itself ignores what stands in padding too."""
        soiled = self.outputs(with_padding(some_batch(), 1e3))
        torch.testing.assert_close(soiled, self.outputs(some_batch()))

    def test_more_padding_changes_nothing(self) -> None:
        """Steps that are padding for every clip do not count."""
        batch = some_batch()
        longer = {m: nn.functional.pad(x, (0, 0, 0, 4)) for m, x in batch.features.items()}
        padded = self.outputs(Batch(longer, batch.lengths))
        torch.testing.assert_close(padded, self.outputs(batch))

    def test_a_training_step_does_not_depend_on_how_much_padding_there_is(self) -> None:
        """The scaler leaves out steps that are padding for all: same loss, same gradients."""
        batch, found = some_batch(), []
        for more in (0, 26):
            longer = {m: nn.functional.pad(x, (0, 0, 0, more)) for m, x in batch.features.items()}
            scaled = Scaler(WIDTHS)(Batch(longer, batch.lengths))
            assert {x.shape[1] for x in scaled.features.values()} == {STEPS}
            model = self.network()
            loss = first_losses(model, scaled)
            loss.backward()
            found.append([loss, *(p.grad for p in model.parameters())])
        torch.testing.assert_close(*found, atol=1e-6, rtol=1e-6)

    def test_clips_do_not_mix(self) -> None:
        """A clip's score does not depend on what else is in its batch."""
        batch = some_batch()
        alone = torch.cat([self.outputs(batch[i : i + 1]) for i in range(len(batch))])
        torch.testing.assert_close(alone, self.outputs(batch), atol=1e-5, rtol=1e-5)

    def test_steps_are_read_in_their_order(self) -> None:
        """A clip read backwards has another score."""
        batch = some_batch()
        turned = {m: x.clone() for m, x in batch.features.items()}
        for x in turned.values():
            x[0, :4] = x[0, :4].flip(0)
        apart = self.outputs(Batch(turned, batch.lengths)) - self.outputs(batch)
        assert apart[0].abs().max() > 1e-5

    @one_thread()
    def test_every_parameter_learns(self) -> None:
        """The gradient reaches every parameter."""
        model = self.network(outputs=3)
        first_losses(model, some_batch()).backward()
        for parameter, value in model.named_parameters():
            assert value.grad is not None, parameter
            assert value.grad.isfinite().all(), parameter
            assert value.grad.abs().max() > 0, parameter

    @one_thread()
    def test_a_missing_modality_gives_finite_scores_and_gradients(self) -> None:
        """Clips that have a part of the modalities, or none."""
        batch = some_batch()
        for absent in (["visual"], ["audio"], ["text"], ["visual", "audio"], [*WIDTHS]):
            model = self.network()
            lengths = {m: n * (m not in absent) for m, n in batch.lengths.items()}
            missing = Batch(batch.features, lengths)
            first_losses(model, missing).backward()
            assert model(missing).isfinite().all()
            grads = [p.grad for p in model.parameters() if p.grad is not None]
            assert all(grad.isfinite().all() for grad in grads)

    @one_thread()
    def test_a_batch_can_be_memorised(self) -> None:
        """150 steps of Adam fit four clips."""
        model, batch = self.network(), some_batch()[:4]
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for epoch in range(1, 151):
            optimizer.zero_grad()
            step_loss(model, batch, epoch).backward()
            optimizer.step()
        assert (self.outputs(batch, model) - TARGETS[:4]).abs().max() < 0.1

    def test_the_same_seed_gives_the_same_bits(self) -> None:
        """The same weights, and the same scores."""
        once, again = self.network(), self.network()
        state = again.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in once.state_dict().items())
        batch = some_batch()
        assert torch.equal(self.outputs(batch, once), self.outputs(batch, again))
