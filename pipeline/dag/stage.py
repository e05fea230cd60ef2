"""The DAG: `stages.yaml` read, validated and ordered, and the fingerprint of every stage."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline import extractors
from pipeline.errors import UserError
from pipeline.io.hashing import of_json
from pipeline.messages import one_line
from pipeline.stage.extractor import Extractor, StreamingExtractor
from pipeline.stage.field import Field
from pipeline.stage.settings import StageSettings
from pipeline.stage.steps import STEPS
from pipeline.system import device
from pipeline.weights.resolve import Weights

PARTITION = 32
LANGUAGES = frozenset({"en", "zh"})
DEFAULT_FILE = Path(str(files("pipeline") / "stages.yaml"))  # in a checkout a link to its top


@dataclass(frozen=True)
class Stage:
    """A node: a named extractor with its settings and what it needs. keep: store a stream too."""

    name: str
    extractor: str
    needs: tuple[str, ...]
    settings: StageSettings
    keep: bool
    steps: int

    @cached_property
    def kind(self) -> type[Extractor]:
        """The extractor's class."""
        return extractor_class(self.name, self.extractor)

    def make(self) -> Extractor:
        """The extractor, with this stage's settings."""
        return self.kind(self.settings, self.steps)

    @property
    def stored(self) -> bool:
        """Whether the stage writes a store: all but streams that nobody asked to keep."""
        return self.keep or not issubclass(self.kind, StreamingExtractor)


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
        self.spec = _for_language(dict(spec), language, where)
        known = {"partition", "steps", "stages"}
        if unknown := set(self.spec) - known:
            raise UserError(f"{where}: unknown {_one(unknown)}; known: {', '.join(sorted(known))}")
        self.partition = _positive(where, "partition", self.spec.get("partition", PARTITION))
        self.steps = _positive(where, "steps", self.spec.get("steps", STEPS))
        boxes = self.spec.get("stages")
        if not isinstance(boxes, Mapping) or not boxes:
            raise UserError(f"{where}: `stages` must name at least one stage")
        made = {name: self._stage(where, name, box or {}) for name, box in boxes.items()}
        order = _ordered(where, made)
        self.off = frozenset(name for name in order if not _enabled(where, name, boxes[name]))
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

    def __iter__(self) -> Any:
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
                raise UserError(f"stage {name!r} is off; say `enabled: true` in the stages file")
            if name not in self:
                raise UserError(f"no stage {name!r}; {_nearest(name, self._stages)}")
            wanted.add(name)
            queue.extend(self[name].needs)
        return [stage for stage in self if stage.name in wanted]

    def reads(self, stage: Stage) -> frozenset[str]:
        """The parts of a clip on which the stage's result depends, through all that it needs."""
        return stage.kind.reads.union(*(self.reads(self[need]) for need in stage.needs))

    def identities(self, chosen: Iterable[Stage]) -> dict[str, dict[str, Any]]:
        """All that can change a result, by stage, with the `fingerprint` over it.

        `upstream` repeats the identities of what a stage needs, so that it can be told later what
        changed. Looks for the weights; raises UserError where they are not to be had.
        """
        found: dict[str, dict[str, Any]] = {}
        for stage in chosen:
            upstream = {need: found[need] for need in stage.needs}
            weights = _weights(stage)
            needs = {need: identity["fingerprint"] for need, identity in upstream.items()}
            identity = self._identity(stage, weights, needs)
            found[stage.name] = {
                **identity,
                "weights_id": weights and weights.id,
                "reads": sorted(self.reads(stage)),
                "fingerprint": of_json(identity),
                "upstream": upstream,
            }
        return found

    def _identity(
        self, stage: Stage, weights: Weights | None, needs: Mapping[str, str]
    ) -> dict[str, Any]:
        if weights is None and (unseen := stage.settings.marked("by_content")):
            raise TypeError(f"{stage.extractor}: {_one(unseen)} by content, but no `weights()`")
        return {
            "extractor": stage.extractor,
            "version": stage.kind.version,
            "settings": stage.settings.affecting_results(),
            "weights": weights and weights.digest,
            "needs": dict(needs),
            "steps": self.steps if stage.kind.uses_steps else None,
            "partition": self.partition,
        }

    def _stage(self, where: str, name: str, box: Mapping[str, Any]) -> Stage:
        if not isinstance(box, Mapping):
            raise UserError(f"{where}: stage {name!r}: expected settings, got {box!r}")
        settings = dict(box)
        extractor = str(settings.pop("extractor", name))
        needs = _names(where, name, settings.pop("needs", None) or [])
        settings.pop("enabled", True)
        keep = settings.pop("keep", False)
        if not isinstance(keep, bool):
            raise UserError(f"{where}: stage {name!r}: keep is true or false, got {keep!r}")
        kind = extractor_class(name, extractor)
        try:
            validated = kind.Settings(**settings)
        except ValidationError as error:
            raise UserError(f"{where}: stage {name!r}: {_one_line(error)}") from None
        return Stage(name, extractor, needs, validated, keep, self.steps)

    def _check_fields(self, where: str, stage: Stage) -> None:
        offered = {need: handed_on(self[need]) for need in stage.needs}
        for field, taken in {**stage.kind.takes, **stage.kind.may_take}.items():
            givers = [need for need in stage.needs if field in offered[need]]
            if not givers and field in stage.kind.may_take:
                continue
            if len(givers) != 1:
                among = f"of the stages it needs ({', '.join(stage.needs) or 'none'})"
                number = f"{len(givers)} {among} write" if givers else f"none {among} writes"
                raise UserError(
                    f"{where}: stage {stage.name!r} takes {field!r}, which {number}; change its "
                    "`needs`"
                )
            taken.require(field, offered[givers[0]][field], stage.name, givers[0])


