"""The page on formats has every field, column and option that there is."""

import re
from dataclasses import fields, is_dataclass

import pytest
from formats_page import section

from bench.results import schema
from reports.exports import CSV_COLUMNS

TYPES = [kind for kind in vars(schema).values() if isinstance(kind, type) and is_dataclass(kind)]


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_every_field_of_a_run_file_is_described(kind):
    assert {each.name for each in fields(kind)} <= set(section(kind.__name__))


def test_the_columns_of_csv_are_described_in_their_order():
    assert section("CSV") == list(CSV_COLUMNS)


def test_every_option_of_pytest_is_described(pytester):
    told = pytester.runpytest_subprocess("--help").stdout.str()
    assert set(section("pytest")) == set(re.findall(r"--sparsebench-\w+", told))
