"""What changed between two runs, in words and as Markdown for a pull request."""

from collections.abc import Sequence

from bench.commits import short
from bench.comparison import ABSENT, CellChange, Changes, Family, abs_change
from bench.phases import Phase
from bench.results.schema import WRONG, Header
from bench.statistics.verdicts import Verdict
from reports import markers, words
from reports.circumstances import circumstances
from reports.conditions import slowed
from reports.exports import plain

ORDER = (Verdict.SLOWER, Verdict.FASTER, Verdict.AMBIGUOUS, Verdict.SAME)
NONE = "(no commit)"
LONGEST = 1000
SHOWN = 12
"""So many cells are listed where not all are asked for."""
NAMED = 3
"""Workloads that are named of those whose cells are missing."""
Ending = tuple[str, str, str, str, str]
"""Implementation, element type and device, status in base and head, and the reason."""


def headline(changes: Changes) -> str:
    """One sentence: what was found, and what to do."""
    compared = len(changes.compared)
    if changes.failed:
        names = words.listed(dict.fromkeys(cell.implementation for cell in changes.failed))
        return (
            f"{words.count(len(changes.failed), 'cell')} failed that did not before ({names}): fix "
            f"these first."
        )
    if not compared:
        return f"Nothing could be compared: {_commonest_reason(changes)}."
    slower = _slower(changes)
    if slower:
        if changes.in_lock_step:  # and measured again already
            return f"{slower}: investigate."
        return f"{slower}: measure both again, and investigate if it persists."
    return _nothing_slower(changes, compared)


def _nothing_slower(changes: Changes, compared: int) -> str:
    """What is known of cells none of which is known to be slower."""
    unknown, incomparable = changes.of(Verdict.AMBIGUOUS), changes.incomparable
    if unknown:
        return (
            f"Nothing is known to be slower, but {len(unknown)} of {words.count(compared, 'cell')} "
            f"{'is' if len(unknown) == 1 else 'are'} too noisy to rule out 5 %: measure longer, or on "
            f"a quieter machine."
        )
    if changes.broken:
        return (
            f"Nothing is slower; {words.count(len(changes.broken), 'time')} of the base "
            f"{'is' if len(changes.broken) == 1 else 'are'} missing."
        )
    if incomparable:
        return (
            f"Nothing is slower in {words.count(compared, 'cell')}, but {len(incomparable)} with a "
            f"time in both could not be compared: {incomparable[0].reason}."
        )
    unsure = [each for each in changes.families if each.verdict is Verdict.AMBIGUOUS]
    if unsure:
        names = words.listed(f"{each.implementation} {each.phase}" for each in unsure)
        return (
            f"Nothing is known to be slower, but it is unclear whether all cells of {names} "
            f"together are: measure longer, or on a quieter machine."
        )
    cells = words.count(compared, "cell")
    return f"Nothing is slower: a slowdown of 5 % is ruled out in all of {cells}."


def _slower(changes: Changes) -> str:
    """What is slower: whole families first, then single cells."""
    parts = [
        f"{family.implementation} {family.phase} by {words.percent(abs_change(family.shared))} over "
        f"its {words.count(sum(family.verdicts.values()), 'cell')}"
        for family in changes.slower_families
    ]
    told = f"Slower: {words.listed(parts)}" if parts else ""
    if cells := changes.of(Verdict.SLOWER):
        worst = cells[0]
        told += "; by themselves" if told else "Slower in"
        told += (
            f" {len(cells)} of {words.count(len(changes.compared), 'cell')}, by "
            f"{words.percent(abs_change(worst.ratio))} in {worst.implementation} {worst.phase} "
            f"({worst.workload})"
        )
    return told


def caveat(changes: Changes) -> str:
    """What such a comparison cannot know."""
    base, head = changes.base.header, changes.head.header
    judged = (
        "Intervals are 99 %, verdicts corrected for all cells; changes within 1 % get no verdict."
    )
    if changes.in_lock_step:
        both = f"Base {short(base.commit) or NONE} and head {short(head.commit) or NONE}"
        plugins = _plugins(base, head) if base.commits != head.commits else ""
        if plugins and base.commit == head.commit:  # these are revisions of the plug-ins
            both = "Both"
        return f"{plugins}{both} were measured in turn, visit by visit. {judged}"
    return (
        f"Base: {base.commit or 'no commit'}, {words.moment(base.started)}. "
        f"Head: {head.commit or 'no commit'}, {words.moment(head.started)}. "
        f"{_plugins(base, head)}"
        f"Two runs at two times: what else changed on the machine is in the ratios too. {judged}"
    )


