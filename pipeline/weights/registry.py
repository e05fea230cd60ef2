"""One copy of each model a process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

from pipeline.errors import StageError, UserError
from pipeline.messages import one_line
from pipeline.system.device import is_out_of_memory
from pipeline.system.spans import span

Model = TypeVar("Model")
_models: dict[Hashable, object] = {}
_locks: dict[Hashable, threading.Lock] = {}
_registry_lock = threading.Lock()


def load_once(key: Hashable, build: Callable[[], Model]) -> Model:
    """The model under `key` (weights digest, dtype, device …), built once in this process.

    Raises StageError for whatever `build` raises, which is no clip's fault, unless it is told
    already, or memory ran out.
    """
    with _registry_lock:
        lock = _locks.setdefault(key, threading.Lock())
    with lock:
        if key not in _models:
            with span("load weights"):
                _models[key] = _built(build)
    return cast(Model, _models[key])


def _built(build: Callable[[], Model]) -> Model:
    try:
        return build()
    except UserError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = one_line(error, with_kind=True)
        raise StageError(f"its model can't be loaded: {reason}; see `smp models`") from error
