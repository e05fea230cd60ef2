"""Where a stage's weights are (random, a local path, a hub model), and the digest of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import UserError
from pipeline.io.file_digests import FileDigests
from pipeline.io.hashing import of_file, of_json
from pipeline.weights import hub
from pipeline.weights.random_weights import RANDOM
from pipeline.weights.repository import NETWORK, Files, Wanted
from pipeline.weights.tensors import digest_of_file, joined

# What says where a checkpoint came from, and nothing of what it computes.
UNUSED_KEYS = frozenset(
    ("_name_or_path", "name_or_path", "_commit_hash", "transformers_version", "architectures")
) | {"dtype", "torch_dtype"}  # all is loaded as float32


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

    id: `random`, a local path or a hub id, of which `files` are needed, at `revision`.
    path: for what is on no hub, where its file or folder is kept. fetch: how it gets there, None
    for what comes with a package.
    """

    id: str
    files: Files = NETWORK
    revision: str | None = None
    path: Path | None = None
    fetch: Callable[[], object] | None = field(default=None, compare=False)


def find(
    id: str,
    files: Files = NETWORK,
    revision: str | None = None,
    download: bool = True,
) -> Weights:
    """Locate weights: `random`, a local folder or file, or a hub model (the hub cache first).

    files: those that are needed, for what is fetched and for the digest. The digest of a folder in
    the hub's layout is over the tensors, whatever files they are in, and over what else is needed.
    Raises UserError, one line: what was looked for, where, and the command that fetches it.
    """
    if id == RANDOM:
        return Weights(id, None, RANDOM)
    path = located(id, files, revision, download)
    return Weights(id, path, _digest(path, Wanted.of(files)))


def located(
    id: str, files: Files = NETWORK, revision: str | None = None, download: bool = True
) -> Path:
    """The file or folder of weights other than `random`, as `find` looks for them."""
    local, wanted = Path(id).expanduser(), Wanted.of(files)
    if not local.exists():
        return hub.found(id, wanted, revision, download)
    if local.is_dir() and (lacking := wanted.lacking_in(local)):
        raise UserError(
            f"weights folder {local} lacks {'; '.join(lacking)}: put it there from where the "
            f"weights are from (`hf download ID --local-dir {local}`)"
        )
    return local


def _digest(path: Path, wanted: Wanted) -> str:
    with FileDigests() as digests:
        if path.is_file():
            return digests.of(path)
        if wanted.at_root:
            return of_json(_content(path, wanted, digests))
        return digests.of_tree(wanted.files(path), path)


def _content(folder: Path, wanted: Wanted, digests: FileDigests) -> dict[str, str]:
    """Digests of what a network in the hub's layout is made from, by name."""
    tensors = wanted.tensor_files(folder)
    beside = [path for path in wanted.files(folder) if path.name in wanted.beside]
    return {
        "tensors": joined(digests.of(path, digest_of_file) for path in tensors),
        **{path.name: digests.of(path, of_description) for path in beside},
    }


def of_description(path: Path) -> str:
    """The digest of a JSON file's content without what changes nothing; of others, their own."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return of_file(path)
    if isinstance(content, dict) and path.name.endswith("config.json"):
        content = {key: value for key, value in content.items() if key not in UNUSED_KEYS}
    return of_json(content)
