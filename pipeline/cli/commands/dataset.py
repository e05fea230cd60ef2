"""`smp dataset`."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.group import CLIPS_FAILED, OK

if TYPE_CHECKING:
    from pipeline.checks.clip import Finding
    from pipeline.checks.dataset import Checked

SHOWN = 10  # findings of a kind


@click.group()
def dataset() -> None:
    """Check a dataset before extraction."""


@dataset.command()
@click.argument("path", metavar="DATASET", type=click.Path(path_type=Path))
@click.option("--decode", is_flag=True, help="Decode all media, not just open it.")
@click.option("--all", "show_all", is_flag=True, help=f"Show more than {SHOWN} of each kind.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(path: Path, decode: bool, show_all: bool, as_json: bool) -> None:
    """Find what is missing, unreadable or inconsistent.

    DATASET is a folder with label.csv and Raw/, or a manifest (.csv, .jsonl). Exit code 1 if there
    is an error, 0 if there are at most warnings.
    """
    from pipeline.checks.dataset import check as run
    from pipeline.cli.console import counting

    with counting("clips") as progress:
        checked = run(path, decode, progress)
    if as_json:
        click.echo(json.dumps(checked.to_json(), indent=2, ensure_ascii=False))
    else:
        _print_splits(checked)
        _print_findings(checked, None if show_all else SHOWN)
    sys.exit(CLIPS_FAILED if checked.fails else OK)


def _print_splits(checked: Checked) -> None:
    from rich.table import Table

    from pipeline.checks.dataset import PUBLISHED
    from pipeline.cli.console import print_whole
    from pipeline.dataset.clip import SPLITS

    table = Table(box=None, pad_edge=False, title=checked.name, title_justify="left")
    table.add_column("split")
    headings = ["clips", "labelled", "text", "video", "audio", "minutes"]
    for heading in [*headings, *(f"published {name}" for name in PUBLISHED)]:
        table.add_column(heading, justify="right")
    for split, n in checked.splits.items():
        cells = [n.clips, n.labelled, n.text, n.pictures, n.sound, f"{n.seconds / 60:.1f}"]
        sizes = [dict(zip(SPLITS, sizes, strict=True)) for sizes in PUBLISHED.values()]
        published = [size.get(split, "–") for size in sizes]
        table.add_row(split or "none", *map(str, [*cells, *published]))
    print_whole(table)


def _print_findings(checked: Checked, most: int | None) -> None:
    from pipeline.messages import counted

    by_kind: dict[tuple[bool, str], list[Finding]] = defaultdict(list)
    for finding in checked.findings:
        by_kind[not finding.fails, finding.kind].append(finding)
    for (is_mild, kind), findings in sorted(by_kind.items()):
        click.echo(f"{kind}: {len(findings)}{'' if is_mild else ', error'}")
        for finding in findings[:most]:
            click.echo(f"  {finding.where}: {finding.what}")
        if more := len(findings) - len(findings[:most]):
            click.echo(f"  … and {more} more; --all shows them")
    failing = sum(finding.fails for finding in checked.findings)
    rest = len(checked.findings) - failing
    told = f"{counted(failing, 'error')}, {counted(rest, 'warning')}"
    click.echo(told if checked.findings else "No problems found.")
