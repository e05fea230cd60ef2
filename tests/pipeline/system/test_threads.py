"""Threads that idle help with the clips of others, and never beyond the budget."""

import threading
import time
from collections.abc import Callable

import pytest

from pipeline.system.threads import at_work, spread


class Crowd:
    """Work that takes a moment and sees how many threads are at it."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.lock = threading.Lock()
        self.threads: set[int] = set()

    def __call__(self, item: int) -> int:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.threads.add(threading.get_ident())
        time.sleep(0.01)
        with self.lock:
            self.now -= 1
        return item * item


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_results_come_in_order_from_as_many_threads_as_may_work() -> None:
    crowd = Crowd()
    with at_work(3):
        assert spread(crowd, range(20)) == [item * item for item in range(20)]
    assert crowd.most == 3


def test_without_a_budget_everything_is_done_in_the_thread_itself() -> None:
    crowd = Crowd()
    with at_work(1):
        assert spread(crowd, range(5)) == [0, 1, 4, 9, 16]
    with at_work(3):
        assert spread(crowd, []) == []
    assert spread(crowd, range(5)) == [0, 1, 4, 9, 16]
    assert crowd.threads == {threading.get_ident()}


def test_tasks_side_by_side_leave_no_thread_for_help() -> None:
    crowd = Crowd()

    def task() -> None:
        with at_work(2):
            ready.wait()
            spread(crowd, range(10))
            ready.wait()

    ready = threading.Barrier(2)
    for thread in [in_thread(task), in_thread(task)]:
        thread.join()
    assert len(crowd.threads) == 2


def test_a_helper_makes_room_for_a_task_that_begins() -> None:
    long, short = Crowd(), Crowd()

    def task() -> None:
        with at_work(2):
            spread(short, range(20))

    with at_work(2):
        other: list[threading.Thread] = []

        def work(item: int) -> int:
            if item == 5:
                other.append(in_thread(task))
            return long(item)

        spread(work, range(40))
    other[0].join()
    assert long.most == 2
    assert len(short.threads) <= 2
    with at_work(2):  # what was counted is given back
        crowd = Crowd()
        spread(crowd, range(10))
    assert crowd.most == 2


def test_what_goes_wrong_is_raised_and_ends_the_work() -> None:
    done = []

    def work(item: int) -> None:
        done.append(item)
        time.sleep(0.01)
        if item == 3:
            raise ValueError("of the fourth")

    with at_work(2), pytest.raises(ValueError, match="of the fourth"):
        spread(work, range(100))
    assert len(done) < 10
