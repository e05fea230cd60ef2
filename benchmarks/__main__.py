"""`python -m benchmarks [NAME…]`: run benchmarks one after the other and record what they print.

RESULTS.md has a section a benchmark, with the command, the machine and the versions; the section of
one that is run again is replaced, the others stay. One that fails, or is skipped, leaves its
section as it was.
"""

from __future__ import annotations

import ast
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click

from pipeline.system import resources

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
# In the order of RESULTS.md, with the arguments that keep the whole of them within an hour.
SUITE: dict[str, list[str]] = {
    "extraction": ["--clips", "10", "--naive"],
    "detect": ["--frames", "120", "--timed-frames", "97", "--repeats", "1"],
    "cuts": [],
    "speaker": [],
    "decode": [],
    "spans": [],
    "precision": [],
    "networks": [],
    "resample": [],
    "new_stages": [],
    "trace": [],
    "scale": [],
    "scale_texts": [],
    "estimate": [],
    "workers": [],
    "freed_memory": [],
    "feeding": [],
    "history": [],
    "startup": [],
    "engines": [],
    "overhead": [],
    "train": [],
    "kernels": [],
    "gpu": ["--device", "cpu", "--quick"],
    "pieces": [],
    "small": [],
    "checked_reads": [],
    "mosi_text": [],
    "finetune": [],
    "mmsa": [],
}
PACKAGES = ("torch", "dask", "zarr", "opencv-python", "transformers")
HEAD = """# Results

What `make bench` printed; `python -m benchmarks NAME` runs one again and replaces its section.
Ratios are between two sides of one run. What they mean, and what bounds us, is in
[README.md](README.md).
"""


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(SUITE)))
def main(names: tuple[str, ...]) -> None:
    """Run the benchmarks NAMES, by default all; exit code 1 if one fails."""
    failed = [name for name in names or SUITE if not _run(name)]
    if failed:
        click.echo(f"failed: {', '.join(failed)}", err=True)
        sys.exit(1)


def _run(name: str) -> bool:
    command = ["python", "-m", f"benchmarks.{name}", *SUITE[name]]
    click.echo(f"\n$ {' '.join(command)}")
    lines = []
    with subprocess.Popen(
        [sys.executable, *command[1:]], stdout=subprocess.PIPE, text=True, cwd=HERE.parent
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            click.echo(line, nl=False)
            lines.append(line.rstrip())
    if process.returncode:
        return False
    if "".join(lines[:1]).startswith("skipped"):
        return True
    _record(name, " ".join(command), "\n".join(lines).strip())
    return True


def _record(name: str, command: str, printed: str) -> None:
    """Put a section into RESULTS.md, in place of the one that was there."""
    sections = _sections()
    source = (HERE / f"{name}.py").read_text(encoding="utf-8")
    about = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    sections[name] = f"{about}\n\n```\n$ {command}\n{_machine()}\n\n{printed}\n```\n"
    parts = [f"## {key}\n\n{sections[key]}" for key in SUITE if key in sections]
    RESULTS.write_text("\n".join([HEAD, *parts]), encoding="utf-8")


def _sections() -> dict[str, str]:
    if not RESULTS.exists():
        return {}
    parts = re.split(r"^## (\w+)\n\n", RESULTS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: text.rstrip() + "\n" for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def _machine() -> str:
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    cores = resources.cores()
    return f"{_processor()}, {cores} cores, Python {platform.python_version()}, {versions}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
