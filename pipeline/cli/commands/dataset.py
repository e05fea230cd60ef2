"""`smp dataset`."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli.group import CLIPS_FAILED, OK
from pipeline.messages import counted

if TYPE_CHECKING:
    from pipeline.checks.clip import Issue
    from pipeline.checks.dataset import CheckedDataset

SHOWN = 10  # issues of a kind


@click.group()
def dataset() -> None:
    """Check a dataset before extraction, or write it as a manifest."""


@dataset.command()
@click.argument("path", metavar="DATASET", type=click.Path(path_type=Path))
@click.option("--decode", is_flag=True, help="Decode all media, not just open it.")
@click.option("--all", "show_all", is_flag=True, help=f"Show more than {SHOWN} of each kind.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(path: Path, decode: bool, show_all: bool, as_json: bool) -> None:
    """Find what is missing, unreadable or inconsistent.

    DATASET is a folder with label.csv and Raw/, one as a public archive unpacks, whose clips are
    held against what was published, or a manifest (.csv, .jsonl). Exit code 1 if there is an error,
    0 if there are at most warnings.
    """
    from pipeline.checks.dataset import check as run
    from pipeline.cli.console import counting

    with counting("clips") as progress:
        checked = run(path, decode, progress)
    if as_json:
        click.echo(json.dumps(checked.to_json(), indent=2, ensure_ascii=False))
    else:
        _print_splits(checked)
        _print_issues(checked, None if show_all else SHOWN)
    sys.exit(CLIPS_FAILED if checked.fails else OK)


@dataset.command()
@click.argument("path", metavar="DATASET", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    metavar="FILE.csv",
    type=click.Path(path_type=Path),
    help="Where to write it; media below its folder is named from there.",
)
@click.option(
    "--test-split", default="", metavar="NAME",
    help="What to test on: a session of IEMOCAP, 1 to 5, or a test set of MER2023 or MER2024.",
)  # fmt: skip
def manifest(path: Path, out: Path, test_split: str) -> None:
    """Write a manifest, to correct splits or labels by hand.

    `smp extract` and `smp train` take the manifest as they take DATASET. What can be predicted is
    written beside it, to targets.yaml.
    """
    from pipeline.dataset.load import load
    from pipeline.dataset.manifest import write_manifest

    if out.suffix != ".csv":
        raise click.UsageError(f"{out}: give a manifest that ends in .csv")
    told = load(path, test_split)
    for place in write_manifest(told, out):
        click.echo(f"{place}: written")
    click.echo(counted(len(told.clips), "clip"))


def _print_splits(checked: CheckedDataset) -> None:
    from rich.table import Table

    from pipeline.cli.console import print_whole

    table = Table(box=None, pad_edge=False, title=checked.name, title_justify="left")
    table.add_column("split")
    headings = ["clips", "labelled", "text", "video", "audio", "minutes"]
    for heading in [*headings, *(f"published {name}" for name in checked.published)]:
        table.add_column(heading, justify="right")
    for split, n in checked.splits.items():
        cells = [n.clips, n.labelled, n.text, n.pictures, n.sound, f"{n.seconds / 60:.1f}"]
        published = [sizes.get(split, "–") for sizes in checked.published.values()]
        table.add_row(split or "none", *map(str, [*cells, *published]))
    print_whole(table)


def _print_issues(checked: CheckedDataset, most: int | None) -> None:
    by_kind: dict[tuple[bool, str], list[Issue]] = defaultdict(list)
    for issue in checked.issues:
        by_kind[not issue.fails, issue.kind].append(issue)
    for (is_warning, kind), issues in sorted(by_kind.items()):
        click.echo(f"{'warning' if is_warning else 'error'}: {kind}: {len(issues)}")
        for issue in issues[:most]:
            click.echo(f"  {issue.where}: {issue.what}")
        if more := len(issues) - len(issues[:most]):
            click.echo(f"  … and {more} more; --all shows them")
    errors = sum(issue.fails for issue in checked.issues)
    warnings = len(checked.issues) - errors
    summary = f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"
    click.echo(summary if checked.issues else "No problems found.")
