"""Clips of which a stage looks at the video's size alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from pipeline import open_cache
from pipeline.store.cache import Cache

if TYPE_CHECKING:
    from tests.conftest import Transcripts


class Films:
    """The transcripts with a video each, of as many bytes as its number, from `least` on."""

    def __init__(
        self, transcripts: Transcripts, texts: Sequence[str], least: int = 0, **stages: object
    ) -> None:
        self.transcripts = transcripts
        transcripts.texts(texts)
        self.file(0).parent.mkdir(parents=True)
        for i in range(len(texts)):
            self.file(i).write_text("x" * (least + i))
        sizes = {"sizes": {"extractor": "tests.support.toys.sizes"}}
        in_order = dict(sorted({**sizes, **stages}.items()))
        # Not sorted by PyYAML, which openSMILE's packages have leave every mapping as it is.
        spec = yaml.safe_dump({"partition": 4, "stages": in_order}, sort_keys=False)
        transcripts.stages_file.write_text(spec)

    def file(self, number: int) -> Path:
        return self.transcripts.folder / "Raw" / "v" / f"{number:04d}.mp4"

    @property
    def cache(self) -> Cache:
        return open_cache(self.transcripts.cache_url)

    @property
    def states(self) -> list[str]:
        return list(self.cache["sizes"].states)
