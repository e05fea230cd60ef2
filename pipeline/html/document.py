"""The document around a page: templates that escape all they are given, style and script within."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from pipeline.html.numbers import grouped, plain
from pipeline.io.folder import Folder
from pipeline.messages import unturned

FRAME = files("pipeline.html")


def templates(*folders: Traversable) -> Environment:
    """The templates in `folders`, which may extend `frame.html` and import from `parts.html`.

    Everything that a template prints is escaped, but for `Markup`, and what would turn the text
    around shows as an escape; a name that it was not given is an error. `frame.html` has the blocks
    title, kicker, heading, lead, navigation and content, `style` and `script` for what is a page's
    own, and `policy` for what it may load beside itself.
    Filters: `grouped` (12,345) and `plain` (0.12, –).
    """
    found_in = (*folders, FRAME)
    made = Environment(
        loader=FunctionLoader(partial(_text, found_in)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    made.globals["source"] = partial(_source, found_in)
    made.filters.update(grouped=grouped, plain=plain)
    return made


def _finalized(value: Any) -> Any:
    return value if isinstance(value, Markup) or not isinstance(value, str) else unturned(value)


def write_page(html: str, path: Path, show: bool = False) -> Path:
    """Write a page to `path`, in one step, and return that; show: in the user's browser too."""
    Folder(path.parent).write(path.name, html.encode(errors="backslashreplace"))
    if show:
        webbrowser.open(path.absolute().as_uri())
    return path


def _text(folders: Sequence[Traversable], name: str) -> str | None:
    """The file of that name in the first folder that has it."""
    found = (folder / name for folder in folders if (folder / name).is_file())
    return next((file.read_text(encoding="utf-8") for file in found), None)


def _source(folders: Sequence[Traversable], name: str) -> Markup:
    """A style sheet or a script as it is: it is ours, and never holds what a user wrote."""
    text = _text(folders, name)
    assert text is not None, name
    return Markup(text)
