"""`smp settings`."""

from __future__ import annotations

import click

from model.networks import names
from pipeline import extractors
from pipeline.io import plugin

TRAINING = "training"
HEAD = "Made by `make docs` from the settings classes; a test holds this page against them."


def _settable(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    known = [*plugin.names(extractors), *names(), TRAINING]
    return [name for name in known if name.startswith(incomplete)]


@click.command()
@click.argument("name", required=False, shell_complete=_settable)
def settings(name: str | None) -> None:
    """Print every setting with its type, default and meaning.

    NAME is a stage (mfcc), a model (smp), the module of one of your own, or `training`. Without
    NAME, all settings are printed, as Markdown.
    """
    click.echo(_section(name) if name else document())


def document() -> str:
    """All there is: what docs/settings.md holds."""
    from model.cli import reference as of_model
    from pipeline.cli import reference as of_pipeline

    parts = ["# Every setting", HEAD, *of_pipeline.document(), *of_model.document()]
    return "\n\n".join(parts)


def _section(name: str) -> str:
    from pipeline.cli import reference as of_pipeline
    from pipeline.dag.stage import built_in
    from pipeline.errors import UserError

    if name in built_in():
        return of_pipeline.stage(name)
    from model.cli import reference as of_model

    if name == TRAINING:
        return of_model.training()
    if plugin.is_outside(name):
        try:
            return of_pipeline.stage(name)
        except UserError:  # it is no extractor
            return of_model.model(name)
    if name not in names():
        known = ", ".join([*built_in(), *names(), TRAINING])
        raise UserError(f"nothing called {name!r} can be set; there are {known}")
    return of_model.model(name)
