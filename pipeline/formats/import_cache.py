"""A cache made from another tool's features: the same stores, commits and clips as an extraction's.

Each feature is a stage of its own, and everything that is told of a stage is told of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.dag.spec import PARTITION
from pipeline.dataset.load import Dataset
from pipeline.errors import ClipError, UserError
from pipeline.formats.feature_set import Feature, FeatureSet
from pipeline.io import lock
from pipeline.io.folder import Folder
from pipeline.io.hashing import of_json, of_text
from pipeline.stage.field import Field
from pipeline.stage.name import require_stage_names
from pipeline.stage.result import ClipResult
from pipeline.stage.steps import STEPS, Sampling, to_steps
from pipeline.store.clip_rows import Row
from pipeline.store.clips_table import ClipsTable
from pipeline.store.current import set_current
from pipeline.store.layout import store_url
from pipeline.store.provenance import provenance
from pipeline.store.store import Store

VERSION = 1  # raised whenever the same file gives other numbers
EXTRACTOR = "import"
MOST_WIDTH = 1 << 20  # numbers a step; an empty array may claim any number
READS = ("file",)  # the part of a clip that its key is made from: the file that it came in


def make_cache(
    source: FeatureSet,
    url: str,
    name: str,
    sampling: Sampling = "uniform",
    command: str = "smp import",
) -> tuple[int, int]:
    """Bring the cache at `url` up to date: how many partitions that took, of how many.

    command: how a user has it done again. What is committed is not written again, so that an
    import that was killed goes on. Raises UserError where the cache is one of another dataset.
    """
    require_stage_names(str(source.path), source.features)
    folder = Folder(url)
    with lock.held(folder):
        folder.sweep()
        table = _table(source, name, command, ClipsTable.read(folder))
        identities = {s: _identity(source, s, sampling) for s in source.features}
        table.write(folder)
        stores = {s: _make_store(source, s, one, folder) for s, one in identities.items()}
        set_current(folder, identities)
        keys = table.keys(READS)
        parts = [keys[start : start + PARTITION] for start in range(0, len(keys), PARTITION)]
        written = 0
        for stage, store in stores.items():
            commits = store.commits()
            for number, part in enumerate(parts):
                if number in commits and list(commits[number].keys) == part:
                    continue
                clips = range(number * PARTITION, number * PARTITION + len(part))
                store.write(number, part, _results(source.features[stage], clips, sampling))
                written += 1
        return written, len(stores) * len(parts)


def _table(source: FeatureSet, name: str, command: str, known: ClipsTable | None) -> ClipsTable:
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
    return ClipsTable(name, language, str(root), rows, command, source.declared)


def _identity(source: FeatureSet, stage: str, sampling: Sampling) -> dict[str, Any]:
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


def _make_store(
    source: FeatureSet, stage: str, identity: Mapping[str, Any], cache: Folder
) -> Store:
    if (width := source.features[stage].width) > MOST_WIDTH:
        raise UserError(f"{source.path}: {stage} is {width} wide, at most {MOST_WIDTH} are stored")
    origin = str(source.path.absolute())
    return Store.create(
        store_url(cache.url, stage, identity["fingerprint"]),
        {"features": Field(("step", width), "float32")},
        STEPS,
        PARTITION,
        len(source.clips),
        provenance(stage, identity, identity["settings"], source=origin),
    )


def _results(feature: Feature, clips: Sequence[int], sampling: Sampling) -> list[ClipResult]:
    results = []
    for clip in clips:
        try:
            rows = to_steps(feature.values(clip), sampling)
            results.append(ClipResult.ok({"features": rows}, len(rows)))
        except ClipError as error:
            results.append(ClipResult.of(error))
    return results
