"""Files to a manifest of their utterances, going on where an earlier run stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import ClipError, UserError
from pipeline.html import write_page
from pipeline.io.file_digests import FileDigests
from pipeline.io.hashing import of_json
from pipeline.segment import manifest
from pipeline.segment.manifest import Corrections, Row
from pipeline.segment.page import page
from pipeline.segment.record import Records
from pipeline.segment.segment import USUAL, Hears, Utterance, segment
from pipeline.segment.turns import read_turns
from pipeline.segment.utterances import Cutting

Told = Callable[[Path, Sequence[Utterance] | str], None]  # of each file: what was found, or why not


@dataclass(frozen=True)
class Segmented:
    """rows: of the manifest. page: where it is. failed: files of which nothing could be made.

    dropped: rows that a person took out. unknown: ids that were corrected and no longer exist.
    """

    rows: Sequence[Row]
    page: Path
    failed: Sequence[Path]
    dropped: int
    unknown: Sequence[str]


def run(
    paths: Sequence[Path],
    out: Path,
    cutting: Cutting = USUAL,
    hears: Hears | None = None,
    hears_with: Sequence[str] = (),
    turns: Path | None = None,
    told: Told = lambda path, what: None,
) -> Segmented:
    """Write `out`, a manifest of spans of `paths`, and a page beside it; nothing is cut or encoded.

    hears: tells words, hears_with: what it depends on. turns: a folder of RTTM files, `NAME.rttm` a
    file of `paths`. What was found in a file is kept beside the manifest, file by file. Raises
    UserError for two files of one name, or one without turns where there are such.
    """
    _require_names(paths)
    spoken = {path: read_turns(turns / f"{path.stem}.rttm") if turns else [] for path in paths}
    made, records = Corrections.beside(out), Records.beside(out, cutting, hears_with)
    rows: list[Row] = []
    failed = []
    with FileDigests() as digests:
        for path in paths:
            digest = digests.of(path)
            if turns:
                digest = of_json([digest, *map(asdict, spoken[path])])
            found = records.read(digest)
            try:
                if found is None:
                    found = segment(str(path), cutting, hears, spoken[path])
                    records.write(digest, found)
            except ClipError as error:
                failed.append(path)
                told(path, str(error))
                continue
            told(path, found)
            rows += manifest.rows_of(path, found, out.parent)
    kept = [made.of(row) for row in rows if not made.drops(row)]
    manifest.write(out, kept)
    where = write_page(page(out, rows, paths, made), out.with_suffix(".html"))
    return Segmented(kept, where, failed, len(rows) - len(kept), made.unknown(rows))


def _require_names(paths: Sequence[Path]) -> None:
    first: dict[str, Path] = {}
    for path in paths:
        if (other := first.setdefault(path.stem, path)) is not path:
            raise UserError(f"{path} and {other} have one name, which ids begin with; rename one")
