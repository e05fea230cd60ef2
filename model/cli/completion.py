"""What a shell offers where a model or a preset is asked for; torch is not loaded to tell."""

from __future__ import annotations

from collections.abc import Iterable

import click

from model.networks import names


def model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Models whose names begin with `incomplete`."""
    return _beginning(incomplete, names())


def models(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The next model of a comma-separated list."""
    before, comma, last = incomplete.rpartition(",")
    left = [name for name in names() if name not in before.split(",")]
    return [before + comma + name for name in _beginning(last, left)]


def preset(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Presets of the model that was named, or of every model where none was."""
    # Imported here: every start of `smp` loads this module, and few ask for a preset.
    from importlib.resources import files

    from pipeline.io.yaml_file import read_yaml

    named = ctx.params.get("model")
    own = [f"{name}.yaml" for name in names() if not named or name == named]
    of_each = [read_yaml(file) for file in files("model.networks").iterdir() if file.name in own]
    return _beginning(incomplete, dict.fromkeys(n for own in of_each for n in own if n != "space"))


def _beginning(incomplete: str, offered: Iterable[str]) -> list[str]:
    return [name for name in offered if name.startswith(incomplete)]
