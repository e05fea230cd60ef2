"""What a shell offers where only the stages file knows the answer."""

from __future__ import annotations

from pathlib import Path

import click


def stage_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The stages of the stages file that the command would take; none where it can't be read."""
    # Imported here: every start of `smp` loads this module, and few ask for a stage.
    from pipeline.dag.spec import file_for
    from pipeline.errors import UserError
    from pipeline.io.names import is_safe_name
    from pipeline.io.yaml_file import read_yaml

    # With an option that still lacks its value, click has not yet told arguments apart.
    dataset = ctx.params.get("dataset") or next(iter(ctx.args), ".")
    given = ctx.params.get("stages_file")
    file = file_for(Path(dataset), Path(given) if given else None)
    try:
        # A name is typed into the shell: one that is no name could be a command.
        names = [name for name in read_yaml(file.path)["stages"] if is_safe_name(name)]
    except (UserError, TypeError, KeyError):
        return []
    return [name for name in names if name.startswith(incomplete)]
