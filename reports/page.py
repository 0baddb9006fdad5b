"""One HTML page from a run: every statement on it is computed from the run file.

The page needs no network, its script only helps to choose, and the same run gives the same bytes.
"""

import html
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from bench.baseline import BASELINE
from bench.phases import Phase
from bench.results.schema import WRONG, Header, Rate, Run
from bench.statistics.verdicts import Verdict
from reports import (
    amortised,
    break_even,
    break_even_map,
    captions,
    clocks,
    commands,
    conformance,
    drawing,
    efficiency,
    embedded,
    figures,
    first_calls,
    growth,
    growth_figure,
    growth_sentences,
    layer_times,
    markers,
    memory,
    method,
    parts,
    recommendation,
    script,
    sentences,
    sharing,
    stacked,
    standing,
    unmeasured,
    verdicts,
    words,
)
from reports.break_even import Group
from reports.environment import new_environment, stylesheet
from reports.lean import lean
from reports.ledger import ledger
from reports.speed import Comparison, Row, Setting, compare

NO_SECTION = Markup()
OPEN_TABLES = 3
"""Up to that many workloads, their tables are unfolded from the start."""


def render(
    run: Run,
    baseline: str = BASELINE,
    history: str = NO_SECTION,
    accuracy: str = NO_SECTION,
    headers: Mapping[tuple[str, ...], Header] | None = None,
) -> str:
    """Make the whole page of a run.

    Args:
        run: what was measured.
        baseline: implementation that ratios are taken against.
        history: a section on where its cells stepped up or down, already HTML.
        accuracy: a section on trainings, already HTML.
        headers: of a joined run's parts, as `reports.joining.origins` returns them.
    """
    headers = headers or {}
    comparison = compare(run, baseline)
    groups = break_even.groups(comparison, comparison.headline)
    curves = [group for group in groups if group.is_density]
    studies = growth.studies(comparison, groups)
    failed = unmeasured.unmeasured(run)
    template = _environment().get_template("page.html.jinja")
    text, digest = script.script("page.js")
    parts = tuple({header.id: header for header in headers.values()}.values())
    arguments = commands.impl_arguments(run, parts)
    page = template.render(
        run=run,
        accuracy=accuracy,
        script=text,
        script_digest=digest,
        data=_data(run, comparison, arguments),
        command_of=lambda table: commands.command(
            run, table, arguments, headers.get((table.workload.suite, *table.rows[0].cell.key))
        ),
        marker=Markup(markers.REPORT),  # noqa: S704
        stylesheet=stylesheet(),
        comparison=comparison,
        ratios=any(row.ratio for row in comparison.rows),
        findings=verdicts.findings(comparison, curves, studies),
        detectable=verdicts.detectable(comparison),
        doubts=verdicts.doubts(run, comparison),
        settings=[_setting(run, comparison, setting, failed) for setting in comparison.settings],
        open_tables=len(comparison.tables) <= OPEN_TABLES,
        curves=_curves(comparison, curves),
        maps=[
            (found, _inline(break_even_map.map_figure(found, comparison, f"map-{number}")))
            for number, found in enumerate(break_even_map.maps(comparison, curves))
        ],
        studies=_studies(comparison, studies),
        lonely=break_even.lonely(comparison),
        ledger=ledger(run, comparison),
        reuses=amortised.REUSES,
        layer_kinds=layer_times.KINDS,
        unmeasured=failed,
        unavailable=unmeasured.unavailable(run),
        not_reached=unmeasured.not_reached(run),
        method=method.method(run, parts),
        history=history,
        legend=[
            (name, index)
            for index, name in enumerate(comparison.implementations)
            if name in comparison.timed
        ],
    )
    return lean(page)


def _data(run: Run, comparison: Comparison, arguments: dict[str, str]) -> Markup:
    """What the page's script works on; a page without a time has no script."""
    if not comparison.timed:
        return Markup()
    return script.data(embedded.packed(embedded.embedded(run, comparison, arguments)))


def _setting(
    run: Run, comparison: Comparison, setting: Setting, failed: list[unmeasured.Unmeasured]
) -> dict[str, Any]:
    """Everything that the page shows once for each setting."""
    phases = [
        (phase, rows, captions.overview(comparison, setting, phase, rows))
        for phase in comparison.headline
        if (rows := standing.standings(comparison, setting, phase))
    ]
    rates = efficiency.efficiencies(run, comparison, setting)
    summaries = efficiency.summarise(rates, comparison.implementations)
    over_uses = amortised.amortised(comparison, setting)
    summed = amortised.summarise(over_uses, comparison.baseline)
    taken_apart = parts.parts(comparison, setting)
    profiles = layer_times.profiles(comparison, setting)
    stacks = stacked.stacks(run, comparison, setting)
    checked = conformance.conformance(comparison, setting, failed)
    return {
        "setting": setting,
        "tables": [
            (number, table)
            for number, table in enumerate(comparison.tables)
            if table.setting == setting
        ],
        "recommendations": recommendation.recommendations(comparison, setting),
        "phases": phases,
        "figure": _inline(figures.ratio_figure(comparison, setting, f"ratio-{setting.title}")),
        "rates": summaries,
        "shares": dict(efficiency.shares(summaries)),
        "limit": efficiency.rate_of(run, setting),
        "roofline": _roofline(run, comparison, setting, rates),
        "parts": taken_apart,
        "part_names": parts.names_of(taken_apart),
        "parts_summary": parts.summarise(taken_apart),
        "stacks": stacks,
        "stack_summary": stacked.summarise(stacks),
        "segments": stacked.segments_of(stacks),
        "memory": memory.memory(comparison, setting),
        "clocks": clocks.clocks(comparison, setting),
        "first_calls": first_calls.first_calls(comparison, setting),
        "conformance": checked,
        "conformance_finding": conformance.finding(checked, comparison.implementations),
        "profiles": profiles,
        "kind_summary": layer_times.summarise(profiles),
        "sharing": sharing.sharing(profiles),
        "amortised": over_uses,
        "amortised_summary": summed,
        "amortised_finding": amortised.finding(summed, comparison.baseline) if summed else "",
    }


