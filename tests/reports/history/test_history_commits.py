"""Between which commits a step lies, of the repository that its implementation is in, and links."""

import json
from dataclasses import replace

import pytest
from repositories import committed, git

from tests.reports.page_parser import PageParser

pytest.importorskip("duckdb")
pytest.importorskip("ruptures")

import duckdb

from bench.cli.commit_links import commit_links
from bench.cli.main import main
from bench.errors import UserError
from bench.history.archive import CELLS, Archive
from bench.history.events import Commits, events
from bench.history.series import read
from bench.results.schema import Status
from bench.results.store import load
from reports.commit_links import Links
from reports.history.page import render
from reports.history.sentences import alerts_markdown, rows
from reports.history.sentences import commits as told_commits
from tests.reports.nights import RECORDS, SLOW_FROM, commit, fill, nightly, saved

NIGHTS = 12


def plugin_commit(number):
    """The commit of a plug-in's repository in a night, two nights each."""
    return f"b{number // 2:02x}".ljust(12, "0")


def archived(place, source, of_night):
    """Archive nights of one commit of sparsebench, gather being slower from one on.

    Args:
        place: of the archive.
        source: a folder for run files.
        of_night: commits of implementations, by the night's number.
    """
    source.mkdir(exist_ok=True)
    archive = Archive(str(place))
    for number in range(NIGHTS):
        factor = 1.2 if number >= SLOW_FROM else 1.0
        run = nightly(number, factor=factor, commits=of_night(number))
        archive.add(saved(replace(run, header=replace(run.header, commit=commit(7))), source))
    return archive


@pytest.fixture
def archive(tmp_path):
    return archived(
        tmp_path / "store", tmp_path / "source", lambda number: {"gather": plugin_commit(number)}
    )


BEFORE, AFTER = plugin_commit(SLOW_FROM - 1), plugin_commit(SLOW_FROM)


def test_a_step_of_a_plug_in_is_told_by_the_commits_of_its_own_repository(archive, capsys):
    (event,) = events(read(archive, {}))
    assert event.commits == Commits(BEFORE, AFTER, ("gather",))
    assert event.also == ()
    assert main(["history", "alerts", "--store", archive.url]) == 1
    told = capsys.readouterr().out
    assert f"{BEFORE}..{AFTER} of gather, up to" in told
    assert commit(7)[:12] not in told
    assert main(["history", "alerts", "--store", archive.url, "--markdown"]) == 1
    assert f"{BEFORE}..{AFTER} of gather, up to" in capsys.readouterr().out
    assert main(["history", "alerts", "--store", archive.url, "--json"]) == 1
    (event,) = json.loads(capsys.readouterr().out)["events"]
    assert event["commits"] == {"before": BEFORE, "after": AFTER, "of": ["gather"]}


def test_the_series_tell_between_which_commits_they_stepped(archive):
    told = {row["cell"].split()[1]: row["steps"] for row in rows(read(archive, {}))}
    assert told["gather"].endswith(f"), {BEFORE}..{AFTER} of gather")
    assert told["dense"] == "none"


def test_the_page_tells_the_commits_of_the_repository_that_stepped(archive):
    page = PageParser(render(read(archive, {})))
    between = f"{BEFORE}..{AFTER} of gather"
    assert between in page.text("changes")
    stepped = [row for row in page.table("those with the largest steps").rows if row[3] != "none"]
    assert [row[3].endswith(between) for row in stepped[1:]] == [True] * len(RECORDS)
    last = page.table("Every run of the archive").rows[1]
    assert last[1] == f"{commit(7)[:12]}, {plugin_commit(NIGHTS - 1)} of gather"


