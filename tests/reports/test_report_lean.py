"""Pages and figures in fewer letters, that say and show the same."""

import re
import xml.etree.ElementTree as ET

import pytest

from reports.drawing import colour, sheet, style, to_svg
from reports.lean import lean
from reports.panel import Panel
from reports.slim_svg import path, slim
from tests.reports.page_parser import PageParser

PAGE = """<head><meta name="generator" content="x"></head>
<section id="speed"><table class="numbers wide">
<caption>said "so" of a=b</caption>
<thead><tr><th scope="col">a</th></tr></thead>
<tbody>
<tr><th scope="row" data-x="1">b</th><td class="far" title="c">2</td><td></td></tr>
</tbody>
</table><a href="#t1">x</a><br/><svg role="img"><path d="M0 0"/></svg></section>
<script type="module">const a = "<td class=\\"b\\">";</script>"""


def test_a_lean_page_is_shorter_and_read_as_the_same():
    found = lean(PAGE)
    assert len(found) < 0.9 * len(PAGE)
    before, after = PageParser(PAGE), PageParser(found)
    assert before.attributes == after.attributes
    assert before.tables == after.tables
    said = ["".join(each.sections["speed"].split()) for each in (before, after)]
    assert said[0] == said[1]


def test_head_scripts_and_figures_stay_as_they_are():
    found = lean(PAGE)
    for part in re.findall(r"<head>.*?</head>|<script.*?</script>|<svg.*?</svg>", PAGE, re.DOTALL):
        assert part in found


def test_an_attribute_that_needs_its_quotes_keeps_them():
    for text in ('<a b="">', '<a b="c d">', '<a b="c=d">', '<a b="c"/>', '<a b="c>d">'):
        assert lean(text) == text


@pytest.mark.parametrize(
    ("absolute", "relative"),
    [
        ("M 1 2 L 3 2 L 3 5 L 4 6z", "M1 2h2v3l1 1z"),
        ("M 1.25 2 L 1.35 2.1 L 0.9 2", "M1.2 2l.2 .1-.5-.1"),
        ("M 10 0 L 10 5 M 20 0 L 20 5 ", "M10 0v5M20 0v5"),
        ("M 0 5 C 1 5 2 4 3 3 C 4 2 5 1 5 0z", "M0 5c1 0 2-1 3-2 1-1 2-2 2-3z"),
        ("M -0.04 3 L -0.04 3", "M0 3v0"),
    ],
)
def test_paths_are_rewritten_relative_to_the_point_before(absolute, relative):
    assert path(absolute) == relative


def ends(data):
    """Points of a path of M, l, h and v."""
    here, points = (0.0, 0.0), []
    for command, text in re.findall(r"([Mlhv])([^Mlhvz]*)", data):
        numbers = [float(each) for each in re.findall(r"-?\d*\.?\d+", text)]
        if command in "hv":
            steps = [(each, 0) if command == "h" else (0, each) for each in numbers]
            numbers = [number for step in steps for number in step]
        for step in zip(numbers[::2], numbers[1::2], strict=True):
            here = step if command == "M" else (here[0] + step[0], here[1] + step[1])
            points.append(here)
    return points


def test_rounding_does_not_add_up_along_a_path():
    places = [(1 / 3 * number, 7 / 9 * number**1.5) for number in range(200)]
    data = "M " + " L ".join(f"{x:.6f} {y:.6f}" for x, y in places)
    found = ends(path(data))
    assert len(found) == len(places)
    for (x, y), (left, top) in zip(places, found, strict=True):
        assert (left, top) == pytest.approx((x, y), abs=0.051)


def drawn():
    with style("test"):
        figure = sheet(240, 120)
        panel = Panel(figure, 40, 20, 180, 80, (1, 100), (1, 100))
        panel.x_ticks([1, 10, 100], str)
        panel.curve([1, 10, 100], [2, 20, 40], 1)
        panel.curve([1, 10, 100], [5, 5, 5], 0)
        panel.dots([3, 30], [3, 30], 2, alpha=0.5)
        panel.ring(10, 20, colour(1))
        return to_svg(figure, "made up")


def test_points_of_a_series_are_markers_of_its_line_and_keep_their_colour():
    figure = drawn()
    assert "<use" not in figure
    lines = [
        element.get("d")
        for element in ET.fromstring(figure).iter("path")  # noqa: S314
        if "marker:url(#" in element.get("style", "")
    ]
    assert [len(ends(line)) for line in lines] == [3, 3, 2, 1]
    markers = dict(re.findall(r'<marker id="([^"]+)".*?<path [^>]*style="([^"]*)"', figure))
    assert set(re.findall(r"url\(#([^)]+)\)", figure)) == set(markers)
    assert sum("--series-1" in look for look in markers.values()) == 2
    assert sum("opacity:0.5" in look for look in markers.values()) == 1


def test_texts_of_one_look_say_it_once():
    found = slim('<text style="a: 1; b: 2" x="1">p</text><text style="a: 1; b: 2" x="2">q</text>')
    assert found == '<g style="a:1;b:2"><text x="1">p</text><text x="2">q</text></g>'
