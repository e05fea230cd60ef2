"""The document around a page: templates that escape all they are given, style and script within."""

from __future__ import annotations

import webbrowser
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipeline.files import Folder
from pipeline.page.numbers import grouped, plain

FOLDER = Path(__file__).parent


def templates(folder: Path) -> Environment:
    """The templates in `folder`, which may extend `frame.html` and import from `parts.html`.

    Everything that a template prints is escaped, but for `Markup`; a name that it was not given is
    an error. `frame.html` has the blocks title, kicker, heading, lead, navigation and content, and
    `style` for rules of a page's own. Filters: `grouped` (12,345) and `plain` (0.12, –).
    """
    made = Environment(
        loader=FileSystemLoader([folder, FOLDER]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["source"] = partial(_source, (folder, FOLDER))
    made.filters.update(grouped=grouped, plain=plain)
    return made


def write_page(html: str, path: Path, show: bool = False) -> Path:
    """Write a page to `path`, in one step, and return that; show: in the user's browser too."""
    Folder(path.parent).write(path.name, html.encode(errors="backslashreplace"))
    if show:
        webbrowser.open(path.absolute().as_uri())
    return path


def _source(folders: tuple[Path, ...], name: str) -> Markup:
    """A style sheet or a script as it is: it is ours, and never holds what a user wrote."""
    found = next(path for folder in folders if (path := folder / name).is_file())
    return Markup(found.read_text(encoding="utf-8"))
