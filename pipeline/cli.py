"""The `smp` command: its commands are files, its errors are lines, its exit code is the truth."""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import click

from pipeline.errors import UserError

OK, CLIPS_FAILED, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130


class Commands(click.Group):
    """A group whose command `x` is the one in the file `x.py` of one of its packages.

    A file is imported when its command is asked for. A user's error is told in one line, a bug
    keeps its traceback.
    """

    def __init__(self, packages: Sequence[ModuleType], **options: Any) -> None:
        super().__init__(**options)
        self.packages = packages

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._files())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = self._files().get(cmd_name)
        if module is None:
            return None
        found = vars(import_module(module)).values()
        return next(c for c in found if isinstance(c, click.Command) and c.name == cmd_name)

    def _files(self) -> dict[str, str]:
        """The module of each command; `import_.py` holds `import`, a word of the language."""
        return {
            file.name.rstrip("_"): f"{package.__name__}.{file.name}"
            for package in self.packages
            for file in pkgutil.iter_modules(package.__path__)
        }

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(BAD_USAGE)
        except KeyboardInterrupt:
            click.echo("Stopped; what is committed stays. Run it again to go on.", err=True)
            sys.exit(INTERRUPTED)
