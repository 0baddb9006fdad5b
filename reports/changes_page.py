"""The page of two runs: what became faster or slower from one to the other."""

from bench.comparison import Changes
from bench.statistics.verdicts import Verdict
from reports import changes as told
from reports import markers
from reports.environment import write_page


def render(changes: Changes) -> str:
    """Make the page; the same runs give the same bytes."""
    parts: list[tuple[str, str, list[dict[str, str]]]] = []
    if families := told.families(changes):
        parts.append(
            ("Geometric means", "Of the ratios, head to base, by implementation", families)
        )
    if broken := told.missing(changes):
        caption = "Cells that had a time in the base, or did not fail there"
        parts.append(("Without a time now", caption, broken))
    if notable := told.notable(changes):
        caption = "Slower first, then faster, then what is too noisy to say; largest changes first"
        parts.append(("Not the same", caption, told.rows(notable)))
    if same := changes.of(Verdict.SAME):
        parts.append(("The same", "A change of 5 % is ruled out", told.rows(same)))
    return write_page(
        "changes.html.jinja",
        markers.COMPARISON,
        headline=told.headline(changes),
        caveat=told.caveat(changes),
        doubts=told.doubts(changes),
        left_out=told.left_out(changes),
        parts=parts,
        base=changes.base.header,
        head=changes.head.header,
    )
