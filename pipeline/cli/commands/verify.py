"""`smp verify`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from pipeline.cli.group import CLIPS_FAILED, OK

if TYPE_CHECKING:
    from pipeline.store.verify import Report


@click.command()
@click.argument("cache", type=click.Path())
@click.option("--repair", is_flag=True, help="Remove damaged data, to be extracted again.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(cache: str, repair: bool, as_json: bool) -> None:
    """Check a cache for damaged or missing data.

    CACHE is the folder or URL `cache/<dataset>`; all of it is read and compared to its commits.
    Exit code 1 if something is damaged, also if it was repaired.
    """
    from pipeline.store.verify import verify as run

    report = run(cache, repair)
    if as_json:
        content = {**report.to_json(), "repaired": repair}
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        _print(report, repair)
    sys.exit(CLIPS_FAILED if report.faults else OK)


def _print(report: Report, repaired: bool) -> None:
    for fault in report.faults:
        click.echo(f"{fault.where}: {fault.what}")
    looked_at = f"{report.partitions} partitions, {report.files} files, "
    click.echo(f"{looked_at}{report.size_bytes / 1e6:.1f} MB read; {len(report.faults)} faults")
    if not report.faults:
        return
    again = _command(report.cache_url)
    lost = ", ".join(f"{store} {number}" for store, number in report.lost) or "none"
    if repaired:
        click.echo(f"Removed. To extract these partitions again, run `{again}`: {lost}")
    else:
        click.echo(f"Partitions to extract again: {lost}. To repair:")
        click.echo(f"  smp verify {report.cache_url} --repair && {again}")


def _command(cache_url: str) -> str:
    """What makes the features of a cache again, as far as its table can be read."""
    from pipeline.errors import DamagedError
    from pipeline.io.folder import Folder
    from pipeline.store.clips_table import ClipsTable

    try:
        table = ClipsTable.read(Folder(cache_url))
    except DamagedError:
        table = None
    return table.imported if table and table.imported else "smp extract DATASET"
