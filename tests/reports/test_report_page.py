"""The page as a whole: complete, well-formed, harmless, the same every time."""

import base64
import hashlib
import re
import time
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from bench.results.schema import OTHERS, Status
from reports import markers
from reports.page import render
from tests.reports.page_parser import PageParser
from tests.reports.synthetic_runs import (
    ALL_PHASES,
    DENSE_SECONDS,
    Noise,
    cell,
    density_group,
    empty,
    make_run,
    only_failures,
    renamed,
    usual_times,
    workload,
)

SECTIONS = [
    "verdict",
    "machine",
    "speed",
    "break-even",
    "fairness",
    "efficiency",
    "memory",
    "not-measured",
    "method",
]
HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "'; DROP TABLE cells; --",
    "{{ 7 * 7 }}{% raw %}",
    "$x_1$ \\frac{1}{2}",
    "\u202egnp.exe",
    "\u05e9\u05dc\u05d5\u05dd\u05e2\u05d5\u05dc\u05dd",
    "line\nbreak\x00\x1b[31m",
    "|pipe| `tick` *star*",
    "x" * 10_000,
]


@pytest.fixture(scope="module")
def usual_run():
    return make_run(density_group(), ("dense", "gather", "masked", "brute"), phases=ALL_PHASES)


@pytest.fixture(scope="module")
def usual_page(usual_run):
    return render(usual_run)


def test_a_page_has_all_sections_in_order_and_a_contents_list_that_leads_there(usual_page):
    parsed = PageParser(usual_page)
    assert list(parsed.sections) == SECTIONS
    targets = [value for tag, name, value in parsed.attributes if (tag, name) == ("a", "href")]
    assert targets[: len(SECTIONS)] == [f"#{section}" for section in SECTIONS]
    assert all(target.removeprefix("#") in parsed.ids for target in targets)


def test_ids_are_unique_although_figures_share_the_page(usual_page):
    ids = PageParser(usual_page).ids
    assert len(ids) == len(set(ids))


def test_the_same_run_gives_the_same_bytes(usual_run, usual_page):
    assert render(usual_run) == usual_page


def test_every_table_has_a_caption_and_every_header_cell_a_scope(usual_page):
    tables = PageParser(usual_page).tables
    assert tables
    assert all(table.caption.strip() for table in tables)
    assert sum(table.unscoped_headers for table in tables) == 0


def test_a_page_says_that_it_is_one(usual_page):
    assert markers.REPORT in usual_page[:4096]


def test_nothing_is_loaded_from_anywhere_and_no_script_but_the_page_s_own_runs(usual_page):
    parsed = PageParser(usual_page)
    data, program = re.findall(r"<script([^>]*)>(.*?)</script>", usual_page, flags=re.DOTALL)
    assert data[0] == ' type="text/plain" id="data"'
    assert program[0] == ' type="module"'
    digest = base64.b64encode(hashlib.sha256(program[1].encode()).digest()).decode()
    policy = next(
        value for _, name, value in parsed.attributes if name == "content" and "src" in value
    )
    assert policy == (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    )
    for _, name, value in parsed.attributes:
        assert not name.startswith("on")
        if name in {"src", "href", "srcset", "action", "data", "poster"}:
            assert value.startswith(("#", "data:"))
    assert not re.search(r"https?://(?!www.w3.org/2000/svg)|@import", usual_page)
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)", usual_page))


def test_figures_are_well_formed_with_text_kept_as_text_and_colours_left_to_the_page(usual_page):
    figures = re.findall(r"<svg viewBox[^>]*role=.*?</svg>", usual_page, flags=re.DOTALL)
    assert figures
    texts = [
        text.text
        for figure in figures
        for text in ET.fromstring(figure).iter("text")  # noqa: S314
    ]
    assert "forward_cold" in texts
    assert "10\u00a0%" in texts
    painted = {colour for figure in figures for colour in re.findall(r"#[0-9a-f]{6}\b", figure)}
    assert painted <= {"#000000"}, "colours that dark mode cannot change"


def test_dark_mode_print_and_narrow_screens_are_provided_for(usual_page):
    for query in ("prefers-color-scheme: dark", "@media print", "max-width"):
        assert query in usual_page


