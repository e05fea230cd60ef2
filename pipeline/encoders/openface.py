"""What OpenFace's command-line programs say of faces, where they are installed.

Source: Baltrušaitis et al., "OpenFace 2.0: Facial Behavior Analysis Toolkit", FG 2018.
"""

from __future__ import annotations

import csv
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pipeline.encoders.openface_columns import AUS
from pipeline.errors import ClipError, UserError
from pipeline.media import Frame
from pipeline.stage.result import FAILED, ClipResult

PROGRAMS = ("FeatureExtraction", "FaceLandmarkImg")
TOP_INTENSITY = 5  # of FACS, E
STOPPED_BY = {signal.SIGINT, signal.SIGTERM, signal.SIGKILL}  # no clip's fault
CSV_ONLY = ("-gaze", "-pose", "-2Dfp", "-3Dfp", "-pdmparams", "-aus")  # and no pictures
Rows = dict[int, np.ndarray]
Row = Callable[[Mapping[str, str]], np.ndarray]


def program(named: str | None) -> Path:
    """The program to run: a path, a name on PATH, or the first of PROGRAMS that is on PATH."""
    wanted = (named,) if named else PROGRAMS
    for name in wanted:
        if found := shutil.which(Path(name).expanduser()):
            return Path(found).resolve()  # OpenFace looks for its models beside itself
    raise UserError(
        f"OpenFace not found: no program {' or '.join(wanted)} on PATH; install OpenFace 2, and "
        "set `binary` to where that program is"
    )


def action_units(program: Path, clips: Sequence[np.ndarray]) -> list[ClipResult]:
    """The features [n, 34] of each clip's faces; those in which OpenFace found none stay zero.

    clips: uint8 rgb [n, h, w, 3] each. FeatureExtraction takes a clip as a video, and measures a
    face against the same person's others; FaceLandmarkImg takes every face by itself. Raises
    RuntimeError where it fails on all of them.
    """
    as_pictures = program.stem == "FaceLandmarkImg"
    with TemporaryDirectory(prefix="openface-") as temporary:
        out, faces = Path(temporary, "out"), Path(temporary, "faces")
        names = [[f"clip{i:04d}_{j:04d}" for j in range(len(c))] for i, c in enumerate(clips)]
        folders = [faces if as_pictures else faces / f"clip{i:04d}" for i in range(len(clips))]
        for images, stems, folder in zip(clips, names, folders, strict=True):
            _write(images, stems, folder)
        trouble = _run(program, out, dict.fromkeys(folders), ["-aus"])
        results = []
        for stems, folder in zip(names, folders, strict=True):
            try:
                rows = (
                    _of_pictures(out, stems, trouble)
                    if as_pictures
                    else _of_video(out / f"{folder.name}.csv", trouble, units)
                )
                results.append(_result(rows, len(stems)))
            except ClipError as error:
                results.append(ClipResult.of(error))
    if trouble and all(result.state == FAILED for result in results):
        raise RuntimeError(trouble)  # which no clip is to blame for, unless it is so alone too
    return results


def tracked(
    program: Path, frames: Iterable[Frame], names: Sequence[str]
) -> tuple[list[float], Rows]:
    """The time of every frame in s, and the columns `names` of those where a face is tracked.

    FeatureExtraction takes the frames as one video. Raises RuntimeError where it fails.
    """
    with TemporaryDirectory(prefix="openface-") as temporary:
        out, folder, times = Path(temporary, "out"), Path(temporary, "clip"), []
        for number, (time_s, rgb) in enumerate(frames):
            _write(rgb[None], [f"{number:08d}"], folder)
            times.append(time_s)
        if trouble := _run(program, out, [folder], CSV_ONLY):
            raise RuntimeError(trouble)
        return times, _of_video(out / f"{folder.name}.csv", trouble, lambda x: _values(x, names))


def _result(rows: Rows, n: int) -> ClipResult:
    features = np.zeros((n, 2 * len(AUS)), np.float32)
    seen = rows.keys() & range(n)
    for step in seen:
        features[step] = rows[step]
    unseen = n - len(seen)
    note = f"OpenFace saw no face in {unseen} of {n} steps" if unseen else ""
    return ClipResult.ok({"features": features}, length=n, note=note)


def _write(images: np.ndarray, stems: Iterable[str], folder: Path) -> None:
    # OpenCV is loaded where faces are written, not where a run is planned.
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    for image, stem in zip(images, stems, strict=True):
        path = folder / f"{stem}.png"
        if not cv2.imwrite(str(path), image[..., ::-1]):
            # OpenFace would count the others on, as if it had never been.
            raise OSError(f"{path} can't be written; is there room for a clip's pictures?")


def _run(program: Path, out: Path, folders: Iterable[Path], asked: Iterable[str]) -> str:
    """Run OpenFace over the pictures in the folders; what it said last where it failed, or ""."""
    inputs = [word for folder in folders for word in ("-fdir", str(folder))]
    command = [str(program), *asked, "-out_dir", str(out), *inputs]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise UserError(f"OpenFace's {program} can't be run: {error.strerror}") from error
    if -done.returncode in STOPPED_BY:
        raise UserError(f"{program.name} was stopped by signal {-done.returncode}; run again")
    said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
    return f"{program.name} ended with code {done.returncode}: {said}" if done.returncode else ""


def _of_video(path: Path, trouble: str, row: Row) -> Rows:
    if not path.exists():
        raise ClipError(trouble or f"OpenFace wrote no {path.name}")
    return read_csv(path, row)


def _of_pictures(out: Path, stems: Sequence[str], trouble: str) -> Rows:
    """The surest face of every picture; a picture without a face may have no file."""
    paths = [out / f"{stem}.csv" for stem in stems]
    found = {step: read_csv(path, units) for step, path in enumerate(paths) if path.exists()}
    rows = {step: faces[0] for step, faces in found.items() if faces}
    if trouble and not rows:
        raise ClipError(trouble)
    return rows


def read_csv(path: Path, row: Row) -> Rows:
    """Rows by the number of the frame, from 0, where OpenFace says that it found a face.

    row: makes one of a line, such as `units`. A picture's file has no frames but faces, of which
    the surest is row 0.
    """
    with path.open(newline="") as file:
        reader = csv.reader(file, skipinitialspace=True)
        names = [name.strip() for name in next(reader, [])]
        lines = [dict(zip(names, values, strict=False)) for values in reader if values]
    try:
        if "frame" in names:
            return {int(x["frame"]) - 1: row(x) for x in lines if float(x["success"]) == 1}
        surest = sorted(lines, key=lambda x: float(x["confidence"]))[-1:]
        return dict(enumerate(map(row, surest)))
    except (KeyError, ValueError) as error:
        raise ClipError(f"OpenFace's {path.name} has a missing or bad column: {error}") from error


def units(line: Mapping[str, str]) -> np.ndarray:
    """The presences `AUxx_c` of the units in `AUS`, then their intensities `AUxx_r`, of 0..1."""
    found = _values(line, [f"AU{au:02d}_{kind}" for kind in "cr" for au in AUS])
    found[len(AUS) :] /= TOP_INTENSITY
    return found.astype(np.float32).clip(0, 1)


def _values(line: Mapping[str, str], names: Iterable[str]) -> np.ndarray:
    row = np.array([float(line[name]) for name in names])
    if not np.isfinite(row).all():
        raise ValueError("not a number")
    return row
