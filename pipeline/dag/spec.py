"""`stages.yaml` read, validated and put in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pipeline.dag import trust
from pipeline.dag.identity import StageIdentity, identify
from pipeline.dag.order import ordered
from pipeline.dag.stage import Stage, extractor_class, nearest
from pipeline.dataset.layouts import is_dataset
from pipeline.errors import UserError
from pipeline.io.yaml_file import read_yaml
from pipeline.stage.name import require_stage_names
from pipeline.stage.steps import STEPS

PARTITION = 32
MOST_CLIPS, MOST_STEPS = 10_000, 10_000  # of a partition, of a clip: all of them lie in memory
LONGEST = 80  # characters of a value in a message
MOST_FAULTS = 3  # of a stage that are told at once
LANGUAGES = frozenset({"en", "zh"})
DEFAULT_FILE = Path(str(files("pipeline") / "stages.yaml"))  # in a checkout a link to its top

Model = TypeVar("Model", bound=BaseModel)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    partition: Annotated[int, Field(gt=0, le=MOST_CLIPS)] = PARTITION
    steps: Annotated[int, Field(gt=0, le=MOST_STEPS)] = STEPS
    stages: dict[Any, Any] = {}


class _Entry(BaseModel):
    """What every stage can be given; the rest are its extractor's settings."""

    model_config = ConfigDict(extra="allow", strict=True)
    extractor: str = ""
    needs: Annotated[
        list[str], BeforeValidator(lambda n: [n] if isinstance(n, str) else [] if n is None else n)
    ] = []
    enabled: bool = True
    keep: bool = False


@dataclass(frozen=True)
class StagesFile:
    """A stages file, and whether it is a person's own: may run what is not in the package."""

    path: Path
    is_own: bool = True

    def __str__(self) -> str:
        return str(self.path)


def file_for(
    dataset: Path | None, given: Path | None = None, is_trusted: bool = False
) -> StagesFile:
    """The file `given`, else that beside the dataset's table, ./stages.yaml or the package's.

    One beside a table came with the data: it is nobody's own unless trusted, or listed as such.
    """
    if given:
        return StagesFile(given)
    name, here = DEFAULT_FILE.name, Path()
    beside = dataset if dataset is None or dataset.is_dir() else dataset.parent
    if beside is not None and (beside / name).is_file():
        path, is_data = beside / name, True
    elif (here / name).is_file():
        path, is_data = here / name, is_dataset(here)
    else:
        path, is_data = DEFAULT_FILE, False
    return StagesFile(path, not is_data or is_trusted or trust.is_listed(path))


