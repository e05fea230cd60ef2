"""`stages.yaml` read, validated and put in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, PositiveInt, ValidationError

from pipeline.dag.identity import StageIdentity, identify
from pipeline.dag.stage import Stage, extractor_class, nearest
from pipeline.errors import UserError
from pipeline.messages import one_line
from pipeline.stage.steps import STEPS

PARTITION = 32
LANGUAGES = frozenset({"en", "zh"})
DEFAULT_FILE = Path(str(files("pipeline") / "stages.yaml"))  # in a checkout a link to its top

Model = TypeVar("Model", bound=BaseModel)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    partition: PositiveInt = PARTITION
    steps: PositiveInt = STEPS
    stages: dict[str, Any] = {}


class _Entry(BaseModel):
    """What every stage can be given; the rest are its extractor's settings."""

    model_config = ConfigDict(extra="allow", strict=True)
    extractor: str = ""
    needs: Annotated[
        list[str], BeforeValidator(lambda n: [n] if isinstance(n, str) else [] if n is None else n)
    ] = []
    enabled: bool = True
    keep: bool = False


def file_for(dataset: Path) -> Path:
    """The stages file of a dataset: beside its table, else ./stages.yaml, else the package's."""
    own = (dataset if dataset.is_dir() else dataset.parent) / "stages.yaml"
    here = Path("stages.yaml")
    return next((path for path in (own, here) if path.is_file()), DEFAULT_FILE)


class Stages:
    """The stages in the order in which they can run.

    off: the names of those with `enabled: false`. They are as if they were not written, also where
    another stage needs them: it does without what it takes from them only optionally.
    """

    def __init__(
        self, spec: Mapping[str, Any], language: str = "en", where: str = "stages"
    ) -> None:
        self.spec: dict[str, Any] = _for_language(dict(spec), language, where)
        file = _validated(_File, self.spec, where)
        if not file.stages:
            raise UserError(f"{where}: `stages` must name at least one stage")
        self.partition, self.steps = file.partition, file.steps
        made = {name: _stage(where, name, box, self.steps) for name, box in file.stages.items()}
        order = _ordered(where, made)
        self.off = frozenset(name for name in order if not made[name].enabled)
        self._stages = {
            name: replace(made[name], needs=tuple(n for n in made[name].needs if n not in self.off))
            for name in order
            if name not in self.off
        }
        for stage in self:
            self._check_fields(where, stage)

    @classmethod
    def load(cls, path: str | Path, language: str = "en") -> Stages:
        """Read a stages file; a setting given by language is resolved to `language`'s value."""
        try:
            spec = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{path} can't be read: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{path} is not YAML: {one_line(error)}") from error
        if not isinstance(spec, dict):
            raise UserError(f"{path}: expected `stages:` with one entry a stage")
        return cls(spec, language, str(path))

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
        return stage.kind.reads.union(*(self.reads(self[need]) for need in stage.needs))

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


def _stage(where: str, name: str, box: Any, steps: int) -> Stage:
    about = f"{where}: stage {name!r}"
    entry = _validated(_Entry, box or {}, about)
    extractor = entry.extractor or name
    settings = _validated(extractor_class(name, extractor).Settings, entry.model_extra, about)
    # The order of what a stage needs is no part of its identity, so it must not matter.
    needs = tuple(sorted(set(entry.needs)))
    return Stage(name, extractor, needs, settings, entry.keep, steps, entry.enabled)


def _validated(model: type[Model], content: Any, about: str) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'settings'}: "
            f"{e['msg'].removeprefix('Value error, ')} (got {e['input']!r})"
            for e in error.errors()
        )
        raise UserError(f"{about}: {told}") from None


def _ordered(where: str, stages: Mapping[str, Stage]) -> list[str]:
    for stage in stages.values():
        for need in stage.needs:
            if need not in stages:
                hint = nearest(need, stages)
                raise UserError(f"{where}: stage {stage.name!r} needs {need!r}; {hint}")
    try:
        TopologicalSorter({name: stage.needs for name, stage in stages.items()}).prepare()
    except CycleError as error:
        raise UserError(f"{where}: stages need each other: {' → '.join(error.args[1])}") from None
    order: dict[str, None] = {}  # the file's own, but for stages that come before what they need

    def visit(name: str) -> None:
        for need in stages[name].needs:
            visit(need)
        order[name] = None

    for name in stages:
        visit(name)
    return list(order)


def _for_language(value: Any, language: str, where: str) -> Any:
    """Replace every value that is given by language (`{en: …, zh: …}`)."""
    if not isinstance(value, dict):
        return value
    if value and set(value) <= LANGUAGES:
        if language not in value:
            raise UserError(f"{where}: no value for language {language!r} in {value}")
        return value[language]
    return {key: _for_language(inner, language, where) for key, inner in value.items()}
