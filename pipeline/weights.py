"""Where a stage's weights are (random, a local path, a hub model) and one copy a process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar, cast

from pipeline.digest import FileDigests
from pipeline.errors import UserError
from pipeline.trace import span

RANDOM = "random"
RANDOM_MARK = "*"
"""Behind what rests on random weights, wherever it is named."""
TRANSFORMERS_FILES = ("*.json", "*.txt", "*.model", "*.safetensors", "pytorch_model*.bin")
DESCRIPTIONS = frozenset({".json", ".txt", ".md"})

Model = TypeVar("Model")
_models: dict[Hashable, object] = {}
_locks: dict[Hashable, threading.Lock] = {}
_registry_lock = threading.Lock()


@dataclass(frozen=True)
class Weights:
    """Weights that were found.

    id: as named in the stages file. path: a local folder or file, None for `random`.
    digest: SHA-256 over the content, so the same weights under another path are the same.
    """

    id: str
    path: Path | None
    digest: str

    @property
    def random(self) -> bool:
        """Whether a small seeded network stands in for real weights."""
        return self.path is None


@dataclass(frozen=True)
class Source:
    """A model as a stage names it, whether or not it is there.

    id: `random`, a local path or a hub id, whose `files` are needed, by pattern, at `revision`.
    path: for what is on no hub, where its file or folder is kept. fetch: how it gets there, None
    for what comes with a package.
    """

    id: str
    files: Sequence[str] = TRANSFORMERS_FILES
    revision: str | None = None
    path: Path | None = None
    fetch: Callable[[], object] | None = field(default=None, compare=False)


def find(
    id: str,
    files: Sequence[str] = TRANSFORMERS_FILES,
    revision: str | None = None,
    download: bool = True,
) -> Weights:
    """Locate weights: `random`, a local folder or file, or a hub model (the hub cache first).

    files: the patterns of the files that are needed, for what is fetched and for the digest.
    Raises UserError, one line: what was looked for, where, and the command that fetches it.
    """
    if id == RANDOM:
        return Weights(id, None, RANDOM)
    local = Path(id).expanduser()
    path = local if local.exists() else _from_hub(id, files, revision, download)
    return Weights(id, path, _digest(path, files))


def is_random(id: object) -> bool:
    """Whether small seeded networks stand in for all, or a part, of the weights of that id."""
    return RANDOM in str(id).split(" + ")


def random_among(stage: str, identity: Mapping[str, Any]) -> list[str]:
    """The stages whose weights are random, of `stage` and all that it needs, by its identity."""
    needs = (identity.get("upstream") or {}).items()
    found = [name for need, upstream in needs for name in random_among(need, upstream)]
    return list(dict.fromkeys([*found, *[stage] * is_random(identity.get("weights_id"))]))


def random_note(stages: Iterable[str]) -> str:
    """What is said of numbers that rest on the random weights of some stages; empty for none."""
    named = ", ".join(dict.fromkeys(stages))
    return f"random weights in {named}: not the numbers that real weights give" if named else ""


def load_once(key: Hashable, build: Callable[[], Model]) -> Model:
    """The model under `key` (weights digest, dtype, device …), built once in this process."""
    with _registry_lock:
        lock = _locks.setdefault(key, threading.Lock())
    with lock:
        if key not in _models:
            with span("load weights"):
                _models[key] = build()
    return cast(Model, _models[key])


def _digest(path: Path, files: Sequence[str]) -> str:
    digests = FileDigests()
    if path.is_file():
        digest = digests.of(path)
    else:
        found = matching(path, files)
        if not found:
            raise UserError(f"weights folder {path} holds none of {', '.join(files)}")
        digest = digests.of_tree(found, path)
    digests.save()
    return digest


def matches(path: Path, patterns: Sequence[str]) -> bool:
    """Whether a file's name fits one of the patterns."""
    return any(fnmatch(path.name, pattern) for pattern in patterns)


def from_hub(
    id: str, files: Sequence[str], revision: str | None = None, cached: bool = True
) -> Path | None:
    """The snapshot of a hub model with all that is needed of it; None where there is none.

    cached: look only at what was fetched before; otherwise the hub is asked, and whatever its
    client raises is raised. Raises UserError for what is no hub id.
    """
    # Imported here: the hub client is not needed to plan a run on local weights.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            id, revision=revision, allow_patterns=list(files), local_files_only=cached
        )
    except HFValidationError as error:
        raise UserError(f"weights {id!r}: no such file or folder, and no hub id") from error
    except LocalEntryNotFoundError:
        if cached:
            return None
        raise
    # A snapshot may hold no more than what someone looked up: a config, a tokenizer.
    found = matching(Path(folder), files)
    return Path(folder) if any(p.suffix not in DESCRIPTIONS for p in found) else None


def matching(folder: Path, files: Sequence[str]) -> list[Path]:
    """The files below a folder whose names fit one of the patterns, sorted."""
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and matches(p, files)]


def _from_hub(id: str, files: Sequence[str], revision: str | None, download: bool) -> Path:
    from huggingface_hub import constants

    def snapshot(cached: bool) -> Path | None:
        try:
            return from_hub(id, files, revision, cached)
        except UserError:
            raise
        except Exception:  # the hub client raises many kinds, all of them "not to be had now"
            return None

    found = snapshot(cached=True)
    if found is None and download and not constants.HF_HUB_OFFLINE:
        found = snapshot(cached=False)
    if found is not None:
        return found
    at = f" --revision {revision}" if revision else ""
    raise UserError(
        f"weights {id!r} not found: looked at ./{id}, in the hub cache {constants.HF_HUB_CACHE} "
        f"and {'offline: the hub was not asked' if constants.HF_HUB_OFFLINE else 'on the hub'}; "
        f"fetch them with `hf download {id}{at}`, or set `weights` to a local path or to `random`"
    )


def device_of(setting: str) -> str:
    """`auto` to "cuda" where there is one, else "cpu"; anything else as it is."""
    if setting != "auto":
        return setting
    # torch is heavy and a plan does without it.
    with span("import"):
        import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
