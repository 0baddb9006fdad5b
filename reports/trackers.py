"""Run files for other trackers: Bencher, github-action-benchmark, and pytest-benchmark's own tools."""

from typing import Any

import msgspec
import pytest_benchmark
from pytest_benchmark.stats import Stats

from bench.results.schema import Cell, Run, Timing, Unit
from bench.statistics.intervals import seconds_of_rounds, seconds_per_call


def to_bencher(run: Run) -> str:
    """Write Bencher Metric Format: nanoseconds and 99 % interval as measure `latency`.

    Source: bencher.dev/docs/reference/bencher-metric-format.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for unit, cell, timing in _timed(run):
        seconds = seconds_per_call(timing)
        latency = {"value": seconds.estimate * 1e9}
        if seconds.is_known:
            latency |= {"lower_value": seconds.low * 1e9, "upper_value": seconds.high * 1e9}
        measures = {"latency": latency}
        if cell.peak_bytes is not None:
            measures["peak-memory"] = {"value": float(cell.peak_bytes)}
        found[_name(unit, cell)] = measures
    return _json(found)


def to_github_action(run: Run) -> str:
    """Write github-action-benchmark's `customSmallerIsBetter`: milliseconds and half the interval.

    Source: the action's README, "How to use", custom benchmarks.
    """
    found = []
    for unit, cell, timing in _timed(run):
        seconds = seconds_per_call(timing)
        half_width = (seconds.high - seconds.low) / 2 * 1e3
        found.append(
            {
                "name": _name(unit, cell),
                "unit": "ms",
                "value": seconds.estimate * 1e3,
                "range": f"\N{PLUS-MINUS SIGN}{half_width:.3g}" if seconds.is_known else "unknown",
                "extra": f"checked: {cell.verified}; version {cell.implementation_version}; "
                f"workload {cell.workload_version}; machine {run.header.machine.name}",
            }
        )
    return _json(found)


def to_pytest_benchmark(run: Run) -> str:
    """Write what `pytest-benchmark compare` reads: seconds, one value a round."""
    machine = run.header.machine
    commit, dirty, _ = run.header.commit.partition("+dirty")
    return _json(
        {
            "machine_info": {
                "node": "",
                "machine": machine.name,
                "system": machine.facts.get("system", ""),
                "cpu": {"brand_raw": machine.facts.get("processor", machine.name)},
            },
            "commit_info": {"id": commit or "unversioned", "dirty": bool(dirty)},
            "benchmarks": [_benchmark(unit, cell, timing) for unit, cell, timing in _timed(run)],
            "datetime": run.header.started,
            "version": pytest_benchmark.__version__,
        }
    )


def _benchmark(unit: Unit, cell: Cell, timing: Timing) -> dict[str, Any]:
    stats = Stats()  # type: ignore[no-untyped-call]
    for medians in seconds_of_rounds(timing):
        for seconds in medians:
            stats.update(float(seconds))  # type: ignore[no-untyped-call]
    found: dict[str, Any] = stats.as_dict()  # type: ignore[no-untyped-call]
    name = _name(unit, cell)
    return {
        "group": f"{_workload(unit)} {cell.phase} {cell.dtype} {cell.device}",
        "name": name,
        "fullname": name,
        "params": None,
        "param": None,
        "extra_info": {"verified": cell.verified, "workload version": cell.workload_version},
        "options": {},
        "stats": found | {"data": stats.data, "iterations": timing.processes[0].calls},
    }


def _timed(run: Run) -> list[tuple[Unit, Cell, Timing]]:
    return [
        (unit, cell, cell.timing)
        for unit in run.units
        for cell in unit.cells
        if cell.timing is not None
    ]


def _name(unit: Unit, cell: Cell) -> str:
    return f"{_workload(unit)} {cell.implementation} {cell.phase} {cell.dtype} {cell.device}"


def _workload(unit: Unit) -> str:
    return f"{unit.workload.suite}/{unit.workload.name}"


def _json(value: Any) -> str:  # noqa: ANN401
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"
