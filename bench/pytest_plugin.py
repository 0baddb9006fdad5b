"""`pytest --benchmark`: the suites as tests, measured by the same engine as `sparsebench run`.

A test marked `sparsebench(suite="quick")` that takes the fixture `sparsebench_cell` becomes one item
for each workload, implementation and phase. With `--benchmark` what is selected of a workload is
measured in turn when its first item runs; each item then replays its samples to pytest-benchmark,
whose table, JSON and comparison work on them. Without the flag the same items check the same outputs
and gradients once.

This module is imported by every pytest in the environment, so it imports nothing heavy at its top.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.cli.quantities import positive, positive_float, threads

if TYPE_CHECKING:
    from collections.abc import Generator

    from bench.pytest_cells import CellUnderTest, RunFile, SuiteSession
    from bench.results.schema import Run

SESSIONS: pytest.StashKey[dict[tuple[str, str | None], SuiteSession]] = pytest.StashKey()
"""By suite and implementations, as markers name them."""
CELLS: pytest.StashKey[dict[tuple[str, str], CellUnderTest]] = pytest.StashKey()
"""By test, which is what stands before its brackets, and by what stands between them."""
RUN_FILE: pytest.StashKey[RunFile] = pytest.StashKey()
FINISHED = pytest.StashKey[pytest.Session]()
USAGE_ERROR = 2


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--benchmark` and what goes with it."""
    group = parser.getgroup("sparsebench", "sparse and dense convolution benchmarks")
    group.addoption(
        "--benchmark",
        action="store_true",
        dest="sparsebench_measure",
        help="measure the suites instead of only checking them",
    )
    for option, text in (
        ("impl", "implementations: names or plug-in files, comma separated"),
        ("workload", "workloads: names, * and ? allowed"),
        ("phase", "phases, comma separated"),
        ("dtype", "element types, comma separated"),
        ("output", "write a run file here, for `sparsebench report`"),
    ):
        group.addoption(f"--sparsebench-{option}", metavar=option.upper(), help=text)
    group.addoption("--sparsebench-device", default="cpu", help="cpu or cuda")
    group.addoption(
        "--sparsebench-wait",
        action="store_true",
        help="wait for a run that is already measuring here, instead of failing",
    )
    for option, kind, default, text in (
        ("seconds", positive_float, None, "budget of one phase of one workload in one process"),
        ("processes", positive, None, "fresh processes per workload"),
        ("threads", threads, 1, "threads of every worker"),
    ):
        group.addoption(
            f"--sparsebench-{option}",
            type=kind,
            default=default,
            metavar=option.upper(),
            help=text,
        )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; refuse to measure where others would measure at the same time."""
    config.addinivalue_line(
        "markers", "sparsebench(suite, impl): the workloads of a suite, as tests"
    )
    config.stash[SESSIONS] = {}
    config.stash[CELLS] = {}
    if config.getoption("sparsebench_output") and not config.getoption("sparsebench_measure"):
        raise pytest.UsageError("--sparsebench-output writes what is measured: add --benchmark")
    if not measures(config):
        return
    # Before xdist starts any worker: one that refuses would be replaced by the next, for ever.
    if any(getattr(config.option, name, None) for name in ("numprocesses", "tx")):
        raise pytest.UsageError(
            "--benchmark cannot measure under xdist: workers would disturb each other; use -n 0"
        )
    if not hasattr(config.option, "benchmark_storage"):
        raise pytest.UsageError("--benchmark shows times through pytest-benchmark, which is off")
    device = config.getoption("sparsebench_device")
    if device != "cpu" and config.option.benchmark_storage == "file://./.benchmarks":
        # pytest-benchmark keys its storage by Python build; results of two GPUs must not mix.
        import torch  # noqa: PLC0415

        from bench.errors import UserError  # noqa: PLC0415
        from bench.measure.plan import check_device  # noqa: PLC0415

        try:
            device = check_device(device)
        except UserError as error:
            raise pytest.UsageError(f"--sparsebench-device: {error}") from error
        name = re.sub(r"[^A-Za-z0-9]+", "-", torch.cuda.get_device_name(device))
        config.option.benchmark_storage = f"file://./.benchmarks/{name}"


def measures(config: pytest.Config) -> bool:
    """Whether items are measured: with `--benchmark`, unless `--benchmark-disable` goes with it."""
    disabled = config.getoption("benchmark_disable", default=False)
    enabled = config.getoption("benchmark_enable", default=False)
    return bool(config.getoption("sparsebench_measure") and (enabled or not disabled))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one item for each workload, implementation, element type and phase."""
    if "sparsebench_cell" not in metafunc.fixturenames:
        return
    from bench.errors import UserError  # noqa: PLC0415

    test = metafunc.definition.nodeid
    try:
        session = _session(metafunc.config, *_asked_by(metafunc.definition))
        cells = {cell.id: cell for cell in session.cells()}
    except UserError as error:  # one line, of this module only
        raise pytest.Collector.CollectError(f"sparsebench: error: {error}") from None
    metafunc.config.stash[CELLS].update({(test, name): cell for name, cell in cells.items()})
    # pytest-benchmark writes parameters into its JSON: names, which are the same in every run.
    metafunc.parametrize("sparsebench_cell", list(cells), ids=list(cells), indirect=True)


