"""The documentation: its links lead somewhere, and what it tells a reader to type works."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from model.cli.group import main
from model.training import presets
from pipeline.sample.write import write_sample
from tests.support import api_page, encoders_page
from tests.support.pages import PAGES, Command, blocks, commands, links, of_smp
from tests.support.paths import ROOT
from tests.support.processes import BIN

DONE = "--- exit code"
CLIPS = 35  # of the sample: the fewest with all three splits
LANGUAGES = {"console", "python", "yaml", "csv", "py", ""}  # `py`: signatures, not to be run
# The sample is a smaller one, made before; trainings are short. An interrupted command gets Ctrl-C
# after its first commit.
SHELL = """
set -o pipefail
smp() {
  case $1 in
    sample) [ -e "$2" ] || cp -r "$EXTRACTED/data/sample" "$2"
            echo "Written: $2; next: smp extract $2";;
    train) command smp "$@" --epochs 2;;
    compare) command smp "$@" --epochs 1 --seeds 2;;
    ablate) command smp "$@" --epochs 1 --seeds 1;;
    *) command smp "$@";;
  esac
}
interrupted() {
  local commits="cache/$(basename "${@: -1}")/*/*.zarr/commits/0*"
  set -m
  command "$@" & local process=$!
  until compgen -G "$commits" > /dev/null; do
    kill -0 $process || break; sleep 0.1
  done
  kill -INT -- -$process; wait $process
}
"""


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `smp sample data/sample; smp extract data/sample` makes, but smaller."""
    folder = tmp_path_factory.mktemp("extracted")
    write_sample(folder / "data/sample", CLIPS)
    run = subprocess.run([BIN / "smp", "extract", "data/sample"], cwd=folder, check=False)
    assert run.returncode == 0
    return folder


@pytest.fixture
def workspace(extracted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, and the environment of one who works in it."""
    folder = tmp_path / "work"
    shutil.copytree(extracted, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    monkeypatch.setenv("EXTRACTED", str(extracted))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        name, _, heading = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in [re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_and_tests_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"`((?:pipeline|model|tests|docs|benchmarks|examples)/[\w./]*)`", text)
    assert [path for path in named if "NAME" not in path and not (ROOT / path).exists()] == []
    contracts = (ROOT / "pipeline/testing.py", ROOT / "model/testing.py")
    files = [*(ROOT / "tests").rglob("*.py"), *contracts]
    every = "".join(file.read_text(encoding="utf-8") for file in files)
    tests = re.findall(r"`(test_\w+)`", text)
    assert [name for name in tests if f"def {name}(" not in every] == []


def test_every_page_is_in_the_index() -> None:
    index = set(links(ROOT / "docs/README.md"))
    assert {page.name for page in PAGES if page.parent != ROOT and page.stem != "README"} <= index


def test_what_is_not_run_is_listed_with_the_reason() -> None:
    listed = re.findall(
        r"^\| \[(\S+)\]\(.*\) \| (.+) \|$",
        (ROOT / "docs/README.md").read_text(encoding="utf-8").partition("isn't run")[2],
        re.MULTILINE,
    )
    marked = {(page.name, b.why_not) for page in PAGES for b in blocks(page) if b.why_not}
    assert {(name, why) for name, whys in listed for why in whys.split("; ")} == marked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_in_a_language_that_the_tests_know(page: Path) -> None:
    assert {block.language for block in blocks(page)} <= LANGUAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_has_the_options_that_it_is_shown_with(page: Path) -> None:
    for arguments in of_smp(page):
        with click.Context(main) as ctx:
            command = main.get_command(ctx, arguments[0])
            assert command, arguments
            command.make_context(arguments[0], arguments[1:], parent=ctx)


def test_the_public_api_is_what_docstrings_say() -> None:
    assert api_page.PAGE.read_text(encoding="utf-8") == api_page.document(), "run `make docs`"


def test_the_table_of_encoders_is_of_those_that_are_tested() -> None:
    page = encoders_page.PAGE.read_text(encoding="utf-8")
    assert page == encoders_page.document(page), "run `make docs`"


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if any(b.language in ("console", "python") for b in blocks(p))],
    ids=lambda page: page.stem,
)
def test_what_a_page_shows_is_what_happens(page: Path, workspace: Path) -> None:
    """Its files are written, then its commands and its Python run from top to bottom."""
    shown, script = [], [SHELL]
    for block in blocks(page):
        if block.why_not:
            continue
        if block.file:
            (workspace / block.file).parent.mkdir(parents=True, exist_ok=True)
            (workspace / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "yaml":
            yaml.safe_load(block.text)
        elif block.language == "console":
            shown += commands(block)
        elif block.language == "python":
            shown.append(Command(f"python - <<'END'\n{block.text}END"))
    for command in shown:
        prefix = "interrupted " if command.is_interrupted else ""
        script.append(f'{prefix}{command.line}\necho "{DONE} $?"')
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    outputs = re.split(rf"{DONE} (\d+)\n", done.stdout)
    for command, output, code in zip(shown, outputs[::2], outputs[1::2], strict=False):
        lacking = command.first_not_in(output)
        assert lacking is None, f"{command.line}\ndoes not print: {lacking}\nbut: {output}"
        assert (code != "0") == command.fails, f"{command.line}\nexit code {code}: {output}"
    assert len(outputs) == 2 * len(shown) + 1


@pytest.mark.slow
@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_an_example_runs_on_the_sample(example: Path, workspace: Path) -> None:
    assert len(example.read_text(encoding="utf-8").splitlines()) < 60
    done = subprocess.run([sys.executable, example], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d\.\d\d", done.stdout)


def test_the_preset_on_the_page_on_models_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = blocks(ROOT / "docs/own-model.md")
    (source,) = (block for block in page if block.file == "mine/last_states.py")
    (entry,) = (block for block in page if block.language == "yaml")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/last_states.py").write_text(source.text, encoding="utf-8")
    (tmp_path / "mine/last_states.yaml").write_text(entry.text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    listed = presets.load("mine.last_states")
    assert listed["first"]["mosi"].settings.network == {"hidden": 128}
