"""Tables and progress of trainings as a terminal shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from pipeline.cli.console import Terminal, print_whole


def print_table(
    title: str, columns: Sequence[str], sections: Sequence[Sequence[Sequence[str | Text]]]
) -> None:
    """Sections of rows of cells, a line between them; never narrower than what it holds,
    though its title may be wider."""
    whole = Text(title, "table.title", no_wrap=True, overflow="ignore")
    table = Table(title=whole, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for rows in sections:
        for row in rows:
            table.add_row(*row)
        table.add_section()
    print_whole(table)


@contextmanager
def progress(total: float) -> Iterator[Callable[[float, str], None]]:
    """A bar where someone is watching; it is told how much is done, and of what."""
    console = Terminal(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task("", total=total)
        yield lambda done, text: bars.update(bar, completed=done, description=text)