def _asked_by(test: pytest.Function) -> tuple[str, str | None]:
    """What a test's marker says: its suite, a name or the whole path of a file, and implementations.

    Relative paths are looked for from the test's own file.

    Raises:
        UserError: if it names no suite, or says something else.
    """
    from bench.errors import UserError  # noqa: PLC0415

    marker = test.get_closest_marker("sparsebench")
    given: dict[str, object] = {}
    if marker is not None:
        given = {**dict(zip(("suite",), marker.args, strict=False)), **marker.kwargs}
    is_clear = marker is not None and len(marker.args) + len(marker.kwargs) == len(given)
    if not is_clear or "suite" not in given or not {"suite", "impl"}.issuperset(given):
        wanted = '@pytest.mark.sparsebench(suite="..."), or with impl="..." besides'
        raise UserError(f"{test.nodeid} needs {wanted}")
    folder = test.path.parent
    suite = _found_from(folder, given["suite"], f"{test.nodeid} names no suite")
    if given.get("impl") is None:
        return suite, None
    wrong = f"{test.nodeid} names no implementations"
    named = given["impl"]
    names = named.split(",") if isinstance(named, str) else [named]
    return suite, ",".join(_found_from(folder, name, wrong) for name in names)


def _found_from(folder: Path, given: object, wrong: str) -> str:
    """A name as it is, or the whole path of a file.

    Raises:
        UserError: if it is neither.
    """
    from bench.errors import UserError  # noqa: PLC0415
    from bench.plugins.files import names_file  # noqa: PLC0415

    if not isinstance(given, str | Path):
        raise UserError(f"{wrong}, but {given!r}: give a name or a path")
    name = str(given).strip()
    is_file = isinstance(given, Path) or names_file(name)
    return str((folder / name).resolve()) if is_file else name


def _session(config: pytest.Config, suite: str, impl: str | None) -> SuiteSession:
    """The session of a suite and its implementations, made where there is none yet.

    Raises:
        UserError: if it cannot be made, or there is another of that name: in a run file, results of one
            would pass for results of the other.
    """
    from bench.errors import UserError  # noqa: PLC0415
    from bench.pytest_cells import SuiteSession  # noqa: PLC0415

    sessions = config.stash[SESSIONS]
    if (suite, impl) not in sessions:
        made = SuiteSession(suite, config, _run_file(config), measures=measures(config), impl=impl)
        name = made.plan.suite.name
        for (other, _), session in sessions.items():
            if other == suite:
                raise UserError(f"tests of suite {name!r} name different implementations")
            if session.plan.suite.name == name:
                raise UserError(
                    f"{suite} calls its suite {name!r}, and so does another file; rename one"
                )
        sessions[suite, impl] = made
        for session in sessions.values():
            session.has_company = len(sessions) > 1
    return sessions[suite, impl]


