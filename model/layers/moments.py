"""How the representations of a batch are distributed, and how alike two of them are.

given, everywhere: [n, 1], whether a clip has the modality; clips that lack it don't count.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

MOMENTS = 5


def mean_of(x: Tensor, given: Tensor) -> Tensor:
    """x [n, width] to its mean over the clips, [width]; zeros where no clip counts."""
    return (x * given).sum(0) / given.sum(0).clamp(min=1)


def central_moment_discrepancy(
    x: Tensor, y: Tensor, given_x: Tensor, given_y: Tensor, moments: int = MOMENTS
) -> Tensor:
    """The distance of the means and of the central moments up to `moments` of x, y [n, width].

    Σ_k ‖c_k(x) − c_k(y)‖₂ for values within [0, 1].
    Source: Zellinger et al. 2017, "Central Moment Discrepancy (CMD) for Domain-Invariant
    Representation Learning".
    """
    mean_x, mean_y = mean_of(x, given_x), mean_of(y, given_y)
    apart = [mean_x - mean_y]
    for k in range(2, moments + 1):
        apart.append(mean_of((x - mean_x) ** k, given_x) - mean_of((y - mean_y) ** k, given_y))
    return torch.stack([torch.linalg.vector_norm(one) for one in apart]).sum()


def difference(x: Tensor, y: Tensor, given_x: Tensor, given_y: Tensor) -> Tensor:
    """The mean of (XᵀY)², where X and Y are x and y [n, width], centred, with rows of length 1.

    Source: Bousmalis et al. 2016, "Domain Separation Networks", eq. (5).
    """
    rows = [_rows(own, given) for own, given in ((x, given_x), (y, given_y))]
    return (rows[0].T @ rows[1]).square().mean()


def _rows(x: Tensor, given: Tensor) -> Tensor:
    return F.normalize((x - mean_of(x, given)) * given, dim=1, eps=1e-6)
