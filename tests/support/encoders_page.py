"""The tables of `docs/encoders.md`: the families that tests load, in which formats."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tests.support import sound_encoders, text_encoders
from tests.support.paths import ROOT

PAGE = ROOT / "docs/encoders.md"
Row = text_encoders.Family | sound_encoders.Family
TABLES: dict[str, Mapping[str, Row]] = {
    "text": text_encoders.FAMILIES,
    "speech": sound_encoders.FAMILIES,
}


def document(page: str) -> str:
    """The page with its tables made anew; each stands between two marks."""
    for name, families in TABLES.items():
        mark = f"<!-- {name}: made by `make docs` -->\n"
        table = "\n".join(_rows(families))
        page = re.sub(rf"{mark}(.*\n)*?<!-- end -->", f"{mark}\n{table}\n\n<!-- end -->", page)
    return page


def _rows(families: Mapping[str, Row]) -> Iterable[str]:
    yield "| family | for example | `.safetensors` | `.bin` |"
    yield "|---|---|---|---|"
    for name, family in families.items():
        tested = ["yes" if kind in family.formats else "" for kind in text_encoders.FORMATS]
        yield f"| {name} | `{family.example}` | {' | '.join(tested)} |"


if __name__ == "__main__":
    PAGE.write_text(document(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
