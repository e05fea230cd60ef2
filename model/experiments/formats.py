"""A table as Markdown and as LaTeX: best in bold, second underlined."""

from __future__ import annotations

from model.experiments.table import Row, Table

BEST, SECOND = 1, 2
_RESERVED = {c: "\\" + c for c in "_%&#$"}
_SYMBOLS = {
    "±": r"$\pm$",
    "×": r"$\times$",
    "↓": r"$\downarrow$",
    "≥": r"$\geq$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    "ⁿˢ": r"$^{\mathrm{ns}}$",
    "–": "--",
}


def markdown(table: Table) -> str:
    """A GitHub table with its title above and its notes below."""
    lines = [f"**{table.title}**", "", _bar(["", *table.headings])]
    lines.append(_bar([":--", *["--:"] * len(table.columns)]))
    for row in table.rows:
        lines.append(_bar([table.label(row), *_cells(table, row, "**{}**", "<u>{}</u>")]))
    return "\n".join([*lines, "", *(f"- {note}" for note in table.notes)]) + "\n"


def latex(table: Table) -> str:
    """A `table` environment that needs the package booktabs."""
    lines = [r"\begin{table}", rf"\caption{{{_escaped(table.title)}}}", r"\centering"]
    lines += [rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}", r"\toprule"]
    lines += [_line(["", *map(_escaped, table.headings)])]
    for section in table.sections():
        lines.append(r"\midrule")
        for row in section:
            cells = _cells(table, row, r"\textbf{{{}}}", r"\underline{{{}}}")
            lines.append(_line([_escaped(table.label(row)), *map(_symbols, cells)]))
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\footnotesize {_escaped(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _cells(table: Table, row: Row, best: str, second: str) -> list[str]:
    """The row's numbers, those that are best or second put into a pattern."""
    patterns = {BEST: best, SECOND: second}
    return [
        patterns.get(table.rank(row, key) or 0, "{}").format(table.cell(row, key))
        for key in table.columns
    ]


def _bar(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _line(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _escaped(text: str) -> str:
    return _symbols("".join(_RESERVED.get(character, character) for character in text))


def _symbols(text: str) -> str:
    for symbol, command in _SYMBOLS.items():
        text = text.replace(symbol, command)
    return text
