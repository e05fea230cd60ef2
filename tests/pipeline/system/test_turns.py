"""Tasks that share accelerators: one computes at a time, and each device has its tasks."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from pipeline.system import turns
from pipeline.system.threads import at_work, spread
from pipeline.system.turns import assigned, turn

WAIT_S = 10.0


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def taken(device: str, tf32: bool = False) -> threading.Event:
    """Set once another thread has its turn on the device."""
    has_it = threading.Event()

    def work() -> None:
        with turn(device, tf32):
            has_it.set()

    in_thread(work)
    return has_it


def test_a_device_computes_for_one_thread_at_a_time_whatever_it_is_called() -> None:
    with turn("pretend"):
        with turn("pretend:0"):  # its own
            waiting = taken("pretend:0")
            assert taken("pretend:1").wait(WAIT_S)
            assert taken("cpu").wait(WAIT_S)
        assert not waiting.wait(0.05)
    assert waiting.wait(WAIT_S)


def test_what_fails_in_its_turn_gives_it_back() -> None:
    with pytest.raises(RuntimeError), turn("pretend"):
        raise RuntimeError("CUDA out of memory")
    assert taken("pretend").wait(WAIT_S)


def test_tf32_which_is_of_the_whole_process_is_on_no_other_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    monkeypatch.setattr(turns, "meant", lambda setting: ["cuda:0", "cuda:1"])
    with turn("cuda:1", tf32=True):
        assert torch.backends.cuda.matmul.allow_tf32
        waiting = taken("cuda:0")
        assert not waiting.wait(0.05)
    assert waiting.wait(WAIT_S)
    assert not torch.backends.cuda.matmul.allow_tf32


def test_tasks_spread_over_the_devices_that_auto_may_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    several = {"auto": ["cuda:0", "cuda:1"]}
    monkeypatch.setattr(turns, "meant", lambda setting: several.get(setting, [setting]))
    with ExitStack() as tasks:
        begun = [tasks.enter_context(assigned(s)) for s in ("auto", "auto", "cuda:0", "auto")]
        assert begun == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    with assigned("auto") as device:
        assert device == "cuda:0"


def test_a_thread_that_waits_for_its_turn_leaves_its_core_to_another() -> None:
    seen: set[int] = set()

    def waiting() -> None:
        with at_work(2), turn("pretend"):
            pass

    def work(item: int) -> None:
        seen.add(threading.get_ident())
        time.sleep(0.01)

    with turn("pretend"), at_work(2):
        thread, until = in_thread(waiting), time.monotonic() + WAIT_S
        while len(seen) < 2 and time.monotonic() < until:
            spread(work, range(4))
    thread.join(WAIT_S)
    assert len(seen) == 2
