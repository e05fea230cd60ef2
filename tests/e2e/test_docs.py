"""The documentation: its links lead somewhere, and what it tells a reader to type works."""

import os
import re
import subprocess
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from model import networks
from model.cli.group import main
from model.training import presets
from pipeline.sample.write import write_sample
from tests.conftest import Transcripts
from tests.support.pages import PAGES, blocks, commands, is_printed, links, of_smp
from tests.support.paths import ROOT
from tests.support.processes import BIN

RUN = ("own-dataset", "own-extractor", "offline")
DONE = "--- exit code"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `smp sample data/sample` makes, with fewer clips."""
    folder = tmp_path_factory.mktemp("shared") / "sample"
    write_sample(folder, clips=35)  # the fewest with all three splits
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


def test_every_page_is_in_the_index() -> None:
    index = set(links(ROOT / "docs/README.md"))
    assert {page.name for page in PAGES if page.name != "README.md"} <= index


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_has_the_options_that_it_is_shown_with(page: Path) -> None:
    for arguments in of_smp(page):
        with click.Context(main) as ctx:
            command = main.get_command(ctx, arguments[0])
            assert command, arguments
            command.make_context(arguments[0], arguments[1:], parent=ctx)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_what_a_page_shows_is_what_happens(name: str, sample: Path, tmp_path: Path) -> None:
    """Its files are written, then its commands and its Python run from top to bottom."""
    page = ROOT / f"docs/{name}.md"
    script, expected = [], []
    (tmp_path / "data").mkdir()
    (tmp_path / "data/sample").symlink_to(sample)
    for block in blocks(page):
        if block.file:
            (tmp_path / block.file).parent.mkdir(exist_ok=True)
            (tmp_path / block.file).write_text(block.text)
        elif block.language == "console":
            shown = [c for c in commands(block) if not c.line.startswith("smp sample")]
            script += [command.line for command in shown]
            expected += [command.prints for command in shown]
        elif block.language == "python":
            script.append(f"python - <<'END'\n{block.text}END")
            expected.append([])
    marked = "\n".join(f'{line}\necho "{DONE} $?"' for line in script)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"PATH": f"{BIN}:{os.environ['PATH']}", "HF_HOME": str(tmp_path / "hub")}
    done = subprocess.run(
        ["bash", "-c", marked],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    outputs = re.split(rf"{DONE} (\d+)\n", done.stdout)
    for line, lines, output, code in zip(
        script, expected, outputs[::2], outputs[1::2], strict=False
    ):
        for one in lines:
            assert is_printed(one, output), f"{line}\n{one}\n{output}"
        is_refused = any("Error" in one or "failed, " in one for one in lines)
        assert (code == "0") != is_refused, f"{line}\n{output}"
    assert len(outputs) == 2 * len(script) + 1


def test_the_model_of_the_page_is_found_trained_and_loaded(
    transcripts: Transcripts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = blocks(ROOT / "docs/own-model.md")
    source = next(block for block in page if block.file == "last_states.py")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/last_states.py").write_text(source.text)
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(tmp_path / "models")])
    transcripts.texts([f"text number {i}" for i in range(30)])
    letters: dict[str, object] = {"extractor": "tests.support.toys.letters"}
    transcripts.stages(letters=letters, bert=letters)
    transcripts.extract(cache_root=str(tmp_path / "cache"), name="mydata")
    monkeypatch.chdir(tmp_path)
    trained = ["train", "mydata", "--model", "last_states", "--epochs", "2"]
    for arguments in (trained, ["settings", "last_states"]):
        done = CliRunner().invoke(main, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert "Width of each LSTM." in done.stdout
    (entry,) = (yaml.safe_load(b.text) for b in page if b.language == "yaml")
    (tmp_path / "presets.yaml").write_text(yaml.safe_dump(entry))
    monkeypatch.setattr(presets, "FILE", tmp_path / "presets.yaml")
    listed = presets.load.__wrapped__()  # what is cached stays
    assert listed["last_states"]["first"]["mosi"].settings.network == {"hidden": 128}
    (code,) = (block.text for block in page if block.language == "python" and not block.file)
    found: dict[str, object] = {}
    exec(code, found)
    assert len(found["scores"]) == 10  # type: ignore[arg-type]
