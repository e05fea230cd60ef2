"""One run a cache: the second is refused and told who holds it."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.io.folder import Folder
from pipeline.io.lease import Lease, holder, refusal

LOCK_FILE = ".lock"
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


@contextmanager
def held(folder: Folder) -> Iterator[Lease]:
    """Hold a cache for this process. Raises UserError, with who holds it, where another does.

    On a file system the system's lock decides, which is released when the process dies. Where that
    does not reach (object storage, other hosts of some network file systems) the lease does: it is
    watched until it changes, for up to `STALE_S` seconds by this machine's clock, whatever it says.
    Only a process of this machine whose number is no longer taken is known to be gone at once.
    """
    with _locked(folder) as locked:
        lease = Lease(folder)
        lease.take(locked)
        with lease.beating():
            yield lease


@contextmanager
def _locked(folder: Folder) -> Iterator[bool]:
    """Hold the system's lock on a local cache; False where there are none to be had."""
    if folder.path is None:
        yield False
        return
    folder.path.mkdir(parents=True, exist_ok=True)
    with open(folder.path / LOCK_FILE, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise refusal(folder, holder(folder)) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            yield False
            return
        yield True
