"""How a GPU fared while two runs were measured: told of each, and of both in lock step."""

import json
from dataclasses import replace

from bench.cli.main import main
from bench.comparison import compare_runs
from bench.results.schema import GpuConditions
from bench.results.store import write
from bench.second_measurement import together
from reports.changes import doubts, to_markdown
from tests.reports.synthetic_runs import Noise, density_group, make_run

STEADY = Noise(rounds=0.003, processes=0.001, count=4)
COOL = GpuConditions(looks=10, megahertz=(1900, 1980), celsius=(40, 50), slowed={})
HOT = GpuConditions(looks=5, megahertz=(1400, 1980), celsius=(50, 80), slowed={"heat": 3})


def made(seed=1):
    return make_run(density_group()[:3], ("dense", "gather"), noise=STEADY, seed=seed)


def watched(run, *seen):
    """The same run, whose first workloads a GPU fared so in."""
    units = [replace(unit, gpu=own) for unit, own in zip(run.units, seen, strict=False)]
    return replace(run, units=(*units, *run.units[len(seen) :]))


def test_what_kept_a_gpus_clock_down_is_told_of_each_side_and_of_both_in_lock_step():
    base, head = watched(made(seed=1), COOL, COOL), watched(made(seed=2), HOT, COOL)
    words = "the GPU's clock was held down by heat at 3 of 15 looks"
    assert doubts(compare_runs(base, head)) == [f"head: {words}"]
    assert f"Doubts:\n\n- head: {words}\n" in to_markdown(compare_runs(base, head))
    assert doubts(compare_runs(head, head, paired=True)) == [words]
    assert doubts(compare_runs(base, base)) == []
    assert "Doubts" not in to_markdown(compare_runs(base, base))


def test_how_the_gpu_fared_is_printed(tmp_path, capsys):
    base, head = tmp_path / "base.json", tmp_path / "head.json"
    write(watched(made(seed=1), COOL), base)
    write(watched(made(seed=2), HOT), head)
    assert main(["compare", str(base), str(head)]) == 0
    told = "head: the GPU's clock was held down by heat at 3 of 5 looks"
    assert f"\ndoubt: {told}\n" in capsys.readouterr().out
    assert main(["compare", str(base), str(head), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["doubts"] == [told]
    (gpu,) = found["head"]["gpu"].values()
    assert gpu == {
        "looks": 5,
        "megahertz": [1400, 1980],
        "celsius": [50, 80],
        "slowed": {"heat": 3},
    }


def test_how_the_gpu_fared_when_measured_again_counts_too():
    first = compare_runs(watched(made(), COOL), watched(made(), COOL), paired=True)
    again = compare_runs(watched(made(), HOT), watched(made(), HOT), paired=True)
    found = together(first, again).head.units
    assert found[0].gpu == GpuConditions(15, (1400, 1980), (40, 80), {"heat": 3})
    assert found[1].gpu is None
    nothing = GpuConditions(0, None, None, {})
    assert nothing.followed_by(nothing) == nothing
    assert HOT.followed_by(HOT).slowed == {"heat": 6}
