"""MERBench's layout: a folder with labels, transcripts and one `.npy` file a clip and feature."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.dataset.clip import CLASS, Clip
from pipeline.dataset.ids import safe_id
from pipeline.dataset.target import Target
from pipeline.errors import ClipError, UserError
from pipeline.formats import merbench_labels
from pipeline.formats.bundle import Bundle
from pipeline.formats.feature_set import Feature, FeatureSet
from pipeline.formats.format import Format
from pipeline.formats.merbench_labels import EMOTION
from pipeline.io.file_digests import FileDigests
from pipeline.messages import counted, one_line
from pipeline.stage.about import MODALITIES
from pipeline.stage.transcript import whole_characters
from pipeline.system.process import allow_long_csv_fields

FORMAT = "merbench"
LABELS, TRANSCRIPTS, FEATURES = "label.npz", "transcription-engchi-polish.csv", "features"
COLUMNS = {"zh": "chinese", "en": "english"}


class Merbench(Format):
    """A folder in MERBench's layout."""

    needs_labels = True

    def takes(self, clip: Clip) -> bool:
        """Whether it has a score or an emotion."""
        return clip.label is not None or EMOTION in clip.classes

    def write(self, bundle: Bundle, path: Path) -> Sequence[str]:
        """Labels, transcripts, and a file a clip and modality."""
        write(bundle, path)
        return ()

    def reads(self, path: Path) -> bool:
        return path.is_dir()

    def read(
        self, path: Path, given: Mapping[str, Sequence[str]], language: str | None
    ) -> FeatureSet:
        """The folders of features that are `given`, or called as `write` calls them."""
        return read(path, chosen(path, given), language)


# ---- reading -----------------------------------------------------------------------------------


def chosen(root: Path, given: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """The modality of each folder of features: as `given` by modality, or as `write` calls them.

    Raises UserError, with the folders there are, where nothing says which is of what.
    """
    there = sorted(path.name for path in (root / FEATURES).glob("*") if path.is_dir())
    if any(given.values()):
        named = [(name, modality) for modality, names in given.items() for name in names]
    else:
        named = [(name, name) for name in MODALITIES if name in there]
    unknown = [name for name, _ in named if name not in there]
    if unknown or not named or len(dict(named)) < len(named):
        what = f"no features {unknown[0]!r}" if unknown else "unclear which features are of what"
        raise UserError(
            f"{root}: {what}; give --visual, --audio and --text, each one or more of the folders "
            f"in {FEATURES}/: {', '.join(there) or 'none'}"
        )
    return dict(named)


def read(root: Path, modalities: Mapping[str, str], language: str | None = None) -> FeatureSet:
    """Clips and features. modalities: the one of each folder of features that is to be read.

    language: of the transcripts, `zh` or `en`; by default Chinese where there are any. Labels are
    the scores (`val`, −10 where there is none) and the emotions (`emo`), where these differ: of
    MELD by their names, else by their numbers.
    """
    texts = _transcripts(root / TRANSCRIPTS, language)
    clips = tuple(merbench_labels.clips(root / LABELS, texts))
    if len({clip.classes.get(EMOTION) for clip in clips}) < 2:  # where there are scores alone, 0
        clips = tuple(clip.without([CLASS + EMOTION]) for clip in clips)
    without = sum(clip.label is None for clip in clips)
    if not clips:
        raise UserError(f"{root / LABELS}: holds no clips")
    folders = {name: root / FEATURES / name for name in modalities}
    files = [file for folder in folders.values() for file in sorted(folder.rglob("*.npy"))]
    tables = [path for path in (root / LABELS, root / TRANSCRIPTS) if path.exists()]
    with FileDigests() as digests:
        digest = digests.of_tree([*tables, *files], root)
    ids = [clip.id for clip in clips]
    features = {name: _feature(folders[name], m, ids) for name, m in modalities.items()}
    note = f"{counted(without, 'clip')} without a score: NaN, or −10, which stands for none"
    notes = (note,) if without else ()
    return FeatureSet(root, FORMAT, digest, clips, features, notes, _declared(clips))


def _declared(clips: Sequence[Clip]) -> tuple[Target, ...]:
    """Emotions in the order of their numbers."""
    numbers = {clip.classes.get(EMOTION, "") for clip in clips} - {""}
    names = merbench_labels.emotions([clip.id for clip in clips])
    classes = names or sorted(numbers, key=int)
    return (Target(name=EMOTION, kind="classes", classes=classes),) if numbers else ()


def _transcripts(path: Path, language: str | None) -> dict[str, str]:
    if not path.exists():
        return {}
    columns = [COLUMNS[language]] if language else list(COLUMNS.values())
    allow_long_csv_fields()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} can't be read: {error}") from error
    if rows and not {"name", *columns} & {*rows[0]}:
        raise UserError(f"{path}: expected the columns name, chinese, english; has {[*rows[0]]}")
    return {
        row["name"]: next((row[c] for c in columns if row.get(c)), "")
        for row in rows
        if row.get("name")
    }


