"""`smp inspect`."""

from __future__ import annotations

import re
from pathlib import Path

import click

LONGEST_NAME = 80


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.argument("clip")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the page. By default runs/DATASET-CLIP.html.",
)
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
@click.option(
    "--at",
    "at_s",
    type=float,
    metavar="SECONDS",
    help="Show the face at this time.",
)
@click.option(
    "--stages",
    "stages_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Show the features of this stages file instead of those extracted last.",
)
@click.option("--cache", "cache_root", default="cache", show_default=True, help="Path or URL.")
@click.option("--name", help="The dataset's name in the cache.")
def inspect(
    dataset: Path,
    clip: str,
    output: Path | None,
    show: bool,
    at_s: float | None,
    stages_file: Path | None,
    cache_root: str,
    name: str | None,
) -> None:
    """Write an HTML page with the cached features of a clip.

    CLIP is the id of a clip of DATASET. The page needs no network; its video frame is decoded again
    from the source.
    """
    from pipeline.dag.spec import Stages
    from pipeline.html import write_page
    from pipeline.inspect.page import inspect as page_of
    from pipeline.store.cache import locate, open_cache

    cache = open_cache(locate(dataset, cache_root, name))
    identities = None
    if stages_file:
        identities = Stages.load(stages_file, cache.table.language).stored_identities()
    html = page_of(cache, clip, at_s, identities)
    own = Path("runs", f"{_as_file_name(f'{cache.name}-{clip}')}.html")
    path = write_page(html, output or own, show)
    click.echo(f"Written: {path} ({path.stat().st_size / 1e6:.1f} MB)")


def _as_file_name(text: str) -> str:
    return re.sub(r"[^\w.]+", "-", text).strip("-.")[:LONGEST_NAME] or "clip"
