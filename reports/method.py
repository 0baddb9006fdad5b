"""How a run was measured: settings, rounds, stop reasons, disturbance, verification."""

import shlex
from collections import Counter
from dataclasses import dataclass
from statistics import median

from bench.results.schema import Run, Samples
from reports import words


@dataclass(frozen=True)
class Method:
    """What the section on method says.

    Attributes:
        facts: name and text of everything that is one line.
        stops: how many measurements of a process ended for which reason.
        verified: how many cells were checked by the oracle in which way.
        command: the command line that reproduces the run.
    """

    facts: tuple[tuple[str, str], ...]
    stops: tuple[tuple[str, int], ...]
    verified: tuple[tuple[str, int], ...]
    command: str


STOPS = {
    "precise": "every pairwise interval was as narrow as requested",
    "stable": "more rounds no longer narrowed the intervals",
    "budget": "the budget of the phase was spent",
}


def method(run: Run) -> Method:
    """Describe how a run was measured."""
    samples = [
        entry for cell in run.cells if cell.timing is not None for entry in cell.timing.processes
    ]
    stops = Counter(entry.stop for entry in samples)
    verified = Counter(cell.verified for cell in run.cells if cell.timing is not None)
    return Method(
        tuple(_facts(run, samples)),
        tuple(stops.most_common()),
        tuple(verified.most_common()),
        shlex.join(run.header.command),
    )


def explain_stop(stop: str) -> str:
    """What a stop reason means."""
    return STOPS.get(stop, "")


def _facts(run: Run, samples: list[Samples]) -> list[tuple[str, str]]:
    header, settings = run.header, run.header.settings
    rounds = [len(entry.rounds) for entry in samples]
    disturbed = sum(len(entry.disturbed) for entry in samples)
    timers = dict.fromkeys(cell.timing.timer for cell in run.cells if cell.timing is not None)
    facts = [
        ("run", header.id),
        ("suites", words.listed(header.suites)),
        ("started", header.started),
        ("finished", run.finished or "no: interrupted, or still running"),
        ("commit", header.commit or "unknown: measured outside of git"),
        ("budget", f"{settings.seconds:g} s for one phase of one workload in one process"),
        (
            "asked precision",
            f"99 % interval of every pairwise ratio within {words.percent(settings.precision)}",
        ),
        ("fresh processes", f"{settings.processes:,} per workload"),
        ("threads", f"{settings.threads:,}"),
        ("seed of the visiting order", f"{settings.seed}"),
        ("given up after", f"{settings.timeout:g} s without a sign of life"),
        ("phases", words.listed(map(str, settings.phases))),
        ("timer", words.listed(timers) or "none was used"),
    ]
    if rounds:
        total = sum(rounds)
        facts += [
            (
                "rounds in one process",
                f"{min(rounds):,} to {max(rounds):,}, median {median(rounds):,.0f}",
            ),
            (
                "disturbed rounds",
                f"{disturbed:,} of {total:,} ({words.percent(disturbed / total)}): flagged, kept",
            ),
        ]
    spent: Counter[str] = Counter()
    for unit in run.units:
        spent.update(unit.seconds)
    facts += [(f"time spent: {what}", f"{time:,.0f} s") for what, time in spent.most_common()]
    return facts
