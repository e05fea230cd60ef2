"""Random weights are named wherever numbers rest on them, and downstream of them too."""

import json
from copy import deepcopy
from pathlib import Path

import pytest

from model.data.provenance import random_stages
from model.data.samples import load_samples
from pipeline import open_cache
from pipeline.inspect.page import inspect
from pipeline.io.folder import Folder
from pipeline.store.cache import Cache
from pipeline.store.current import set_current
from pipeline.weights.random_weights import random_among, random_note
from tests.conftest import Transcripts
from tests.support.commands import smp

NOTE = "* random weights in letters: not the numbers that real weights give"


@pytest.fixture
def cache(transcripts: Transcripts) -> Cache:
    """`doubled` needs `letters`, whose weights are said to be random, in all of 30 clips."""
    transcripts.texts([chr(ord("a") + i // 2) * (1 + i % 40) for i in range(30)])
    transcripts.extract()
    identities = deepcopy(open_cache(transcripts.cache_url).identities)
    for identity in (identities["letters"], identities["doubled"]["upstream"]["letters"]):
        identity["weights_id"] = "random"
    set_current(Folder(transcripts.cache_url), identities)
    return open_cache(transcripts.cache_url)


def test_a_stage_rests_on_its_own_weights_and_on_those_of_all_that_it_needs() -> None:
    asr = {"weights_id": "random", "upstream": {"audio": {"weights_id": None}}}
    part = {"weights_id": "a/model + random"}
    bert = {"weights_id": "bert-base-uncased", "upstream": {"asr": asr, "other": part}}
    assert random_among("asr", asr) == ["asr"]
    assert random_among("bert", bert) == ["asr", "other"]
    assert random_among("bert", {"weights_id": "randomly/named"}) == []
    assert random_among("bert", {}) == [], "as of an early cache"
    assert random_note([]) == ""


def test_status_and_extract_mark_what_rests_on_them(cache: Cache, transcripts: Transcripts) -> None:
    shown = smp("status", cache.url).output
    assert NOTE in shown.splitlines()
    assert "letters * " in shown
    assert "doubled * " in shown
    told = json.loads(smp("status", cache.url, "--json").output)
    assert told["random_weights"] == ["letters"]
    assert told["stages"]["doubled"]["random_weights"] == ["letters"]
    assert told["stages"]["doubled"]["weights"] is None
    assert told["stages"]["letters"]["weights"] == "random"


def test_every_section_of_inspect_names_them(cache: Cache) -> None:
    html = inspect(cache, "v/0003")
    assert html.count(NOTE) == 3, "the overview, and a section of either stage"
    plain = deepcopy(cache.identities)
    for identity in (plain["letters"], plain["doubled"]["upstream"]["letters"]):
        identity["weights_id"] = None
    assert "random weights" not in inspect(cache, "v/0003", identities=plain)


def test_what_is_trained_on_them_says_so(cache: Cache, tmp_path: Path) -> None:
    found = load_samples(cache, {"text": ["doubled"]})
    assert found.random_stages == ["letters"]
    of_before = {"stages": {"bert": {"random": True}, "mfcc": {"random": False}}}
    assert random_stages(of_before) == ["bert"]


def test_the_report_marks_every_part(cache: Cache, transcripts: Transcripts) -> None:
    runs = transcripts.folder / "runs"
    smp("report", transcripts.folder, "--cache", transcripts.cache_root, "--runs", runs)
    html = (runs / "talks-report.html").read_text()
    assert html.count(NOTE) >= 2, "coverage and health"
    assert html.count("letters *") == 4, "coverage, health, its histogram and that one's label"
    assert html.count("doubled *") == 4
