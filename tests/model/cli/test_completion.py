"""What a shell is offered at the Tab key."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from model.cli.group import main
from model.networks import names
from tests.support.paths import ROOT
from tests.support.processes import BIN


def offered(line: str, cwd: Path = ROOT) -> list[str]:
    """What the last word of `line` may become, asked for as the shell's script does."""
    words = line.split(" ")
    environment = {
        "_SMP_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    before = Path.cwd()
    os.chdir(cwd)
    try:
        done = CliRunner().invoke(main, prog_name="smp", env=environment)
    finally:
        os.chdir(before)
    assert done.exit_code == 0, done.output
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("smp ext", ["extract"]),
        ("smp train mydata --weight", ["--weight-decay"]),
        ("smp train mydata --model t", ["tfn", "tfr_net"]),
        ("smp train mydata --model ", names()),
        ("smp compare mydata --models smp,m", ["smp,mfn", "smp,misa", "smp,mult"]),
        ("smp compare mydata --models mfn,m", ["mfn,misa", "mfn,mult"]),
        ("smp train --model tfn mydata --preset ", ["toolkit"]),
        ("smp compare mydata --preset p", ["paper"]),
        ("smp ablate mydata f", ["features", "fusion"]),
        ("smp settings wav", ["wav2vec2"]),
        ("smp settings sm", ["smp"]),
        ("smp completion ", ["bash", "zsh", "fish"]),
        ("smp extract mydata --only m", ["mfcc"]),
    ],
)
def test_words_are_completed(line: str, expected: list[str]) -> None:
    assert offered(line) == expected


def test_stages_are_those_of_the_file_that_the_command_would_take(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/stages.yaml").write_text("stages: {loudness: {}, pitch: {}}\n")
    (tmp_path / "odd.yaml").write_text('stages: {"$(id)": {}, "a;b": {}, "\\e[2J": {}, c: {}}\n')
    assert offered("smp extract mine --stages odd.yaml --only ", tmp_path) == ["c"]
    (tmp_path / "other.yaml").write_text("stages: {bert: {}}\n")
    assert offered("smp extract mine --only ", tmp_path) == ["loudness", "pitch"]
    assert offered("smp extract mine --stages other.yaml --only ", tmp_path) == ["bert"]


@pytest.mark.parametrize("content", ["stages: [", "stages: 3", "- a", "\0"])
def test_a_stages_file_that_can_not_be_read_offers_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "stages.yaml").write_text(content)
    assert offered("smp extract . --only ", tmp_path) == []


@pytest.mark.parametrize("line", ["smp ", "smp train mydata --model ", "smp extract . --only "])
def test_to_complete_loads_no_heavy_library(line: str) -> None:
    code = (
        "import json, sys\nfrom model.cli.group import main\n"
        "try:\n    main(prog_name='smp')\nexcept SystemExit:\n"
        "    heavy = ('torch', 'pandas', 'zarr', 'distributed', 'transformers', 'rich')\n"
        "    print(json.dumps([name for name in heavy if name in sys.modules]))"
    )
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    environment = {**os.environ, **words, "_SMP_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    *completions, loaded = done.stdout.splitlines()
    assert completions, done.stderr
    assert json.loads(loaded) == []


def test_bash_completes_with_the_printed_script() -> None:
    script = (
        'source <("$0" completion bash)\n'
        "COMP_WORDS=(smp train mydata --model mu) COMP_CWORD=4\n"
        '_smp_completion "$0"\necho "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script, BIN / "smp"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == "mult\n", done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell: str) -> None:
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0
    assert f"_SMP_COMPLETE={shell}_complete" in done.stdout