def _feature(folder: Path, modality: str, ids: Sequence[str]) -> Feature:
    width = next((w for w in (_width(folder, id) for id in ids) if w), None)
    if width is None:
        raise UserError(f"{folder}: no clip of {LABELS} has a file there, such as {ids[0]}.npy")

    def rows(number: int) -> np.ndarray:
        found = _rows(folder, ids[number])
        if found.shape[1] != width:
            raise ClipError(f"is {found.shape[1]} wide where others are {width}")
        return found

    return Feature(modality, width, rows)


def _width(folder: Path, id: str) -> int | None:
    try:
        return _rows(folder, id).shape[1]
    except ClipError:
        return None


def _rows(folder: Path, id: str) -> np.ndarray:
    """[steps, width]: a file's, of one step where it holds a vector, or a folder's, one a face."""
    faces = sorted((folder / id).glob("*.npy"))
    if not faces:
        return _load(folder / f"{id}.npy")
    rows = [_load(face) for face in faces]
    if len({x.shape[1] for x in rows}) > 1:
        raise ClipError(f"the files of {id}/ differ in width")
    return np.concatenate(rows)


def _load(path: Path) -> np.ndarray:
    try:
        # Mapped, as otherwise whatever size it claims is allocated before it shows to be shorter.
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(mapped, np.ndarray):
            raise ValueError("it is an archive")
        rows = np.array(mapped)
    except FileNotFoundError:
        raise ClipError(f"no file {path.name}") from None
    except Exception as error:  # damaged headers are Python, and fail as that does
        raise ClipError(f"{path.name} can't be read: {one_line(error)}") from None
    if rows.ndim != 2:
        rows = np.atleast_2d(rows.squeeze())
    if rows.ndim != 2 or rows.dtype.kind not in "fiub":
        raise ClipError(f"{path.name} has shape {list(rows.shape)} of {rows.dtype}")
    return rows


# ---- writing -----------------------------------------------------------------------------------


def write(bundle: Bundle, root: Path) -> None:
    """Labelled clips; a modality's features are the folder `features/<modality>`.

    A clip `video/clip` is called `video_clip`, as MERBench calls it. Its rows are the real ones
    alone; one that lacks a modality has a row of zeros there, as an empty file is an error to it.
    """
    names = [safe_id(clip.id, clip.id.replace("/", "_")) for clip in bundle.clips]
    if len(set(names)) < len(names):
        raise UserError(
            f"{bundle.name}: two clips get one name when / becomes _; rename one of them"
        )
    for modality, features in bundle.features.items():
        folder = root / FEATURES / modality
        folder.mkdir(parents=True)
        for name, rows, length in zip(names, features, bundle.lengths[modality], strict=True):
            np.save(folder / f"{name}.npy", rows[: max(1, length)])
    merbench_labels.write(root / LABELS, names, bundle)
    _write_transcripts(bundle, names, root / TRANSCRIPTS)


def _write_transcripts(bundle: Bundle, names: Sequence[str], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["name", *COLUMNS.values()])
        writer.writeheader()
        column = COLUMNS[bundle.language]
        for name, clip in zip(names, bundle.clips, strict=True):
            writer.writerow({"name": name, column: whole_characters(clip.text)})