def test_a_cell_stands_in_its_table_with_time_ratio_and_verdict_in_words(usual_page):
    table = PageParser(usual_page).table("uniform-0.01: batch")
    head = next(row for row in table.rows if row[0] == "Implementation")
    assert head[1:] == ["Time", "99 % interval", "Ratio", "99 % interval", "Verdict", "Of limit"]
    start = next(place for place, row in enumerate(table.rows) if row == ["forward"])
    rows = {row[0]: row for row in table.rows[start + 1 : start + 5]}
    assert rows["gather"][1].endswith("µs")
    assert rows["gather"][5] == "▼ faster · fastest"
    assert rows["masked"][5] == "▲ slower"
    assert rows["dense"][5] == "baseline"
    assert rows["brute"][1] == "unsupported: no kernel for this"


def test_the_overview_shows_every_workload_by_every_implementation(usual_page):
    table = PageParser(usual_page).table("forward_cold, float32 on cpu: against dense")
    assert table.rows[0] == ["Workload", "dense", "gather", "masked"]
    assert len(table.rows) == 10
    assert "gather is faster in" in table.caption


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_is_shown_as_text_wherever_it_stands(name):
    records = [replace(record, name=name + record.name, group=name) for record in density_group()]
    run = renamed(make_run(records[:3]), "gather", name)
    machine = replace(run.header.machine, name=name, facts={name: name}, doubts=(name,))
    unit = run.units[0]
    failed = tuple(
        replace(found, status=Status.ERROR, reason=name, timing=None)
        if found.implementation == "masked"
        else found
        for found in unit.cells
    )
    run = replace(
        run,
        header=replace(run.header, machine=machine, command=("run", name), suites=(name,), id=name),
        units=(replace(unit, cells=failed), *run.units[1:]),
    )
    page = render(run)
    parsed = PageParser(page)
    assert page.count("<script") == page.count("</script") == 2
    assert "img" not in parsed.tags
    assert not any(attribute.startswith("on") for _, attribute, _ in parsed.attributes)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", page)
    assert len(page) < 500_000


def test_a_long_name_is_cut_with_the_whole_of_it_in_its_title():
    name = "long" * 2500
    page = render(renamed(make_run(density_group()[:2]), "gather", name))
    assert f'title="{name}"' in page
    assert name[:59] in PageParser(page).text("verdict")
    assert name not in PageParser(page).text("fairness")


def test_names_from_right_to_left_are_isolated_from_the_text_around_them():
    name = HOSTILE[6]
    page = render(renamed(make_run(density_group()[:2]), "gather", name))
    isolated = re.findall(f"\u2068[^\u2069]*{name}[^\u2069]*\u2069", page)
    assert page.count(name) == len(isolated) > 0


def one_implementation():
    return make_run(density_group(), ("gather",))


def no_dense():
    return make_run(density_group(), ("gather", "masked"))


def only_dense():
    return make_run(density_group(), ("dense",))


def one_density():
    return make_run(density_group()[:1])


def unfinished():
    run = make_run(density_group()[:2])
    planned = (*run.header.planned, "never-reached")
    return replace(run, finished="", header=replace(run.header, planned=planned))


def no_rates():
    run = make_run(density_group()[:2])
    return replace(run, header=replace(run.header, machine=replace(run.header.machine, rates=())))


def no_work():
    run = make_run(density_group()[:2])
    units = tuple(
        replace(unit, cells=tuple(replace(found, work=None) for found in unit.cells))
        for unit in run.units
    )
    return replace(run, units=units)


def only_encoding():
    return make_run(density_group()[:2], phases=ALL_PHASES[:1])


def no_doubt():
    run = make_run(density_group()[:2])
    return replace(run, header=replace(run.header, machine=replace(run.header.machine, doubts=())))


def single_round():
    return make_run(density_group(), noise=Noise(count=1, length=1))


def one_crowded():
    run = make_run(density_group())
    first = replace(run.units[0], seconds={OTHERS: 3.0, "wall": 4.0})
    return replace(run, units=(first, *run.units[1:]))


def some_refused():
    return make_run(density_group()[:2], ("dense", "gather", "brute"))


