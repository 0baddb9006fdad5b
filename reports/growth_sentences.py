"""Growth in words: whose time grows with which power of a size, and slower than whose."""

from bench.phases import Phase
from reports import words
from reports.growth import FEWEST_SIZES, Part, Study
from reports.speed import Setting

GRID_SIZE = "grid size"
LONGEST_NAME = 100


def growth_sentence(study: Study, part: Part, baseline: str) -> str:
    """Say with which powers times grow, and which of them differ from the baseline's.

    Returns:
        Nothing where no time has enough sizes.
    """
    powers = [
        f"{words.power(line.power.estimate)} for {words.label(line.implementation)} "
        f"({words.power_range(line.power)})"
        for line in part.times
        if line.power is not None
    ]
    if not powers:
        return ""
    doublings = [
        f"{words.label(line.implementation)} {words.ratio(line.last_doubling)}"
        for line in part.times
        if line.last_doubling is not None
    ]
    against = growing(part, baseline)
    first, last = (words.plain(study.sizes[place]) for place in (0, -1))
    return (
        f"from {words.label(study.axis, 30)} {first} to {last}, time grows with the power "
        f"{words.listed(powers)}, with 99{words.SPACE}% intervals; the last doubling costs "
        f"{words.listed(doublings)}.{f' So {against}.' if against else ''}"
    )


def growing(part: Part, baseline: str) -> str:
    """Say whose time grows slower or faster than the baseline's, by the fit of the ratios.

    Returns:
        `gather grows slower than dense ...`, or nothing where no ratio has enough sizes.
    """
    slower, faster, alike = "slower than", "faster than", "not distinguishably from"
    said: dict[str, list[str]] = {slower: [], faster: [], alike: []}
    for line in part.times:
        if line.relative is not None:
            verb = slower if line.relative.high < 0 else faster if line.relative.low > 0 else alike
            said[verb].append(words.label(line.implementation))
    other = words.label(baseline)
    return words.listed(
        f"{words.listed(names)} {'grows' if len(names) == 1 else 'grow'} {verb} {other}"
        for verb, names in said.items()
        if names
    )


def by_phase(study: Study, baseline: str) -> str:
    """The same for all phases of a study, those that agree said once."""
    said: dict[str, list[str]] = {}
    for part in study.parts:
        if sentence := growing(part, baseline):
            said.setdefault(sentence, []).append(str(part.phase))
    return " ".join(f"In {words.listed(phases)}, {each}." for each, phases in said.items())


def longest_growth(
    studies: list[Study], setting: Setting, phase: Phase, baseline: str
) -> str | None:
    """The sentence of the study with the most grid sizes, and what it is about; None without one."""
    own = [
        (study, part)
        for study in studies
        for part in study.parts
        if (study.setting, study.axis, part.phase) == (setting, GRID_SIZE, phase)
        and len(study.sizes) >= FEWEST_SIZES
    ]
    if not own:
        return None
    study, part = max(own, key=lambda pair: len(pair[0].sizes))
    sentence = growth_sentence(study, part, baseline)
    return f"For {words.label(study.name, LONGEST_NAME)}: {sentence}" if sentence else None