class Stages:
    """The stages in the order in which they can run.

    off: the names of those with `enabled: false`. They are as if they were not written, also where
    another stage needs them: it does without what it takes from them only optionally.
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        language: str = "en",
        where: str = "stages",
        is_own: bool = True,
    ) -> None:
        """is_own: whether they may run what is not in the package; UserError if not and they do."""
        self.spec: dict[str, Any] = _for_language(dict(spec), language, where)
        file = validated(_File, self.spec, where)
        if not file.stages:
            raise UserError(f"{where}: `stages` must name at least one stage")
        self.partition, self.steps = file.partition, file.steps
        require_stage_names(where, file.stages)
        entries = {name: _entry(where, name, box) for name, box in file.stages.items()}
        if not is_own:
            named = ((n, e.extractor or n, e.model_extra or {}) for n, e in entries.items())
            trust.require_own(where, named)
        made = {name: _stage(where, name, entry, self.steps) for name, entry in entries.items()}
        order = ordered(where, made)
        self.off = frozenset(name for name in order if not made[name].enabled)
        self._stages = {
            name: replace(made[name], needs=tuple(n for n in made[name].needs if n not in self.off))
            for name in order
            if name not in self.off
        }
        for stage in self:
            self._check_fields(where, stage)

    @classmethod
    def load(cls, path: str | Path | StagesFile, language: str = "en") -> Stages:
        """Read a stages file; a setting given by language is resolved to `language`'s value."""
        file = path if isinstance(path, StagesFile) else StagesFile(Path(path))
        spec = read_yaml(file.path)
        if not isinstance(spec, dict):
            raise UserError(f"{path}: expected `stages:` with one entry a stage")
        return cls(spec, language, str(file), file.is_own)

    def __iter__(self) -> Iterator[Stage]:
        return iter(self._stages.values())

    def __getitem__(self, name: str) -> Stage:
        return self._stages[name]

    def __contains__(self, name: str) -> bool:
        return name in self._stages

    def chosen(self, names: Iterable[str]) -> list[Stage]:
        """The named stages and all that they need, in order; every stage where none is named."""
        wanted: set[str] = set()
        queue = list(names) or list(self._stages)
        while queue:
            name = queue.pop()
            if name in self.off:
                raise UserError(f"stage {name!r} is off; set `enabled: true` in the stages file")
            if name not in self:
                raise UserError(f"no stage {name!r}; {nearest(name, self._stages)}")
            wanted.add(name)
            queue.extend(self[name].needs)
        return [stage for stage in self if stage.name in wanted]

    def reads(self, stage: Stage) -> frozenset[str]:
        """The parts of a clip on which the stage's result depends, through all that it needs."""
        return stage.make().reads.union(*(self.reads(self[need]) for need in stage.needs))

    def identities(self, chosen: Iterable[Stage]) -> dict[str, StageIdentity]:
        """The identities of stages, each given after what it needs.

        Looks for the weights; raises UserError where they are not to be had.
        """
        found: dict[str, StageIdentity] = {}
        for stage in chosen:
            upstream = {need: found[need] for need in stage.needs}
            found[stage.name] = identify(stage, self.partition, self.reads(stage), upstream)
        return found

    def stored_identities(self) -> dict[str, StageIdentity]:
        """The identities of all stages that write a store."""
        found = self.identities(self)
        return {stage.name: found[stage.name] for stage in self if stage.stored}

    def _check_fields(self, where: str, stage: Stage) -> None:
        offered = {need: self[need].hands_on for need in stage.needs}
        for field, taken in {**stage.make().takes, **stage.kind.may_take}.items():
            givers = [need for need in stage.needs if field in offered[need]]
            if not givers and field in stage.kind.may_take:
                continue
            if len(givers) != 1:
                among = f"of the stages it needs ({', '.join(stage.needs) or 'none'})"
                number = f"{len(givers)} {among} write" if givers else f"none {among} writes"
                raise UserError(
                    f"{where}: stage {stage.name!r} takes {field!r}, which {number}; change its "
                    "`needs` or their settings"
                )
            taken.require(field, offered[givers[0]][field], stage.name, givers[0])


def _entry(where: str, name: str, box: Any) -> _Entry:
    return validated(_Entry, box or {}, f"{where}: stage {name!r}")


def _stage(where: str, name: str, entry: _Entry, steps: int) -> Stage:
    about = f"{where}: stage {name!r}"
    extractor = entry.extractor or name
    settings = validated(extractor_class(name, extractor).Settings, entry.model_extra, about)
    # The order of what a stage needs is no part of its identity, so it must not matter.
    needs = tuple(sorted(set(entry.needs)))
    return Stage(name, extractor, needs, settings, entry.keep, steps, entry.enabled)


def validated(model: type[Model], content: Any, about: str) -> Model:
    """The content as that model has it; UserError that tells the first faults where it has not."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'settings'}: "
            f"{e['msg'].removeprefix('Value error, ')} (got {_cut(repr(e['input']))})"
            for e in error.errors()[:MOST_FAULTS]
        )
        raise UserError(f"{about}: {told}") from None


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _for_language(value: Any, language: str, where: str) -> Any:
    """Replace every value that is given by language (`{en: …, zh: …}`)."""
    if not isinstance(value, dict):
        return value
    if value and set(value) <= LANGUAGES:
        if language not in value:
            told = _cut(str(value))
            raise UserError(f"{where}: no value for language {language!r} in {told}")
        return value[language]
    return {key: _for_language(inner, language, where) for key, inner in value.items()}
