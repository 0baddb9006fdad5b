"""The section and the page about accuracy: complete, harmless, only what there is data for."""

import re

import pytest

from bench.errors import DataError, UserError
from bench.results import accuracy, store
from reports.accuracy.page import render
from reports.accuracy.section import findings, section
from reports.accuracy.table import trained as rows_of
from tests.reports.page_parser import PageParser
from tests.reports.report_command import report
from tests.reports.synthetic_runs import density_group, make_run
from tests.reports.trained_runs import PAPER, SITES, dropped, picture, scaled, trained

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe",
    "x" * 10_000,
]
EVERYTHING = [
    *(trained(0.5 + seed / 10, seed) for seed in range(3)),
    trained(0.7, implementation="dense", pictures=(picture(),), active_sites=SITES),
    *(dropped(kind, at, at / 5) for kind in ("invariant", "ordinary") for at in (50, 90)),
    *(scaled(level, kind, 50 / level) for level in (3, 4) for kind in ("none", "affine")),
]
HEADINGS = [
    "Error against sparsity",
    "Error against scale and augmentation",
    "Time to accuracy",
    "Learning curves",
    "What the networks see",
    "Active sites by layer",
]


@pytest.fixture(scope="module")
def page():
    return render(EVERYTHING, {"mnist": ("full", "small"), "untrained": ("full", "small")})


@pytest.fixture
def files(tmp_path):
    """Accuracy run files in a folder, and a run file of times beside it."""
    for number, run in enumerate(EVERYTHING):
        accuracy.write(run, tmp_path / "accuracy" / f"{number}.json")
    (tmp_path / "machine").mkdir()
    store.write(make_run(density_group()[:2]), tmp_path / "machine" / "speed.json")
    return tmp_path


def test_a_page_shows_the_table_with_differences_spread_and_commands(page):
    parsed = PageParser(page)
    table = parsed.table("Training is wall time")
    row = next(row for row in table.rows if row[:2] == ["mnist", "gather"])
    assert row[2:6] == ["0.60 % ± 0.10", "3", "0.58 % (Graham 2014)", "+0.02"]
    commands = parsed.table("The command for every seed").rows
    assert (
        "sparsebench train mnist --seed 2"
        in next(row for row in commands if row[:2] == ["mnist", "gather"])[2]
    )
    assert "Not trained in full: 1 experiment untrained." in parsed.text("accuracy")


def test_a_page_has_every_figure_and_nothing_where_there_is_no_data(page):
    assert [found for found in HEADINGS if f"<h3>{found}</h3>" in page] == HEADINGS
    bare = section([trained(1)], {"mnist": ("full", "small")})
    assert [found for found in HEADINGS if f"<h3>{found}</h3>" in bare] == ["Learning curves"]
    assert "Not trained" not in bare
    assert section([], {}) == ""


def test_a_page_is_well_formed_accessible_and_the_same_every_time(page):
    parsed = PageParser(page)
    assert all(table.caption.strip() for table in parsed.tables)
    assert sum(table.unscoped_headers for table in parsed.tables) == 0
    assert len(parsed.ids) == len(set(parsed.ids))
    assert "script" not in parsed.tags
    assert all(value for tag, name, value in parsed.attributes if (tag, name) == ("img", "alt"))
    for _, name, value in parsed.attributes:
        assert not name.startswith("on")
        if name in {"src", "href"}:
            assert value.startswith(("#", "data:"))
    assert not re.search(r"https?://(?!www.w3.org/2000/svg)|@import", page)
    assert page == render(EVERYTHING, {"mnist": ("full", "small"), "untrained": ("full", "small")})


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(name):
    origin = PAPER.__class__(0.5, name)
    run = trained(1, experiment=name, implementation=name, published=(origin,))
    other = trained(1, experiment=name, command=(name,), also_tested={name: 0.5})
    parsed = PageParser(
        render([run, other, dropped("ordinary", 50, 1, also_tested={name: 0.1})], {})
    )
    assert "script" not in parsed.tags
    assert not any(name.startswith("on") for _, name, _ in parsed.attributes)
    assert name[:12].replace("\u202e", "\\u202e") in parsed.text("accuracy")


def test_findings_tell_which_rows_are_at_or_under_what_was_published():
    rows = rows_of([trained(0.5), trained(0.9, experiment="late"), trained(0.1, 0, small=True)])
    assert findings(rows) == ["At or below every published error: mnist; above one of them: 1 row"]
    small = rows_of([trained(0.1, small=True)])
    assert findings(small) == ["Nothing here has a published error to compare with"]


def test_accuracy_stands_on_a_speed_run_s_page_or_on_one_of_its_own(files, capsys):
    trained_files = sorted((files / "accuracy").glob("*.json"))
    speed = files / "machine" / "speed.json"
    assert report(speed, *trained_files, "-o", files / "both.html") == 0
    both = PageParser((files / "both.html").read_text("utf-8"))
    assert {"speed", "accuracy", "method"} <= set(both.sections)
    assert ("a", "href", "#accuracy") in both.attributes
    assert report(speed, "-o", files / "speed.html") == 0
    assert 'id="accuracy"' not in (files / "speed.html").read_text("utf-8")
    for _ in range(2):  # a page of ours may be overwritten
        assert report(*trained_files, "-o", files / "alone.html") == 0
    alone = PageParser((files / "alone.html").read_text("utf-8"))
    assert list(alone.sections) == ["accuracy"]
    # What exists is known to the command: rows that were not trained are named.
    assert "mnist-deepcnet-5-60" in alone.text("accuracy")


def test_the_gallery_has_a_page_for_every_folder_of_trainings(files):
    assert report("--gallery", files, "-o", files / "gallery") == 0
    index = (files / "gallery" / "index.html").read_text("utf-8")
    links = re.findall(r'<h3><a href="([^"]*)"', index)
    assert sorted(links) == ["accuracy-trained.html", "machine-speed.html"]
    assert all((files / "gallery" / link).exists() for link in links)
    assert "12 trainings of 9 experiments, 2026-01-02" in index


@pytest.mark.parametrize("form", ["--csv", "--markdown", "--compare", "--bencher"])
def test_a_form_that_cannot_show_accuracy_says_so(files, form):
    with pytest.raises(UserError, match=f"is an accuracy run file, which a page.*{form} cannot"):
        report(files / "accuracy" / "0.json", form)


def test_a_damaged_accuracy_run_file_and_one_named_twice_are_one_line(files):
    path = files / "accuracy" / "0.json"
    with pytest.raises(UserError, match="are the same run"):
        report(path, path)
    path.write_text('{"format": "sparsebench-accuracy", "schema": 1}')
    with pytest.raises(DataError, match="is damaged"):
        report(path)
