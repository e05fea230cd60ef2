"""A cache made from another tool's features: the same stores, commits and clips as an extraction's.

Each feature is a stage of its own, and everything that is told of a stage is told of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.dag.spec import PARTITION
from pipeline.dataset.load import Dataset
from pipeline.errors import ClipError, UserError
from pipeline.formats.source import Feature, Source
from pipeline.io import lock
from pipeline.io.folder import Folder
from pipeline.io.hashing import of_json, of_text
from pipeline.stage.field import Field
from pipeline.stage.result import ClipResult
from pipeline.stage.steps import STEPS, Sampling, to_steps
from pipeline.store.cache import set_current, store_url
from pipeline.store.clips_table import ClipsTable, Row
from pipeline.store.store import Store
from pipeline.system.libraries import versions

VERSION = 1  # raised whenever the same file gives other numbers
EXTRACTOR = "import"
READS = ("file",)  # the part of a clip that its key is made from: the file that it came in


def make_cache(
    source: Source, url: str, name: str, sampling: Sampling = "uniform", command: str = "smp import"
) -> tuple[int, int]:
    """Bring the cache at `url` up to date: how many partitions that took, of how many.

    command: how a user has it done again. What is committed is not written again, so that an
    import that was killed goes on. Raises UserError where the cache is one of another dataset.
    """
    folder = Folder(url)
    with lock.held(folder):
        folder.sweep()
        table = _table(source, name, command, ClipsTable.read(folder))
        identities = {s: _identity(source, s, sampling) for s in source.features}
        table.write(folder)
        stores = {s: _make_store(source, s, one, folder) for s, one in identities.items()}
        set_current(folder, identities)
        lacking = [(s, n) for s, store in stores.items() for n in _lacking(store, table)]
        for stage, number in lacking:
            _write(stores[stage], number, source.features[stage], table, sampling)
        return len(lacking), len(stores) * _partitions(table)


def _table(source: Source, name: str, command: str, known: ClipsTable | None) -> ClipsTable:
    rows = tuple(
        Row(clip, {"text": of_text(clip.text), READS[0]: source.digest}) for clip in source.clips
    )
    same = known and {row.clip.id for row in known.rows} & {clip.id for clip in source.clips}
    if known and not (known.imported and same):
        what = "another dataset" if known.imported else "an extraction"
        raise UserError(
            f"the cache of {known.name!r} holds {what} ({known.root}); give {source.path} another "
            "name with --name, or another --cache"
        )
    root = source.path.absolute()
    language = Dataset(name, root, source.clips).language
    return ClipsTable(name, language, str(root), rows, command)


def _identity(source: Source, stage: str, sampling: Sampling) -> dict[str, Any]:
    """All that can change a feature's numbers, in the words of an extracted stage's."""
    identity = {
        "extractor": EXTRACTOR,
        "version": VERSION,
        "settings": {
            "format": source.format,
            "content": source.digest[:16],
            "feature": stage,
            "modality": source.features[stage].modality,
            "sampling": sampling,
        },
        "weights": None,
        "needs": {},
        "steps": STEPS,
        "partition": PARTITION,
    }
    return {
        **identity,
        "weights_id": None,
        "reads": list(READS),
        "fingerprint": of_json(identity),
        "upstream": {},
    }


def _make_store(source: Source, stage: str, identity: Mapping[str, Any], cache: Folder) -> Store:
    provenance = {
        "stage": stage,
        "extractor": EXTRACTOR,
        "version": VERSION,
        "settings": identity["settings"],
        "weights": {"id": None, "digest": None},
        "needs": {},
        "fingerprint": identity["fingerprint"],
        "identity": identity,
        "libraries": versions(),
        "source": str(source.path.absolute()),
    }
    return Store.create(
        store_url(cache.url, stage, identity["fingerprint"]),
        {"features": Field(("step", source.features[stage].width), "float32")},
        STEPS,
        PARTITION,
        len(source.clips),
        provenance,
    )


def _partitions(table: ClipsTable) -> int:
    return -(-len(table.rows) // PARTITION)


def _keys(table: ClipsTable, number: int) -> list[str]:
    return table.keys(READS)[number * PARTITION : (number + 1) * PARTITION]


def _lacking(store: Store, table: ClipsTable) -> list[int]:
    commits = store.commits()
    whole = {n for n, commit in commits.items() if list(commit.keys) == _keys(table, n)}
    return [n for n in range(_partitions(table)) if n not in whole]


def _write(
    store: Store, number: int, feature: Feature, table: ClipsTable, sampling: Sampling
) -> None:
    keys = _keys(table, number)
    clips = range(number * PARTITION, number * PARTITION + len(keys))
    store.write(number, keys, _results(feature, clips, sampling))


def _results(feature: Feature, clips: Sequence[int], sampling: Sampling) -> list[ClipResult]:
    results = []
    for clip in clips:
        try:
            rows = to_steps(feature.values(clip), sampling)
            results.append(ClipResult.ok({"features": rows}, len(rows)))
        except ClipError as error:
            results.append(ClipResult.of(error))
    return results
