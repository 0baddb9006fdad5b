"""How a run was measured: settings, rounds, stop reasons, disturbance, verification."""

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.results.schema import Header, Run, Samples, Settings
from reports import words


@dataclass(frozen=True)
class Method:
    """What the section on method says.

    Attributes:
        facts: name and text of everything that is one line.
        stops: how many measurements of a process ended for which reason.
        verified: how many cells were checked by the oracle in which way.
        command: the command line that reproduces the run; a line for each that was joined.
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


def method(run: Run, headers: Sequence[Header] = ()) -> Method:
    """Describe how a run was measured.

    Args:
        run: that is described; where what it was measured with differs, everything is told.
        headers: of the runs that it was joined from.
    """
    headers = headers or (run.header,)
    samples = [
        entry for cell in run.cells if cell.timing is not None for entry in cell.timing.processes
    ]
    stops = Counter(entry.stop for entry in samples)
    verified = Counter(cell.verified for cell in run.cells if cell.timing is not None)
    return Method(
        tuple(_facts(run, headers, samples)),
        tuple(stops.most_common()),
        tuple(verified.most_common()),
        "\n".join(dict.fromkeys(shlex.join(header.command) for header in headers)),
    )


def explain_stop(stop: str) -> str:
    """What a stop reason means."""
    return STOPS.get(stop, "")


def _facts(run: Run, headers: Sequence[Header], samples: list[Samples]) -> list[tuple[str, str]]:
    def of_settings(tell: Callable[[Settings], str]) -> str:
        return words.listed(dict.fromkeys(map(tell, run.settings)))

    rounds = [len(entry.rounds) for entry in samples]
    disturbed = sum(len(entry.disturbed) for entry in samples)
    timers = dict.fromkeys(cell.timing.timer for cell in run.cells if cell.timing is not None)
    facts = [
        ("run", words.listed(dict.fromkeys(header.id for header in headers))),
        ("suites", words.listed(run.header.suites)),
        ("started", words.listed(dict.fromkeys(header.started for header in headers))),
        ("finished", run.finished or "no: interrupted, or still running"),
        (
            "commit",
            words.listed(dict.fromkeys(header.commit for header in headers if header.commit))
            or "unknown: measured outside of git",
        ),
        *_plugin_commits(headers),
        (
            "budget",
            of_settings(lambda each: f"{each.seconds:g} s")
            + " for one phase of one workload in one process",
        ),
        (
            "asked precision",
            "99 % interval of every pairwise ratio within "
            + of_settings(lambda each: words.percent(each.precision)),
        ),
        ("fresh processes", f"{of_settings(lambda each: f'{each.processes:,}')} per workload"),
        ("threads", of_settings(lambda each: f"{each.threads:,}")),
        ("seed of the visiting order", of_settings(lambda each: f"{each.seed}")),
        (
            "given up after",
            f"{of_settings(lambda each: f'{each.timeout:g} s')} without a sign of life",
        ),
        ("phases", words.listed(dict.fromkeys(str(p) for s in run.settings for p in s.phases))),
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


def _plugin_commits(headers: Sequence[Header]) -> list[tuple[str, str]]:
    """At which commits implementations and suites were that have repositories of their own."""
    found: dict[str, dict[str, None]] = {}
    for header in headers:
        for name, commit in header.all_commits.items():
            found.setdefault(f"commit of {words.label(name)}", {})[words.commit(commit)] = None
    return [(name, words.listed(commits)) for name, commits in found.items()]
