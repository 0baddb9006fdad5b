"""Where a run's commit is told, those of plug-ins' and suites' own repositories are, too."""

import csv
import io
import json
from dataclasses import replace

import pytest

from bench.cli.main import main
from bench.comparison import compare_runs
from bench.results.store import write
from reports import changes_page, words
from reports.changes import caveat, to_markdown
from reports.exports import to_csv
from reports.method import method
from reports.page import render
from reports.speed import compare
from reports.verdicts import doubts
from tests.reports.page_parser import PageParser
from tests.reports.synthetic_runs import Noise, at_commits, density_group, make_run

FEW = Noise(length=4)
OURS = "0123456789ab"
FIRST, SECOND = "aaaaaaaaaaaa", "bbbbbbbbbbbb+dirty"


@pytest.fixture
def run():
    return make_run(density_group()[:2], noise=FEW)


def test_csv_has_the_commit_of_each_implementation_in_the_run_that_a_cell_is_from(run):
    later = make_run(density_group()[1:3], noise=FEW, seed=2)
    both = [at_commits(run, {"gather": FIRST}), at_commits(later, {"gather": SECOND})]
    rows = list(csv.DictReader(io.StringIO(to_csv(both))))
    workloads = [record.name for record in density_group()[:3]]
    told = {
        (row["workload"], row["implementation_commit"])
        for row in rows
        if row["implementation"] == "gather"
    }
    assert told == set(zip(workloads, (FIRST, SECOND, SECOND), strict=True))
    others = [row for row in rows if row["implementation"] != "gather"]
    assert {(row["commit"], row["implementation_commit"]) for row in others} == {(OURS, "")}


def test_the_section_on_method_names_whose_commits_there_are(run):
    header = replace(at_commits(run, {"gather": FIRST}).header, suite_commits={"made": SECOND})
    later = at_commits(run, {"gather": SECOND}).header
    facts = dict(method(run, (header, later)).facts)
    assert facts["commit"] == OURS
    assert facts["commit of gather"] == f"{FIRST} and {SECOND}"
    assert facts["commit of suite made"] == SECOND
    page = PageParser(render(replace(run, header=header)))
    assert "commit of gather" in page.text("method")
    assert not any(name.startswith("commit of") for name, _ in method(run).facts)


def test_changes_beside_the_commit_of_a_plug_in_or_suite_are_doubted(run):
    comparison = compare(run)
    assert not any("uncommitted" in each for each in doubts(run, comparison))
    dirty = at_commits(run, {"gather": SECOND, "masked": FIRST})
    dirty = replace(dirty, header=replace(dirty.header, suite_commits={"made": SECOND}))
    assert "the repository of gather and suite made had uncommitted changes" in doubts(
        dirty, comparison
    )


def test_revisions_of_plug_ins_in_lock_step_are_told_by_their_own_commits(run):
    base, head = at_commits(run, {"gather": FIRST}), at_commits(run, {"gather": SECOND})
    told = caveat(compare_runs(base, head, paired=True))
    assert told.startswith(
        f"gather: {FIRST} in the base, {SECOND} in the head. Both were measured in turn"
    )
    newer = replace(head, header=replace(head.header, commit="ba9876543210"))
    assert " Base 0123456789ab and head ba9876543210 were" in caveat(
        compare_runs(base, newer, paired=True)
    )


def test_a_comparison_of_two_runs_tells_at_which_commits_plug_ins_were(run, tmp_path, capsys):
    base = at_commits(run, {"gather": FIRST, "masked": FIRST})
    head = at_commits(run, {"gather": SECOND, "masked": SECOND, "dense": SECOND})
    told = caveat(compare_runs(base, head))
    assert f"gather and masked: {FIRST} in the base, {SECOND} in the head. " in told
    assert f"dense: no commit in the base, {SECOND} in the head. " in told
    same = compare_runs(base, base)
    assert f"gather and masked: {FIRST} in both. " in caveat(same)
    records = tuple(each for each in base.header.implementations if each.name != "gather")
    without = replace(base, header=replace(base.header, implementations=records))
    told = caveat(compare_runs(base, without))
    assert f"gather: {FIRST} in the base. masked: {FIRST} in both. " in told
    long = replace(head, header=replace(head.header, commit="0123456789abcdef" * 2 + "+dirty"))
    page = changes_page.render(compare_runs(base, long))
    assert f", 0123456789ab+dirty; both on {words.label(base.header.machine.name)}</p>" in page
    machine = replace(long.header.machine, name="another")
    elsewhere = replace(long, header=replace(long.header, machine=machine))
    page = changes_page.render(compare_runs(base, elsewhere))
    assert f", {words.label(base.header.machine.name)}; head " in page
    assert ", 0123456789ab+dirty, another</p>" in page
    markdown = to_markdown(compare_runs(base, head))
    assert markdown.endswith("changes within 1 % get no verdict.\n")
    assert "in the base" not in caveat(compare_runs(run, run))
    assert "in the base" not in caveat(compare_runs(base, base, paired=True))
    paths = [tmp_path / "base.json", tmp_path / "head.json"]
    for path, own in zip(paths, (base, head), strict=True):
        write(own, path)
    main(["compare", *map(str, paths), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["base"]["implementation_commits"] == {"gather": FIRST, "masked": FIRST}
