"""Which split a video is in: the folds of CMU-MOSI and CMU-MOSEI, as their SDK has them.

They are no part of the archives, but of the CMU-MultimodalSDK, as lists of videos in
`mmsdk/mmdatasdk/dataset/standard_datasets/CMU_MOSEI/cmu_mosei_std_folds.py` and
`…/CMU_MOSI/cmu_mosi_std_folds.py`. A copy beside the archive is read, and nothing in it is run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from pipeline.dataset.clip import SPLITS
from pipeline.dataset.tables import read_text
from pipeline.errors import UserError


def splits(places: Iterable[Path]) -> dict[str, str]:
    """The split of each video, by the first of the files that is there; empty where none is.

    Raises UserError for a file without the three lists.
    """
    path = next(filter(Path.is_file, places), None)
    if path is None:
        return {}
    try:
        lists = {
            target.id: ast.literal_eval(line.value)
            for line in ast.parse(read_text(path)).body
            if isinstance(line, ast.Assign)
            for target in line.targets
            if isinstance(target, ast.Name) and target.id.startswith("standard_")
        }
        return {str(video): split for split in SPLITS for video in lists[f"standard_{split}_fold"]}
    except (SyntaxError, ValueError, TypeError, KeyError, RecursionError, MemoryError) as error:
        wanted = ", ".join(f"standard_{split}_fold" for split in SPLITS)
        raise UserError(f"{path}: expected lists of videos called {wanted}") from error