def _plugins(base: Header, head: Header) -> str:
    """At which commits of their own repositories implementations were, if any have one."""
    names: dict[str, list[str]] = {}
    for name in base.commits | head.commits:
        known = [
            (words.commit(header.commits.get(name, "")), which)
            for header, which in ((base, "the base"), (head, "the head"))
            if any(record.name == name for record in header.implementations)
        ]
        if len({commit for commit, _ in known}) < len(known):
            known = [(known[0][0], "both")]
        text = ", ".join(f"{commit} in {which}" for commit, which in known)
        names.setdefault(text, []).append(words.label(name))
    return "".join(f"{words.listed(own)}: {text}. " for text, own in names.items())


def doubts(changes: Changes) -> list[str]:
    """What else changed, and what kept a GPU's clock down; in lock step, both sides felt the same."""
    return slowed(changes.head.units) if changes.in_lock_step else circumstances(changes)


def families(changes: Changes) -> list[dict[str, str]]:
    """One row for each implementation, phase, type and device."""
    found = [_family(family) for family in changes.families]
    if any(family.shared is not None for family in changes.families):
        return [row | _shared(own) for row, own in zip(found, changes.families, strict=True)]
    return found


def rows(cells: Sequence[CellChange]) -> list[dict[str, str]]:
    """One row for each compared cell, with its instructions where any were counted."""
    found = [_row(cell) for cell in cells]
    if any(cell.instructions is not None for cell in cells):
        for row, cell in zip(found, cells, strict=True):
            counted = cell.instructions
            row["instructions"] = (
                "" if counted is None else f"{words.number(counted, 5)}{words.TIMES}"
            )
    return found


def notable(changes: Changes) -> list[CellChange]:
    """Cells to be shown first: slower, faster, too noisy, in this order."""
    return [cell for verdict in ORDER[:3] for cell in changes.of(verdict)]


def missing(changes: Changes) -> list[dict[str, str]]:
    """One row for each cell that lost its time, or fails."""
    return [
        {
            "cell": _name(cell),
            "base": cell.base_status,
            "head": cell.head_status,
            "reason": words.label(cell.reason, words.LONGEST_TITLE),
        }
        for cell in _missing(changes)
    ]


def missing_together(changes: Changes) -> list[dict[str, str]]:
    """The same, one row for phases of an implementation that are missing alike: failures first."""
    workloads: dict[tuple[Ending, Phase], list[str]] = {}
    for cell in _missing(changes):
        setting = f"{cell.dtype} on {cell.device}"
        alike = (cell.implementation, setting, cell.base_status, cell.head_status, cell.reason)
        workloads.setdefault((alike, cell.phase), []).append(cell.workload)
    phases: dict[tuple[Ending, tuple[str, ...]], list[Phase]] = {}
    for (alike, phase), names in workloads.items():
        phases.setdefault((alike, tuple(names)), []).append(phase)
    found = [
        (len(names) * len(own), _together(alike, names, own))
        for (alike, names), own in phases.items()
    ]
    ordered = sorted(found, key=lambda each: (each[1]["head"] not in WRONG, -each[0]))
    return [row for _, row in ordered]


def _together(alike: Ending, workloads: tuple[str, ...], phases: list[Phase]) -> dict[str, str]:
    implementation, setting, base, head, reason = alike
    return {
        "implementation": words.label(implementation),
        "type": setting,
        "phases": words.listed(phases),
        "cells": f"{len(workloads) * len(phases):,}",
        "workloads": words.listed(map(words.label, workloads), NAMED + 1),
        "base": base,
        "head": head,
        "reason": words.label(reason, words.LONGEST_TITLE),
    }


def _missing(changes: Changes) -> list[CellChange]:
    return [cell for cell in changes.cells if cell.broke or cell.failed]


