"""Object storage in memory, `lost://…`, that answers until it is taken away."""

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class LostStorage(MemoryFileSystem):
    """As `memory://`; once `gone` says why, every request fails."""

    protocol = "lost"
    store: dict = {}
    pseudo_dirs: list = [""]
    gone = ""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("lost:"))

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if name in REQUESTS and LostStorage.gone:
            raise ConnectionError(LostStorage.gone)
        return found


REQUESTS = {"cat_file", "pipe_file", "open", "_open", "info", "ls", "rm_file", "find", "exists"}
fsspec.register_implementation("lost", LostStorage, clobber=True)
