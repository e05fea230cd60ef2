"""A trained model as a function of plain tensors, as other runtimes take it."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from model.data.batch import Batch
from model.training.predictor import Predictor
from pipeline.stage.steps import STEPS

EXAMPLE = 3  # clips; 0 and 1 would be taken for constants


class Graph(nn.Module):
    """Raw cached features to what the network gives, without what depends on a batch's content."""

    def __init__(self, predictor: Predictor, steps: int = STEPS) -> None:
        super().__init__()
        self.predictor = predictor.eval().requires_grad_(False)
        self.steps = steps

    @property
    def inputs(self) -> list[str]:
        """The names of its inputs: `visual`, `visual_lengths`, `audio` … as far as it has them."""
        return [f"{m}{end}" for m in self.predictor.scaler.modalities for end in ("", "_lengths")]

    def forward(self, *inputs: Tensor) -> Tensor:
        """Float32 [n, steps, width] and int64 [n] by turns, to [n, outputs]: scores or logits."""
        scaler, features, lengths = self.predictor.scaler, {}, {}
        for m, x, n in zip(scaler.modalities, inputs[::2], inputs[1::2], strict=True):
            features[m], lengths[m] = scaler.standardised(m, x, n), n
        y: Tensor = self.predictor.network(Batch(features, lengths))
        return y

    def example(self, clips: int = EXAMPLE, seed: int = 0) -> tuple[Tensor, ...]:
        """Noise of several lengths, of which a clip may have none, with a NaN."""
        random, made = torch.Generator().manual_seed(seed), []
        for m in self.predictor.scaler.modalities:
            width = self.predictor.network.widths[m]
            x = torch.randn(clips, self.steps, width, generator=random)
            x[0, 0, 0] = torch.nan
            made += [x, torch.randint(0, self.steps + 1, (clips,), generator=random)]
        return tuple(made)

    @torch.no_grad()
    def program(self) -> torch.export.ExportedProgram:
        """Traced, for any number of clips."""
        example = self.example()
        self(*example)  # fills what networks keep between calls, with tensors that are some
        clips = torch.export.Dim("clips", min=1, max=1 << 20)
        shapes = (tuple({0: clips} for _ in example),)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what torch's own LSTM does
            return torch.export.export(self, example, dynamic_shapes=shapes)
