"""The command: where the report goes, what it never overwrites, what it says of mistakes."""

import subprocess
import sys
from dataclasses import replace

import pytest

from bench.cli.browser import find
from bench.errors import DataError, UserError
from bench.results.store import write
from tests.reports.report_command import report
from tests.reports.synthetic_runs import density_group, make_run


@pytest.fixture
def run_file(tmp_path):
    path = tmp_path / "measured.json"
    write(make_run(density_group()[:2]), path)
    return path


def test_the_page_lies_beside_the_run_file(run_file, capsys):
    assert report(run_file) == 0
    page = run_file.with_suffix(".html")
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert str(page) in capsys.readouterr().out


@pytest.mark.parametrize("form", [(), ("--csv",), ("--gallery",)])
def test_a_run_file_without_cells_is_told_as_one(form, run_file, tmp_path, capsys):
    target = () if form != ("--gallery",) else ("-o", tmp_path / "pages")
    assert report(run_file, *form, *target) == 0
    assert capsys.readouterr().err == ""
    empty = tmp_path / "empty.json"
    write(replace(make_run(density_group()[:2]), units=()), empty)
    assert report(empty, *form, *target) == 0
    told = capsys.readouterr().err
    assert told == f"sparsebench: {empty} holds no cells: nothing was measured\n"


def test_a_report_is_overwritten_and_leaves_no_other_file(run_file):
    report(run_file)
    report(run_file)
    names = {path.name for path in run_file.parent.iterdir()}
    assert names == {"measured.json", "measured.html"}


@pytest.mark.parametrize("form", [(), ("--markdown",), ("--csv",)])
def test_a_file_that_is_no_report_is_never_overwritten(run_file, form):
    other = run_file.with_name("thesis.html")
    other.write_text("<!doctype html><title>mine</title>")
    with pytest.raises(UserError, match="is not a sparsebench"):
        report(run_file, "-o", other, *form)
    assert other.read_text() == "<!doctype html><title>mine</title>"


def test_a_run_file_is_never_overwritten_by_its_report(run_file):
    before = run_file.read_bytes()
    with pytest.raises(UserError, match="name another file"):
        report(run_file, "--markdown", "-o", run_file)
    assert run_file.read_bytes() == before


@pytest.mark.parametrize(("form", "start"), [("--markdown", "<!-- "), ("--csv", "suite,workload")])
def test_tables_go_to_standard_output_or_to_a_file(run_file, form, start, capsys):
    assert report(run_file, form) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(start)
    target = run_file.with_name("table.txt")
    report(run_file, form, "-o", target)
    report(run_file, form, "-o", target)
    assert target.read_text("utf-8") == printed


def test_several_runs_of_one_machine_are_joined(run_file, tmp_path):
    other = tmp_path / "other.json"
    write(make_run(density_group("another")[:2]), other)
    report(run_file, other)
    assert "another-0.01" in run_file.with_suffix(".html").read_text("utf-8")


def test_an_unfinished_run_is_shown_from_its_journal(tmp_path):
    from bench.results.store import Journal  # noqa: PLC0415

    run = make_run(density_group()[:2])
    journal = Journal(tmp_path / "going.json")
    journal.begin(run.header)
    journal.add(run.units[0])
    assert report(journal.path) == 0
    assert "the run is unfinished" in (tmp_path / "going.html").read_text("utf-8")


def test_a_missing_or_damaged_run_is_a_mistake_that_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.json"):
        report(tmp_path / "absent.json")
    damaged = tmp_path / "damaged.json"
    damaged.write_text('{"format": "sparsebench-run", "sch')
    with pytest.raises(DataError, match="truncated"):
        report(damaged)
    assert not (tmp_path / "damaged.html").exists()


def test_a_folder_that_is_not_there_is_a_mistake_that_is_named(run_file, tmp_path):
    with pytest.raises(UserError, match="cannot write"):
        report(run_file, "-o", tmp_path / "absent" / "report.html")
    with pytest.raises(UserError, match="is a folder"):
        report(run_file, "-o", tmp_path)


def test_a_table_cannot_be_opened_as_a_page(run_file):
    with pytest.raises(UserError, match="--csv"):
        report(run_file, "--csv", "--open")


