"""The `smp` command: each subcommand is a file, each user error one line."""

from __future__ import annotations

import errno
import pkgutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

import click

from pipeline.cli.streams import shown
from pipeline.errors import BrokenOffError, DataError, UserError
from pipeline.messages import printable
from pipeline.system.process import collect_rarely

OK, CLIPS_FAILED, BAD_USAGE = 0, 1, 2
FAILURES = (BrokenOffError, DataError, MemoryError)  # of what the right command was given
EXIT_CODES = (
    "Exit codes: 0 success, 1 something failed, 2 wrong usage or settings, 130 or 143 stopped by "
    "Ctrl-C or SIGTERM."
)
FAULTS = {  # of a disk or a folder, which a user can fix
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR,
    errno.ENOENT, errno.ENAMETOOLONG, errno.EIO, errno.EISDIR,
}  # fmt: skip


class Names(click.ParamType):
    """Comma-separated names, as a list without empty ones."""

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        names = value.split(",") if isinstance(value, str) else value
        return [name.strip() for name in names if name.strip()]


class Commands(click.Group):
    """A group whose command `x` is the one in the file `x.py` of one of its packages.

    A file is imported when its command is used. A user's error is one line, a bug keeps its
    traceback.
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

    def main(self, *args: Any, **options: Any) -> Any:
        # For the rest of the process: a traceback is the last that is written.
        sys.stdout, sys.stderr = shown(sys.stdout), shown(sys.stderr)
        collect_rarely()
        return super().main(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _terminable():
                return super().invoke(ctx)
        except (UserError, MemoryError) as error:
            told = printable(str(error)) or "the machine ran out of memory"
            click.echo(f"Error: {told}", err=True)
            sys.exit(CLIPS_FAILED if isinstance(error, FAILURES) else BAD_USAGE)
        except OSError as error:
            if error.errno not in FAULTS:
                raise
            where = f"{printable(str(error.filename))}: " if error.filename else ""
            click.echo(f"Error: {where}{error.strerror}; fix it and run again", err=True)
            sys.exit(CLIPS_FAILED)
        except (KeyboardInterrupt, _TerminatedError) as error:
            click.echo("Stopped; what is committed stays. Run it again to continue.", err=True)
            was = signal.SIGTERM if isinstance(error, _TerminatedError) else signal.SIGINT
            sys.exit(128 + was)


class _TerminatedError(BaseException):
    """SIGTERM, raised where it came, so that temporary files go as they do at a Ctrl-C."""


@contextmanager
def _terminable() -> Iterator[None]:
    def see(*_: object) -> None:
        raise _TerminatedError

    before = signal.signal(signal.SIGTERM, see)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
