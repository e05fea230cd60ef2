"""Time and memory of the optional stages, each against a plain call of the library behind it.

Clips are stretches of real videos (`real_clips.py`). Each side runs in a process of its own, on the
same clips: once to load what it needs, then timed, the fastest of several passes. Memory is what a
side takes beyond what its process had with the clips loaded, at its peak. A stage gives all of its
rows, as the library does, so that they can be compared; sampling them to 32 steps costs nothing.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.real_clips import SECONDS, stretches
from pipeline import media
from pipeline.dag.stage import extractor_class
from pipeline.dataset.clip import Clip
from pipeline.errors import MissingModalityError
from pipeline.media.waveform import FULL_SCALE, RATE_HZ, normalised, resampled
from pipeline.stage.result import ClipInputs
from tests.support.aligned_faces import clips_of

ALL = 1 << 20  # steps: more than any clip has rows
Rows = list[np.ndarray]


@dataclass(frozen=True)
class Case:
    """A stage's settings, its clips, and the plain way from a clip's inputs to all of its rows.

    plain: makes that way; what it loads is not timed. field: which of the stage's are those rows,
    "" where a library gives less than the stage.
    """

    extractor: str
    settings: Callable[[], dict[str, Any]]
    clips: Callable[[int], list[ClipInputs]]
    plain: Callable[[dict[str, Any]], Callable[[ClipInputs], np.ndarray]]
    field: str = "features"


def sounds(number: int) -> list[ClipInputs]:
    """The sound of the first stretches that have any, as `audio` gives it."""
    found: list[ClipInputs] = []
    for stretch in stretches():
        if len(found) < number:
            try:
                heard = media.load_audio(str(stretch.video))
            except MissingModalityError:
                continue
            mono = resampled(heard.samples.mean(axis=0), heard.rate_hz)
            cut = mono[int(stretch.start_s * RATE_HZ) : int(stretch.stop_s * RATE_HZ)]
            found.append(ClipInputs(Clip(f"{len(found)}"), {"samples": normalised(cut)}))
    return found


def speech(number: int) -> list[ClipInputs]:
    """Sounds with a made text, 15 letters a second."""
    said = "so it was really good and the film went on "
    return [
        ClipInputs(
            Clip(one.clip.id, text=(said * 9)[: 15 * len(one.rows["samples"]) // RATE_HZ]),
            {**one.rows, "late_s": np.array(0.0)},
        )
        for one in sounds(number)
    ]


def faces(number: int) -> list[ClipInputs]:
    """Clips of 32 real faces."""
    return clips_of(*[32] * number)


@cache
def _checkpoint(network: str, processor: str) -> str:
    """A folder in the hub's layout: a network of its own default size, with random weights."""
    import torch
    import transformers

    folder = tempfile.mkdtemp(prefix="checkpoint-")
    atexit.register(shutil.rmtree, folder)
    torch.manual_seed(0)
    kind = getattr(transformers, network)
    kind(kind.config_class()).save_pretrained(folder)
    getattr(transformers, processor)().save_pretrained(folder)
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDLUMWCFGYPBVK'XJQZ"]
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    Path(folder, "vocab.json").write_text(json.dumps(vocabulary))  # for a network that writes
    return folder


def _by_vit(settings: dict[str, Any]) -> Callable[[ClipInputs], np.ndarray]:
    network, processor = _loaded(settings)
    return lambda inputs: _run(network, processor(list(inputs.rows["images"])))[:, 0]


def _by_videomae(settings: dict[str, Any]) -> Callable[[ClipInputs], np.ndarray]:
    network, processor = _loaded(settings)

    def rows(inputs: ClipInputs) -> np.ndarray:
        images = inputs.rows["images"]
        chosen = images[np.linspace(0, len(images) - 1, 16).round().astype(int)]
        tokens = _run(network, processor([list(chosen)]))[0]
        return tokens.reshape(8, -1, tokens.shape[-1]).mean(axis=1)

    return rows


def _by_ctc_network(settings: dict[str, Any]) -> Callable[[ClipInputs], np.ndarray]:
    import torch
    import transformers

    network = transformers.Wav2Vec2ForCTC.from_pretrained(settings["weights"]).eval()
    prepared = transformers.Wav2Vec2FeatureExtractor()

    def rows(inputs: ClipInputs) -> np.ndarray:
        signal = inputs.rows["samples"] / np.float32(FULL_SCALE)
        x = prepared(signal, sampling_rate=RATE_HZ, return_tensors="pt").input_values
        with torch.inference_mode():
            return network(x).logits[0].numpy()

    return rows


def _loaded(settings: dict[str, Any]) -> tuple[Any, Any]:
    import transformers

    folder = settings["weights"]
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    return transformers.AutoModel.from_pretrained(folder).eval(), processor


def _run(network: Any, given: Any) -> np.ndarray:
    import torch

    with torch.inference_mode():
        x = torch.as_tensor(np.stack(given["pixel_values"]))
        return network(pixel_values=x).last_hidden_state.numpy()


def _by_opensmile(settings: dict[str, Any]) -> Callable[[ClipInputs], np.ndarray]:
    import opensmile

    level = {"lld": "LowLevelDescriptors"}.get(settings["level"], "Functionals")
    smile = opensmile.Smile(settings["feature_set"], opensmile.FeatureLevel[level])
    return lambda inputs: smile.process_signal(
        inputs.rows["samples"] / np.float32(FULL_SCALE), RATE_HZ
    ).to_numpy()


