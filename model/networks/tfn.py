"""The Tensor Fusion Network (TFN)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from model.layers.late_fusion import LateFusion


class Tfn(LateFusion):
    """Every product of up to three modalities' features, to scores.

    Source: Zadeh et al. 2017, "Tensor Fusion Network for Multimodal Sentiment Analysis".

        z_m = ReLU(W₃ ReLU(W₂ ReLU(W₁ mean_t x_m)))       visual, audio
        z_t = W LSTM(x_t) + b                              text: the state after the last real step
        z   = [z_v; 1] ⊗ [z_a; 1] ⊗ [z_t; 1]              single features, pairs, triples
        y   = W₆ ReLU(W₅ ReLU(W₄ z))

    x_m [n, steps, width], z_m [n, hidden], z_t [n, text_out], z [n, Π (size_m + 1)],
    y [n, outputs]; biases not shown. Without a modality its factor is left out, or, where one clip
    lacks it, is [0; 1], which leaves that clip the products of the others.

    Departures: the text net reads the LSTM's last real state, not all of a fixed number of them;
    y is not squashed by a sigmoid to a fixed range, such as ±3 on data within ±1; means are those
    of the real steps, and features come standardised, in place of a batch normalisation.
    """

    def fuse(self, embeddings: Sequence[Tensor]) -> Tensor:
        """The outer product, flattened: the last modality's features vary fastest."""
        product = embeddings[0].new_ones(embeddings[0].shape[0], 1)
        for z in embeddings:
            # As products of matrices, whose gradients need no other tensor as large.
            product = (product[:, :, None] @ F.pad(z, (0, 1), value=1.0)[:, None, :]).flatten(1)
        return product
