"""A cache to train on, extracted once."""

from pathlib import Path

import pytest

from tests.conftest import Transcripts

WORDS = [chr(ord("a") + i // 2) * (1 + i % 40) for i in range(30)]


def lettered(folder: Path, words: list[str]) -> Transcripts:
    """A dataset and its cache, whose `bert` counts letters; the score follows the letter."""
    made = Transcripts(folder)
    made.texts(words)
    letters: dict[str, object] = {"extractor": "tests.support.toys.letters"}
    made.stages(letters=letters, bert=letters)
    made.extract()
    return made


@pytest.fixture(scope="session")
def lettered_talks(tmp_path_factory: pytest.TempPathFactory) -> Transcripts:
    """It is read only: what is trained goes elsewhere."""
    return lettered(tmp_path_factory.mktemp("lettered"), WORDS)
