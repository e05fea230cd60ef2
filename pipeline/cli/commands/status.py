"""`smp status`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--cache", "cache_root", default="cache", show_default=True, help="Path or URL.")
@click.option("--name", help="The dataset's name in the cache.")
@click.option("--all", "show_all", is_flag=True, help="Show every clip with a problem.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with all problems.")
def status(dataset: Path, cache_root: str, name: str | None, show_all: bool, as_json: bool) -> None:
    """Show how far extraction is and which clips have problems."""
    from pipeline.cli.console import print_problems, print_stages
    from pipeline.store.cache import locate, open_cache
    from pipeline.store.status import random_stages
    from pipeline.store.status import status as of

    url = locate(dataset, cache_root, name)
    cache = open_cache(url)
    stages = of(cache)
    if as_json:
        content = {
            "imported_from": cache.imported_from,
            "random_weights": random_stages(stages),
            "stages": {stage.stage: stage.to_json() for stage in stages},
        }
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    if cache.imported_from:
        click.echo(f"imported from {cache.imported_from}")
    print_stages(stages)
    print_problems(stages, url, cache.command, show_all)
