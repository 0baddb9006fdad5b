import re

import pytest

from bench.errors import UserError
from bench.operators import Rule
from bench.plugins.implementations import choose
from suites.accuracy.experiments import entries, find

ENTRIES = {entry.full.name: entry for entry in entries()}


def test_names_are_unique_and_the_small_version_has_the_same():
    assert len(ENTRIES) == len(entries())
    assert all(entry.small.name == name for name, entry in ENTRIES.items())


def test_small_and_full_versions_are_never_taken_for_each_other():
    versions = [each.version() for entry in ENTRIES.values() for each in (entry.full, entry.small)]
    assert len(set(versions)) == 2 * len(ENTRIES)


def test_what_trains_by_default_is_installed():
    names = {entry.full.implementation for entry in ENTRIES.values()}
    assert len(choose(sorted(names))[0]) == len(names)


def test_the_table_of_handwriting_is_complete():
    cells = [name for name in ENTRIES if re.fullmatch(r"assamese-deepcnet-[3-7]-30-\w+", name)]
    assert len(cells) == 15
    seven = ENTRIES["assamese-deepcnet-7-30-affine"].full
    assert seven.source.grid_size == (384, 384)
    assert seven.published[0].error_percent == 1.70
    motions = [
        ENTRIES[f"assamese-deepcnet-5-30-{kind}"].full.source.motion
        for kind in ("none", "translations", "affine")
    ]
    assert [each.shift > 0 for each in motions] == [False, True, True]
    assert [each.bending > 0 for each in motions] == [False, False, True]


def test_both_convolutions_differ_in_their_rule_only_and_are_tested_at_every_sparsity():
    for data, count in (("mnist", 5), ("caltech101", 8)):
        for name, entry in ENTRIES.items():
            if not name.startswith(f"{data}-invariant"):
                continue
            invariant, ordinary = entry.full, ENTRIES[name.replace("invariant", "ordinary")].full
            assert ordinary.source == invariant.source
            assert ordinary.schedule == invariant.schedule
            assert len(invariant.also_tested) == count
            rules = [
                {
                    layer.operator.rule
                    for layer in each.network.layers
                    if layer.name.startswith("conv")
                }
                for each in (invariant, ordinary)
            ]
            assert rules == [{Rule.SPARSITY_INVARIANT}, {Rule.FULL}]


def test_experiments_are_found_by_name():
    assert find("assamese-vgg").network.layers[-1].operator.out_channels == 183
    assert find("assamese-vgg", small=True).network.layers[-1].operator.out_channels == 31
    with pytest.raises(UserError, match="--list"):
        find("assamese")