def left_out(changes: Changes) -> list[str]:
    """Why other cells were not compared, with their number."""
    reasons: dict[str, int] = {}
    for cell in changes.cells:
        if cell.ratio is None and not cell.broke and not cell.failed:
            reasons[cell.reason] = reasons.get(cell.reason, 0) + 1
    ordered = sorted(reasons.items(), key=lambda entry: -entry[1])
    told = [f"{words.count(count, 'cell')}: {reason}" for reason, count in ordered[:SHOWN]]
    if others := [count for _, count in ordered[SHOWN:]]:
        told.append(f"{words.count(sum(others), 'cell')}: {len(others)} other reasons")
    return told


def to_markdown(changes: Changes) -> str:
    """Write a comment: the verdict first, details folded."""
    lines = [markers.MARKDOWN_COMPARISON, f"**{plain(headline(changes), LONGEST)}**", ""]
    lines += _table(families(changes))
    if broken := missing_together(changes):
        lines += ["", "Without a time now:", "", *_table(broken[:SHOWN])]
        if len(broken) > SHOWN:
            lines += ["", f"{len(broken) - SHOWN} more rows of these"]
    found = notable(changes)
    if found:
        lines += _folded(f"{words.count(len(found), 'cell')} not the same", rows(found))
    if same := changes.of(Verdict.SAME):
        lines += _folded(f"{words.count(len(same), 'cell')} the same", rows(same))
    if others := left_out(changes):
        lines += ["", "Not compared:", "", *(f"- {plain(line)}" for line in others)]
    if found_doubts := doubts(changes):
        lines += ["", "Doubts:", "", *(f"- {plain(doubt)}" for doubt in found_doubts)]
    return "\n".join([*lines, "", plain(caveat(changes), LONGEST)]) + "\n"


def _commonest_reason(changes: Changes) -> str:
    """Of the cells that both runs have."""
    reasons = [
        cell.reason
        for cell in changes.cells
        if cell.reason and ABSENT not in {cell.base_status, cell.head_status}
    ]
    if reasons:
        return max(reasons, key=reasons.count)
    return f"the runs have no cells{' in common' if changes.cells else ''}"


def _family(family: Family) -> dict[str, str]:
    verdicts = [
        f"{family.verdicts[verdict]} {verdict}" for verdict in ORDER if verdict in family.verdicts
    ]
    return {
        "implementation": words.label(family.implementation),
        "phase": family.phase,
        "type": f"{family.dtype} on {family.device}",
        "mean ratio": f"{words.ratio(family.mean.estimate)} ({words.ratio_range(family.mean)})",
        "cells": ", ".join(verdicts),
    }


def _shared(family: Family) -> dict[str, str]:
    """What the cells of a family share, where that is known."""
    if family.shared is None:
        return {"shared": "", "verdict": ""}
    interval = family.shared.interval
    return {
        "shared": f"{words.ratio(interval.estimate)} ({words.ratio_range(interval)})",
        "verdict": f"{words.SIGNS[family.verdict]} {family.verdict}",
    }


def _row(cell: CellChange) -> dict[str, str]:
    if cell.ratio is None:
        return {"cell": _name(cell), "ratio": "", "verdict": str(cell.verdict), "detectable": ""}
    interval = cell.ratio.interval
    return {
        "cell": _name(cell),
        "ratio": f"{words.ratio(interval.estimate)} ({words.ratio_range(interval)})",
        "verdict": f"{words.SIGNS[cell.verdict]} {cell.verdict}",
        "detectable": words.effect(cell.ratio.detectable),
    }


def _name(cell: CellChange) -> str:
    setting = f"{cell.dtype} on {cell.device}"
    return words.label(
        f"{cell.workload} {cell.implementation} {cell.phase} {setting}", words.LONGEST_TITLE
    )


def _table(entries: list[dict[str, str]]) -> list[str]:
    if not entries:
        return []
    head = list(entries[0])
    return [
        f"| {' | '.join(head)} |",
        f"|{' --- |' * len(head)}",
        *(f"| {' | '.join(plain(value) for value in entry.values())} |" for entry in entries),
    ]


def _folded(summary: str, entries: list[dict[str, str]]) -> list[str]:
    return ["", f"<details><summary>{summary}</summary>", "", *_table(entries), "", "</details>"]
