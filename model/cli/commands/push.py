"""`smp push`."""

from __future__ import annotations

from pathlib import Path

import click

from model.cli.options import chosen, from_runs, of_cache, of_channels


@click.command()
@click.argument("what")
@click.argument("where")
@click.option(
    "--licence", default="", help="Of what is published, as the hub calls it: mit, cc-by-4.0 …"
)
@click.option("--private", is_flag=True, help="Make the hub's repository a private one.")
@click.option("--features", is_flag=True, help="Push the cached features of a dataset, not a run.")
@click.option("--without-text", is_flag=True, help="Leave the transcripts out of the features.")
@of_channels
@from_runs
@of_cache
def push(
    what: str,
    where: str,
    licence: str,
    private: bool,
    features: bool,
    without_text: bool,
    runs: Path,
    cache_root: str,
    name: str | None,
    **stages: list[str] | None,
) -> None:
    """Publish a trained model, or features, with a card.

    WHAT is a run folder, or a dataset, of which the newest run is taken; with --features, a dataset
    whose cached features are. WHERE is a new folder (./mine) or a Hugging Face id (me/mine). The
    card has the results with their intervals, the data, the weights with their licences, and the
    commands. Paths of this machine are left out; clips' ids and labels are not.
    """
    from model.data.bundled import bundled
    from model.publish.features import push_features
    from model.publish.run import push_run
    from model.runs.run import find_run
    from pipeline.store.dataset_cache import open_dataset

    if features:
        cache = open_dataset(what, cache_root, name)
        bundle, notes = cache.steadily(lambda: bundled(cache, chosen(stages)))
        for note in notes:
            click.echo(f"note: {note}")
        at = push_features(bundle, where, licence, private, not without_text)
    else:
        run = find_run(what, runs, lambda why: click.echo(f"passed over: {why}", err=True))
        at, what = push_run(run, where, licence, private), str(run)
    click.echo(f"{what} → {at}")
