"""What the engine and its worker processes say to each other: one JSON document a line."""

import msgspec

from bench.phases import Phase
from bench.plugins.installed import Reference
from bench.results.schema import ImplementationRecord, Rate, Samples, Status, Work, WorkloadRecord


class Task(msgspec.Struct, tag=True, frozen=True):
    """Measure a workload with some implementations, in one process.

    Attributes:
        suite: source of the suite, loaded by the worker itself.
        version: hash of the workload as the engine knows it.
        process: number of the process, which also seeds the order of visits.
        known_ns: durations of a call by implementation and phase, where another process measured
            them already: the same number of calls then makes a sample in every process.
        pulse: file that the worker writes its sign of life into.
        turnstile: socket of a turnstile to take turns at with another process; empty without one.
        side: the worker's name there.
        is_described: whether another process told already what the workload turned out to be.
        expectation: file where what the oracle found is kept for other processes; empty for none.
        verified: implementations that another process found right before it measured them. Here only
            a first call, a pass with gradients and the last results of timed calls are checked.
        processors: numbers of those that the worker is to keep to; empty for any.
        left_out: phases by implementation that are not measured, as where another process found it
            wrong.
    """

    suite: str
    workload: str
    version: str
    implementations: tuple[Reference, ...]
    dtype: str
    device: str
    phases: tuple[Phase, ...]
    process: int
    seconds: float
    precision: float
    threads: int
    seed: int
    pulse: str
    log: str
    known_ns: dict[str, dict[Phase, int]] = {}
    is_described: bool = False
    turnstile: str = ""
    side: str = ""
    expectation: str = ""
    processors: tuple[int, ...] = ()
    verified: tuple[str, ...] = ()
    left_out: dict[str, tuple[Phase, ...]] = {}


class Preparation(msgspec.Struct, frozen=True):
    """What implementations are to be prepared for before workers are forked, and for what suite."""

    implementations: tuple[Reference, ...]
    device: str
    suite: str = ""


class RateTask(msgspec.Struct, tag=True, frozen=True):
    """Measure the machine's own matrix and copy rates; then ask who can run here.

    Attributes:
        dtypes: none where the rates are known already.
        pulse: file that the worker writes its sign of life into.
    """

    implementations: tuple[Reference, ...]
    dtypes: tuple[str, ...]
    device: str
    threads: int
    pulse: str
    log: str


class Described(msgspec.Struct, tag=True, frozen=True):
    """What the workload turned out to be, and the least work of each phase."""

    record: WorkloadRecord
    work: dict[Phase, Work]


class Checked(msgspec.Struct, tag=True, frozen=True):
    """An implementation passed the oracle."""

    implementation: str
    verified: str


class Failed(msgspec.Struct, tag=True, frozen=True):
    """An implementation has no time in some phases, and why."""

    implementation: str
    phases: tuple[Phase, ...]
    status: Status
    reason: str


class Measured(msgspec.Struct, tag=True, frozen=True):
    """The samples of one implementation in one phase, and what else was taken of it."""

    implementation: str
    phase: Phase
    timer: str
    samples: Samples
    peak_bytes: int | None
    layers: dict[str, float] = {}
    parts: dict[str, float] = {}
    instructions: int | None = None


class PhaseDone(msgspec.Struct, tag=True, frozen=True):
    """Nothing more is to come of a phase in this process."""

    phase: Phase


class Rates(msgspec.Struct, tag=True, frozen=True):
    """The machine's rates, and what a GPU's clocks are worth, in words."""

    rates: tuple[Rate, ...]
    clock: str = ""


class Loaded(msgspec.Struct, frozen=True):
    """What an implementation says of itself where it was loaded.

    Attributes:
        record: without what only the engine knows.
        source: file that its class is defined in; empty where there is none.
    """

    record: ImplementationRecord
    source: str


class Surroundings(msgspec.Struct, tag=True, frozen=True):
    """Who cannot run here, and what implementations run in.

    Attributes:
        unavailable: reasons by implementation.
        keeps_memory: whether freed memory is kept.
        thread_pools: with their sizes.
        loaded: what implementations say of themselves; nothing from a worker of an older revision.
    """

    unavailable: dict[str, str]
    keeps_memory: bool
    thread_pools: str
    loaded: dict[str, Loaded] = {}


class Refused(msgspec.Struct, tag=True, frozen=True):
    """The task itself cannot be done: a mistake by the user, such as missing data."""

    reason: str


class Done(msgspec.Struct, tag=True, frozen=True):
    """The task is finished.

    Attributes:
        seconds: wall time by what it was spent on: `timed`, `warm-up`, `oracle`, `tuning`,
            `layers`, `other`; and `processors`, the time of all processors that it took.
    """

    seconds: dict[str, float]


Event = Described | Checked | Failed | Measured | PhaseDone | Rates | Surroundings | Refused | Done
Order = Task | RateTask
EVENTS: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
ORDERS: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)
