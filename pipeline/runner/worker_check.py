"""What a worker must share with the run that it works for: code, libraries, cache and media."""

from __future__ import annotations

import json
import os
import platform
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.dag.plan import Task
from pipeline.dag.stage import Stages, require_devices
from pipeline.errors import UserError
from pipeline.io import lease
from pipeline.io.folder import Folder
from pipeline.store.cache import cache_of
from pipeline.system import libraries


class UnfitWorkerError(UserError):
    """A worker that does not see what the run sees, or would compute something else."""


@dataclass(frozen=True)
class Muster:
    """What is asked of every worker process before its first task.

    cache_url, lease: the cache and the id of the run that holds it, read back from the cache, so
    that a folder of the same path on another host is found out. media: one of the dataset's files
    and its size. spec: the stages, as JSON. versions: of Python, the libraries and the extractors.
    stages: those of which there are tasks.
    """

    cache_url: str
    lease: str
    media: tuple[str, int] | None
    spec: str
    versions: tuple[tuple[str, str], ...]
    stages: tuple[str, ...] = ()

    @classmethod
    def of(cls, tasks: Sequence[Task]) -> Muster:
        """What the tasks of one run ask for."""
        task = tasks[0]
        cache_url = cache_of(task.stores[task.stage])
        spec = json.dumps(task.spec, ensure_ascii=False)
        stages = tuple(dict.fromkeys(task.stage for task in tasks))
        return cls(cache_url, _lease(cache_url), _one_file(tasks), spec, _versions(spec), stages)

    def check(self) -> None:
        """Raise UnfitWorkerError, with what to do, where this process can't work for the run."""
        if why := self._other_versions() or self._other_files():
            raise UnfitWorkerError(f"the worker on {socket.gethostname()} {why}")

    def check_devices(self) -> None:
        """Raise UserError where the device of a stage can't be used by this process."""
        stages = Stages(json.loads(self.spec))
        require_devices(stages[name] for name in self.stages)

    def _other_versions(self) -> str:
        try:
            here = dict(_versions(self.spec))
        except UserError as error:
            return f"can't read the stages ({error}); install there what is installed here"
        differing = [
            f"{name} {here.get(name, 'none')} where this run has {version}"
            for name, version in self.versions
            if here.get(name) != version
        ]
        return f"has {', '.join(differing)}; install the same there" if differing else ""

    def _other_files(self) -> str:
        cwd = os.getcwd()
        if _lease(self.cache_url) != self.lease:
            return (
                f"does not see the cache {self.cache_url} (from {cwd}); put it where every worker "
                "sees it under the same path or URL"
            )
        if self.media and _size(self.media[0]) != self.media[1]:
            return (
                f"does not see the clip {self.media[0]} (from {cwd}); put the dataset where every "
                "worker sees it under the same path"
            )
        return ""


def _versions(spec: str) -> tuple[tuple[str, str], ...]:
    python = ".".join(platform.python_version_tuple()[:2])
    extractors = {f"extractor {s.extractor}": str(s.kind.version) for s in Stages(json.loads(spec))}
    return (("Python", python), *libraries.versions().items(), *extractors.items())


def _lease(cache_url: str) -> str:
    holder = lease.holder(Folder(cache_url))
    return holder.id if holder else ""


def _one_file(tasks: Sequence[Task]) -> tuple[str, int] | None:
    paths = (path for t in tasks for row in t.rows for path in (row.clip.video, row.clip.audio))
    sizes = ((path, _size(path)) for path in paths if path)
    return next(((path, size) for path, size in sizes if size >= 0), None)


def _size(path: str) -> int:
    """The bytes of a file, −1 where there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1
