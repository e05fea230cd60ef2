"""Tables of clips, `.csv` or `.jsonl`, row by row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.io import strict_json
from pipeline.messages import quoted
from pipeline.system.process import allow_long_csv_fields

TABLES = {".csv", ".jsonl"}

# Characters that a text has where cp1252 was taken for Latin-1: U+0092 is meant to be ’.
LATIN_1 = {n: bytes([n]).decode("cp1252", "replace") for n in range(0x80, 0xA0)}
# "file:line", and the columns as text: under None extra ones, None in place of missing ones.
TableRow = tuple[str, Mapping[Any, Any]]


def rows(path: Path) -> Iterator[TableRow]:
    """The rows of a table; UserError with file and line for what is none."""
    text = read_text(path)
    return _json_rows(path, text) if path.suffix == ".jsonl" else _csv_rows(path, text)


def rows_with(
    path: Path, columns: Sequence[str], legacy: bool = False
) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a `.csv` that needs these columns; UserError for one that lacks any.

    legacy: as in `read_text`.
    """
    for where, row in _csv_rows(path, read_text(path, legacy)):
        if None in row or None in row.values():
            raise UserError(f"{where}: expected {len(row.keys() - {None})} columns")
        if missing := [column for column in columns if column not in row]:
            raise UserError(f"{where}: no column {', '.join(missing)}")
        yield where, dict(row)


def read_text(path: Path, legacy: bool = False) -> str:
    """A file's text; UserError where it can't be read, with the line where it isn't UTF-8.

    legacy: a file that isn't UTF-8 is cp1252, which older archives are written in.
    """
    try:
        return path.read_text(encoding="utf-8-sig").translate(LATIN_1 if legacy else {})
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        if legacy:
            return path.read_text(encoding="cp1252", errors="replace")
        line = error.object[: error.start].count(b"\n") + 1
        where = f"{error.reason} at byte {error.start}"
        raise UserError(f"{path}:{line}: not UTF-8 ({where}); save it as UTF-8") from error


def _csv_rows(path: Path, text: str) -> Iterator[TableRow]:
    allow_long_csv_fields()
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        # Unnamed columns are what spreadsheets leave at the end.
        if column := strict_json.repeated(filter(None, reader.fieldnames or ())):
            raise UserError(f"{path}:{reader.line_num}: column {quoted(column)} appears twice")
        for row in reader:
            yield f"{path}:{reader.line_num}", row
    except csv.Error as error:
        # Its own count ends at the last whole row.
        raise UserError(f"{path}:{reader.reader.line_num}: {error}") from error


def _json_rows(path: Path, text: str) -> Iterator[TableRow]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = strict_json.loads(line)
        except ValueError as error:
            raise UserError(f"{path}:{number}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise UserError(f"{path}:{number}: expected one JSON object a line")
        plain = {k: v for k, v in row.items() if not isinstance(v, (dict, list))}  # no columns
        yield f"{path}:{number}", {k: "" if v is None else str(v) for k, v in plain.items()}
