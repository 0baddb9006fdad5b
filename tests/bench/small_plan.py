"""A plan of one workload with two implementations, for two revisions to be compared on."""

from bench.measure.plan import Plan
from bench.phases import Phase
from bench.plugins.implementations import choose
from bench.plugins.suites import load_suite
from bench.results.schema import Settings

WORKLOAD = "2d-submanifold-k3-c32-grid96-uniform-5%"


def plan(seconds=0.8, processes=3, workload=WORKLOAD):
    suite = load_suite("quick")
    return Plan(
        suite=suite,
        workloads=(suite.find(workload),),
        implementations=tuple(choose(["dense", "masked"])[0]),
        broken=(),
        dtypes=("float32",),
        device="cpu",
        settings=Settings(seconds, 0.005, processes, 1, 0, 60.0, (Phase.FORWARD,)),
    )
