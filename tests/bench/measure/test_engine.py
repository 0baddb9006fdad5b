"""The engine with whole workers: what is wrong gets no time, what is sick harms nobody else."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from repositories import committed
from stored_runs import unit

from bench.errors import UserError
from bench.machine import describe_machine
from bench.measure import engine
from bench.measure.engine import execute
from bench.measure.header import Place, header_of
from bench.measure.plan import Plan
from bench.phases import Phase
from bench.plugins.implementations import choose
from bench.plugins.implementations import load as load_implementation
from bench.plugins.installed import Reference
from bench.plugins.suites import load_suite
from bench.results.schema import Run, Settings, Status
from bench.results.store import Journal, load

PLUGINS = Path(__file__).parents[2] / "plugins"
EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
WORKLOAD = "2d-submanifold-k3-c32-grid96-uniform-1%"
BIASED_FULL = "2d-full-k2-c16to32-grid96-strokes"
PHASES = (Phase.FORWARD, Phase.BACKWARD, Phase.FORWARD_COLD)
WORK = ("timed", "warm-up", "oracle", "tuning", "layers", "other")


def plan(
    implementations, workload=WORKLOAD, phases=PHASES, timeout=60.0, processes=1, seconds=0.05
):
    suite = load_suite("quick")
    references, broken = choose(implementations)
    return Plan(
        suite=suite,
        workloads=(suite.find(workload),),
        implementations=tuple(references),
        broken=tuple(broken),
        dtypes=("float32",),
        device="cpu",
        settings=Settings(seconds, 0.005, processes, 1, 0, timeout, phases),
    )


def run_beside_gather(references, **options):
    whole = plan(["gather"], **options)
    return execute(replace(whole, implementations=(*whole.implementations, *references)))


def by_phase(run, name):
    return {cell.phase: cell for cell in run.cells if cell.implementation == name}


@pytest.fixture(scope="module")
def wrong_run():
    return run_beside_gather(choose([str(PLUGINS / "wrong.py")])[0], workload=BIASED_FULL)


@pytest.mark.parametrize(
    "name", ["off_by_one_tap", "bias_everywhere", "wrong_second_call", "remembers", "spurious_site"]
)
def test_a_wrong_output_is_incorrect_in_every_phase_and_holds_no_time(wrong_run, name):
    cells = by_phase(wrong_run, name)
    assert {cell.status for cell in cells.values()} == {Status.INCORRECT}
    assert all(cell.timing is None and cell.reason for cell in cells.values())


def test_a_wrong_gradient_is_incorrect_where_gradients_are_timed_and_only_there(wrong_run):
    cells = by_phase(wrong_run, "wrong_gradient")
    assert cells[Phase.BACKWARD].status is Status.INCORRECT
    assert "gradient" in cells[Phase.BACKWARD].reason
    assert cells[Phase.FORWARD].status is Status.OK


def test_what_turns_wrong_while_being_measured_loses_its_samples(wrong_run):
    cells = by_phase(wrong_run, "wrong_when_warm")
    assert cells[Phase.FORWARD].status is Status.INCORRECT
    assert "last timed call" in cells[Phase.FORWARD].reason


def test_the_right_one_beside_wrong_ones_is_measured(wrong_run):
    assert {cell.status for cell in by_phase(wrong_run, "gather").values()} == {Status.OK}


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("raising", Status.ERROR, "RuntimeError: this one just raises"),
        ("crashing", Status.ERROR, "SIGSEGV"),
        ("exiting", Status.ERROR, "exit status 3"),
        ("resigning", Status.ERROR, "exit status 1; SystemExit: 4"),
        ("hanging", Status.TIMEOUT, "no sign of life"),
        ("devouring", Status.OUT_OF_MEMORY, "allocate"),
    ],
)
def test_a_sick_implementation_gets_a_status_and_costs_nobody_else_a_cell(name, status, words):
    sick = [r for r in choose([str(PLUGINS / "sick.py")])[0] if r.name == name]
    timeout = 5.0 if status is Status.TIMEOUT else 60.0  # of whoever is measured, on any machine
    run = run_beside_gather(sick, timeout=timeout, phases=(Phase.FORWARD, Phase.FORWARD_COLD))
    cells = by_phase(run, name)
    assert {cell.status for cell in cells.values()} == {status}
    assert words in cells[Phase.FORWARD].reason
    assert "\n" not in cells[Phase.FORWARD].reason
    assert {cell.status for cell in by_phase(run, "gather").values()} == {Status.OK}


def test_every_implementation_is_measured_in_the_same_rounds_of_every_process():
    run = execute(plan(["dense", "gather", "masked"], processes=2, phases=(Phase.FORWARD,)))
    shapes = {
        cell.implementation: [(s.process, len(s.rounds)) for s in cell.timing.processes]
        for cell in run.cells
    }
    assert len({str(shape) for shape in shapes.values()}) == 1
    assert [process for process, _ in shapes["gather"]] == [0, 1]


def test_cells_say_how_they_were_verified_what_they_cost_and_what_they_took():
    run = execute(plan(["gather"], phases=(Phase.FORWARD, Phase.TRAIN_STEP)))
    forward, train = run.cells
    assert forward.verified
    assert forward.work.multiply_adds * 3 == train.work.multiply_adds
    assert forward.work.dense_multiply_adds == 2 * 96 * 96 * 9 * 32 * 32
    assert forward.peak_bytes is None or forward.peak_bytes < 2**26
    assert run.header.machine.rates[0].multiply_adds_per_second > 1e8


def test_dense_from_sparse_is_timed_only_where_it_differs_from_dense():
    run = execute(plan(["dense_from_sparse"], phases=(Phase.FORWARD, Phase.FORWARD_COLD)))
    statuses = {cell.phase: cell.status for cell in run.cells}
    assert statuses == {Phase.FORWARD: Status.UNSUPPORTED, Phase.FORWARD_COLD: Status.OK}


def test_a_resumed_run_keeps_finished_units_and_measures_the_others(tmp_path):
    first = plan(["gather"], phases=(Phase.FORWARD,))
    both = replace(first, workloads=(*first.workloads, load_suite("quick").find(BIASED_FULL)))
    journal = Journal(tmp_path / "run.json")
    interrupted = execute(both, journal, is_interrupted=lambda: True)
    assert not interrupted.finished
    resumed = execute(both, journal)
    assert resumed.units[0] == interrupted.units[0]
    assert [unit.workload.name for unit in resumed.units] == [WORKLOAD, BIASED_FULL]
    journal.finish(resumed)
    assert load(tmp_path / "run.json") == resumed
    assert not journal.path.exists()


def test_a_run_is_not_resumed_with_other_settings_or_implementations(tmp_path):
    first = plan(["gather"], phases=(Phase.FORWARD,))
    journal = Journal(tmp_path / "run.json")
    execute(first, journal)
    other = plan(["masked"], phases=(Phase.FORWARD, Phase.DECODE))
    with pytest.raises(UserError, match="differs in its settings, implementations"):
        execute(other, journal)


def test_the_command_that_an_unfinished_run_was_begun_with_can_be_pasted(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["sparsebench", "run", "my suite.py"])
    journal = Journal(tmp_path / "run.json")
    execute(plan(["gather"], phases=(Phase.FORWARD,)), journal)
    with pytest.raises(UserError, match=r"`sparsebench run 'my suite\.py'`"):
        execute(plan(["gather"], phases=(Phase.DECODE,)), journal)


def test_a_run_is_not_resumed_with_other_types_workloads_or_code(tmp_path, monkeypatch):
    first = plan(["gather"], phases=(Phase.FORWARD,))
    journal = Journal(tmp_path / "run.json")
    execute(first, journal)
    monkeypatch.setattr(engine, "own_commit", lambda: "0123456789ab")
    workload = load_suite("quick").find(BIASED_FULL)
    other = replace(first, dtypes=("float64",), workloads=(*first.workloads, workload))
    with pytest.raises(UserError, match=r"choice of workloads, element types, commit: .*--resume"):
        execute(other, journal)


def test_a_run_is_not_resumed_with_other_libraries_or_on_another_device():
    planned = plan(["gather"])
    machine = describe_machine(torch.device("cpu"), 1)
    earlier = Run(header_of(planned, Place(machine, {}, (), {})), (unit(),))
    same = replace(earlier, units=())
    engine._check_resumable(planned, same)
    records = tuple(replace(each, version="old") for each in same.header.implementations)
    with pytest.raises(UserError, match="differs in its implementations' versions: "):
        engine._check_resumable(
            planned, replace(same, header=replace(same.header, implementations=records))
        )
    older = replace(machine, facts=machine.facts | {"libraries": "torch 1.0"})
    with pytest.raises(UserError, match="differs in its libraries: "):
        engine._check_resumable(planned, replace(same, header=replace(same.header, machine=older)))
    elsewhere = unit()
    cells = tuple(replace(cell, device="cuda:1") for cell in elsewhere.cells)
    elsewhere = replace(elsewhere, cells=cells)
    with pytest.raises(UserError, match="differs in its device, workloads: "):
        engine._check_resumable(planned, replace(earlier, units=(elsewhere,)))


def test_plug_ins_and_suites_have_the_commits_of_their_own_repositories(tmp_path):
    plugin, own = tmp_path / "plug-in", tmp_path / "suite"
    commits = [
        committed(plugin, (EXAMPLES / "unfold.py").read_text(), "unfold.py"),
        committed(own, (EXAMPLES / "my_layers.py").read_text(), "my_layers.py"),
    ]
    suite = load_suite(str(own / "my_layers.py"))
    planned = replace(plan(["dense", str(plugin / "unfold.py")]), suite=suite)
    machine = describe_machine(torch.device("cpu"), 1)
    header = header_of(planned, Place(machine, {}, (), {}))
    assert header.commits == {"unfold": commits[0]}
    assert header.suite_commits == {"my-layers": commits[1]}

    begun = Run(header, ())
    (plugin / "unfold.py").write_text("# not what was imported")
    with pytest.raises(UserError, match=rf"plug-ins' commits: .*, unfold at {commits[0]} with"):
        engine._check_resumable(planned, begun)
    records = tuple(replace(record, commit="") for record in header.implementations)
    older = Run(replace(header, implementations=records, suite_commits={}), ())
    engine._check_resumable(planned, older)


@pytest.mark.parametrize(
    "background", ["zero", pytest.param("ground_state", marks=pytest.mark.slow)]
)
def test_layers_of_a_network_are_timed_beside_the_samples(background):
    suite = load_suite("networks")
    ending = "-ground" if background == "ground_state" else ""
    workload = suite.find(f"deepcnet-3-30-grid24-strokes-b2{ending}")
    phases = (Phase.FORWARD, Phase.FORWARD_COLD, Phase.TRAIN_STEP)
    planned = replace(plan(["gather", "dense"], phases=phases), suite=suite, workloads=(workload,))
    run = execute(planned)
    assert run.workloads[0].background == background
    layers = [layer.name for layer in workload.network.layers]
    for name in ("gather", "dense"):
        cells = by_phase(run, name)
        assert {cell.status for cell in cells.values()} == {Status.OK}
        assert list(cells[Phase.FORWARD].layers) == layers
        encode = ["encode"] if name == "gather" else []
        assert list(cells[Phase.FORWARD_COLD].layers) == encode + layers
        assert min(cells[Phase.FORWARD].layers.values()) > 0
        assert cells[Phase.TRAIN_STEP].layers == {}
    assert run.units[0].seconds["layers"] > 0


def test_time_is_accounted_for():
    run = execute(plan(["dense", "gather"], phases=(Phase.FORWARD,)))
    seconds = run.units[0].seconds
    parts = sum(seconds[what] for what in WORK)
    assert 0 < parts <= seconds["wall"]


def test_a_plugin_file_that_lost_its_implementation_is_named(tmp_path):
    path = tmp_path / "plugin.py"
    path.write_text("from impls.gather import Gather\nclass A(Gather):\n    name = 'a'\n")
    with pytest.raises(UserError, match="no longer has"):
        load_implementation(Reference("b", str(path), is_file=True))


def test_worker_processes_can_be_started_before_torch_is_imported():
    code = "import sys, bench.measure.processes; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_workers_inherit_what_implementations_prepared(tmp_path):
    # Whether numba is imported is what one sees from outside of gather's preparation.
    path = tmp_path / "nosy.py"
    path.write_text(
        "import sys\n"
        "from impls.gather import Gather\n"
        "class Nosy(Gather):\n"
        "    name = 'nosy'\n"
        "    def encode(self, batch):\n"
        "        if 'numba' not in sys.modules:\n"
        "            raise RuntimeError('nothing was prepared')\n"
        "        return super().encode(batch)\n"
    )
    run = execute(plan(["gather", str(path)], phases=(Phase.ENCODE,)))
    assert [cell.reason for cell in run.cells] == ["", ""]


@pytest.fixture(scope="module")
def loaded_run():
    references, _ = choose([str(PLUGINS / "loaded.py")])
    return run_beside_gather(references, phases=(Phase.FORWARD,), seconds=1.0)


def test_threads_that_an_implementation_brings_along_are_pinned(loaded_run):
    cell = by_phase(loaded_run, "brings_threads")[Phase.FORWARD]
    assert cell.status is Status.OK, cell.reason
    (samples,) = cell.timing.processes
    if samples.calls * len(samples.rounds) <= 12:  # no more than the calls of its checks
        pytest.skip("the machine was too busy to come to the call that matters")


def test_every_thread_pool_is_recorded_with_its_threads(loaded_run):
    pools = loaded_run.header.machine.facts["thread pools"].split("; ")
    assert any(pool.startswith("openmp") for pool in pools)
    assert all(pool.endswith(": 1") for pool in pools)