def _by_librosa(settings: dict[str, Any]) -> Callable[[ClipInputs], np.ndarray]:
    import librosa

    def rows(inputs: ClipInputs) -> np.ndarray:
        signal = inputs.rows["samples"] / np.float32(FULL_SCALE)
        y = librosa.resample(signal, orig_sr=RATE_HZ, target_sr=22_050)
        parts = {
            "zero_crossings": lambda: librosa.feature.zero_crossing_rate(y),
            "f0": lambda: np.log(librosa.pyin(y, fmin=60, fmax=500, hop_length=512, fill_na=1)[:1]),
            "energy": lambda: librosa.feature.rms(y=y),
            "mfcc": lambda: librosa.feature.mfcc(y=y, htk=True),
            "chroma": lambda: librosa.feature.chroma_cqt(y=y),
        }
        return np.concatenate([parts[group]() for group in settings["groups"]]).T

    return rows


def _opensmile(feature_set: str, level: str) -> Case:
    settings = {"feature_set": feature_set, "level": level}
    return Case("opensmile", lambda: settings, sounds, _by_opensmile)


def _encoder(extractor: str, network: str, processor: str, plain: Any) -> Case:
    return Case(extractor, lambda: {"weights": _checkpoint(network, processor)}, faces, plain)


CASES = {
    "openSMILE eGeMAPSv02, functionals": _opensmile("eGeMAPSv02", "functionals"),
    "openSMILE eGeMAPSv02, lld": _opensmile("eGeMAPSv02", "lld"),
    "openSMILE ComParE_2016, functionals": _opensmile("ComParE_2016", "functionals"),
    "prosody, CH-SIMS' 33 columns": Case(
        "prosody", lambda: {"groups": ["zero_crossings", "mfcc", "chroma"]}, sounds, _by_librosa
    ),
    "prosody, f0 alone": Case("prosody", lambda: {"groups": ["f0"]}, sounds, _by_librosa),
    "alignment, Wav2Vec2 base (network alone)": Case(
        "alignment",
        lambda: {"weights": _checkpoint("Wav2Vec2ForCTC", "Wav2Vec2FeatureExtractor")},
        speech,
        _by_ctc_network,
        field="",
    ),
    "image_encoder, ViT base, 32 faces": _encoder(
        "image_encoder", "ViTModel", "ViTImageProcessor", _by_vit
    ),
    "video_encoder, VideoMAE base": _encoder(
        "video_encoder", "VideoMAEModel", "VideoMAEImageProcessor", _by_videomae
    ),
}


@click.command()
@click.option("--clips", default=2, show_default=True)
@click.option("--repeats", default=2, show_default=True, help="The fastest counts.")
def main(clips: int, repeats: int) -> None:
    """Print a row a stage."""
    print(f"{clips} clips of at most {SECONDS} s\n{'':<42}{'ms a clip':>17}{'':>8}{'MB':>16}")
    print(f"{'':<42}{'stage':>8}{'library':>9}{'ratio':>8}{'stage':>8}{'library':>8}{'differ':>9}")
    for name in CASES:
        ours, theirs = (_apart(name, side, clips, repeats) for side in (True, False))
        pairs = zip(ours[2], theirs[2], strict=True) if CASES[name].field else ()
        off = max((_difference(*pair) for pair in pairs), default=np.nan)
        print(
            f"{name:<42}{1000 * ours[0]:>8.0f}{1000 * theirs[0]:>9.0f}{theirs[0] / ours[0]:>7.2f}x"
            f"{ours[1]:>8.0f}{theirs[1]:>8.0f}{off:>9.0e}",
            flush=True,
        )


def _apart(name: str, ours: bool, clips: int, repeats: int) -> tuple[float, float, Rows]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_measured, name, ours, clips, repeats).result()


def _measured(name: str, ours: bool, clips: int, repeats: int) -> tuple[float, float, Rows]:
    """CPU seconds a clip, MB, and every clip's rows."""
    case = CASES[name]
    inputs = case.clips(clips)
    case.settings()  # a checkpoint that is made for it is no part of what a side takes
    before = _peak_mb()
    way = _by_stage(case) if ours else _one_by_one(case)
    rows, seconds = way(inputs), []
    for _ in range(repeats):
        begun = time.process_time()
        way(inputs)
        seconds.append(time.process_time() - begun)
    return min(seconds) / len(inputs), _peak_mb() - before, rows


def _by_stage(case: Case) -> Callable[[Sequence[ClipInputs]], Rows]:
    kind = extractor_class(case.extractor, case.extractor)
    stage = kind(kind.Settings.model_validate(case.settings()), ALL)
    field = case.field or next(iter(stage.writes()))
    return lambda inputs: [np.asarray(result.rows[field]) for result in stage.extract(inputs)]


def _one_by_one(case: Case) -> Callable[[Sequence[ClipInputs]], Rows]:
    plain = case.plain(case.settings())
    return lambda inputs: [plain(one) for one in inputs]


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest, as a share of the column's largest value."""
    scale = np.maximum(np.abs(theirs).max(axis=0), 1e-9)
    return float((np.abs(ours - theirs) / scale).max())


if __name__ == "__main__":
    main()
