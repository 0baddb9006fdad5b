"""A run for other places: what was found as Markdown, for a review; every cell as CSV."""

import csv
import html
import io
import re
from collections.abc import Mapping, Sequence

from bench.baseline import BASELINE
from bench.phases import Phase
from bench.results.schema import Header, Run, Timing
from bench.statistics.intervals import Interval, other_seconds
from bench.statistics.verdicts import Verdict
from reports import markers, words
from reports.break_even import groups
from reports.growth import studies
from reports.joining import join, origins
from reports.recommendation import caption, covered, recommendations, said
from reports.speed import Comparison, Row, Setting, Table, compare
from reports.standing import standings
from reports.verdicts import detectable, doubts, findings

CSV_COLUMNS = (
    "suite",
    "workload",
    "workload_version",
    "group",
    "position",
    "density",
    "device",
    "dtype",
    "phase",
    "implementation",
    "implementation_version",
    "status",
    "reason",
    "verified",
    "seconds",
    "seconds_low",
    "seconds_high",
    "ratio",
    "ratio_low",
    "ratio_high",
    "verdict",
    "fastest",
    "multiply_adds",
    "bytes",
    "instructions",
    "machine",
    "threads",
    "commit",
    "started",
    "other_clock_seconds",
    "implementation_commit",
    "axis",
    "grid_size",
    "batch_size",
    "channels",
    "output_channels",
    "sites",
    "peak_bytes",
    "first_call_seconds",
    "first_call_seconds_low",
    "first_call_seconds_high",
    "first_call_ratio",
    "first_call_ratio_low",
    "first_call_ratio_high",
)
"""Intervals are 99 %; ratios are to the baseline in the same phase; verdicts are corrected."""
CSV_MARKER = ",".join(CSV_COLUMNS[:9])
"""What all such files begin with; columns are added at the end."""


