"""The reference of stages' settings as Markdown, made from the settings classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from inspect import getdoc
from typing import Any

from pipeline.cli.settings_table import as_yaml, described, table
from pipeline.dag.spec import DEFAULT_FILE, PARTITION
from pipeline.dag.stage import built_in, extractor_class
from pipeline.io.yaml_file import read_yaml
from pipeline.stage.bounded import MOST
from pipeline.stage.extractor import Extractor
from pipeline.stage.settings import StageSettings
from pipeline.stage.steps import STEPS

ABOUT = f"""\
A stages file has, at its top, `partition` (`{PARTITION}`: clips a task, a chunk and a commit), \
`steps` (`{STEPS}`: the common time length) and `stages`. Each stage is named after its extractor, \
or names it as `extractor`; `needs` is the stage or list of stages whose fields it takes, \
`keep: true` stores a stage that is otherwise only streamed, and `enabled: false` leaves one out. \
A setting may be given by language, `{{en: …, zh: …}}`. A whole number is at most {MOST:,} unless \
its type says otherwise.

The last column says whether a setting is part of the stage's fingerprint. *yes*: a change runs \
the stage again. *by content*: the digest of the weights counts, not where they lie. *no*: it \
changes speed only."""


def document() -> Iterator[str]:
    """The chapter on stages: a section for each extractor that comes with the project."""
    yield "## The stages"
    yield ABOUT
    yield from map(stage, built_in())


def stage(name: str) -> str:
    """What the extractor `name` does, what it needs and what can be set."""
    kind = extractor_class(name, name)
    about = (getdoc(kind) or "").partition("\n")[0]
    return "\n\n".join([f"### {name}", " ".join([about, *_needs(kind)]), _settings(name, kind)])


def _settings(name: str, kind: type[Extractor]) -> str:
    rows = described(kind.Settings)
    if not rows:
        return "No settings."
    own = _project().get(name) or {}
    for row, setting in zip(rows, kind.Settings.model_fields, strict=True):
        if isinstance(own.get(setting), dict):  # a value by language
            row[3] += f" In `stages.yaml`: {as_yaml(own[setting])}."
        row.append(_counts(kind.Settings, setting))
    return table(["setting", "type", "default", "meaning", "fingerprint"], rows)


def _counts(settings: type[StageSettings], name: str) -> str:
    if name in settings.marked("runtime"):
        return "no"
    return "by content" if name in settings.marked("by_content") else "yes"


def _needs(kind: type[Extractor]) -> Iterator[str]:
    if kind.reads:
        yield f"Reads the clip's {' and '.join(sorted(kind.reads))}."
    if kind.takes:
        yield f"Takes {', '.join(f'`{field}`' for field in kind.takes)} of a stage that it needs."
    if kind.may_take:
        fields = ", ".join(f"`{field}`" for field in kind.may_take)
        yield f"Uses {fields} where a stage that it needs writes that."


@lru_cache
def _project() -> Mapping[str, Mapping[str, Any]]:
    """The settings of each stage in the project's own stages file."""
    found: Mapping[str, Any] = read_yaml(DEFAULT_FILE)["stages"]
    return found
