"""What was found in each file, kept beside the manifest, so that a run goes on where it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.io import hashing
from pipeline.io.folder import Folder
from pipeline.segment.segment import Utterance
from pipeline.segment.utterances import Cutting
from pipeline.system import libraries

VERSION = 1  # raise it when other utterances are found


@dataclass(frozen=True)
class Records:
    """Files of JSON by the content of a video and by all that can change what is found in it."""

    folder: Folder
    way: str

    @classmethod
    def beside(cls, manifest: Path, cutting: Cutting, hears: Sequence[str]) -> Records:
        """hears: the digest of the weights that tell words, and the language; empty for none."""
        detector = libraries.version("silero_vad")
        way = hashing.of_json([VERSION, detector, asdict(cutting), *hears])
        return cls(Folder(str(manifest.with_suffix(".segments"))), way[:16])

    def read(self, digest: str) -> list[Utterance] | None:
        """What was found in the file with that digest, None where it was not looked at."""
        content = self.folder.read(self._name(digest))
        try:
            record = hashing.unsealed(content) if content else None
            return [Utterance(**one) for one in record["utterances"]] if record else None
        except (ValueError, KeyError, TypeError):  # damaged: made again
            return None

    def write(self, digest: str, found: Sequence[Utterance]) -> None:
        """Keep what was found, in one step."""
        record: dict[str, Any] = {"utterances": [asdict(one) for one in found]}
        self.folder.write(self._name(digest), hashing.sealed(record))

    def _name(self, digest: str) -> str:
        return f"{digest[:16]}-{self.way}.json"