def test_a_cell_that_lost_its_time_is_told_with_the_commits_between_which_it_did(
    archive, tmp_path, capsys
):
    lost = plugin_commit(NIGHTS)
    run = nightly(NIGHTS, commits={"gather": lost})
    units = tuple(replace(unit, cells=tuple(map(without_time, unit.cells))) for unit in run.units)
    archive.add(saved(replace(run, units=units), tmp_path))
    between = f"{plugin_commit(NIGHTS - 1)}..{lost} of gather"
    for form in ((), ("--markdown",)):
        assert main(["history", "alerts", "--store", archive.url, *form]) == 4
        assert capsys.readouterr().out.count(f"incorrect since 2026-01-13 00:00, {between}: ") == 2
    assert PageParser(render(read(archive, {}))).text("changes").count(between) == 2


def without_time(cell):
    """Gather's cell of a night in which it is wrong."""
    if cell.implementation != "gather":
        return cell
    return replace(cell, status=Status.INCORRECT, reason="wrong", timing=None, verified="")


@pytest.mark.parametrize("first", [SLOW_FROM, NIGHTS], ids=["at one", "at neither"])
def test_where_not_both_runs_know_a_commit_of_their_own_sparsebench_s_is_told(first, tmp_path):
    def of_night(number):
        return {"gather": plugin_commit(number)} if number >= first else {}

    (event,) = events(read(archived(tmp_path / "store", tmp_path / "source", of_night), {}))
    assert event.commits == Commits(commit(7), commit(7))


def test_steps_at_once_in_several_repositories_are_events_of_their_own(tmp_path):
    archive = Archive(str(tmp_path / "store"))
    for number in range(NIGHTS):
        slow = number >= SLOW_FROM
        run = nightly(number, factor=1.2 if slow else 1.0, names=("dense", "gather", "gather2"))
        units = tuple(
            replace(unit, cells=tuple(map(as_gather(unit), unit.cells))) for unit in run.units
        )
        records = tuple(
            replace(record, commit=plugin_commit(number) if record.name == "gather2" else "")
            for record in run.header.implementations
        )
        header = replace(run.header, implementations=records)
        archive.add(saved(replace(run, units=units, header=header), tmp_path))
    found = {event.commits: event for event in events(read(archive, {}))}
    ours = Commits(commit(SLOW_FROM - 1), commit(SLOW_FROM))
    theirs = Commits(BEFORE, AFTER, ("gather2",))
    assert set(found) == {ours, theirs}
    assert found[ours].also == ()
    assert found[theirs].also == ("sparsebench: 070000000000 became 080000000000",)


def as_gather(unit):
    """Give gather2 the times of gather."""
    times = {(cell.implementation, cell.phase): cell.timing for cell in unit.cells}
    return lambda cell: (
        replace(cell, timing=times["gather", cell.phase])
        if cell.implementation == "gather2"
        else cell
    )


def keep_older(summary, target):
    """Write a summary as it was before there was a column for commits of implementations."""
    older = duckdb.read_parquet(str(summary)).project("* EXCLUDE implementation_commit")
    older.write_parquet(str(target))


