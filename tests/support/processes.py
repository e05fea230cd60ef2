"""Child processes of a test: started, waited for, and never left behind."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.paths import ROOT

BIN = Path(sys.executable).parent
PATIENCE_S = 180.0  # on a machine that is busy with other things


class Child(subprocess.Popen[str]):
    """A process in a group of its own, whose output goes to a file: a full pipe would stop it."""

    def __init__(self, *command: object, cwd: Path = ROOT) -> None:
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115, it lives as long as this
        super().__init__(
            [str(part) for part in command],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONFAULTHANDLER": "1"},
            stdout=self._said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def output(self) -> str:
        """All that the process says until it ends; where it hangs, what each thread is at."""
        try:
            self.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.send_signal(signal.SIGABRT)
            self.wait()
            raise AssertionError(f"hangs: {self.said()}") from None
        return self.said()

    def said(self) -> str:
        """What the process has said so far."""
        self._said.seek(0)
        return self._said.read()

    def kill_all(self) -> None:
        """SIGKILL the process with all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()


@contextmanager
def child(*command: object, cwd: Path = ROOT) -> Iterator[Child]:
    """A process that is gone, with all that it started, when the context ends."""
    process = Child(*command, cwd=cwd)
    try:
        yield process
    finally:
        process.kill_all()


def wait_until(what: Callable[[], object], process: Child | None = None) -> None:
    """Wait until `what` holds; fail where it never does, or where the process ends first."""
    until = time.monotonic() + PATIENCE_S
    while not what():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"ended with {process.returncode}: {process.said()}")
        assert time.monotonic() < until, f"waited in vain: {process and process.said()}"
        time.sleep(0.05)


def free_port() -> int:
    """A port of this host that nothing listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def smp(*arguments: object) -> list[object]:
    """The command line of `smp`."""
    return [BIN / "smp", *arguments]
