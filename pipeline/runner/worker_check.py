"""What a worker must share with the run that it works for: code, weights, cache and media."""

from __future__ import annotations

import json
import os
import platform
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.dag.spec import Stages
from pipeline.dag.stage import require_devices
from pipeline.dag.task import Task
from pipeline.errors import UserError
from pipeline.io import lease
from pipeline.io.folder import Folder
from pipeline.store.layout import cache_of, store_url
from pipeline.system import libraries


class UnfitWorkerError(UserError):
    """A worker that does not see what the run sees, or would compute something else."""


@dataclass(frozen=True)
class WorkerCheck:
    """What is asked of every worker process before its first task.

    cache_url, lease: the cache and the id of the run that holds it, read back from the cache, so
    that a folder of the same path on another host is found out. media: one of the dataset's files
    and its size. spec: the stages, as JSON. versions: of Python, the libraries and the extractors.
    stores: by stage, the store that its weights, code and settings lead to.
    """

    cache_url: str
    lease: str
    media: tuple[str, int] | None
    spec: str
    versions: tuple[tuple[str, str], ...]
    stores: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, tasks: Sequence[Task]) -> WorkerCheck:
        """What the tasks of one run ask for."""
        stores = {task.stage: task.stores[task.stage] for task in tasks}
        cache_url = cache_of(next(iter(stores.values())))
        spec = json.dumps(tasks[0].spec, ensure_ascii=False)
        versions = _versions(Stages(tasks[0].spec))
        media = _one_file(tasks)
        return cls(cache_url, _lease(cache_url), media, spec, versions, tuple(stores.items()))

    def check(self) -> None:
        """Raise UnfitWorkerError, with what to do, where this process can't work for the run."""
        try:
            stages = Stages(json.loads(self.spec))
            why = self._other_versions(stages) or self._other_files() or self._other_stores(stages)
        except UserError as error:
            why = f"can't use the stages ({error}); install there what is installed here"
        if why:
            raise UnfitWorkerError(f"the worker on {socket.gethostname()} {why}")

    def check_devices(self) -> list[str]:
        """This process's accelerators that stages use; UserError where one can't be used."""
        stages = Stages(json.loads(self.spec))
        return require_devices(stages[name] for name, _ in self.stores)

    def _other_versions(self, stages: Stages) -> str:
        here = dict(_versions(stages))
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

    def _other_stores(self, stages: Stages) -> str:
        identities = stages.identities(stages.chosen(name for name, _ in self.stores))
        for name, url in self.stores:
            here = store_url(self.cache_url, name, identities[name]["fingerprint"])
            if url != here:
                return (
                    f"would write {here}, not {url} as planned: its weights or code differ; put "
                    "the same there"
                )
        return ""


def _versions(stages: Stages) -> tuple[tuple[str, str], ...]:
    python = ".".join(platform.python_version_tuple()[:2])
    extractors = {f"extractor {s.extractor}": str(s.kind.version) for s in stages}
    versions = libraries.versions({name for s in stages for name in s.kind.requires})
    return (("Python", python), *versions.items(), *extractors.items())


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