@pytest.mark.parametrize(
    ("make", "section", "said"),
    [
        (empty, "verdict", "holds no cells: nothing was measured"),
        (empty, "not-measured", "Nothing was planned, and nothing was measured"),
        (empty, "fairness", "the ledger is empty"),
        (only_failures, "verdict", "No cell of this run has a time"),
        (only_failures, "speed", "No cell has a time"),
        (only_failures, "efficiency", "efficiency cannot be shown"),
        (only_failures, "not-measured", "no kernel for this"),
        (one_implementation, "verdict", "only gather has times"),
        (one_implementation, "speed", "no cell of dense was timed"),
        (no_dense, "verdict", "gather is fastest overall"),
        (no_dense, "verdict", "no cell of dense was timed"),
        (no_dense, "speed", "times only, since there is no baseline"),
        (no_dense, "break-even", "no ratio to dense"),
        (only_dense, "speed", "dense is alone"),
        (only_dense, "verdict", "No ratio was measured"),
        (one_density, "break-even", "no break-even can be shown"),
        (one_density, "break-even", "Measured at a single position"),
        (unfinished, "verdict", "the run is unfinished: 2 of 3 workloads were measured"),
        (unfinished, "not-measured", "1 workload, such as never-reached"),
        (unfinished, "method", "interrupted, or still running"),
        (no_rates, "machine", "did not measure the machine's own rates"),
        (no_rates, "efficiency", "shares of the limit are not"),
        (no_work, "efficiency", "No timed cell records its work"),
        (only_encoding, "verdict", "gather is fastest overall"),
        (only_encoding, "fairness", "nothing can be amortised"),
        (no_doubt, "verdict", "recorded nothing that casts doubt"),
        (single_round, "verdict", "81 times of 81 come from a single round"),
        (single_round, "verdict", "The smallest effect that would be found is unknown"),
        (single_round, "speed", "unknown: one round"),
        (no_doubt, "memory", "No cell records its peak memory"),
        (only_encoding, "fairness", "its phases cannot be stacked"),
        (
            one_crowded,
            "verdict",
            "while 1 of 9 workloads was measured, other programs used 0.75 p",
        ),
        (some_refused, "verdict", "not measured: 6 cells, unsupported (brute in 6)"),
    ],
)
def test_a_page_says_what_it_cannot_show(make, section, said):
    parsed = PageParser(render(make()))
    assert list(parsed.sections) == SECTIONS
    assert said in parsed.text(section)


def test_workloads_of_one_name_in_two_suites_and_two_settings_stay_apart():
    record = workload("same", 0.1)
    first = make_run([record])
    second = make_run([replace(record, suite="other")])
    half = tuple(
        replace(found, dtype="float16", device="cuda")
        for found in make_run([record]).units[0].cells
    )
    unit = replace(first.units[0], cells=first.units[0].cells + half)
    page = PageParser(render(replace(first, units=(unit, *second.units))))
    captions = [table.caption for table in page.tables if "batch 1" in table.caption]
    assert len(captions) == 3
    assert sum("made / same" in caption for caption in captions) == 2
    assert "float16 on cuda" in page.text("speed")


def test_what_was_measured_in_one_setting_is_never_compared_with_another():
    record = workload("same", 0.1)
    run = make_run([record], ("gather",))
    other = tuple(
        replace(found, dtype="float16") for found in make_run([record], ("dense",)).units[0].cells
    )
    unit = replace(run.units[0], cells=run.units[0].cells + other)
    page = PageParser(render(replace(run, units=(unit,))))
    assert "No ratio was measured" in page.text("verdict")


def test_a_cell_that_failed_holds_no_time_on_the_page():
    record = workload("one", 0.1)
    run = make_run([record])
    failed = cell(record, "gather", ALL_PHASES[2], status=Status.INCORRECT, reason="off by one")
    unit = replace(run.units[0], cells=(*run.units[0].cells[:3], failed))
    page = PageParser(render(replace(run, units=(unit,))))
    assert ["1", "incorrect", "gather", "off by one", "1"] in [
        row[:5] for table in page.tables for row in table.rows
    ]


def test_a_thousand_cells_make_a_page_of_moderate_size_in_little_time():
    groups = [
        record for number in range(8) for record in density_group(f"2d-submanifold-c{number}")
    ]
    run = make_run(groups, ("dense", "gather"), times=usual_times, phases=ALL_PHASES, noise=Noise())
    assert len(run.cells) >= 1000
    before = time.process_time()
    page = render(run)
    assert time.process_time() - before < 20
    assert len(page.encode()) < 550_000


@pytest.mark.slow
def test_ten_thousand_cells_make_a_page_of_three_megabytes():
    names = ("dense", "dense_from_sparse", "gather", "masked", "minkowski")
    slower = dict(zip(names, (1.0, 1.1, 0.9, 1.2, 1.3), strict=True))
    groups = [
        record for number in range(32) for record in density_group(f"2d-submanifold-c{number}")
    ]
    run = make_run(
        groups,
        names,
        times=lambda name, record: DENSE_SECONDS * slower[name] * (0.5 + record.density),
        phases=ALL_PHASES,
        noise=Noise(rounds=0.02, processes=0.004, length=30),
    )
    assert len(run.cells) >= 10_000
    assert len(render(run).encode()) < 3_100_000
