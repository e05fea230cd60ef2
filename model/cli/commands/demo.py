"""`smp demo`."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from model.cli.options import from_runs, new_weights
from pipeline.cli.options import trust


@click.command()
@click.argument("run", type=click.Path())
@from_runs
@trust
@new_weights
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on. Whoever reaches it can use the model.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=7860,
    show_default=True,
    help="0: any free one.",
)
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
def demo(
    run: str,
    runs: Path,
    is_trusted: bool,
    weights: tuple[str, ...],
    host: str,
    port: int,
    show: bool,
) -> None:
    """Serve a page on which a clip is dropped in and predicted.

    RUN is a run folder, or a dataset, whose newest run is taken. The page shows the score, the
    faces, the words and when they are. It fetches nothing from the network, and what is uploaded is
    deleted after an hour and when the command ends (Ctrl-C).
    """
    from pipeline.system import libraries

    libraries.require({"gradio": "demo"})
    from model.cli.trained import opened
    from model.demo.serve import serve
    from pipeline.weights.random_weights import random_note

    def began(url: str) -> None:
        click.echo(f"{url}  (Ctrl-C ends it)")
        if show:
            webbrowser.open(url)

    model = opened(run, runs, weights, is_trusted)
    if note := random_note(model.random_stages):
        click.echo(f"note: {note}", err=True)
    serve(model, host, port, began)
