"""The page in a real browser, from file://: every view opens, choices work, nothing is fetched.

Screenshots are kept in build/screenshots.
"""

import base64
import csv
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli.browser import find
from bench.comparison import compare_runs
from reports import changes_page, gallery
from reports.accuracy import page as accuracy_page
from reports.page import render
from reports.words import TIMES
from tests.reports.synthetic_runs import (
    ALL_PHASES,
    Noise,
    density_group,
    empty,
    make_run,
    only_failures,
    renamed,
    size_group,
    workload,
)
from tests.reports.trained_runs import SITES, dropped, picture, trained
from tools import axe

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = find()
pytestmark = pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
PATIENCE_MS = 120_000
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 780}
HOSTILE = "\"><img src=x onerror=alert(1)><script>alert(2)</script>'\u05e9\u05dc\u05d5\u05dd"
HOSTILE += 10_000 * "x"


def usual_run():
    """Two densities' groups that make a map, a size group, one implementation refused."""
    records = [
        *density_group("2d-submanifold-k3-c32-grid96-uniform")[2::2],
        *density_group("2d-submanifold-k3-c32-grid192-uniform")[2::2],
        *size_group(),
    ]
    names = ("dense", "gather", "masked", "brute")
    return make_run(records, names, phases=ALL_PHASES, noise=Noise(length=6))