def test_the_command_s_help_imports_neither_torch_nor_matplotlib():
    program = (
        "import argparse, sys; from bench.cli.report import add_parser; "
        "add_parser(argparse.ArgumentParser().add_subparsers()); "
        "print({'torch', 'matplotlib', 'numpy', 'reports.page'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_another_baseline_is_one_of_the_run_s_implementations(run_file):
    assert report(run_file, "--baseline", "gather") == 0
    assert "time relative to gather" in run_file.with_suffix(".html").read_text("utf-8")
    with pytest.raises(UserError, match="no implementation 'nobody' in the run: dense, gather"):
        report(run_file, "--baseline", "nobody")
    for form in ("--compare", "--bencher", "--github-action", "--pytest-benchmark"):
        with pytest.raises(UserError, match="leave out --baseline"):
            report(run_file, form, "--baseline", "gather")


def test_two_runs_are_compared_on_a_page(run_file, tmp_path):
    other = tmp_path / "other.json"
    write(make_run(density_group()[:2], seed=2), other)
    assert report("--compare", run_file, other) == 0
    page = (tmp_path / "other.compared.html").read_text("utf-8")
    assert "Two runs compared" in page
    assert "uniform-0.01 gather forward" in page
    report("--compare", run_file, other)
    with pytest.raises(UserError, match="takes two run files"):
        report("--compare", run_file)


def test_a_page_of_two_runs_tells_them_apart_by_the_minute(run_file):
    other = run_file.with_name("other.json")
    run = make_run(density_group()[:2])
    write(replace(run, header=replace(run.header, started="2026-03-01T07:30:15+00:00")), other)
    assert report("--compare", run_file, other) == 0
    page = other.with_suffix(".compared.html").read_text("utf-8")
    assert "2026-03-01 07:30 UTC. Two runs at two times" in page


def test_a_gallery_leads_to_a_page_for_every_run(run_file, tmp_path):
    folder = tmp_path / "gallery"
    assert report("--gallery", run_file.parent, "-o", folder) == 0
    assert report("--gallery", run_file, "-o", folder) == 0
    names = {path.name for path in folder.iterdir()}
    (page,) = names - {"index.html"}
    index = (folder / "index.html").read_text("utf-8")
    assert f'href="{page}"' in index
    assert "gather" in index
    with pytest.raises(UserError, match="name their folder"):
        report("--gallery", run_file)


def test_a_gallery_of_this_folder_has_its_name_and_leaves_out_what_is_no_run(
    run_file, tmp_path, monkeypatch, capsys
):
    (run_file.parent / "times.json").write_text("{}")
    monkeypatch.chdir(run_file.parent)
    folder = tmp_path / "gallery"
    assert report("--gallery", ".", "-o", folder) == 0
    pages = {path.name for path in folder.iterdir()}
    assert pages == {"index.html", f"{run_file.parent.name}-{run_file.stem}.html"}
    assert "left out: times.json is not a sparsebench run file" in capsys.readouterr().err
    with pytest.raises(UserError, match="is not a sparsebench run file"):
        report("--gallery", "times.json", "-o", folder)


def test_without_a_browser_a_pdf_is_one_clear_line(run_file, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="--pdf needs Chromium"):
        report(run_file, "--pdf")


@pytest.mark.skipif(find() is None, reason="Chromium is not installed")
def test_a_page_is_printed_and_printed_again(run_file):
    for _ in range(2):
        assert report(run_file, "--pdf") == 0
    assert run_file.with_suffix(".pdf").read_bytes().startswith(b"%PDF-")


def test_a_pdf_of_someone_else_is_not_overwritten(run_file):
    other = run_file.with_name("thesis.pdf")
    other.write_bytes(b"%PDF-1.4 mine")
    with pytest.raises(UserError, match="is not a sparsebench"):
        report(run_file, "--pdf", "-o", other)


@pytest.mark.parametrize(
    ("ending", "start"),
    [("csv", "suite,workload,"), ("md", "<!-- generator"), ("htm", "<!doctype")],
)
def test_a_files_name_says_which_form_it_gets(ending, start, run_file, tmp_path):
    target = tmp_path / f"report.{ending}"
    assert report(run_file, "-o", target) == 0
    assert target.read_text("utf-8").startswith(start)


def test_a_name_of_another_form_is_refused_and_a_version_is_no_form(run_file, tmp_path):
    with pytest.raises(
        UserError, match=r"report.xlsx: a report is written as .html, .htm, .csv, .m"
    ):
        report(run_file, "-o", tmp_path / "report.xlsx")
    assert report(run_file, "-o", tmp_path / "report-1.2") == 0
    assert (tmp_path / "report-1.2").read_text("utf-8").startswith("<!doctype")


def test_json_has_several_forms_of_which_one_must_be_named(run_file, tmp_path):
    with pytest.raises(UserError, match=r"would be a page: say --bencher, --github-action, --py"):
        report(run_file, "-o", tmp_path / "report.json")
    assert report(run_file, "--bencher", "-o", tmp_path / "report.json") == 0
