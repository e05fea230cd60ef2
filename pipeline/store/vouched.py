"""Files of a store as zarr sees them: noted as they are written, checked as they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zarr.abc.buffer import Buffer
from zarr.abc.store import Store as ZarrStore
from zarr.storage import WrapperStore

from pipeline.io.hashing import of_bytes
from pipeline.store.commit import Commit
from pipeline.store.layout import CHECKSUM_BYTES, is_chunk

GONE, OTHER = "is gone", "is not what was written"


class VouchedStore(WrapperStore[ZarrStore]):
    """A zarr store in which what a commit vouches for is that, or an error.

    known: by path, the partition and the commit that vouch for a file; a partition of None is that
    of zarr's own metadata. damaged: the error for what is wrong, with a partition. digests,
    checksums: of what was written, as a `Commit` has them.
    """

    known: Mapping[str, tuple[int | None, Commit]]

    def __init__(self, store: ZarrStore, damaged: Callable[[str, int | None], Exception]) -> None:
        super().__init__(store)
        self.known = {}
        self.digests: dict[str, str] = {}
        self.checksums: dict[str, str] = {}
        self._damaged = damaged

    async def get(self, key: str, *arguments: Any, **named: Any) -> Buffer | None:
        found = await super().get(key, *arguments, **named)
        self.check(key, None if found is None else memoryview(found.as_buffer_like()))
        return found

    async def set(self, key: str, value: Buffer) -> None:
        await super().set(key, value)
        content = memoryview(value.as_buffer_like())
        self.digests[key] = of_bytes(content)
        if is_chunk(key):
            self.checksums[key] = bytes(content[-CHECKSUM_BYTES:]).hex()

    def check(self, file: str, content: bytes | memoryview | None) -> None:
        """Raise DamagedError where a commit vouches for a file with other content."""
        partition, commit = self.known.get(file, (None, None))
        if commit is None:
            return
        if content is None or not commit.fits(file, content):
            raise self._damaged(f"{file} {GONE if content is None else OTHER}", partition)