def _weights(stage: Stage) -> Weights | None:
    try:
        return stage.make().weights()
    except UserError as error:
        raise UserError(f"stage {stage.name!r}: {error}") from error


def handed_on(stage: Stage) -> Mapping[str, Field]:
    """The fields that stages downstream are given: a stream's, or what the stage writes."""
    extractor = stage.make()
    return extractor.streams if isinstance(extractor, StreamingExtractor) else extractor.writes()


def uses_accelerator(stage: Stage) -> bool:
    """Whether the stage may run on a device other than the processor."""
    return getattr(stage.settings, "device", "cpu") != "cpu"


def require_devices(stages: Iterable[Stage]) -> None:
    """Compute something on the device of each stage; UserError where that fails."""
    for stage in stages:
        try:
            device.require(getattr(stage.settings, "device", "cpu"))
        except UserError as error:
            raise UserError(f"stage {stage.name!r}: {error}") from None


def extractor_class(stage: str, extractor: str) -> type[Extractor]:
    """The one extractor of `pipeline.extractors.<name>`, or of a dotted module of the user's."""
    module_name = extractor if "." in extractor else f"{extractors.__name__}.{extractor}"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name and not module_name.startswith(f"{error.name}."):
            raise
        raise UserError(
            f"stage {stage!r}: no extractor {extractor!r}; {_nearest(extractor, built_in())}"
        ) from None
    classes = [
        c
        for _, c in inspect.getmembers(module, inspect.isclass)
        if issubclass(c, Extractor) and c.__module__ == module_name
    ]
    if len(classes) != 1:
        raise UserError(f"{module_name}: expected one Extractor in this file, found {len(classes)}")
    return classes[0]


def built_in() -> list[str]:
    """The names of the extractors that come with the project."""
    folder = Path(extractors.__path__[0])
    return sorted(p.stem for p in folder.glob("*.py") if p.stem != "__init__")


def _ordered(where: str, stages: Mapping[str, Stage]) -> list[str]:
    for stage in stages.values():
        for need in stage.needs:
            if need not in stages:
                hint = _nearest(need, stages)
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


def _for_language(spec: dict[str, Any], language: str, where: str) -> dict[str, Any]:
    """Replace every value that is given by language (`{en: …, zh: …}`)."""

    def resolve(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        if value and set(value) <= LANGUAGES:
            if language not in value:
                raise UserError(f"{where}: no value for language {language!r} in {value}")
            return value[language]
        return {key: resolve(inner) for key, inner in value.items()}

    resolved: dict[str, Any] = resolve(spec)
    return resolved


def _names(where: str, stage: str, needs: Any) -> tuple[str, ...]:
    """What a stage needs, sorted: their order is no part of its identity, so it must not matter."""
    names = [needs] if isinstance(needs, str) else needs
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{where}: stage {stage!r}: needs is a stage or a list, got {needs!r}")
    return tuple(sorted(set(names)))


def _enabled(where: str, stage: str, box: Mapping[str, Any] | None) -> bool:
    enabled = (box or {}).get("enabled", True)
    if not isinstance(enabled, bool):
        raise UserError(f"{where}: stage {stage!r}: enabled is true or false, got {enabled!r}")
    return enabled


def _positive(where: str, name: str, value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise UserError(f"{where}: {name} must be a whole number above 0, got {value!r}")


def _one_line(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(map(str, e['loc'])) or 'settings'}: {_plain(e['msg'])} (got {e['input']!r})"
        for e in error.errors()
    )


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")  # said before what our own validators raise


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def _one(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names))
