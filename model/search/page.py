"""The page of a search: what mattered, what was tried, what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from itertools import accumulate
from pathlib import Path
from typing import Any

from markupsafe import Markup

from model.metrics import is_share, shown, title
from model.search.folder import SETTINGS, source
from model.search.found import Found
from model.search.study import AT_RANDOM, FAILED, FINISHED, STOPPED, Tried
from model.training.space import Range
from pipeline.html import charts, templates, write_page
from pipeline.html.numbers import plain
from pipeline.html.parallel import Axis, parallel

PAGE = "search.html"


def write(found: Found) -> Path:
    """Write the page into the search's folder."""
    return write_page(render(found), found.folder / PAGE)


def render(found: Found) -> str:
    """The page as HTML."""
    template = templates(files("model.search")).get_template(PAGE)
    finished = _best_first(found, [t for t in found.tried if t.state == FINISHED])
    names = list(found.space)
    return template.render(
        found=found,
        lead=title(found.lead).removesuffix(" ↓"),
        told=source(found),
        figures=_figures(found),
        charts=[_history(found), *([_importance(found)] if found.importance else [])],
        at_random=AT_RANDOM,
        parallel=_parallel(found, finished),
        shown=partial(shown, found.lead),
        names=[_short(name) for name in names],
        cells=lambda one: [_told(one.values.get(name, "–")) for name in names],
        use=shlex.join(["--model", found.preset.model, "--settings", str(found.folder / SETTINGS)]),
    )


def _figures(found: Found) -> list[tuple[str, str]]:
    states = [one.state for one in found.tried]
    counts = {FINISHED: "trials finished", STOPPED: "stopped early", FAILED: "failed"}
    told = [(str(states.count(state)), what) for state, what in counts.items() if state in states]
    return [*told, (plain(found.seconds / 60, 1), "minutes")]


def _best_first(found: Found, tried: Sequence[Tried]) -> list[Tried]:
    sign = 1 if found.lower_is_better else -1
    return sorted(tried, key=lambda one: sign * one.value)


def _history(found: Found) -> Markup:
    finished = [one for one in found.tried if one.state == FINISHED]
    scale = 100 if is_share(found.lead) else 1
    values = [scale * one.value for one in finished]
    series = {
        "best so far": list(accumulate(values, min if found.lower_is_better else max)),
        "finished trial": values,
    }
    what = f"Validation {title(found.lead)} by trial"
    return charts.lines(what, [one.number for one in finished], series)


def _importance(found: Found) -> Markup:
    shares = sorted(found.importance.items(), key=lambda one: -one[1])
    rows = [
        charts.Interval(_short(name), 100 * share, is_best=i == 0)
        for i, (name, share) in enumerate(shares)
    ]
    return charts.intervals("Importance of a setting, %", rows)


def _parallel(found: Found, finished: Sequence[Tried]) -> Markup:
    """The finished trials, finalists strong."""
    chosen = [one.tried.number for one in found.finalists]
    order = sorted(finished, key=lambda one: one.number not in chosen)
    values = [one.value for one in finished]
    ends = (min(values), max(values))
    lead = Axis(title(found.lead), ends, is_better_low=found.lower_is_better)
    axes = [_axis(name, values) for name, values in found.space.items()]
    rows: list[dict[str, Any]] = [
        {**{_short(name): v for name, v in one.values.items()}, lead.name: one.value}
        for one in order
    ]
    return parallel("Finished trials, finalists strong", [*axes, lead], rows, len(chosen))


def _axis(name: str, values: Range | list[Any]) -> Axis:
    if isinstance(values, Range):
        return Axis(_short(name), (values.low, values.high), is_log=values.log)
    return Axis(_short(name), choices=values)


def _short(name: str) -> str:
    return name.removeprefix("network.")


def _told(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
