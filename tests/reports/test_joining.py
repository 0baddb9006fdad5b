"""Runs on one page: of several machines and versions, with nothing compared that must not be."""

from dataclasses import replace

from reports.commands import command, impl_arguments
from reports.joining import join, origins
from reports.method import method
from reports.page import render
from reports.speed import compare
from tests.reports.page_parser import PageParser
from tests.reports.synthetic_runs import Noise, density_group, make_run

FEW = Noise(length=4)


def on_machine(run, name):
    machine = replace(run.header.machine, name=name)
    return replace(run, header=replace(run.header, machine=machine))


def test_runs_of_two_machines_stand_side_by_side_and_are_not_compared():
    records = density_group()[:2]
    sparse = on_machine(make_run(records, ("gather",), noise=FEW), "first")
    dense = on_machine(make_run(records, ("dense",), noise=FEW), "second")
    run = join([sparse, dense])
    comparison = compare(run)
    assert [setting.device for setting in comparison.settings] == [
        "cpu of machine 1",
        "cpu of machine 2",
    ]
    assert not any(row.ratio for row in comparison.rows)
    page = PageParser(render(run))
    assert "runs of 2 machines stand side by side" in page.text("verdict")
    assert "float32 on cpu of machine 2" in page.text("speed")
    assert "--device cpu --threads" in page.text("speed")


def test_a_workload_in_two_versions_is_the_last_run_s_and_this_is_said():
    before = make_run(density_group()[:2], noise=FEW)
    records = [replace(record, version="changed") for record in density_group()[:2]]
    after = make_run(records, noise=FEW)
    run = join([before, after])
    assert {unit.workload.version for unit in run.units} == {"changed"}
    assert "in several versions" in PageParser(render(run)).text("verdict")


def test_workloads_of_two_suites_that_share_a_name_are_two():
    quick = make_run(density_group()[:1], ("dense", "masked"), noise=FEW)
    record = replace(density_group()[0], suite="layers", version="changed")
    layers = make_run([record], ("dense",), noise=FEW)
    run = join([quick, layers])
    assert [unit.workload.version for unit in run.units] == ["0123456789ab", "changed"]
    doubts = " ".join(run.header.machine.doubts)
    assert "in several versions" not in doubts
    assert "leaves out" not in doubts
    again = make_run(density_group()[:1], ("dense",), noise=FEW)
    doubts = " ".join(join([quick, layers, again]).header.machine.doubts)
    assert "leaves out cells of masked" in doubts


def test_an_implementation_in_two_versions_is_told():
    run = make_run(density_group()[:1], noise=FEW)
    newer = tuple(replace(record, version="2.0") for record in run.header.implementations)
    doubts = join(
        [run, replace(run, header=replace(run.header, implementations=newer))]
    ).header.machine.doubts
    assert "gather was measured in versions 1.0 and 2.0" in doubts


def test_what_was_not_alike_is_told_with_the_doubts_of_all_runs():
    run = make_run(density_group()[:1], noise=FEW)
    machine = replace(run.header.machine, doubts=("a storm",))
    settings = replace(run.header.settings, processes=1, seconds=2.5)
    header = replace(run.header, commit="fedcba987654", machine=machine, settings=settings)
    doubts = " ".join(join([run, replace(run, header=header)]).header.machine.doubts)
    assert "a storm" in doubts
    assert "at several commits" in doubts
    assert "fedcba987654" in doubts
    assert "and 1 (of 2.50 s per phase)" in doubts
    assert "was measured at commits" not in doubts
    first, *others = run.header.implementations

    def at(commit):
        records = (replace(first, commit=commit), *others)
        header = replace(run.header, implementations=records, suite_commits={"made": "abc"})
        return replace(run, header=header)

    joined = join([at("fedcba987654"), at("0123456789ab+dirty")]).header
    told = "dense was measured at commits fedcba987654 and 0123456789ab+dirty"
    assert told in joined.machine.doubts
    assert joined.suite_commits == {"made": "abc"}
    told = " ".join(join([run, at("0123456789ab+dirty")]).header.machine.doubts)
    assert "was measured at commits" not in told  # where it was before is not known


def test_one_run_alone_stays_as_it_is():
    run = make_run(density_group()[:1], noise=FEW)
    assert join([run]) is run


def test_what_a_later_run_of_a_workload_leaves_out_is_told():
    first = make_run(density_group()[:1], ("dense", "masked"), noise=FEW)
    second = make_run(density_group()[:1], ("dense", "gather"), noise=FEW)
    run = join([first, second])
    assert {cell.implementation for cell in run.cells} == {"dense", "gather"}
    (doubt,) = [each for each in run.header.machine.doubts if "leaves out" in each]
    assert "masked forward" in doubt
    assert "dense" not in doubt
    others = make_run(density_group()[1:2], ("dense", "masked"), noise=FEW)
    assert not any("leaves out" in each for each in join([first, others]).header.machine.doubts)


def test_runs_are_finished_together_if_all_of_them_are():
    first, second = (make_run([record], noise=FEW) for record in density_group()[:2])
    assert join([first, second]).finished
    assert not join([first, replace(second, finished="")]).finished


def test_every_cell_keeps_the_settings_and_the_command_that_it_was_measured_with():
    quick, slow = (make_run([record], noise=FEW) for record in density_group()[:2])
    settings = replace(slow.header.settings, seconds=7.5, processes=2, precision=0.01)
    given = ("sparsebench", "run", "mine/slow.py")
    header = replace(
        slow.header, id="slow", settings=settings, command=given, suite_files={"made": "slow.py"}
    )
    runs = [quick, replace(slow, header=header)]
    run = join(runs)
    headers = origins(runs)
    first, second = (
        command(
            run, table, impl_arguments(run), headers[table.workload.suite, *table.rows[0].cell.key]
        )
        for table in compare(run).tables
    )
    assert "--processes 3 --seconds 1 --precision 0.005 " in first.end
    assert first.start.startswith("sparsebench run made ")
    assert "--processes 2 --seconds 7.5 --precision 0.01 " in second.end
    assert second.start.startswith("sparsebench run mine/slow.py ")
    assert join([run]).settings == run.settings == (quick.header.settings, settings)
    facts = dict(method(run, (quick.header, header)).facts)
    assert facts["budget"].startswith("1 s and 7.5 s for one phase")
    assert facts["fresh processes"] == "3 and 2 per workload"
    assert "the runs differ in precision: the section on method" in run.header.machine.doubts[-1]
    page = render(run, headers=headers)
    assert "--seconds 7.5" in page
    assert "fresh processes per workload: 2;" in page
    assert join([run, run]).settings == run.settings


def test_runs_of_two_machines_keep_their_settings():
    first, second = (on_machine(make_run(density_group()[:1], noise=FEW), name) for name in "ab")
    settings = replace(second.header.settings, seconds=7.5)
    second = replace(second, header=replace(second.header, settings=settings))
    assert [each.seconds for each in join([first, second]).settings] == [1.0, 7.5]
