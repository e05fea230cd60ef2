"""A run on texts alone, and the cache it was trained on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Transcripts
from tests.model.conftest import lettered_talks as lettered_talks
from tests.support.commands import smp


@dataclass(frozen=True)
class Published:
    """dataset: its folder; cache: its root; run: the run's folder."""

    dataset: Path
    cache: str
    run: Path


@pytest.fixture(scope="session")
def made(lettered_talks: Transcripts, tmp_path_factory: pytest.TempPathFactory) -> Published:
    runs = tmp_path_factory.mktemp("published")
    where = ["--cache", lettered_talks.cache_root, "--runs", runs]
    done = smp("train", lettered_talks.folder, *where, "--model", "lf_dnn", "--epochs", 2, "--json")
    run = Path(json.loads(done.stdout)["run"])
    return Published(lettered_talks.folder, lettered_talks.cache_root, run)
