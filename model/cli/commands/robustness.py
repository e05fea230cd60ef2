"""`smp robustness`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from model.cli.options import Levels, given, of_data, of_model, of_training, open_dataset
from pipeline.cli.group import CLIPS_FAILED, Names
from pipeline.cli.options import trust
from pipeline.errors import UserError

if TYPE_CHECKING:
    from model.data.samples import Samples
    from model.robustness.noise import Noisy
    from pipeline.store.cache import Cache

Command = Callable[..., None]


def _levels(name: str, levels: Levels, default: str, what: str) -> Callable[[Command], Command]:
    help = f"noise: {what}, or none."
    return click.option(name, type=levels, default=default, show_default=True, help=help)


@click.command()
@click.argument("dataset", type=click.Path())
@of_model("measure")
@click.option(
    "--curves",
    type=Names(),
    default="clips,test",
    show_default=True,
    help="Which curves: clips, test, training, noise.",
)
@_levels("--snr-db", Levels(-60, 60), "20,10,0,-10", "ratios of signal to noise")
@click.option(
    "--noise",
    type=click.Choice(["white", "pink", "speech_shaped"]),
    default="white",
    show_default=True,
    help="noise: which.",
)
@_levels(
    "--blur-px",
    Levels(0, 28, low_is_out=True),
    "1,2,4",
    "deviations of the blur, in pixels of a face of 112",
)
@_levels(
    "--occluded",
    Levels(0, 1, low_is_out=True),
    "0.25,0.5,0.75",
    "shares of the face that are covered",
)
@click.option(
    "--stages",
    "stages_file",
    type=click.Path(path_type=Path),
    help="noise: the stages file that made the features.  [default: as for `smp extract`]",
)
@trust
@click.option(
    "--seeds",
    type=click.IntRange(1, 1000),
    default=3,
    show_default=True,
    help="Trainings per point, with seeds 0, 1 …",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the curves.  [default: RUNS/<dataset>-robustness-<model>-<task>]",
)
@of_training
@of_data
def robustness(
    dataset: str,
    model: str,
    curves: list[str],
    seeds: int,
    out: Path | None,
    stages_file: Path | None,
    is_trusted: bool,
    **options: Any,
) -> None:
    """Measure how results fall with fewer clips, missing data and noise.

    clips: the score over the share of training clips, beside the linear probe's. test: over the
    share of test clips that lack a modality, and of steps that are missing. training: the same,
    missing at training too. Trainings that were done before are not repeated.

    noise: over noise in the sound of test clips, and over blurred and partly covered faces. They
    are extracted again for each level, into the same cache, so their media and the weights of the
    stages have to be there. Exit code 1 where they aren't: the other curves are measured.
    """
    from model.cli.console import progress
    from model.experiments.experiment import name_of, task_of
    from model.robustness import folder, page
    from model.robustness.curves import KINDS, NOISE
    from model.robustness.curves import robustness as measure
    from model.runs.files import as_json as finite
    from model.training.presets import preset as find_preset
    from pipeline.cli.console import print_devices

    if not curves or (unknown := set(curves) - set(KINDS)):
        told = ", ".join(sorted(unknown)) if curves else "none"
        raise click.BadParameter(f"{told}; there are {', '.join(KINDS)}", param_hint="--curves")
    cache, samples = open_dataset(dataset, options)
    preset = find_preset(model, samples.scale.name, options["preset"])
    settings = preset.with_options(given(options))
    runs, noisy, notes, is_whole = Path(options["runs"]), list["Noisy"](), list[str](), True
    if NOISE in curves:
        try:
            noisy, notes = _noisy(cache, samples, stages_file, is_trusted, options)
        except UserError as error:
            if set(curves) == {NOISE}:
                raise
            notes, is_whole = [f"no curves of noise: {error}"], False
    if not options["as_json"]:
        print_devices([settings.device])
    with progress(1) as show:
        found = measure(samples, preset, settings, curves, range(seeds), runs, show, noisy, notes)
    task = task_of(samples, settings)
    own = out or runs / f"{samples.name}-{name_of(samples, 'robustness', model, task)}"
    folder.write(found, own)
    written = page.write(found, own)
    if options["as_json"]:
        click.echo(json.dumps({"folder": str(own), **finite(folder.to_json(found))}))
    else:
        for note in found.notes:
            click.echo(f"note: {note}")
        click.echo(f"{found.trained} trainings done; written: {written} and {folder.POINTS}")
    if not is_whole:
        sys.exit(CLIPS_FAILED)


def _noisy(
    cache: Cache,
    samples: Samples,
    stages_file: Path | None,
    is_trusted: bool,
    options: Mapping[str, Any],
) -> tuple[list[Noisy], list[str]]:
    """The test clips at the levels of the options, and notes."""
    from model.cli.console import progress
    from model.robustness.noise import WHAT, noisy
    from pipeline.dag.spec import Stages, file_for
    from pipeline.runner import engines

    file = file_for(Path(cache.table.root), stages_file, is_trusted)
    stages = Stages.load(file, cache.table.language)
    levels = {setting: options[setting] for setting in WHAT}
    with progress(1) as show:
        kind = options["noise"]
        engine = engines.choose(show=partial(click.echo, err=True))
        return noisy(cache, samples, stages, engine, levels, kind, show)
