"""Which errors are the machine's that a task runs on, and no clip's."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.errors import StageError
from pipeline.messages import one_line
from pipeline.system.device import is_broken, is_out_of_memory

NO_PLACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
OF_THE_MACHINE = NO_PLACE | {
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE, errno.ETIMEDOUT,
    errno.ENOTCONN, errno.ECONNRESET, errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH,
    errno.ENETDOWN, errno.ENODEV, errno.ENXIO,
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """That a device, a driver, a disk, a network or memory failed.

    device: nothing more can be computed in that process. no_place: nothing can be written to the
    cache. row: of the task, where its clips ran one by one and this is the one that met it. worker:
    the address of the process, "" where no fresh one can be had in its place.
    """

    device: bool = False
    no_place: bool = False
    row: int | None = None
    worker: str = ""

    @classmethod
    def behind(cls, error: BaseException) -> Fault | None:
        """The fault that an error, or what led to it, tells of; None where it tells of none."""
        causes = list(_causes(error))
        codes = {getattr(cause, "errno", None) for cause in causes}
        row = next((cause.row for cause in causes if isinstance(cause, MetAtError)), None)
        fault = cls(any(map(is_broken, causes)), bool(codes & NO_PLACE), row)
        is_one = fault.device or codes & OF_THE_MACHINE or any(map(is_out_of_memory, causes))
        return fault if is_one else None

    @property
    def ends_the_run(self) -> bool:
        """Whether any further partition would be computed in vain."""
        return self.device or self.no_place


class MetAtError(StageError):
    """A fault that one of a task's clips met while they ran one by one. row: the clip's."""

    def __init__(self, row: int, cause: Exception) -> None:
        *_, first = _causes(cause)
        super().__init__(one_line(first, with_kind=not isinstance(first, OSError | MemoryError)))
        self.row = row


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was raised for, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