def _run_file(config: pytest.Config) -> RunFile | None:
    """The run file that all suites of a session share; None where none is to be written.

    Raises:
        UserError: if it exists already, or cannot be one.
    """
    from bench.pytest_cells import RunFile  # noqa: PLC0415

    target = config.getoption("sparsebench_output")
    if not target or not measures(config):
        return None
    if RUN_FILE not in config.stash:
        config.stash[RUN_FILE] = RunFile(Path(target))
    return config.stash[RUN_FILE]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave to each suite what was not deselected, by `-k` for example: the rest is not measured."""
    cells = [cell for item in session.items if (cell := _cell_of(item)) is not None]
    for suite in session.config.stash[SESSIONS].values():
        if own := [cell for cell in cells if cell.session is suite]:
            suite.keep(own)


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> str:
    """Say why `--benchmark-only` by itself is going to skip every cell, and what has no profile."""
    if all(_cell_of(item) is None for item in items):
        return ""
    if config.getoption("benchmark_only", default=False) and not measures(config):
        return (
            "sparsebench: cells are benchmarks with --benchmark; --benchmark-only alone skips them"
        )
    if config.getoption("benchmark_cprofile", default=None) and measures(config):
        return "sparsebench: cells run in processes of their own, and get no profile"
    return ""


def _cell_of(item: pytest.Item) -> CellUnderTest | None:
    """The cell that an item measures; None where it is no item of ours."""
    callspec = getattr(item, "callspec", None)
    if callspec is None or "sparsebench_cell" not in callspec.params:
        return None
    test = item.nodeid.removesuffix(f"[{callspec.id}]")
    return item.config.stash[CELLS].get((test, callspec.params["sparsebench_cell"]))


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None]:
    """Give pytest-benchmark the clock and the group of each measured item.

    It tells benchmarks from other tests by their fixtures, and here only a cell with a time asks for
    its own: while `--benchmark-only` and `--benchmark-skip` choose, all that are measured have it.
    """
    shown: list[list[str]] = []
    if measures(config):
        for item in items:
            cell = _cell_of(item)
            if cell is not None and isinstance(item, pytest.Function):
                item.add_marker(_clocked(item, cell), append=False)  # the first one counts
                if "benchmark" not in item.fixturenames:  # the items of a test share these
                    item.fixturenames.append("benchmark")
                    shown.append(item.fixturenames)
    yield
    for names in shown:
        names.remove("benchmark")


def _clocked(item: pytest.Item, cell: CellUnderTest) -> pytest.MarkDecorator:
    """What a test's own marker asks of pytest-benchmark, with the clock that replays its samples."""
    own = item.get_closest_marker("benchmark")
    asked = {} if own is None else own.kwargs
    merged: pytest.MarkDecorator = pytest.mark.benchmark(
        **{"group": cell.group, **asked, "timer": cell.clock}
    )
    return merged


@pytest.fixture
def sparsebench_cell(request: pytest.FixtureRequest) -> CellUnderTest:
    """One cell: call its `run` with the request."""
    cell = _cell_of(request.node)
    if cell is None:
        raise AssertionError("an item with this fixture has a cell")
    return cell


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End workers, and write the run file where one was asked for."""
    from bench.errors import UserError  # noqa: PLC0415

    session.config.stash[FINISHED] = session
    closed: list[Run | None] = []
    with ExitStack() as stack:  # which closes the others where one cannot be closed
        for suite in reversed(session.config.stash[SESSIONS].values()):
            stack.callback(_close, suite, closed)
    runs = [run for run in closed if run is not None]
    run_file = session.config.stash.get(RUN_FILE, None)
    if run_file is None:
        return
    try:
        run_file.finish(runs)
    except UserError as error:  # the table of what was measured is still to come
        session.exitstatus = USAGE_ERROR
        terminal = session.config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None:
            terminal.write_line(f"sparsebench: error: {error}", red=True)


def _close(suite: SuiteSession, closed: list[Run | None]) -> None:
    closed.append(suite.close())


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Generator[None]:
    """Turn the exception that pytest-benchmark raises for a regression into an exit status."""
    from pytest_benchmark.session import PerformanceRegression  # noqa: PLC0415

    try:
        yield
    except PerformanceRegression as error:
        terminalreporter.write_line(str(error), red=True)
        terminalreporter.config.stash[FINISHED].exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)  # pytest-benchmark may be off: -p no:benchmark
def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, object]
) -> None:
    """Add what was asked for: pytest-benchmark warns where it compares runs that differ in this.

    It asks when the session begins and at its end, and what is added must be the same both times.
    """
    if measures(config):
        machine_info["sparsebench"] = {
            "device": config.getoption("sparsebench_device"),
            "threads": config.getoption("sparsebench_threads"),
        }


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, object]) -> None:
    """Add what sparsebench found out about the machine to pytest-benchmark's JSON."""
    for suite in config.stash[SESSIONS].values():
        if suite.header is not None:
            machine = suite.header.machine
            output_json["sparsebench"] = {"machine": machine.name, **machine.facts}
