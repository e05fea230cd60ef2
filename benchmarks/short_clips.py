"""Datasets of any number of short clips of real faces, made of a few by copies."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import yaml

from pipeline.media.write_mp4 import write_mp4
from pipeline.sample import footage, voice
from pipeline.sample.sentences import sentence, supply

SECONDS = 0.3
CUTS = [cut for cut in footage.EXCERPTS if cut.file == footage.WOMAN][::2]
SAMPLE_STAGES = Path(footage.__file__).with_name("stages.yaml")


def write_originals(folder: Path) -> list[bytes]:
    """The files of a clip for each of `CUTS`: three pictures of 320×180, and a voice."""
    folder.mkdir(parents=True)
    files = []
    for number, cut in enumerate(CUTS):
        path, rng = folder / f"{number}.mp4", np.random.default_rng(number)
        sound = voice.speak(SECONDS, cut.score, rng)
        write_mp4(path, footage.shown(cut, SECONDS, rng), footage.FPS, sound, voice.RATE_HZ)
        files.append(path.read_bytes())
    return files


def write_copies(folder: Path, originals: list[bytes], clips: int, partition: int) -> Path:
    """A manifest of so many clips, the originals in turn, no two files of the same content."""
    (folder / "clips").mkdir(parents=True)
    manifest = folder / "clips.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "video", "text", "label", "split"])
        for number in range(clips):
            path = folder / "clips" / f"{number:05d}.mp4"
            path.write_bytes(originals[number % len(originals)] + _free_box(number))
            said = sentence("train", 0.0, "en", number % supply("train"))
            rows.writerow([path.stem, path, f"{said} {number}", 0.0, "train"])
    spec = yaml.safe_load(SAMPLE_STAGES.read_text(encoding="utf-8"))
    (folder / "stages.yaml").write_text(yaml.safe_dump({**spec, "partition": partition}))
    return manifest


def _free_box(number: int) -> bytes:
    """A box at the end of an mp4 that readers skip."""
    return (16).to_bytes(4) + b"free" + number.to_bytes(8)
