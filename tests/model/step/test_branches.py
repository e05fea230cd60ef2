"""Branches of a network side by side: the gradients of one graph, the same bits on any threads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from model.step.branches import side_by_side
from model.step.dropout import Dropout
from model.training.loop import train
from pipeline.system.threads import at_work
from tests.model.training.test_loop import QUICK, some_samples


class Product(nn.Module):
    """x W, and of two inputs their product."""

    def __init__(self, p: float = 0.0) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.dropout = Dropout(p)

    def forward(self, x, *others):
        y = self.dropout(self.linear(x))
        for other in others:
            y = y * other
        return y


def some_branches(p: float = 0.0):
    torch.manual_seed(0)
    a, b = torch.randn(2, 5, 3, requires_grad=True).unbind()
    constant = torch.randn(5, 3)
    modules = [Product(p) for _ in range(4)]
    inputs = [(a,), (a, b), (b, constant), (constant,)]
    return list(zip(modules, inputs, strict=True)), [a, b]


def gradients(outputs, branches, shared):
    loss = sum(((i + 1) * output.square()).sum() for i, output in enumerate(outputs))
    parameters = [w for module, _ in branches for w in module.parameters()]
    return torch.autograd.grad(loss, [*shared, *parameters])


def test_outputs_and_gradients_are_those_of_one_graph():
    branches, shared = some_branches()
    outputs = side_by_side(branches)
    expected = [module(*inputs) for module, inputs in branches]
    torch.testing.assert_close(outputs, expected, rtol=0, atol=0)
    found = gradients(outputs, branches, shared)
    torch.testing.assert_close(found, gradients(expected, branches, shared))


def test_the_bits_do_not_depend_on_how_many_threads_there_are():
    results = []
    for threads in (1, 2, 4):
        branches, shared = some_branches(p=0.5)
        torch.manual_seed(1)
        with at_work(threads):
            outputs = side_by_side(branches)
            results.append([*outputs, *gradients(outputs, branches, shared)])
    assert (results[0][0] == 0).any(), "nothing was dropped"
    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))


def test_small_branches_that_are_alike_are_one_with_the_same_draws():
    branches, shared = some_branches(p=0.5)
    branches += some_branches(p=0.5)[0]
    results = []
    for small in (False, True):
        torch.manual_seed(1)
        outputs = side_by_side(branches, small)
        results.append([*outputs, *gradients(outputs, branches, shared)])
    assert (results[0][0] == 0).any(), "nothing was dropped"
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


def test_clips_of_one_step_train_to_what_they_would_on_threads(monkeypatch):
    """Where gradients of two biases shared their memory, both would be clipped twice."""
    samples, settings = some_samples(), QUICK.model_copy(update={"epochs": 2})
    ones = dict.fromkeys(samples.batch.lengths, torch.ones(len(samples.ids), dtype=torch.int64))
    samples = replace(samples, batch=replace(samples.batch, lengths=ones))
    as_one = train(samples, settings).predictions["test"]
    monkeypatch.setattr("model.networks.smp.side_by_side", lambda given, small: side_by_side(given))
    np.testing.assert_allclose(
        as_one, train(samples, settings).predictions["test"], rtol=0, atol=1e-6
    )


def test_what_one_step_leaves_out_changes_no_weight(monkeypatch):
    """Those that get no gradient decay all the same, as those of what is asked and looked up."""
    samples, settings = some_samples(), QUICK.model_copy(update={"epochs": 2, "weight_decay": 0.1})
    ones = torch.ones(len(samples.ids), dtype=torch.int64)
    lengths = {m: ones.clone() for m in samples.batch.lengths}
    next(iter(lengths.values()))[::5] = 0  # clips that lack a modality
    samples = replace(samples, batch=replace(samples.batch, lengths=lengths))
    shortened = train(samples, settings).predictor.state_dict()
    for layers in ("attention", "recurrent"):
        monkeypatch.setattr(f"model.layers.{layers}.is_one_step", lambda x: False)
    whole = train(samples, settings).predictor.state_dict()
    for name, weight in whole.items():
        torch.testing.assert_close(shortened[name], weight, rtol=0, atol=1e-6, msg=name)


def test_dropout_differs_from_branch_to_branch_and_from_call_to_call():
    torch.manual_seed(0)
    ones = torch.ones(64, 3)
    module = Product(p=0.5)
    module.linear.weight.data.copy_(torch.eye(3))
    module.linear.bias.data.zero_()
    first, second = side_by_side([(module, (ones,)), (Product(0.5), (ones,))])
    again, _ = side_by_side([(module, (ones,)), (Product(0.5), (ones,))])
    assert not torch.equal(first == 0, second == 0)
    assert not torch.equal(first == 0, again == 0)


def test_an_error_in_a_branch_is_raised():
    with at_work(2), pytest.raises(RuntimeError, match="mat1 and mat2"):
        side_by_side([(Product(), (torch.ones(2, 4),)), (Product(), (torch.ones(2, 3),))])
