"""Adam against torch's own class."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from model.step.adam import Adam

TRAINING = """
import sys
from model.training.loop import train
from tests.model.training.test_loop import QUICK, some_samples
train(some_samples(), QUICK)
print(*({"sympy", "torch._dynamo"} & set(sys.modules)))
"""


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_every_step_is_torchs_to_the_bit(weight_decay):
    torch.manual_seed(0)
    ours = nn.ModuleList([nn.Linear(5, 3), nn.Linear(5, 3)])
    theirs = nn.ModuleList([nn.Linear(5, 3), nn.Linear(5, 3)])
    theirs.load_state_dict(ours.state_dict())
    optimizers: tuple[Any, ...] = (
        Adam(ours.parameters(), 0.01, weight_decay),
        torch.optim.Adam(theirs.parameters(), 0.01, weight_decay=weight_decay, fused=True),
    )
    for used in (0, 1, 0, 0, 1):  # the other one has no gradient
        x = torch.randn(7, 5)
        for modules, optimizer in zip((ours, theirs), optimizers, strict=True):
            modules.zero_grad()
            modules[used](x).square().sum().backward()
            optimizer.step()
        for own, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(own, expected)


def test_a_training_does_not_wait_for_torch_to_import_its_compiler():
    assert subprocess.check_output([sys.executable, "-c", TRAINING], text=True) == "\n"