class Visit:
    """A tab with a page from a file, and all that went wrong in it."""

    def __init__(self, browser, path, **options):
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.context = browser.new_context(**{"viewport": DESKTOP, **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", lambda said: self.errors.append(said.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: self.errors.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.address = path.resolve().as_uri()
        self.page.goto(self.address)
        self.wait(options)

    def wait(self, options):
        """The script unpacks its data before it shows what there is to choose."""
        form = self.page.locator("main > form.filter")
        if options.get("java_script_enabled", True) and form.count():
            form.wait_for()

    def check(self):
        """Nothing was said on the console, and nothing asked for but the page itself."""
        assert self.errors == []
        foreign = [url for url in self.requests if not url.startswith((self.address, "data:"))]
        assert [url for url in foreign if not url.startswith("blob:")] == []


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox"], timeout=PATIENCE_MS
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("browser") / "page.html"
    path.write_text(render(usual_run()), "utf-8")
    return path


@pytest.fixture
def visit(browser, page_file):
    visits = []

    def open_(path=page_file, **options):
        visits.append(Visit(browser, path, **options))
        return visits[-1]

    yield open_
    for each in visits:
        each.check()
        each.context.close()


def shoot(page, name):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    target = SCREENSHOTS / f"{name}.png"
    page.screenshot(path=target)
    assert target.stat().st_size > 10_000


def cells(page, row, phase="forward"):
    """Texts of a row of the first table of a phase."""
    table = page.locator(f"table.matrix[data-phase={phase}]")
    return table.locator("tbody tr", has_text=row).locator("td").all_inner_texts()


def serious_faults(page):
    """Faults that axe-core calls serious or critical, as rule and first place."""
    reason = axe.fetch()
    if reason is not None:
        pytest.skip(f"axe-core: {reason}")
    page.evaluate(axe.path().read_text("utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        (fault["id"], fault["nodes"][0]["html"][:200])
        for fault in found["violations"]
        if fault["impact"] in {"serious", "critical"}
    ]


def test_every_view_opens_on_desktop_phone_and_in_the_dark(visit):
    page = visit().page
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    sections = page.locator("main > section")
    assert sections.count() >= 9
    for at in range(sections.count()):
        assert sections.nth(at).bounding_box()["height"] > 40
    page.locator("main > section figure svg").first.scroll_into_view_if_needed()
    shoot(page, "desktop")
    page.emulate_media(color_scheme="dark")
    shoot(page, "dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    page.set_viewport_size(PHONE)
    shoot(page, "phone")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_another_baseline_turns_ratios_round_and_stays_in_the_address(visit):
    page = visit().page
    before = cells(page, "grid96-uniform-0.1")
    assert before[1].startswith("0.26")
    page.locator("[name=baseline]").select_option(label="gather")
    after = cells(page, "grid96-uniform-0.1")
    assert after[0].startswith("3.8")
    assert "▲" in after[0]
    assert "baseline" in after[1]
    assert "against gather, dense is" in page.locator("table.matrix caption").first.inner_text()
    assert "baseline=gather" in page.url
    page.reload()
    assert cells(page, "grid96-uniform-0.1") == after
    page.get_by_role("button", name="Show all").click()
    assert cells(page, "grid96-uniform-0.1") == before


def test_phase_implementation_verdict_and_words_narrow_the_page_down(visit):
    page = visit().page
    page.locator("[name=phase]").select_option("train_step")
    assert not page.locator("table.matrix[data-phase=forward]").is_visible()
    assert page.locator("#verdict dl > div:visible").count() == 1
    page.locator("[name=phase]").select_option("")
    page.get_by_role("checkbox", name="masked").uncheck()
    assert page.locator("table.matrix th:visible", has_text="masked").count() == 0
    assert page.locator("tbody th[scope=row]:visible", has_text="masked").count() == 0
    page.get_by_role("checkbox", name="dense", exact=True).uncheck()
    checked = page.locator("#method caption", has_text="How the oracle checked").locator("..")
    assert checked.locator("th[scope=row]", has_text="dense").first.is_visible()
    page.get_by_role("checkbox", name="dense", exact=True).check()
    page.locator("[name=workload]").fill("grid192")
    assert page.locator("form output").inner_text().startswith("4 of 12")
    page.locator("[name=verdict]").select_option("slower")
    shown = page.locator("table.matrix[data-phase=forward] tbody tr:visible th").all_inner_texts()
    assert shown == [f"2d-submanifold-k3-c32-grid192-uniform-{density}" for density in ("0.4", "1")]
    assert {"hide=masked", "workload=grid192", "verdict=slower"} <= set(
        page.url.partition("#")[2].split("&")
    )


def test_a_verdict_is_looked_for_in_every_phase(visit):
    page = visit().page
    page.locator("[name=verdict]").select_option("slower")
    by_verdict = {}
    for phase in ("", "forward", "decode"):
        page.locator("[name=phase]").select_option(phase)
        shown = page.locator("details[data-table]:visible")
        by_verdict[phase] = set(shown.evaluate_all("all => all.map((each) => each.dataset.table)"))
        for details in shown.all():
            details.locator("summary").click()
            assert details.locator("tbody:visible td.slower").count() > 0
            details.locator("summary").click()
    assert by_verdict["forward"] | by_verdict["decode"] <= by_verdict[""]
    assert by_verdict["decode"]


def test_what_to_use_is_narrowed_down_too_and_saved_as_it_is_shown(visit):
    page = visit().page
    table = page.locator("table.choices")
    assert table.locator("tbody tr:visible").count() == 3
    page.locator("[name=workload]").fill("grid192-uniform-0.1")
    page.locator("[name=phase]").select_option("train_step")
    assert table.locator("thead th:visible").all_inner_texts() == ["Workloads", "train_step"]
    with page.expect_download() as waiting:
        table.get_by_role("button", name="Save this table as CSV").click()
    (line,) = Path(waiting.value.path()).read_text("utf-8").splitlines()[1:]
    name, choices = line.strip('"').split('","')
    assert name.startswith("2d-submanifold-k3-c32-grid192-uniform, density 2")
    assert re.fullmatch(r"gather up to 10\s% \(.*\), dense from 40\s%", choices)
    page.locator("[name=phase]").select_option("map")
    assert not table.is_visible()
    page.get_by_role("button", name="Show all").click()
    assert table.locator("tbody tr:visible").count() == 3


def test_long_names_stay_in_their_column_and_are_told_apart(visit, tmp_path):
    long = [f"a_plug_in_with_an_unbroken_name_of_number_{each}" for each in range(6)]
    run = make_run(density_group()[::4], ["dense", *long], times=lambda *_: 1e-3)
    path = tmp_path / "long.html"
    path.write_text(render(run), "utf-8")
    page = visit(path).page
    page.set_viewport_size(PHONE)
    shown = page.locator("table.choices td, table.matrix th, caption").filter(visible=True)
    assert shown.count() > 10
    wider = (
        "all => all.filter(each => each.scrollWidth > each.clientWidth).map(each => each.outerHTML)"
    )
    assert shown.evaluate_all(wider) == []
    page.get_by_role("checkbox", name=long[1]).uncheck()
    heads = page.locator("table.matrix[data-phase=forward] th span[title]").filter(visible=True)
    titles = heads.evaluate_all("all => all.map(each => each.title)")
    assert titles == [long[0], *long[2:]]


def test_a_column_is_sorted_by_the_keyboard(visit):
    page = visit().page
    head = page.locator("table.matrix[data-phase=forward] th", has_text="gather")
    for direction in ("ascending", "descending"):
        head.get_by_role("button").focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == direction
        column = page.locator("table.matrix[data-phase=forward] tbody td:nth-child(3)")
        values = [float(text.split(TIMES)[0]) for text in column.all_inner_texts()]
        assert values == sorted(values, reverse=direction == "descending")


def test_the_rounds_of_a_cell_are_shown_with_its_command_and_have_an_address(visit):
    opened = visit()
    page = opened.page
    details = page.locator("details[data-table='0']")
    details.locator("summary").click()
    details.get_by_role("button", name="Rounds of gather, forward", exact=True).click()
    dialog = page.get_by_role("dialog")
    assert "18 rounds in 3 processes, 1 of them disturbed" in dialog.inner_text()
    assert dialog.locator("circle").count() == 18
    assert "--impl dense,gather --phase forward " in dialog.locator("code").inner_text()
    assert serious_faults(page) == []
    shoot(page, "rounds")
    address = page.url
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert "cell=" not in page.url
    page.goto("about:blank")
    page.goto(address)
    assert dialog.is_visible()


def test_a_table_is_saved_as_it_is_shown(visit):
    page = visit().page
    page.get_by_role("checkbox", name="masked").uncheck()
    table = page.locator("table.matrix[data-phase=forward]")
    with page.expect_download() as waiting:
        table.get_by_role("button", name="Save this table as CSV").click()
    lines = Path(waiting.value.path()).read_text("utf-8").splitlines()
    assert lines[0] == '"Workload","dense","gather"'
    assert len(lines) == 13
    ledger = page.locator("#fairness table", has=page.locator("th[rowspan]"))
    with page.expect_download() as waiting:
        ledger.get_by_role("button", name="Save this table as CSV").click()
    saved = list(csv.reader(Path(waiting.value.path()).read_text("utf-8").splitlines()))
    assert {len(line) for line in saved} == {3}
    assert [line[0] for line in saved[-2:]] == ["train_step", "train_step"]


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESKTOP), ("dark", DESKTOP), ("dark", PHONE)]
)
def test_no_serious_fault_of_accessibility_is_found(visit, scheme, size):
    page = visit(color_scheme=scheme, viewport=size).page
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert serious_faults(page) == []


def test_without_javascript_all_is_there_but_the_choices(visit):
    page = visit(java_script_enabled=False).page
    assert not page.locator("form.filter").is_visible()
    assert page.locator("table.matrix").first.is_visible()
    assert "gather is fastest overall" in page.locator("#verdict").inner_text()


def test_names_that_would_be_programs_are_text(visit, tmp_path):
    records = [replace(each, name=HOSTILE + each.name, group=HOSTILE) for each in density_group()]
    run = renamed(make_run(records[::4], noise=Noise(length=3)), "gather", HOSTILE)
    path = tmp_path / "hostile.html"
    path.write_text(render(run), "utf-8")
    page = visit(path).page
    page.locator("select[name=baseline]").select_option("1")
    details = page.locator("details[data-table='0']")
    if details.get_attribute("open") is None:
        details.locator("summary").click()
    details.locator("button.look").first.click()
    assert "<img src=x onerror=alert(1)>" in page.get_by_role("dialog").inner_text()
    assert page.locator("img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= DESKTOP["width"]


def one_implementation():
    return make_run([workload("one", 0.1)], ("gather",), noise=Noise(count=1, length=1))


@pytest.mark.parametrize("make", [empty, only_failures, one_implementation])
def test_a_page_that_can_show_little_opens_all_the_same(visit, tmp_path, make):
    path = tmp_path / "little.html"
    path.write_text(render(make()), "utf-8")
    page = visit(path).page
    assert page.locator("#verdict").is_visible()
    assert serious_faults(page) == []


def test_the_pages_of_two_runs_and_of_a_gallery_open_without_fault(visit, tmp_path):
    base = make_run(density_group()[:3], noise=Noise(length=4))
    faster = make_run(
        density_group()[:3], times=lambda _name, _record: 5e-4, noise=Noise(length=4), seed=2
    )
    for name, text in {
        "compared.html": changes_page.render(compare_runs(base, faster)),
        "index.html": gallery.render([gallery.picture(base, "a page.html")]),
        "trained.html": accuracy_page.render(
            [
                trained(0.5, pictures=(picture(),), active_sites=SITES),
                trained(0.7, implementation="dense"),
                *(
                    dropped(kind, at, at / 5)
                    for kind in ("invariant", "ordinary")
                    for at in (50, 90)
                ),
            ],
            {},
        ),
    }.items():
        (tmp_path / name).write_text(text, "utf-8")
        page = visit(tmp_path / name).page
        assert page.locator("h1").is_visible()
        assert serious_faults(page) == []


def test_the_data_inside_a_page_is_what_the_script_reads(page_file):
    text = page_file.read_text("utf-8")
    found = re.search(r'<script type="text/plain" id="data">([A-Za-z0-9+/=]*)</script>', text)
    data = json.loads(zlib.decompress(base64.b64decode(found.group(1))))
    assert data["implementations"] == ["dense", "gather", "masked", "brute"]
    lengths, numbers, *_ = data["rows"]
    assert data["tables"][0]["forward"] == [4, 3]
    assert (lengths[:4], numbers[:4]) == ([6, 6, 6, 1], [0, 1, 2, 3])
    assert sum(rows for table in data["tables"] for rows, _ in table.values()) == len(lengths)
