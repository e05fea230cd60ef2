"""Models with a loss of their own: that loss against its equations, clip by clip."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from model.data.batch import Batch
from model.network import Network
from model.step.dropout import dropout
from model.step.threads import one_thread
from model.testing import TARGETS, some_batch, step_loss
from model.training.loop import train
from model.training.settings import TrainSettings
from tests.model.networks.literal import Rows, clips_of, transformer, weights_of
from tests.model.networks.literal_later import LITERAL, mixed, squashed, tasks, utterance
from tests.model.networks.test_smp import SMALL, linear, some_network
from tests.model.training.test_loop import some_samples

Y = TARGETS.double().numpy()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def clips(model: Network, batch: Batch) -> list[dict[str, Rows]]:
    return list(clips_of(batch, model.widths))


def squared_error(w, model: Network, name: str, x: list[dict[str, Rows]]) -> float:
    y = np.array([LITERAL[name](w, model.settings, clip) for clip in x])
    return float(((y - Y) ** 2).mean())


def moments_apart(x: np.ndarray, y: np.ndarray) -> float:
    total = np.linalg.norm(x.mean(0) - y.mean(0))
    for k in (2, 3, 4, 5):
        total += np.linalg.norm(((x - x.mean(0)) ** k).mean(0) - ((y - y.mean(0)) ** k).mean(0))
    return float(total)


def overlap(x: dict[int, np.ndarray], y: dict[int, np.ndarray]) -> float:
    """Of vectors by clip; of clips that have both."""
    rows = []
    for vectors in (x, y):
        centre = np.mean(list(vectors.values()), axis=0)
        apart = {clip: v - centre for clip, v in vectors.items()}
        rows.append({clip: v / np.linalg.norm(v) for clip, v in apart.items()})
    d = len(next(iter(x.values())))
    total = np.zeros((d, d))
    for clip in rows[0].keys() & rows[1].keys():
        total += np.outer(rows[0][clip], rows[1][clip])
    return float((total**2).mean())


def test_the_loss_of_misa_is_its_equations():
    model, batch = some_network("misa"), some_batch()
    w, s, x = weights_of(model), model.settings, clips(model, batch)
    u, private, shared = {}, {}, {}
    for m in model.widths:
        there = {i: utterance(w, m, clip[m], s.recurrent) for i, clip in enumerate(x) if clip[m]}
        u[m] = there
        private[m] = {i: squashed(linear(w, f"private.{m}", v)) for i, v in there.items()}
        shared[m] = {i: squashed(linear(w, "shared", v)) for i, v in there.items()}
    pairs = list(combinations(model.widths, 2))
    stacked = {m: np.array(list(vectors.values())) for m, vectors in shared.items()}
    similar = np.mean([moments_apart(stacked[m], stacked[n]) for m, n in pairs])
    different = sum(overlap(shared[m], private[m]) for m in model.widths)
    different += sum(overlap(private[m], private[n]) for m, n in pairs)
    lost = np.mean(
        [
            np.mean(
                [
                    (linear(w, "decoder", shared[m][i] + private[m][i]) - v) ** 2
                    for i, v in own.items()
                ]
            )
            for m, own in u.items()
        ]
    )
    terms = [s.similarity * similar, s.difference * different, s.reconstruction * lost]
    assert min(terms) > 1e-3, "each term weighs"
    expected = squared_error(w, model, "misa", x) + sum(terms)
    assert step_loss(model, batch, 1).item() == pytest.approx(expected, abs=1e-5)


def nearness(star: np.ndarray, labels: np.ndarray, seen: list[np.ndarray]) -> float:
    distances = []
    for chosen in (labels > 0, labels < 0):
        own = [v for v, is_chosen in zip(seen, chosen, strict=True) if is_chosen]
        centre = np.mean(own, axis=0) if own else np.zeros(len(star))
        distances.append(((star - centre) ** 2).sum() / np.sqrt(len(star)))
    return float((distances[1] - distances[0]) / (distances[0] + 1e-8))


def literal_self_mm_losses(w, model: Network, x, epochs: int, batches) -> list[float]:
    names, limit, y = [*model.widths, "all"], model.settings.limit, Y[:, 0]
    labels = {name: np.zeros(len(x)) for name in names}
    seen = {name: [np.zeros(len(w[f"tasks.{name}.inner.bias"])) for _ in x] for name in names}
    losses = []
    for epoch in range(1, epochs + 1):
        for rows in batches:
            found, total, made = {i: tasks(w, x[i]) for i in rows}, 0.0, {}
            for i in rows:
                total += (found[i]["all"][1][0] - y[i]) ** 2
                for m in model.widths:
                    if epoch > 1 and x[i][m]:
                        weight = np.tanh(abs(labels[m][i] - y[i]))
                        total += weight * abs(found[i][m][1][0] - labels[m][i])
            losses.append(total / len(rows))
            for i in rows:
                alpha = {n: nearness(found[i][n][0], labels[n], seen[n]) for n in names}
                for m in model.widths:
                    a_s, a_m = alpha[m], alpha["all"]
                    new = (y[i] * a_s / (a_m + 1e-8) + y[i] + a_s - a_m) / 2
                    new = max(-limit, min(limit, new))
                    moved = (epoch - 1) / (epoch + 1) * labels[m][i] + 2 / (epoch + 1) * new
                    made[m, i] = 0.0 if not x[i][m] else moved if epoch > 1 else y[i]
                made["all", i] = y[i]
            for (name, i), label in made.items():
                labels[name][i], seen[name][i] = label, found[i][name][0]
    return losses


def test_the_loss_of_self_mm_and_the_labels_it_makes_are_its_equations():
    model, batch, batches = some_network("self_mm"), some_batch(), ([3, 0, 1], [4, 2])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    w, found = weights_of(model), []
    for epoch in (1, 2, 3, 4):
        model.begin(epoch, len(batch))
        for rows in map(torch.tensor, batches):
            found.append(model.loss(batch[rows], TARGETS[rows], F.mse_loss, rows).item())
    expected = literal_self_mm_losses(w, model, clips(model, batch), 4, batches)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert abs(found[-2] - found[0]) > 0.01, "labels have moved"


def test_the_labels_that_self_mm_makes_are_no_part_of_its_weights():
    samples = some_samples()
    settings = TrainSettings(model="self_mm", network=SMALL["self_mm"], epochs=3, device="cpu")
    network = train(samples, settings).predictor.network
    labels = network.get_buffer("text_labels")
    assert labels.shape == (36, 1)
    assert not torch.equal(labels, network.get_buffer("all_labels"))
    assert not any("labels" in key or "seen" in key for key in network.state_dict())


def test_the_loss_of_tfr_net_is_its_equations():
    model, batch = some_network("tfr_net", levels=2, memory_levels=2), some_batch()
    torch.manual_seed(8)
    found = step_loss(model, batch, 1).item()
    torch.manual_seed(8)
    shapes = {m: batch.features[m].shape[:2] for m in model.widths}
    drawn = {m: dropout(torch.ones(shape), model.settings.missing) for m, shape in shapes.items()}
    is_kept = {m: draw.bool().numpy() for m, draw in drawn.items()}
    w, s, whole = weights_of(model), model.settings, clips(model, batch)
    kept = [
        {m: [row * is_kept[m][i, t] for t, row in enumerate(rows)] for m, rows in clip.items()}
        for i, clip in enumerate(whole)
    ]
    errors: dict[str, list[np.ndarray]] = {m: [] for m in model.widths}
    for i, clip in enumerate(kept):
        for m, h in mixed(w, s, clip).items():
            told = transformer(w, f"restorers.{m}", s.memory_levels, s.heads, h, None)
            for t, row in enumerate(told):
                if not is_kept[m][i, t]:
                    apart = np.abs(linear(w, f"restored.{m}", row) - whole[i][m][t])
                    errors[m].append(np.where(apart < 1, apart**2 / 2, apart - 0.5))
    assert all(errors.values()), "steps of each are removed"
    lost = sum(s.reconstruction[m] * np.mean(own) for m, own in errors.items())
    expected = squared_error(w, model, "tfr_net", kept) + lost
    assert found == pytest.approx(expected, rel=1e-5)
    assert model(batch).isfinite().all()


def test_no_step_is_removed_once_tfr_net_is_trained():
    model, batch = some_network("tfr_net", missing=0.9).eval(), some_batch()
    assert torch.equal(model(batch), model(batch))
