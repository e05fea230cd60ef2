"""How many kernels a training step has, and a frame of `faces`, on the tests' pretended device.

A step: of each model's plain loop, and of seeds as one network. A plain LSTM is torch's own, a
fused cell a step: the pretended device has no cuDNN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from unittest.mock import patch

import click
import cv2
import torch

from model.networks import names
from model.step.adam import Adam
from model.training.loop import prepare, train
from model.training.settings import TrainSettings
from model.training.side_by_side import Enough, Training
from model.training.stackable import why_not
from model.training.stacked import train_stacked
from pipeline import media
from pipeline.dataset.clip import Clip
from pipeline.extractors.faces import Faces
from pipeline.media import Frames
from pipeline.stage.result import ClipInputs
from tests.contracts.pretended import some_samples
from tests.support import pretend_device
from tests.support.aligned_faces import FOOTAGE
from tests.support.pretend_device import NAME

STEPS = 32  # of a clip
FRAMES, SIZE_PX = 33, (640, 360)
SAMPLES = some_samples(STEPS)


@click.command()
@click.option("--seeds", default=[1, 5, 20], multiple=True, show_default=True)
@click.option("--model", "models", default=names(), multiple=True)
@click.option("--clips", default=[32, 1], multiple=True, show_default=True, help="Together.")
def main(seeds: Sequence[int], models: Sequence[str], clips: Sequence[int]) -> None:
    """Print a row a model, and a line for each number of clips."""
    pretend_device.install()
    torch.set_num_threads(1)
    _print_steps(seeds, models)
    for count in clips:
        _print_faces(count)


def _print_steps(seeds: Sequence[int], models: Sequence[str]) -> None:
    print(f"{'':<18}{'plain loop':>12}" + "".join(f"{n:>6} stacked" for n in seeds), flush=True)
    for model in models:
        print(
            f"{model:<18}{_of_a_step(lambda own: train(SAMPLES, own), model):>12,}",
            end="",
            flush=True,
        )
        settings = TrainSettings(model=model, device=NAME)
        if why := why_not(prepare(SAMPLES, settings), SAMPLES, settings):
            print(f"  {why}", flush=True)
            continue
        for count in seeds:
            print(f"{_of_a_step(lambda own: _stacked(own, count), model):>14,}", end="", flush=True)  # noqa: B023
        print(flush=True)


def _print_faces(count: int) -> None:
    pictures = islice(media.frames(str(FOOTAGE / "single_face.mp4")), FRAMES)
    small = [(time_s, cv2.resize(rgb, SIZE_PX)) for time_s, rgb in pictures]
    clips = [ClipInputs(Clip(str(n)), {"frames": Frames.of(small)}) for n in range(count)]
    stage = Faces(Faces.Settings(device=NAME, batch_clips=count))
    list(stage.extract(clips[:1]))  # which loads its networks
    pretend_device.counts.clear()
    list(stage.extract(clips))
    a_frame = count * FRAMES
    waits, kernels = pretend_device.waits() / a_frame, pretend_device.counts["kernel"] / a_frame
    print(f"faces, {count} clips together: {waits:.3f} waits and {kernels:.2g} kernels a frame")


def _stacked(settings: TrainSettings, count: int) -> None:
    each = [settings.model_copy(update={"seed": seed}) for seed in range(count)]
    train_stacked(prepare(SAMPLES, settings), SAMPLES, [Training(one) for one in each])


def _of_a_step(run: Callable[[TrainSettings], object], model: str) -> int:
    """From the end of the second step to that of the third: the first makes what is kept."""
    ends: list[int] = []

    def ended(adam: Adam) -> None:
        step(adam)
        ends.append(pretend_device.counts["kernel"])
        if len(ends) == 3:
            raise Enough

    step = Adam.step
    with patch.object(Adam, "step", ended), suppress(Enough):
        run(TrainSettings(model=model, batch=8, device=NAME, feature_dropout=0.1))
    return ends[2] - ends[1]


if __name__ == "__main__":
    main()
