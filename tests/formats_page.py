"""The tables of docs/formats.md and docs/json.md, and what is printed held to them."""

import json
import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
PRINTED = (DOCS / "json.md").read_text()
PAGES = (DOCS / "formats.md").read_text() + "\n" + PRINTED
BY_NAME = None
"""What stands for a section where an object's keys are data, such as statuses."""
INTERVAL = "Interval"
RATIO = {"": "Ratio", ".interval": INTERVAL}
STEP = {"": "Step", ".size": INTERVAL}


def below(path, sections):
    """Sections of what lies at a place."""
    return {path + place: title for place, title in sections.items()}


RUN = {
    "": "RunSummary",
    ".statuses": BY_NAME,
    ".seconds": BY_NAME,
    ".cells[]": "CellSummary",
    ".cells[].seconds": INTERVAL,
    ".recommendations[]": "Recommendation",
}
COMPARISON = {
    "": "Comparison",
    ".base": "ComparedRun",
    ".head": "ComparedRun",
    ".base.implementation_commits": BY_NAME,
    ".head.implementation_commits": BY_NAME,
    ".base.gpu": BY_NAME,
    ".head.gpu": BY_NAME,
    ".base.gpu.*": "GpuConditions",
    ".head.gpu.*": "GpuConditions",
    ".base.gpu.*.slowed": BY_NAME,
    ".head.gpu.*.slowed": BY_NAME,
    ".families[]": "Family",
    ".families[].mean": INTERVAL,
    ".families[].verdicts": BY_NAME,
    ".cells[]": "CellChange",
    **below(".cells[].ratio", RATIO),
}
IN_LOCK_STEP = COMPARISON | below(".families[].shared", RATIO)
SHOWN = {
    "": "HistoryShown",
    ".runs[]": "ArchivedRun",
    ".series[]": "SeriesShown",
    ".series[].series": "Series",
    **below(".series[].steps[]", STEP),
    ".skipped[]": "SkippedFile",
}
ALERTS = {
    "": "HistoryAlerts",
    ".events[]": "Event",
    ".events[].before": "ArchivedRun",
    ".events[].after": "ArchivedRun",
    ".events[].commits": "Commits",
    ".events[].changes[]": "Change",
    ".events[].changes[].series": "Series",
    **below(".events[].changes[].step", STEP),
    ".breakages[]": "Breakage",
    ".breakages[].series": "Series",
    ".breakages[].commits": "Commits",
    ".breakages[].since": "ArchivedRun",
    ".skipped[]": "SkippedFile",
}
LISTING = {
    "": "Listing",
    ".implementations[]": "ListedImplementation",
    ".suites[]": "ListedSuite",
}
EXPERIMENTS = {"[]": "ListedExperiment", "[].published[]": "PublishedFigure"}
DATA = {"": "DataListing", ".data_sets[]": "ListedDataSet"}
EVERY = (RUN, IN_LOCK_STEP, SHOWN, ALERTS, LISTING, EXPERIMENTS, DATA)
ALONE = {"CheckedCase", "ListedWorkload"}


def section(title):
    """The names that stand first in the lines of a section's table."""
    found = re.search(rf"^##+ {title}\n(.*?)(?=^#|\Z)", PAGES, re.DOTALL | re.MULTILINE)
    assert found is not None, f"there is no section {title} on formats"
    lines = [line.split("|")[1] for line in found[1].splitlines() if line.startswith("| `")]
    return [name for line in lines for name in re.findall(r"`([^`]+)`", line)]


def keys_by_place(value, sections, place=""):
    """The keys of every object, by where it stands, in which a `*` is any key that is data."""
    if isinstance(value, dict):
        is_data = sections.get(place, place) is BY_NAME
        yield place, set() if is_data else set(value)
        for key, each in value.items():
            yield from keys_by_place(each, sections, f"{place}.{'*' if is_data else key}")
    elif isinstance(value, list):
        for each in value:
            yield from keys_by_place(each, sections, f"{place}[]")


def is_as_described(printed, sections, more=()):
    """Hold what was printed to the page, in both directions; leave out keys that may be there."""
    found = {}
    for place, keys in keys_by_place(json.loads(printed), sections):
        found.setdefault(place, []).append(keys - set(more))
    assert set(found) == set(sections)
    for place, title in sections.items():
        described = set() if title is BY_NAME else set(section(title))
        assert all(keys == described for keys in found[place]), (place, title)
