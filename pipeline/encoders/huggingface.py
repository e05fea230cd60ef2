"""Networks of the transformers library: whole checkpoints loaded quietly, small ones made up."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeVar

from pipeline.errors import UserError
from pipeline.messages import one_line
from pipeline.system.spans import span
from pipeline.weights.resolve import Weights

Loaded = TypeVar("Loaded")
_loading = threading.Lock()  # loading sets process-wide defaults for its duration


def config(weights: Weights) -> dict[str, Any]:
    """The checkpoint's config.json; reads nothing else and needs no torch."""
    assert weights.path is not None
    path = weights.path / "config.json"
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"weights {weights.id!r}: {path} can't be read ({error}); "
            "`weights` must be a folder in the hub's layout"
        ) from error
    return dict(read)


def hidden_size(weights: Weights, of_random: int) -> int:
    """The width of the last hidden state, by the checkpoint's config."""
    if weights.random:
        return of_random
    size = config(weights).get("hidden_size")
    if not isinstance(size, int):
        raise UserError(f"weights {weights.id!r}: their config.json has no `hidden_size`")
    return size


def load(class_name: str, weights: Weights, device: str, may_lack: Sequence[str] = ()) -> Any:
    """The network of a checkpoint in float32, ready for inference.

    class_name: a model class of transformers. may_lack: beginnings of the names of parameters that
    do not touch the last hidden state; any other that the checkpoint lacks is a UserError, since
    transformers would fill it with noise.
    """

    def from_checkpoint(kind: Any) -> Any:
        import torch

        with torch.random.fork_rng(devices=[]):
            return kind.from_pretrained(
                weights.path,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )

    model, info = loaded(class_name, weights, from_checkpoint)
    lacking = sorted(key for key in info["missing_keys"] if not key.startswith(tuple(may_lack)))
    if lacking:
        some = ", ".join(lacking[:3]) + (" …" if len(lacking) > 3 else "")
        raise UserError(
            f"weights {weights.id!r} at {weights.path} lack {len(lacking)} tensors of "
            f"{type(model).__name__} ({some}); name a complete checkpoint of that kind"
        )
    return model.eval().requires_grad_(False).to(device)


def loaded(class_name: str, weights: Weights, load: Callable[[Any], Loaded]) -> Loaded:
    """What `load` makes of a class of transformers, quietly; UserError where it can't."""
    kind = named(class_name)
    with _loading, _quiet():
        try:
            return load(kind)
        except MemoryError:
            raise
        except Exception as error:  # the library raises many kinds on files that don't fit
            reason = one_line(error)[:300]
            raise UserError(
                f"weights {weights.id!r} at {weights.path} can't be loaded: {reason}"
            ) from error


@span("import")
def named(class_name: str) -> Any:
    """A class of transformers.

    The library swaps its module for another while it is imported; an `import` statement that
    waits for one in another thread is left with the first, which is empty.
    """
    with _loading:
        return getattr(import_module("transformers"), class_name)


def made_up(build: Callable[[], Any], device: str, seed: int = 0) -> Any:
    """A network with seeded weights, each layer about keeping the variance of what it is given.

    Every parameter is drawn from a generator of its own, so that no other thread has a say.
    """
    import torch

    with _loading, torch.random.fork_rng(devices=[]):
        model = build().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            parameter.normal_(0.0, parameter[0].numel() ** -0.5, generator=generator)
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    return model.to(device)


def batch_size(setting: int, device: str) -> int:
    """How many clips go through a network together: on a processor, one.

    There a product's last bits depend on how many rows it has, and so would a clip's features on
    its neighbours; an accelerator is worth them.
    """
    return 1 if device == "cpu" else setting


def by_length(
    lengths: Sequence[int], most: int, most_in_all: int, equal: bool = False
) -> list[list[int]]:
    """Indices in batches of similar length, so that little is padded.

    most: clips a batch. most_in_all: its size once padded, which a lone long one may exceed.
    equal: only equal lengths share a batch.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        length, last = lengths[index], batches[-1] if batches else []
        has_room = 0 < len(last) < most and (len(last) + 1) * length <= most_in_all
        if has_room and not (equal and lengths[last[0]] != length):
            last.append(index)
        else:
            batches.append([index])
    return batches


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
