"""The frame of pages: escaped, self-contained, readable on any screen, charts, tables to filter."""

from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup

from pipeline.html import charts, data_uri, strip, templates, write_page
from pipeline.html.charts import count_ticks, labelled, nice_ticks
from pipeline.html.numbers import grouped, plain
from tests.support.browser import PHONE, Browser

HOSTILE = "</script><script>document.title = 'broken'</script><!-- \" ' & {{ 7 * 7 }}"
TEMPLATE = """
{% extends "frame.html" %}
{% import "parts.html" as parts %}
{% block title %}{{ name }}{% endblock %}
{% block heading %}{{ name }}{% endblock %}
{% block navigation %}<ul><li><a href="#clips">Clips</a></li></ul>{% endblock %}
{% block content %}
<section id="clips" aria-labelledby="clips-title"><h2 id="clips-title">Clips</h2>
{{ parts.figures([(1200|grouped, name)]) }}
{{ parts.absent(name, "smp extract DATASET") }}
{{ chart }}
<img src="{{ picture }}" alt="{{ name }}" width="160" height="40">
{{ parts.filter("rows", "clips", {"state": ["ok", "failed"]}) }}
<div class="scroll" tabindex="0" role="region" aria-label="Clips"><table id="rows" class="sortable"
 data-limit="3">
<caption>Every clip</caption>
<thead><tr><th scope="col">Clip</th><th scope="col" class="n">Length</th></tr></thead>
<tbody>{% for id, state, length in rows %}
<tr data-state="{{ state }}"><th scope="row">{{ id }}</th><td class="n">{{ length }}</td></tr>
{% endfor %}</tbody></table></div>
</section>{% endblock %}
"""
ROWS = [(HOSTILE, "failed", 9), ("b", "ok", 10), ("c", "ok", 100), ("d", "ok", 2), ("e", "ok", 30)]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "page.html").write_text(TEMPLATE)
    faces = [np.full((112, 112, 3), shade, np.uint8) for shade in (0, 80, 160, 240)]
    html = (
        templates(tmp_path)
        .get_template("page.html")
        .render(
            name=HOSTILE,
            rows=ROWS,
            picture=data_uri(strip(faces, 40)),
            chart=charts.bars(HOSTILE, ["a", HOSTILE], {HOSTILE: [1, 2], "other": [3, 0]}),
        )
    )
    return write_page(html, tmp_path / "made" / "page.html")


def shown(browser: Browser) -> list[str]:
    code = "return [...document.querySelectorAll('#rows tbody tr:not([hidden]) td')]"
    return browser.script(code + ".map((cell) => cell.textContent)")