def test_what_was_summed_up_before_there_were_such_commits_is_summed_up_anew(
    archive, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = tmp_path / "store"
    (store / "cells" / "1").mkdir()
    for path in (store / CELLS).iterdir():
        older = store / "cells" / "1" / path.name
        keep_older(path, older)
        path.unlink()
    (event,) = events(read(archive, {}))
    assert event.commits == Commits(BEFORE, AFTER, ("gather",))
    assert len(list((store / CELLS).iterdir())) == NIGHTS


def test_a_summary_that_lacks_the_column_among_others_is_made_anew(archive, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    victim = sorted((tmp_path / "store" / CELLS).iterdir())[3]
    older = tmp_path / "older.parquet"
    keep_older(victim, older)
    older.replace(victim)
    history = read(archive, {})
    assert (len(history.runs), history.skipped) == (NIGHTS, ())
    assert [event.commits.of for event in events(history)] == [("gather",)]


def test_a_step_within_one_commit_is_no_range_of_commits(tmp_path, capsys):
    store = fill(tmp_path / "store", tmp_path / "source")
    one = tmp_path / "one"
    for path in (store / "runs").iterdir():
        run = load(path)
        header = replace(run.header, commit=commit(7))
        Archive(str(one)).add(saved(replace(run, header=header), tmp_path))
    assert main(["history", "alerts", "--store", str(one)]) == 1
    target = tmp_path / "page.html"
    assert main(["history", "show", "--store", str(one), "-o", str(target)]) == 0
    for text in (capsys.readouterr().out, target.read_text()):
        assert "070000000000 before and after" in text
        assert "070000000000..07" not in text


def test_what_was_changed_beside_a_commit_makes_a_range():
    assert told_commits(Commits("abc", "abc", ("one",))) == "abc of one before and after"
    assert told_commits(Commits("abc", "abc+dirty")) == "abc..abc+dirty"
    assert told_commits(Commits("", "a" * 40)) == f"no commit..{'a' * 12}"


def test_a_commit_url_needs_a_place_for_the_commit(archive, capsys):
    for given in ("https://example.org", "javascript:{commit}", "gather=ftp://x/{commit}"):
        arguments = ["history", "alerts", "--store", archive.url, "--commit-url", given]
        assert main(arguments) == 2
    assert "{commit}" in capsys.readouterr().err


def test_a_commit_url_is_for_commits_of_the_repository_that_it_is_given_for(archive, capsys):
    command = ["history", "alerts", "--store", archive.url, "--markdown"]
    ours = ["--commit-url", "https://example.org/c?id={commit}"]
    assert main([*command, *ours]) == 1
    assert "example.org" not in capsys.readouterr().out
    theirs = ["--commit-url", "gather=https://example.org/p?id={commit}"]
    assert main([*command, *ours, *theirs]) == 1
    assert f"([{AFTER}](https://example.org/p?id={AFTER}))" in capsys.readouterr().out


def test_what_is_no_commit_is_not_linked():
    links = Links({"": "https://example.org/c/{commit}"})
    assert links.to("abc+dirty") == "https://example.org/c/abc"
    assert [links.to(own) for own in ("", "../x", "abc)")] == ["", "", ""]


def test_an_address_of_nobody_in_the_archive_is_refused(archive):
    with pytest.raises(UserError, match=r"--commit-url gather_=\.\.\.: this history has .*gather"):
        commit_links(["gather_=https://example.org/{commit}"], read(archive, {}))


def test_markup_in_a_commit_is_text_in_an_alert(tmp_path):
    evil = "0123456789ab+dirty](https://evil.test) <img src=x>"
    archive = archived(tmp_path / "store", tmp_path / "source", lambda _: {"gather": evil})
    history = read(archive, {})
    links = Links({"gather": "https://example.org/c/{commit}"})
    told = alerts_markdown(history, events(history), [], links)
    assert "https://example.org/c/0123456789ab" in told
    assert "](https://evil.test)" not in told.replace("\\](", "")
    assert "<img" not in told


def test_only_commits_that_the_working_directory_s_repository_has_are_linked_into_it(
    tmp_path, monkeypatch
):
    repository = tmp_path / "layers"
    first, second = committed(repository, "first"), committed(repository, "second")
    git(repository, "remote", "add", "origin", "git@github.com:somebody/layers.git")

    def of_night(number):
        return {"gather": f"{second}+dirty" if number >= SLOW_FROM else first}

    history = read(archived(tmp_path / "store", tmp_path / "source", of_night), {})
    monkeypatch.chdir(repository)
    links = commit_links([], history)
    address = "https://github.com/somebody/layers/commit/"
    assert links.to(first, ["gather"]) == f"{address}{first}"
    assert links.to(f"{second}+dirty", ["gather"]) == f"{address}{second}"
    assert links.to(commit(7)) == links.to("") == ""
    page = render(history, links)
    assert f'<a href="{address}{second}">{second}+dirty</a>' in page
    assert commit(7) not in page
    monkeypatch.chdir(tmp_path)
    assert commit_links([], history).to(first, ["gather"]) == ""


def test_an_address_without_a_place_is_refused_before_git_is_asked():
    with pytest.raises(UserError, match=r"with \{commit\} in it, perhaps with IMPL= in front"):
        commit_links(["gather=https://example.org"], None)
