"""dask's dashboard: its address is told once, where there is one."""

import sys
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from click.testing import CliRunner
from distributed import LocalCluster

from model.cli.group import main
from pipeline.runner.dask_engine import DaskEngine
from tests.conftest import Transcripts

MARK = "dask's dashboard: "


@pytest.fixture
def two_texts(transcripts: Transcripts) -> Transcripts:
    transcripts.texts(["a", "b"])
    return transcripts


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[LocalCluster]:
    """A cluster that is there already, with a dashboard or without."""
    with LocalCluster(
        n_workers=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": request.param},
    ) as cluster:
        yield cluster


def told(transcripts: Transcripts, *options: object) -> list[str]:
    """The lines about a dashboard on standard error of `smp extract`."""
    where = ["--stages", transcripts.stages_file, "--cache", transcripts.cache_root]
    command = ["extract", transcripts.folder, *where, *options]
    done = CliRunner().invoke(main, [str(part) for part in command])
    assert done.exit_code == 0, done.output
    assert MARK not in done.stdout
    return [line for line in done.stderr.splitlines() if MARK in line]


@pytest.mark.slow
def test_processes_have_one_and_it_can_be_looked_at(two_texts: Transcripts) -> None:
    pages = []

    def look(line: str) -> None:
        with urlopen(line.removeprefix(MARK), timeout=60) as page:
            pages.append(page.read().decode())

    two_texts.extract(DaskEngine(workers=1, show=look))
    assert len(pages) == 1
    assert "<title>Dask Diagnostic UI</title>" in pages[0]


@pytest.mark.slow
def test_without_bokeh_nothing_is_said(
    two_texts: Transcripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed.dashboard.scheduler", None)
    assert told(two_texts, "--workers", 1) == []


@pytest.mark.parametrize("cluster", [True], indirect=True)
def test_a_clusters_own_is_named_once_at_the_start(
    two_texts: Transcripts, cluster: LocalCluster
) -> None:
    lines = told(two_texts, "--scheduler", cluster.scheduler_address)
    assert lines == [MARK + cluster.dashboard_link]


@pytest.mark.parametrize("cluster", [False], indirect=True)
def test_a_cluster_without_one_is_named_none(two_texts: Transcripts, cluster: LocalCluster) -> None:
    assert told(two_texts, "--scheduler", cluster.scheduler_address) == []


@pytest.mark.parametrize("option", ["--serial", None])
def test_a_run_in_one_process_has_none(two_texts: Transcripts, option: str | None) -> None:
    assert told(two_texts, *([option] if option else [])) == []
