"""Where a stage's weights are (random, a local path, a hub model) and one copy a process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar, cast

from pipeline.digest import FileDigests
from pipeline.errors import UserError
from pipeline.trace import span

RANDOM = "random"
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
        found = [p for p in sorted(path.rglob("*")) if p.is_file() and _matches(p, files)]
        if not found:
            raise UserError(f"weights folder {path} holds none of {', '.join(files)}")
        digest = digests.of_tree(found, path)
    digests.save()
    return digest


def _matches(path: Path, patterns: Sequence[str]) -> bool:
    return any(fnmatch(path.name, pattern) for pattern in patterns)


def _from_hub(id: str, files: Sequence[str], revision: str | None, download: bool) -> Path:
    # Imported here: the hub client is not needed to plan a run on local weights.
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HFValidationError

    def snapshot(local_only: bool) -> Path | None:
        try:
            folder = snapshot_download(
                id, revision=revision, allow_patterns=list(files), local_files_only=local_only
            )
        except HFValidationError as error:
            raise UserError(f"weights {id!r}: no such file or folder, and no hub id") from error
        except Exception:  # the hub client raises many kinds, all of them "not to be had now"
            return None
        # A snapshot may hold no more than what someone looked up: a config, a tokenizer.
        found = [p for p in Path(folder).rglob("*") if _matches(p, files)]
        is_whole = any(p.suffix not in DESCRIPTIONS for p in found)
        return Path(folder) if is_whole else None

    found = snapshot(local_only=True)
    if found is None and download and not constants.HF_HUB_OFFLINE:
        found = snapshot(local_only=False)
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
