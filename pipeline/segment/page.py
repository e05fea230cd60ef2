"""The page on which a person hears each utterance beside its text, and corrects or drops it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from pipeline.html import templates
from pipeline.messages import counted
from pipeline.segment.manifest import Corrections, Row

SURE = 0.6  # below it the text, or that there is speech, is doubtful


def page(manifest: Path, rows: Sequence[Row], names: Sequence[Path], made: Corrections) -> str:
    """The page as HTML; it plays the files where they are. names: of all files, in order.

    rows: all of them, also those that were dropped, as they were found.
    """
    shown = [_shown(row, manifest.parent, made) for row in rows]
    kept = [made.of(row) for row in rows if not made.drops(row)]
    seconds = sum(float(row["end"]) - float(row["start"]) for row in kept)
    told = []
    for name in names:
        own = [one for one in shown if one["path"] == str(name.absolute())]
        is_heard = any(one["confidence"] for one in own)
        count = counted(len(own), "utterance")
        told.append({"name": name.name, "rows": own, "count": count, "is_heard": is_heard})
    return (
        templates(files("pipeline.segment"))
        .get_template("segment.html")
        .render(
            name=manifest.stem,
            files=told,
            file_count=counted(len(names), "file"),
            rows=shown,
            seconds=f"{seconds // 60:.0f} min {seconds % 60:.0f} s",
            saved=made.path.name,
        )
    )


def _shown(row: Row, folder: Path, made: Corrections) -> dict[str, object]:
    is_corrected = "corrected" if row["id"] in made.rows else ""
    path = os.path.abspath(folder / row["file"])
    return {
        **made.of(row),
        "path": path,
        "source": quote(os.path.relpath(path, folder.absolute())),
        "mark": "dropped" if made.drops(row) else is_corrected,
        "is_doubtful": float(row["confidence"] or row["voice"]) < SURE,
    }
