"""A cache of made features in the real widths, for measurements that need no clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.dataset.clip import Clip
from pipeline.io.folder import Folder
from pipeline.stage.field import Field
from pipeline.stage.result import ClipResult
from pipeline.store.clip_rows import Row
from pipeline.store.clips_table import ClipsTable
from pipeline.store.current import set_current
from pipeline.store.layout import store_url
from pipeline.store.store import Store

STEPS, PARTITION = 32, 32
READS = {
    "resnet18": ["video"],
    "action_units": ["video"],
    "mfcc": ["audio", "video"],
    "wav2vec2": ["audio", "video"],
    "bert": ["text"],
}
WIDTHS = {"resnet18": 512, "action_units": 34, "mfcc": 39, "wav2vec2": 1024, "bert": 768}
SPLITS = {"train": 1284, "valid": 229, "test": 686}  # as CMU-MOSI has them


def write_cache(url: Path, clips: int) -> None:
    """A cache of `clips` clips: noise, with transcripts shorter than the 32 steps."""
    names = [name for name, count in SPLITS.items() for _ in range(count)]
    random = np.random.default_rng(0)
    rows = tuple(
        Row(Clip(id=f"v/{i:04d}", split=names[i % len(names)], label=float(random.uniform(-3, 3))))
        for i in range(clips)
    )
    folder = Folder(str(url))
    ClipsTable("made", "en", str(url), rows).write(folder)
    identities = {name: {"fingerprint": name, "reads": READS[name]} for name in WIDTHS}
    set_current(folder, identities)
    for name, width in WIDTHS.items():
        _write_stage(store_url(str(url), name, name), rows, width, name)


def _write_stage(url: str, rows: tuple[Row, ...], width: int, name: str) -> None:
    random = np.random.default_rng(width)
    store = Store.create(
        url, {"features": Field(("step", width), "float32")}, STEPS, PARTITION, len(rows), {}
    )
    for start in range(0, len(rows), PARTITION):
        mine = rows[start : start + PARTITION]
        lengths = (
            random.integers(5, STEPS + 1, len(mine)) if name == "bert" else [STEPS] * len(mine)
        )
        results = [
            ClipResult.ok({"features": random.standard_normal((n, width), np.float32)}, int(n))
            for n in lengths
        ]
        store.write(start // PARTITION, [row.key(READS[name]) for row in mine], results)
