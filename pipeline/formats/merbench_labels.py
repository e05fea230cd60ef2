"""MERBench's `label.npz`: for each split a dict with the score and the emotion of its clips."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.dataset.clip import Clip
from pipeline.dataset.target import Target
from pipeline.errors import UserError
from pipeline.formats.bundle import Bundle
from pipeline.formats.pickled_split import PickledSplit
from pipeline.io import pickle_io
from pipeline.messages import one_line

CORPORA = {"train": "train_corpus", "valid": "val_corpus", "test": "test_corpus"}
UNKNOWN = -10.0  # `val` of a clip without a score, as MERBench writes it for MELD and IEMOCAP
# Emotions are numbers; whose they are is told by the ids that MERBench gives a dataset's clips.
EMOTIONS = {
    re.compile(r"(train|val|test)_dia\d+_utt\d+"): (
        "anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise",
    ),
}  # fmt: skip
EMOTION = "emotion"
MOST_LABEL_BYTES = 1 << 28  # of one split's labels unpacked; 100,000 clips are 5 MB


def clips(path: Path, texts: Mapping[str, str]) -> Iterator[Clip]:
    """The clips of all splits, with their transcripts by id. Raises UserError for a bad file."""
    for split, corpus in CORPORA.items():
        entries = _corpus(path, corpus)
        known = [x if isinstance(x, dict) else {"val": x} for x in entries.values()]
        fields = {field: [x.get(field, UNKNOWN) for x in known] for field in ("val", "emo")}
        table = PickledSplit(split, f"{path}, {corpus}", {"id": list(entries), **fields})
        names = emotions(table.ids)
        for id, score, emotion in zip(table.ids, *map(table.numbers, fields), strict=True):
            label = None if score == UNKNOWN else score
            classes = {EMOTION: name} if (name := _named(emotion, names)) else {}
            yield Clip(id, text=texts.get(id, ""), label=label, split=split, classes=classes)


def _named(number: float | None, names: Sequence[str]) -> str:
    """The name of an emotion, its number where it has none; empty for what is no number of one."""
    if number is None or number < 0 or number % 1:
        return ""
    return names[int(number)] if number < len(names) else str(int(number))


def _corpus(path: Path, name: str) -> dict[str, Any]:
    """One of the dicts in `label.npz`, which numpy itself reads by running what they name."""
    where = f"{path}, {name}"
    try:
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo(f"{name}.npy").file_size
            if size > MOST_LABEL_BYTES:
                raise ValueError(f"{size} bytes unpacked, at most {MOST_LABEL_BYTES} are read")
            file = io.BytesIO(archive.read(f"{name}.npy"))
            major, _ = np.lib.format.read_magic(file)
            header = (
                np.lib.format.read_array_header_1_0
                if major == 1
                else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = header(file)
            content = pickle_io.load(file, where) if dtype.hasobject else None
    except UserError:
        raise
    except Exception as error:  # damaged archives and headers fail in every way there is
        raise UserError(f"{where} can't be read: {one_line(error)}") from error
    corpus = content.item() if isinstance(content, np.ndarray) and shape == () else None
    if not isinstance(corpus, dict):
        raise UserError(f"{where}: expected a dict of clips")
    return corpus


def emotions(ids: Sequence[str]) -> tuple[str, ...]:
    """What the dataset of these clips calls its emotions, () where that isn't known."""
    own = (names for pattern, names in EMOTIONS.items() if all(map(pattern.fullmatch, ids)))
    return next(own, ())


def write(path: Path, names: Sequence[str], bundle: Bundle) -> None:
    """The labels of a bundle's clips, which are called `names` here."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for split, corpus in CORPORA.items():
            own = zip(names, bundle.clips, strict=True)
            labels = {
                name: _label(clip, bundle.targets) for name, clip in own if clip.split == split
            }
            archive.writestr(f"{corpus}.npy", _npy(labels))


def _label(clip: Clip, targets: Sequence[Target]) -> dict[str, Any]:
    """The number of its emotion, 0 where the dataset has none, and its score."""
    classes = next((target.classes for target in targets if target.name == EMOTION), None)
    own = clip.classes.get(EMOTION, "")
    emotion = 0 if classes is None else classes.index(own) if own else UNKNOWN
    return {"emo": emotion, "val": UNKNOWN if clip.label is None else clip.label}


def _npy(corpus: dict[str, Any]) -> bytes:
    """The dict as `np.save` would write it, for older versions of numpy too."""
    file = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(file, header)
    file.writelines(pickle_io.dumps(np.array(corpus)))
    return file.getvalue()