def _roofline(
    run: Run, comparison: Comparison, setting: Setting, rates: list[efficiency.Efficiency]
) -> tuple[Phase, Markup] | None:
    """Draw the first of the main phases that multiplies anything."""
    limit = efficiency.rate_of(run, setting)
    if limit is None or limit.multiply_adds_per_second <= 0 or limit.bytes_per_second <= 0:
        return None
    for phase in comparison.headline:
        cells = [
            found
            for found in rates
            if found.row.cell.phase is phase and found.multiply_adds_per_second > 0
        ]
        if cells:
            svg = figures.roofline_figure(cells, limit, comparison, f"roofline-{setting.title}")
            return phase, _inline(svg)
    return None


def _curves(comparison: Comparison, groups: list[Group]) -> list[tuple[list[Group], Markup]]:
    """One figure for each group and setting, its phases side by side."""
    together: dict[tuple[str, str, Setting], list[Group]] = {}
    for group in groups:
        together.setdefault((group.suite, group.name, group.setting), []).append(group)
    return [
        (members, _inline(figures.break_even_figure(members, comparison, f"curves-{number}")))
        for number, members in enumerate(together.values())
    ]


def _studies(
    comparison: Comparison, studies: list[growth.Study]
) -> list[tuple[growth.Study, Markup]]:
    """Every growth study with its figure."""
    return [
        (study, _inline(growth_figure.growth_figure(study, comparison, f"growth-{number}")))
        for number, study in enumerate(studies)
    ]


def _inline(svg: str) -> Markup:
    """Mark as safe what matplotlib drew: no text of the run file is in it."""
    return Markup(svg)  # noqa: S704


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = new_environment()
    environment.filters |= {
        "name": _name,
        "full_name": _full_name,
        "seconds": words.seconds,
        "seconds_range": words.seconds_range,
        "signed_seconds": words.signed_seconds,
        "ratio": words.ratio,
        "ratio_range": words.ratio_range,
        "percent": words.percent,
        "rate": words.rate,
        "power": words.power,
        "power_range": words.power_range,
        "number": words.number,
        "plain": words.plain,
        "measured_position": lambda value, group: sentences.measured_position(group, value),
        "strength": _strength,
        "segment_number": stacked.SEGMENTS.index,
        "share": _share,
    }
    environment.globals |= {
        "signs": words.SIGNS,
        "times": words.TIMES,
        "outcome": sentences.outcome,
        "curves_caption": sentences.curves_caption,
        "find_curve": break_even.find_curve,
        "has_curve": break_even.has_curve,
        "find_line": growth.find_line,
        "growing": growth_sentences.by_phase,
        "table_caption": captions.table,
        "explain_stop": method.explain_stop,
        "memory_finding": memory.finding,
        "clocks_finding": clocks.finding,
        "covered": recommendation.covered,
        "recommended": recommendation.text,
        "recommendation_caption": recommendation.caption,
        "find_place": break_even_map.find,
        "say_place": break_even_map.said,
        "band_place": break_even_map.band,
        "shade_place": break_even_map.shade,
        "marker_path": drawing.marker_path,
        "colour_number": drawing.colour_number,
        "Verdict": Verdict,
        "wrong": WRONG,
    }
    return environment


@lru_cache(maxsize=8192)
def _name(text: str, limit: int = words.LONGEST_LABEL, title: int = words.LONGEST_TITLE) -> Markup:
    """A name, shortened where it is long, with more of it in its title."""
    short = words.label(text, limit)
    if len(text) <= limit:
        return Markup(html.escape(short))  # noqa: S704
    return Markup('<span title="{}">{}</span>').format(words.label(text, title), short)


def _full_name(text: str, limit: int = words.LONGEST_LABEL) -> Markup:
    """A name, shortened where it is long, with the whole of it in its title."""
    return _name(text, limit, len(text))


def _strength(ratio: float) -> str:
    """Class of a shade: how far a ratio is from 1, in steps of a factor of 2."""
    factor = max(ratio, 1 / ratio)
    return "far" if factor >= 4 else "mid" if factor >= 2 else "near"


def _share(row: Row, limit: Rate | None) -> float | None:
    """Share of the physical limit that a row reaches; what multiplies nothing has no such share."""
    found = efficiency.efficiency(row, "", limit)
    return found.share if found is not None and found.multiply_adds_per_second > 0 else None
