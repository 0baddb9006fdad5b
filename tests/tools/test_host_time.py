"""What calls of `cuda` take the host: launches are counted, and times are there."""

import re

from tools import host_time


def test_launches_are_those_that_a_call_needs(capsys):
    assert host_time.main(["--seconds", "0.01"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = [re.fullmatch(r"  (\w+) +(\d+\.\d) µs, (\d+) launches", line) for line in lines]
    launches = [(line[1], int(line[3])) for line in found if line]
    assert launches == [
        # Products of few rows share the offsets, so that sums are finished by one launch more.
        *(("forward", 2), ("forward_cold", 4), ("train_step", 9)),  # index, table
        *(("forward", 1), ("forward_cold", 4), ("train_step", 9)),  # output sites, too
        *(("forward", 2), ("forward_cold", 5), ("train_step", 11)),
    ]
    assert all(float(line[2]) > 0 for line in found if line)
