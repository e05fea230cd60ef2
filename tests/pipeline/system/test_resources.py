"""How many cores may be used: affinity, control groups of either version, none at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.checks import doctor
from pipeline.system import resources

CORES = 16


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of many cores whose control groups are files in a folder."""
    monkeypatch.setattr(resources, "CGROUP", tmp_path)
    monkeypatch.setattr(resources, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "cpu_count", lambda: CORES)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(CORES)))
    return tmp_path


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(f"{text}\n")


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("150000", 2), ("100000", 1), ("50000", 1), ("1000", 1), ("400000", 4), ("max", CORES)],
)
def test_a_share_of_a_core_counts_as_one_that_may_be_used(
    groups: Path, quota: str, cores: int
) -> None:
    write(groups, cpu_max=f"{quota} 100000")
    assert resources.cores() == cores
    write(groups, cpu_max="9900000 100000")
    write(groups / "cpu", cpu_cfs_quota_us=quota.replace("max", "-1"), cpu_cfs_period_us="100000")
    assert resources.cores() == cores


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct", "cpuacct,cpu"])
def test_the_group_of_this_process_and_all_above_it_limit_it(groups: Path, mount: str) -> None:
    (groups / "own").write_text("5:cpuacct,cpu:/batch/job/step\n3:cpuset:/other\n")
    step = groups / mount / "batch" / "job" / "step"
    write(step, cpu_cfs_quota_us="600000", cpu_cfs_period_us="100000")
    write(step.parent, cpu_cfs_quota_us="300000", cpu_cfs_period_us="100000")
    write(groups / mount / "other", cpu_cfs_quota_us="100000", cpu_cfs_period_us="100000")
    assert resources.cores() == 3


@pytest.mark.parametrize("mount", [".", "unified"])
def test_a_group_of_version_2_may_lie_anywhere_below_the_root(groups: Path, mount: str) -> None:
    (groups / "own").write_text("0::/user.slice/run.scope\n")
    write(groups / mount / "user.slice" / "run.scope", cpu_max="250000 100000")
    assert resources.cores() == 3
    assert "quota of 2.5 cores" in doctor.cores().found


def test_a_containers_group_is_the_root_though_its_path_is_the_hosts(groups: Path) -> None:
    (groups / "own").write_text("0::/../../docker/0123\n")
    write(groups, cpu_max="200000 100000")
    assert resources.cores() == 2


def test_memory_is_looked_for_in_the_same_groups(groups: Path) -> None:
    (groups / "own").write_text("4:memory:/job\n")
    write(groups / "memory", memory_limit_in_bytes=str(1 << 62), memory_usage_in_bytes="7")
    write(groups / "memory" / "job", memory_limit_in_bytes="3000000")
    write(groups / "memory" / "job", memory_usage_in_bytes="1000000")
    assert resources.free_bytes() == 2_000_000


@pytest.mark.parametrize("text", ["", "max", "a b", "1 0", "0 100000"])
def test_files_that_say_nothing_limit_nothing(groups: Path, text: str) -> None:
    write(groups, cpu_max=text)
    (groups / "own").write_text("a line that is none\n")
    assert resources.cores() == CORES


def test_without_control_groups_and_affinity_all_cores_count(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS and Windows
    monkeypatch.setattr(resources, "CGROUP", groups / "none")
    assert resources.cores() == CORES
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert resources.cores() == 1


def test_doctor_says_what_limits_the_cores(groups: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.cores().found == "16 cores; `smp extract` runs 16 threads, each on one"
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    told = doctor.cores()
    assert told.found.startswith("1 of 16 may be used: limited by processor affinity")
    assert told.found.endswith("`smp extract` runs 1 thread, each on one")


ENGINE = """
import os
from pipeline.runner.dask_engine.cluster import local_cluster
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
with local_cluster(None) as cluster:
    print([worker.state.nthreads for worker in cluster.workers.values()])
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_the_engine_has_a_thread_a_core_that_it_may_use() -> None:
    done = subprocess.run([sys.executable, "-c", ENGINE], capture_output=True, text=True)
    assert done.stdout == "[1]\n", done.stderr
