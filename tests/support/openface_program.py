"""A script that does as OpenFace's FeatureExtraction with what a picture's redness tells it."""

import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.encoders.openface_columns import COLUMNS, Group

HEAD = ["frame", "face_id", "timestamp", "confidence", "success"]
# As FeatureExtraction does; a column's value is its number, and as many thousandths as red.
SCRIPT = """#!{python}
import pathlib, sys
import cv2
words = sys.argv[1:]
folder = pathlib.Path(words[words.index("-fdir") + 1])
out = pathlib.Path(words[words.index("-out_dir") + 1])
assert {{"-gaze", "-pose", "-2Dfp", "-3Dfp", "-pdmparams", "-aus"}} == set(words[:-4]), words
out.mkdir()
lines = [{head}]
for number, picture in enumerate(sorted(folder.glob("*.png"))):
    red = int(cv2.imread(str(picture))[0, 0, 2])
    values = [column + red / 1000 for column in range({width})]
    lines.append([number + 1, 0, 0.0, red / 255, int(red > 0), *values])
text = "\\n".join(", ".join(map(str, line)) for line in lines)
(out / f"{{folder.name}}.csv").write_text(text + "\\n")
"""


def feature_extraction(
    folder: Path, script: str = SCRIPT, groups: Sequence[Group] = tuple(COLUMNS)
) -> Path:
    """The program, written into `folder`; groups: in whose order it has its columns."""
    path = folder / "FeatureExtraction"
    names = [name for group in groups for name in COLUMNS[group]]
    path.write_text(script.format(python=sys.executable, head=HEAD + names, width=len(names)))
    path.chmod(0o755)
    return path