def test_what_users_wrote_shows_as_text(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.script("return document.title") == HOSTILE
    assert browser.script("return document.querySelector('h1').textContent") == HOSTILE
    assert browser.script("return document.querySelectorAll('script').length") == 1
    assert browser.script("return document.querySelector('#rows tbody th').textContent") == HOSTILE
    assert browser.script("return document.querySelector('img').naturalWidth") == 160
    assert browser.console() == []
    assert browser.requests() == []


def test_text_that_would_be_turned_around_is_shown_as_written(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("{{ id }} {{ made }} {{ 1 }}")
    id = "a\u202egpj.exe \u2066b <i> می\u200cخواهم"
    html = templates(tmp_path).get_template("page.html").render(id=id, made=Markup("<b>\n</b>"))
    assert html == "a\\u202egpj.exe \\u2066b &lt;i&gt; می\u200cخواهم <b>\n</b> 1"


def test_a_page_may_not_reach_the_network(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.script("new Image().src = 'http://127.0.0.1:9/'; document.title = 'tried'")
    assert any("Content Security Policy" in message for message in browser.console())


def test_a_table_is_filtered_and_sorted(browser: Browser, page: Path) -> None:
    browser.open(page)
    output, search = (browser.driver.find_element("css selector", s) for s in ("output", "input"))
    assert (output.text, shown(browser)) == ("5 of 5 clips", ["9", "10", "100"])
    browser.driver.find_element("xpath", "//th/button[text()='Length']").click()
    assert shown(browser) == ["2", "9", "10"], "as numbers, and the first of the new order"
    browser.driver.find_element("xpath", "//th/button[text()='Length']").click()
    assert shown(browser) == ["100", "30", "10"]
    browser.driver.find_element("css selector", ".more").click()
    assert shown(browser) == ["100", "30", "10", "9", "2"]
    search.send_keys("</SCRIPT>")
    assert (output.text, shown(browser)) == ("1 of 5 clips", ["9"])
    search.clear()
    browser.driver.find_element("css selector", "select").send_keys("ok")
    assert (output.text, shown(browser)) == ("4 of 5 clips", ["100", "30", "10", "2"])
    assert browser.console() == []


def test_a_page_fits_a_phone(browser: Browser, page: Path) -> None:
    browser.open(page, PHONE)
    assert browser.overflow_px() == 0


def test_schemes_differ_and_text_is_readable_in_both(browser: Browser, page: Path) -> None:
    browser.open(page)
    colours = {}
    for scheme in ("light", "dark"):
        browser.show_as(PHONE, scheme)
        names = ["paper", "raised", "ink", "soft", "accent", "bad", "odd"]
        code = (
            "const style = getComputedStyle(document.documentElement);"
            "return arguments[0].map((name) => style.getPropertyValue('--' + name))"
        )
        colours[scheme] = dict(zip(names, browser.script(code, names), strict=True))
        for name in names[2:]:
            for ground in ("paper", "raised"):
                assert contrast(colours[scheme][name], colours[scheme][ground]) >= 4.5, name
    assert colours["light"]["paper"] != colours["dark"]["paper"]


def contrast(a: str, b: str) -> float:
    """The contrast ratio of two colours as the Web Content Accessibility Guidelines define it."""

    def luminance(colour: str) -> float:
        channels = [int(colour.strip()[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_a_screenshot_is_kept_and_shows_something(browser: Browser, page: Path) -> None:
    browser.open(page)
    for name, picture in browser.screenshots("frame").items():
        assert picture.std() > 3, name
        assert (picture.mean() > 128) == name.startswith("light")


def test_ticks_are_round_and_enclose_the_values() -> None:
    assert nice_ticks(0, 37) == [0, 10, 20, 30, 40]
    assert nice_ticks(-0.31, 0.52) == [-0.5, 0, 0.5, 1]
    assert nice_ticks(5, 5)[0] < 5 < nice_ticks(5, 5)[-1]
    assert nice_ticks(0, 0)[0] < 0 < nice_ticks(0, 0)[-1]
    assert count_ticks(2) == [0, 1, 2]
    assert labelled([11.305, 11.31]) == [(11.305, "11.305"), (11.31, "11.310")]
    assert labelled([-2000, 0, 2000])[0] == (-2000, "−2,000")


def test_a_column_is_as_high_as_its_value() -> None:
    svg = str(charts.bars("t", ["a", "b"], {"one": [10, 20], "two": [0, 20]}))
    heights = [float(part.split('"')[0]) for part in svg.split(' height="')[1:]]
    assert heights == pytest.approx([36.5, 73, 73], abs=0.3)  # of 146 for 40


def test_a_line_has_gaps_where_values_lack() -> None:
    svg = str(charts.lines("t", [0, 1, 2, 3], {"one": [1, 2, float("nan"), 1]}))
    path = svg.split('class="line s1" d="')[1].split('"')[0]
    assert (path.count("M"), path.count("L")) == (2, 1)


def test_charts_of_nothing_are_drawn() -> None:
    nan = float("nan")
    for made in (
        charts.bars("t", [], {"one": []}),
        charts.histogram("t", [0, 1], [0]),
        charts.lines("t", [], {"one": []}),
        charts.lines("t", [1], {"one": [nan]}),
        charts.intervals("t", [charts.Interval("a", nan)], ("median", nan)),
    ):
        assert "nan" not in str(made)


def test_numbers_read_well() -> None:
    assert (grouped(12345), plain(-0.125), plain(float("nan")), plain(None)) == (
        "12,345", "−0.12", "–", "–",
    )  # fmt: skip
    assert plain(-0.001) == "0.00"
