"""Networks, tokenizers and processors of the transformers library, loaded quietly and whole."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.encoders.layers import LAST, Layer, ends, states_of
from pipeline.encoders.precision import Precision, as_floats, inference
from pipeline.errors import UserError
from pipeline.media.waveform import RATE_HZ
from pipeline.messages import one_line
from pipeline.system.device import uploaded
from pipeline.system.spans import span
from pipeline.weights.resolve import Weights

NEEDS_CODE = (
    "it needs code of its own (`auto_map` in its configuration), which is never run; name a model "
    "that needs none"
)
loading = threading.RLock()  # loading sets process-wide defaults for its duration
Kept = Callable[[int], np.ndarray]
"""Which of so many states are kept: their indices."""


class Row(NamedTuple):
    """What a network is given of a text or sound, [n] or [n, width].

    states: how many of its states are not of padding, at most. kept: which of them are asked for.
    """

    given: np.ndarray
    states: int
    kept: Kept


def config(weights: Weights, *kinds: str) -> dict[str, Any]:
    """The checkpoint's config.json; reads nothing else and needs no torch.

    Raises UserError where it can't be read, or its `model_type` is none of the `kinds` wanted.
    """
    assert weights.path is not None
    path = weights.path / "config.json"
    try:
        read = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(
            f"weights {weights.id!r}: {path} can't be read ({error}); "
            "`weights` must be a folder in the hub's layout"
        ) from error
    if kinds and read.get("model_type") not in kinds:
        raise unfit(weights, read.get("model_type"), " or ".join(kinds))
    return read


def unfit(weights: Weights, kind: Any, wanted: str) -> UserError:
    """What is to be raised where weights are of a kind that a stage can't use."""
    return UserError(f"weights {weights.id!r} are of a {kind!r} model; this stage takes {wanted}")


def with_kind(error: UserError, folder: Path, wanted: str) -> UserError:
    """`error` about a folder of weights, told with the kind of model in it where that is known."""
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        return error
    return UserError(f"{error}; it holds a {kind!r} model, and this stage takes {wanted}")


def library_config(weights: Weights) -> Any:
    """The configuration as transformers reads it, with its own defaults and one name for a thing.

    Of a network with several towers, the one for text. Takes seconds where torch is not loaded yet.
    """
    read = from_pretrained("AutoConfig", weights)
    with _told(_about(weights)):
        return read.get_text_config()


def width(weights: Weights, of_random: int, layer: Layer, *kinds: str) -> int:
    """The width of the hidden states at `layer`, by the checkpoint's configuration.

    Raises UserError where that says that there is no such layer, or none of the `kinds` wanted.
    """
    if weights.random:
        return of_random
    # Planning doesn't wait for torch where the file itself says it.
    told = config(weights, *kinds)
    if isinstance(count := told.get("num_hidden_layers"), int):
        ends(layer, count)
    size = told.get("hidden_size")
    if not isinstance(size, int):
        read = library_config(weights)
        size = getattr(read, "hidden_size", None)
        if not isinstance(size, int):
            raise unfit(weights, read.model_type, "encoders whose states have one width")
    return size


def network(
    class_name: str, weights: Weights, device: str, optional: Sequence[str] = (), **how: Any
) -> Any:
    """The network of a checkpoint in float32, ready for inference.

    class_name: a model class of transformers. optional: beginnings of the names of parameters that
    do not touch the hidden states; any other that is missing is a UserError, since
    transformers would fill it with noise.
    """
    import torch

    with loading, torch.random.fork_rng(devices=[]):
        model, info = from_pretrained(
            class_name, weights, dtype=torch.float32, output_loading_info=True, **how
        )
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(tuple(optional)))
    if missing:
        some = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
        raise UserError(
            f"weights {weights.id!r} at {weights.path} are missing {len(missing)} tensors of "
            f"{type(model).__name__} ({some}); name a complete checkpoint of that kind"
        )
    return model.eval().requires_grad_(False).to(device)


def from_pretrained(class_name: str, weights: Weights, **how: Any) -> Any:
    """What a class of transformers loads from local weights; UserError where it can't."""
    assert weights.path is not None
    return loaded(class_name, weights.path, _about(weights), **how)


def loaded(
    class_name: str, where: str | Path, about: str, download: bool = False, **how: Any
) -> Any:
    """What a class of transformers loads from a folder or a hub id, and no code with it.

    about: what it is, for the UserError that is raised where it can't be loaded.
    """
    kind = named(class_name)
    # `tokenizer_class: AutoTokenizer` has the library forget `trust_remote_code`, and ask at the
    # terminal whether to run the checkpoint's code: no time for an answer is a no.
    asking: Any = import_module("transformers.dynamic_module_utils")
    asking.TIME_OUT_REMOTE_CODE = 0
    with _told(about):
        return kind.from_pretrained(
            where, local_files_only=not download, trust_remote_code=False, **how
        )


def require_rate(weights: Weights, rate_hz: int) -> None:
    """Raise UserError where the weights are for sound at another rate than ours."""
    if rate_hz != RATE_HZ:
        raise UserError(f"weights {weights.id!r} are for sound at {rate_hz} Hz, not {RATE_HZ}")


@span("import")
def named(class_name: str) -> Any:
    """A class of transformers.

    The library swaps its module for another while it is imported; an `import` statement that
    waits for one in another thread is left with the first, which is empty.
    """
    with loading:
        return getattr(import_module("transformers"), class_name)


@span("network")
def hidden_states(
    model: Any,
    rows: Sequence[Row],
    precision: Precision,
    layer: Layer = LAST,
    padding: int = 0,
    mask: bool = True,
) -> list[np.ndarray]:
    """The states that are kept of each row, float32 [kept, width] at `layer`, from one padded pass.

    Only they leave the device. mask: whether the network is told what is padding.
    """
    import torch
    from torch.nn.utils.rnn import pad_sequence

    tensors = [torch.from_numpy(row.given) for row in rows]
    padded = pad_sequence(tensors, batch_first=True, padding_value=padding)
    ones = [torch.ones(len(row), dtype=torch.long) for row in tensors]
    given = {model.main_input_name: padded}
    if mask:
        given["attention_mask"] = pad_sequence(ones, batch_first=True)
    given = {name: uploaded(values, model.device) for name, values in given.items()}
    with inference(precision, model.device):
        states = states_of(model, layer, **given)
        length = states.shape[1]
        kept = [row.kept(min(row.states, length)) for row in rows]
        places = np.concatenate([n * length + own for n, own in enumerate(kept)])
        at = uploaded(torch.from_numpy(places), model.device)
        found = as_floats(states.flatten(0, 1).index_select(0, at))
    return np.split(found, np.cumsum([len(own) for own in kept[:-1]]))


@contextmanager
def _told(about: str) -> Iterator[None]:
    """What fails within is told in one line, with what is to blame."""
    with loading, _quiet():
        try:
            yield
        except (MemoryError, UserError):
            raise
        except Exception as error:  # the library raises many kinds on files that don't fit
            reason = NEEDS_CODE if "trust_remote_code" in str(error) else one_line(error)[:300]
            raise UserError(f"{about} can't be loaded: {reason}") from error


def _about(weights: Weights) -> str:
    return f"weights {weights.id!r} at {weights.path}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' log lines and progress bars, which are as they were afterwards."""
    logging = import_module("transformers.utils.logging")
    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()
