"""A stage's settings, and what of them enters the fingerprint."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from pydantic import AfterValidator, ConfigDict, Field

from pipeline.media.limits import TIME_LIMIT_S
from pipeline.stage.bounded import Bounded


def runtime(default: Any, **limits: Any) -> Any:
    """A setting that changes speed, and results by no more than another processor would.

    It stays out of the fingerprint: see docs/engines.md.
    """
    return Field(default, json_schema_extra={"runtime": True}, **limits)


def by_content(default: Any, **limits: Any) -> Any:
    """A setting that says where weights are: in the fingerprint their digest stands for it."""
    return Field(default, json_schema_extra={"by_content": True}, **limits)


def code(does: str, default: Any = None, **limits: Any) -> Any:
    """A setting, by content, that names what is run: a program, or a file of Python objects.

    does: what follows "would" where a person is told. Data may not give it, unless it is trusted.
    """
    return Field(default, json_schema_extra={"by_content": True, "code": does}, **limits)


def unless_default(default: Any, **limits: Any) -> Any:
    """A setting that is in the fingerprint unless it is the default.

    For one that came when caches had been written as its default has it: they stay valid.
    """
    return Field(default, json_schema_extra={"unless_default": True}, **limits)


def in_order(known: Iterable[str]) -> AfterValidator:
    """Of a setting that is a tuple of `known` names: each of them once, in the order of these."""
    order = list(known)
    return AfterValidator(lambda given: tuple(sorted(set(given), key=order.index)))


def time_limit() -> Any:
    """The setting `time_limit_s` of a stage that decodes: runtime-only."""
    meaning = "How long decoding one clip may take, in seconds; what takes longer fails."
    return runtime(TIME_LIMIT_S, gt=0, description=meaning)


class StageSettings(Bounded):
    """A stage's settings, each part of the fingerprint unless made by a function above.

    What stands below a field says what it means; docs/settings.md is made from it.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    @classmethod
    def marked(cls, mark: str) -> set[str]:
        """The names of the settings made by the function of that name."""
        return {
            name
            for name, info in cls.model_fields.items()
            if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get(mark)
        }

    @classmethod
    def code_settings(cls) -> dict[str, str]:
        """By setting that names what is run, what it does with that."""
        extras = {name: cls.model_fields[name].json_schema_extra for name in cls.marked("code")}
        return {
            name: str(extra["code"]) for name, extra in extras.items() if isinstance(extra, dict)
        }

    @classmethod
    def default(cls, name: str) -> Any:
        """What a setting is where nobody sets it."""
        return cls.model_fields[name].default

    def affecting_results(self) -> dict[str, Any]:
        """The settings that can change a result, normalised, for the fingerprint."""
        left_out = self.marked("runtime") | self.marked("by_content")
        names = self.marked("unless_default")
        at_default = {name for name in names if getattr(self, name) == self.default(name)}
        return self.model_dump(mode="json", exclude=left_out | at_default)

    def provenance(self) -> dict[str, Any]:
        """What a store says about itself: the same, and where the weights were found."""
        return self.model_dump(mode="json", exclude=self.marked("runtime"))

    def with_smaller_batches(self) -> Self:
        """The settings with every runtime `batch_…` above 1 halved, for less memory; 0 chooses."""
        sizes = {n: getattr(self, n) for n in self.marked("runtime") if n.startswith("batch_")}
        return self.model_copy(update={name: size // 2 or size for name, size in sizes.items()})
