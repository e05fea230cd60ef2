"""Where in a cache a store lies, and where in a store everything does."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline.errors import UserError
from pipeline.io.names import is_safe_name
from pipeline.stage.field import Field

COMMITS = "commits"
METADATA = f"{COMMITS}/metadata.json"  # the commit of what zarr itself knows of the store
LENGTHS = "lengths"  # the array that says how many steps of each clip are real
COMMIT = re.compile(r"(\d{5,})\.json")  # in the folder of commits
VALUES = re.compile(r"([^/]+)/p(\d{5,})/(?:zarr\.json|c/\d+(?:/\d+)*)")
CHUNK = re.compile(r"(.+)/c/(\d+)(?:/\d+)*")
CHECKSUM_BYTES = 4  # the CRC-32C in which every chunk ends
ARRAY_FILE = re.compile(r"(?:(?P<array>.+)/)?(?:zarr\.json|(?<=/)c(?:/\d{1,9})+)")


def store_url(cache_url: str, stage: str, fingerprint: str) -> str:
    """Where a stage's store at a fingerprint lies: different settings live side by side.

    Raises UserError for what can't be a folder's name: no store lies elsewhere than in its cache.
    """
    for name in (stage, fingerprint):
        if not is_safe_name(name):
            raise UserError(f"{name!a:.60} can't be the name of a folder in {cache_url}")
    return f"{cache_url}/{stage}/{fingerprint[:8]}.zarr"


def cache_of(store_url: str) -> str:
    """The URL of the cache in which a store lies."""
    return store_url.rsplit("/", 2)[0]


def is_file(path: object) -> bool:
    """Whether a path is one that a commit can vouch for: zarr's metadata or a chunk, in a store."""
    found = ARRAY_FILE.fullmatch(path) if isinstance(path, str) else None
    return found is not None and all(map(is_safe_name, (found["array"] or "zarr").split("/")))


def is_chunk(file: str) -> bool:
    """Whether a file holds values, and so ends in a checksum."""
    return "/c/" in file


def commit_file(partition: int) -> str:
    """A partition's commit."""
    return f"{COMMITS}/{partition:05d}.json"


def values(name: str, partition: int) -> str:
    """The array of what the clips of a partition have in a ragged field, one after the other."""
    return f"{name}/p{partition:05d}"


def offsets(name: str) -> str:
    """The array that says where in there a clip begins and ends."""
    return f"{name}/offsets"


def arrays(fields: Mapping[str, Field]) -> dict[str, Field]:
    """The arrays with a row a clip, by path."""
    found = {LENGTHS: Field((), "int32")}
    for name, field in fields.items():
        if field.ragged:
            found[offsets(name)] = Field((2,), "int64")
        else:
            found[name] = field
    return found


def metadata_files(fields: Mapping[str, Field]) -> list[str]:
    """The files that belong to no partition."""
    return ["zarr.json", *(f"{path}/zarr.json" for path in {**arrays(fields), **fields})]
