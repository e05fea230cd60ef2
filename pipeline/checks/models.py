"""The models that the stages need: size, licence, and whether they are on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.dag.spec import Stages
from pipeline.dag.stage import Stage
from pipeline.errors import UserError
from pipeline.weights import hub
from pipeline.weights.random_weights import RANDOM
from pipeline.weights.repository import Wanted
from pipeline.weights.resolve import Source

CARD = "README.md"
HUB, LOCAL, BUILT_IN, DOWNLOAD = "hub", "local", "package", "download"


@dataclass(frozen=True)
class Model:
    """A model that stages need.

    kind: `hub`, `local` (a path), `package` (comes with one), `download` (a file elsewhere) or
    `random`. revision: the commit of a hub model that is here, else the one asked for. path: None
    where it is not here. missing: the parts of it that are not, in words. size_bytes: of what is
    here, or of what would be downloaded; None where that could not be asked. licence: as `noted`
    by a stage's extractor, else as the model's card says.
    """

    stages: tuple[str, ...]
    source: Source
    kind: str
    revision: str | None
    path: Path | None
    size_bytes: int | None
    licence: str
    missing: tuple[str, ...] = ()
    noted: str = ""

    @property
    def is_here(self) -> bool:
        """Whether nothing has to be downloaded."""
        return self.kind == RANDOM or (self.path is not None and not self.missing)

    def to_json(self) -> dict[str, Any]:
        """Its entry in `smp models --json`."""
        names = ("stages", "kind", "revision", "size_bytes", "licence")
        told = {name: getattr(self, name) for name in names}
        path = self.path and str(self.path)
        here = {"lacking": self.missing, "cached": self.is_here, "path": path}
        return {"id": self.source.id, **told, **here}


def needed(stages: Iterable[Stage], ask: bool = True) -> list[Model]:
    """Every model that the stages need, once. ask: the hub, for sizes of what is not here."""
    users: dict[Source, list[Stage]] = {}
    for stage in stages:
        for source in stage.make().models():
            users.setdefault(replace(source, files=Wanted.of(source.files)), []).append(stage)
    found = [
        _looked_at(source, tuple(stage.name for stage in own), _noted(source, own))
        for source, own in users.items()
    ]
    return list(_asked(found)) if ask else found


def _noted(source: Source, stages: Iterable[Stage]) -> str:
    """The note on a model's licence by a stage's extractor; the model's card has the last word."""
    return next(filter(None, (stage.kind.about.licences.get(source.id) for stage in stages)), "")


def terms(stages: Stages) -> dict[str, str]:
    """By stage, the terms of a library that it runs, where there are any to mind."""
    return {stage.name: stage.kind.about.terms for stage in stages if stage.kind.about.terms}


def fetch(model: Model) -> Model:
    """Download a model unless it is here. Raises UserError where that fails."""
    if model.is_here:
        return model
    if model.kind == HUB:
        _from_hub(model.source)
    elif model.source.fetch is not None:
        model.source.fetch()
    elif model.kind == LOCAL:
        raise UserError(f"{model.source.id} is missing {'; '.join(model.missing)}; add it")
    else:
        raise UserError(f"{model.source.id}: nothing at {model.source.path}; install its package")
    return _looked_at(model.source, model.stages, model.noted)


def _looked_at(source: Source, stages: tuple[str, ...], noted: str) -> Model:
    """What is known without asking the hub."""
    kind, path = _place(source)
    here = path if path is not None and path.exists() else None
    wanted = Wanted.of(source.files)
    revision = here.name if here and kind == HUB else source.revision
    files = wanted.files(here) if here and here.is_dir() else [here] if here else []
    size = sum(file.stat().st_size for file in files) if here else None
    licence = noted or (_card_licence(here) if here and kind == HUB else "")
    unknown = {RANDOM: "–", HUB: "see its model card"}.get(kind, "see its source")
    missing = tuple(wanted.lacking_in(here)) if here and here.is_dir() else ()
    return Model(stages, source, kind, revision, here, size, licence or unknown, missing, noted)


def _place(source: Source) -> tuple[str, Path | None]:
    if source.id == RANDOM:
        return RANDOM, None
    if source.path is not None:
        return (DOWNLOAD if source.fetch else BUILT_IN), source.path
    local = Path(source.id).expanduser()
    if local.exists():
        return LOCAL, local
    return HUB, hub.snapshot(source.id, source.revision)


def _card_licence(snapshot: Path) -> str:
    """What the model's card says, if it was fetched too."""
    if not (snapshot / CARD).exists():
        return ""
    from huggingface_hub import ModelCard

    try:
        card = ModelCard.load(snapshot / CARD, ignore_metadata_errors=True)
    except ValueError:
        return ""
    return str(card.data.get("license") or "")


def _asked(models: Iterable[Model]) -> Iterator[Model]:
    """With what the hub says of those that are not here, unless it is out of reach."""
    from huggingface_hub import constants

    is_up = not constants.HF_HUB_OFFLINE
    for model in models:
        if is_up and model.kind == HUB and not model.is_here:
            try:
                model = _as_the_hub_says(model)
            except Exception as error:  # the hub client raises many kinds
                is_up = not _is_out_of_reach(error)
        yield model


def _as_the_hub_says(model: Model) -> Model:
    from huggingface_hub import HfApi

    source = model.source
    found = HfApi().model_info(source.id, revision=source.revision, files_metadata=True, timeout=5)
    sizes = {file.rfilename: file.size or 0 for file in found.siblings or ()}
    size = sum(sizes[name] for name in Wanted.of(source.files).chosen(sizes))
    said = found.card_data.get("license") if found.card_data else None
    licence = model.noted or str(said or model.licence)
    return replace(model, revision=found.sha, size_bytes=size, licence=licence)


def _from_hub(source: Source) -> None:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise UserError(f"{source.id}: HF_HUB_OFFLINE is set, so nothing is downloaded; unset it")
    try:
        found = hub.fetched(source.id, source.files, source.revision, [CARD])
    except UserError:
        raise
    except Exception as error:  # the hub client raises many kinds
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        if not _is_out_of_reach(error):
            raise UserError(f"{source.id}: {reason}") from error
        raise UserError(
            f"{source.id}: the hub at {constants.ENDPOINT} can't be reached ({reason}); set "
            "HF_ENDPOINT to one that can, or run this on a machine with a network and copy its "
            f"{constants.HF_HUB_CACHE}"
        ) from error
    if missing := Wanted.of(source.files).lacking_in(found):
        raise UserError(f"{source.id}: on the hub it is missing {'; '.join(missing)}")


def _is_out_of_reach(error: BaseException) -> bool:
    """Whether there was no answer at all, not one that says no."""
    from huggingface_hub.errors import HfHubHTTPError

    causes = [error, error.__cause__]
    return not any(isinstance(cause, HfHubHTTPError) for cause in causes)
