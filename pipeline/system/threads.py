"""One budget of threads a process: a task has one, those that idle help others' tasks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from pipeline.system.spans import recorded_beside, recording

Item = TypeVar("Item")
Result = TypeVar("Result")

_lock = threading.Lock()
_busy = 0  # threads that run a task or help with one
_most = 1  # that should, while there are any


@contextmanager
def at_work(most: int) -> Iterator[None]:
    """Count this thread as busy. most: how many threads of this process are to be so at once."""
    global _busy, _most
    with _lock:
        _busy, _most = _busy + 1, most
    try:
        yield
    finally:
        _leave()


@contextmanager
def at_rest() -> Iterator[None]:
    """Don't count this thread as busy while it waits for others: one may help in its place."""
    global _busy
    _leave()
    try:
        yield
    finally:
        with _lock:
            _busy += 1


def spread(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """`work` of each item, in their order, by this thread and by others that idle meanwhile.

    Raises what `work` raised, then without having gone on to further items.
    """
    return _Shared(work, items).done()


class _Shared(Generic[Item, Result]):
    """Items that several threads take one after the other."""

    def __init__(self, work: Callable[[Item], Result], items: Sequence[Item]) -> None:
        self._work = work
        self._left = list(reversed(list(enumerate(items))))
        self._results: dict[int, Result] = {}
        self._error: BaseException | None = None
        self._recording = recording()

    def done(self) -> list[Result]:
        helpers: list[threading.Thread] = []
        while self._left:
            while len(self._left) > 1 and _join_in():
                helpers.append(threading.Thread(target=self._help, name="help"))
                helpers[-1].start()
            self._take()
        for helper in helpers:
            helper.join()
        if self._error is not None:
            raise self._error
        return [self._results[number] for number in range(len(self._results))]

    def _take(self) -> None:
        try:
            number, item = self._left.pop()
        except IndexError:  # another thread was faster
            return
        try:
            self._results[number] = self._work(item)
        except BaseException as error:
            self._error = error
            self._left.clear()

    def _help(self) -> None:
        try:
            with recorded_beside(self._recording):
                while self._left and not _is_crowded():
                    self._take()
        finally:
            _leave()


def _join_in() -> bool:
    """Count one more thread as busy, if a task has begun and that leaves its budget kept."""
    global _busy
    with _lock:
        if not 0 < _busy < _most:
            return False
        _busy += 1
        return True


def _is_crowded() -> bool:
    """Whether a task has begun since for which there is no thread but a helper's."""
    return _busy > _most


def _leave() -> None:
    global _busy
    with _lock:
        _busy -= 1
