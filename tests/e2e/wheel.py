"""What is built from the source, and what a stranger has of it: `make wheel-test`.

No part of `make test`: it builds, and runs the installed program as a user would, for a minute. The
dependencies are those of the environment that runs the tests; the project itself is not.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PACKAGES = ("pipeline", "model")
NOT_SOURCE = (".*", "__pycache__", "*.egg-info", "build", "cache", "data", "runs")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source alone, so that nothing from earlier builds gets in."""
    ignored = shutil.ignore_patterns(*NOT_SOURCE)

    def ignore(folder: str, names: list[str]) -> set[str]:
        # Only at the top: pipeline/ and model/ may have a folder of any name.
        own = set() if Path(folder) == ROOT else {"build", "cache", "data", "runs"}
        return ignored(folder, names) - own

    return Path(
        shutil.copytree(
            ROOT, tmp_path_factory.mktemp("made") / "source", symlinks=True, ignore=ignore
        )
    )


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    return built(source, "wheel")


def built(source: Path, kind: str) -> Path:
    """Build without fetching: what the build needs is in the environment of the tests."""
    command = ["uv", "build", f"--{kind}", "--no-build-isolation", "--python", sys.executable]
    out = source.parent / f"{kind} of {source.name}"
    done(sys.executable, "-m", *command, "--offline", "--out-dir", out, source, cwd=source)
    [made] = [path for path in out.iterdir() if path.suffix in (".whl", ".gz")]
    return made


def done(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    line = [str(part) for part in command]
    ended = subprocess.run(
        line, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.returncode == 0, f"{line}\n{ended.stdout}{ended.stderr}"
    return ended


def files(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as found:
        return {name: found.read(name) for name in found.namelist()}


def test_a_wheel_has_every_file_of_both_packages_and_no_other(source: Path, wheel: Path) -> None:
    packed = files(wheel)
    ours = [p for name in PACKAGES for p in (source / name).rglob("*") if p.is_file()]
    in_source = {str(p.relative_to(source)): p.read_bytes() for p in ours}
    about = {name for name in packed if ".dist-info/" in name}
    assert {name: packed[name] for name in packed.keys() - about} == in_source
    assert packed["pipeline/stages.yaml"] == (ROOT / "stages.yaml").read_bytes()
    assert any(name.endswith("licenses/LICENSE") for name in about)


def test_the_wheel_of_the_sdist_is_the_wheel_of_the_source(source: Path, wheel: Path) -> None:
    sdist = built(source, "sdist")
    shutil.unpack_archive(sdist, source.parent / "unpacked", filter="data")
    [unpacked] = (source.parent / "unpacked").iterdir()
    again, first = files(built(unpacked, "wheel")), files(wheel)
    assert again == first
    assert (unpacked / "stages.yaml").read_bytes() == (ROOT / "stages.yaml").read_bytes()


@pytest.fixture(scope="module")
def smp(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `smp` of an environment that has the wheel, and for the rest the tests' packages."""
    home = tmp_path_factory.mktemp("installed")
    done(sys.executable, "-m", "venv", "--without-pip", home, cwd=home)
    [own] = home.glob("lib/python*/site-packages")
    # Added by a path file, so that the path file of an editable install there is not read.
    (own / "tests_packages.pth").write_text(sysconfig.get_path("purelib"))
    python = home / "bin/python"
    install = ["uv", "pip", "install", "--offline", "--no-deps", "--python", python, wheel]
    done(sys.executable, "-m", *install, cwd=home)
    where = done(python, "-c", "import pipeline, model; print(pipeline.__file__)", cwd=home).stdout
    assert Path(where.strip()).is_relative_to(own)
    return home / "bin/smp"


def few_clips(sample: Path) -> Path:
    """A manifest of one clip of each split of the sample, with its stages file beside it."""
    with (sample / "label.csv").open(encoding="utf-8", newline="") as file:
        clips = list(csv.DictReader(file))
    manifest = sample.parent / "few.csv"
    with manifest.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "video", "text", "label", "split"])
        for split in ("train", "valid", "test"):
            for clip in [c for c in clips if c["mode"] == split][:1]:
                video = f"{sample.name}/Raw/{clip['video_id']}/{clip['clip_id']}.mp4"
                id = f"{clip['video_id']}/{clip['clip_id']}"
                rows.writerow([id, video, clip["text"], clip["label"], split])
    shutil.copy(sample / "stages.yaml", sample.parent)
    return manifest


def test_what_is_installed_works_in_an_empty_folder(smp: Path, tmp_path: Path) -> None:
    def said(*arguments: object) -> str:
        ended = done(smp, *arguments, cwd=tmp_path)
        print(f"$ smp {' '.join(map(str, arguments))}\n{ended.stdout}")
        return ended.stdout

    packaged = next(smp.parents[1].glob("lib/python*/site-packages")) / "pipeline/stages.yaml"
    assert f"stages: {packaged}" in said("models", "--json").replace('"', "")
    assert "random" in said("settings", "bert")
    said("sample", "data/sample", "--clips", 48)
    (tmp_path / "text.csv").write_text("id,text,label,split\na,One,1,train\nb,Two,-1,test\n")
    assert said("extract", "text.csv", "--plan", "--only", "mfcc").startswith(f"stages: {packaged}")
    few_clips(tmp_path / "data/sample")
    assert said("extract", "data/few.csv", "--plan").startswith("stages: data/stages.yaml")
    said("doctor", "--stages", "data/stages.yaml")
    said("extract", "data/few.csv")
    assert "bert" in said("status", "data/few.csv")
    said("train", "data/few.csv", "--epochs", 2)
    assert list(tmp_path.glob("runs/*/*"))
    said("report", "data/few.csv")
    said("inspect", "data/few.csv", "video_0001/0001")
