"""A small real run of suite `networks`, from the first worker to the page."""

import pytest

from bench.measure.engine import execute
from bench.measure.plan import Plan
from bench.phases import Phase
from bench.plugins.implementations import choose
from bench.plugins.suites import load_suite
from bench.results.schema import Settings, Status
from reports.break_even import groups
from reports.growth import studies
from reports.page import render
from reports.speed import compare
from tests.reports.page_parser import PageParser

PHASES = (Phase.FORWARD, Phase.FORWARD_COLD)
GRIDS = {3: 24, 5: 96, 6: 192}
STACKED = "vgg-plain-3-grid47-strokes"


@pytest.fixture(scope="module")
def run():
    suite = load_suite("networks")
    names = [f"deepcnet-{level}-30-grid{grid}-strokes-b2" for level, grid in GRIDS.items()]
    references, broken = choose(["dense", "gather"])
    return execute(
        Plan(
            suite=suite,
            workloads=tuple(map(suite.find, [*names, STACKED])),
            implementations=tuple(references),
            broken=tuple(broken),
            dtypes=("float32",),
            device="cpu",
            settings=Settings(0.05, 0.005, 1, 1, 0, 60.0, PHASES),
        )
    )


@pytest.fixture(scope="module")
def page(run):
    return PageParser(render(run))


def test_every_network_is_right_on_every_implementation(run):
    assert {(cell.status, cell.reason) for cell in run.cells} == {(Status.OK, "")}


def test_growth_has_every_size_of_every_implementation(run):
    comparison = compare(run)
    (study,) = studies(comparison, groups(comparison, comparison.headline))
    assert study.sizes == tuple(GRIDS.values())
    for part in study.parts:
        assert {line.implementation for line in part.times} == {"dense", "gather"}
        assert all(len(line.values) == len(GRIDS) and min(line.values) > 0 for line in part.times)


def test_the_page_shows_growth_and_layers_of_what_was_measured(page):
    assert "from grid size 24 to 192, time grows with the power" in page.text("verdict")
    assert page.table("The power of grid size with which time grows")
    table = page.table("deepcnet-6-30-grid192-strokes-b2: time by layer")
    assert {"conv1", "pool1", "conv2"} < {row[0] for row in table.rows}


def test_the_page_judges_kernel_maps_by_the_stacks_that_were_measured(page):
    table = page.table("extra time of a cold pass over a warm one in stacks")
    assert [row[:2] for row in table.rows[1:]] == [["dense", "3"], ["gather", "3"]]