def to_csv(runs: Sequence[Run], baseline: str = BASELINE) -> str:
    """Write one line a cell of these runs, joined, with the run that it is from; numbers unrounded.

    Text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    headers = origins(runs)
    for table in compare(join(runs), baseline).tables:
        writer.writerows(_record(table, row, headers) for row in table.rows)
    return buffer.getvalue()


def to_markdown(run: Run, baseline: str = BASELINE) -> str:
    """Write what to use, the findings, and ratios to the baseline for each of the main phases."""
    comparison = compare(run, baseline)
    lines = [markers.MARKDOWN, f"# sparsebench: {plain(words.listed(run.header.suites))}", ""]
    lines += [f"Machine: {plain(run.header.machine.name)}. Started {plain(run.header.started)}."]
    if not run.cells:
        lines += ["", "This run holds no cells: nothing was measured."]
    for setting in comparison.settings:
        lines += _recommended(comparison, setting)
    curves = groups(comparison, comparison.headline)
    for finding in findings(comparison, curves, studies(comparison, curves)):
        lines += ["", f"**{escaped(finding.about)}**", ""]
        lines += [f"- {escaped(sentence)}" for sentence in finding.sentences]
    lines += ["", escaped(detectable(comparison)), ""]
    lines += [f"- {escaped(doubt)}" for doubt in doubts(run, comparison)]
    for setting in comparison.settings:
        for phase in comparison.headline:
            lines += _phase_table(comparison, setting, phase)
    return "\n".join(lines) + "\n"


def _recommended(comparison: Comparison, setting: Setting) -> list[str]:
    rows = recommendations(comparison, setting)
    if not rows:
        return []
    lines = ["", f"## Which to use, {plain(setting.title)}", ""]
    lines += [f"{escaped(caption(comparison))}.", ""]
    lines += [f"| workloads | {' | '.join(comparison.headline)} |"]
    lines += [f"| --- |{' --- |' * len(comparison.headline)}"]
    for row in rows:
        name = ", ".join(filter(None, (plain(row.name), escaped(covered(row)))))
        entries = [escaped(said(row, phase)) for phase in comparison.headline]
        lines.append(f"| {name} | {' | '.join(entries)} |")
    return lines


def _phase_table(comparison: Comparison, setting: Setting, phase: Phase) -> list[str]:
    names = [row.implementation for row in standings(comparison, setting, phase)]
    if not names:
        return []
    head = ["workload", *(plain(name) for name in names)]
    lines = ["", f"## {phase}, {plain(setting.title)}", ""]
    lines += [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * len(names)}"]
    for table in comparison.of(setting):
        entries = [_entry(table.find(name, phase)) for name in names]
        lines.append(f"| {plain(table.workload.name)} | {' | '.join(entries)} |")
    return lines


def _entry(row: Row | None) -> str:
    if row is None:
        return ""
    if row.seconds is None:
        return str(row.cell.status)
    text = f"{words.seconds(row.seconds.estimate)} ({words.seconds_range(row.seconds)})"
    if row.ratio is not None and row.verdict is not None:
        interval = row.ratio.interval
        text = (
            f"{words.ratio(interval.estimate)} ({words.ratio_range(interval)}) "
            f"{words.SIGNS[row.verdict]} {row.verdict}"
        )
    return f"**{text}**" if row.fastest else text


def plain(text: str, limit: int = words.LONGEST_TITLE) -> str:
    """Text of a run file as Markdown shows it: no markup, no table cell, no HTML in it works."""
    return escaped(words.label(text, limit))


def escaped(text: str) -> str:
    """The same for a sentence of ours, however long, in which names of a run file are labels."""
    shown = html.escape(text, quote=False).replace("|", "&#124;")
    return re.sub(r"([\\`*\[\]~])|(?<![^\W_])(_)|(_)(?![^\W_])", r"\\\1\2\3", shown)


def _record(table: Table, row: Row, headers: Mapping[tuple[str, ...], Header]) -> list[str]:
    workload, cell = table.workload, row.cell
    header = headers[(workload.suite, *cell.key)]
    judged = row.verdict is not None and row.verdict is not Verdict.MISSING
    return [
        *(_text(value) for value in (workload.suite, workload.name, workload.version)),
        _text(workload.group),
        f"{workload.position:.9g}",
        f"{workload.density:.9g}",
        *(_text(value) for value in (cell.device, cell.dtype, cell.phase)),
        *(_text(value) for value in (cell.implementation, cell.implementation_version)),
        *(_text(value) for value in (cell.status, cell.reason, cell.verified)),
        *_numbers(row.seconds),
        *_numbers(row.ratio.interval if row.ratio else None),
        str(row.verdict) if judged else "",
        ("yes" if row.fastest else "no") if row.seconds else "",
        str(cell.work.multiply_adds) if cell.work else "",
        str(cell.work.bytes) if cell.work else "",
        "" if cell.instructions is None else str(cell.instructions),
        _text(header.machine.name),
        str(header.settings.threads),
        *(_text(value) for value in (header.commit, header.started)),
        _other_clock(cell.timing),
        _text(header.commits.get(cell.implementation, "")),
        _text(workload.axis),
        "x".join(map(str, workload.grid_size)),
        *map(str, (workload.batch_size, workload.channels, workload.output_channels)),
        str(workload.sites),
        "" if cell.peak_bytes is None else str(cell.peak_bytes),
        *_numbers(row.first_seconds),
        *_numbers(row.first_ratio.interval if row.first_ratio else None),
    ]


def _other_clock(timing: Timing | None) -> str:
    seconds = None if timing is None else other_seconds(timing)
    return "" if seconds is None else f"{seconds:.9g}"


def _numbers(interval: Interval | None) -> list[str]:
    if interval is None:
        return ["", "", ""]
    ends = (interval.low, interval.high) if interval.is_known else (None, None)
    return ["" if value is None else f"{value:.9g}" for value in (interval.estimate, *ends)]


def _text(value: str) -> str:
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
