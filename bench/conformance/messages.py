"""What a process that checks is asked for, and what it says as it goes: lines of JSON."""

import msgspec


class Order(msgspec.Struct, frozen=True):
    """What is to be checked.

    Attributes:
        implementations: names or plug-in files, comma separated.
        dtypes: names of element types, comma separated; None for all.
        examples: how many cases hypothesis draws in each type.
        networks: whether whole networks are checked in place of operators.
        first: number of the implementation to begin with.
    """

    implementations: str
    dtypes: str | None
    device: str
    examples: int
    networks: bool
    first: int = 0


class Started(msgspec.Struct, frozen=True, tag="started"):
    """A case is at work from now on, until something else is said.

    Attributes:
        number: of its implementation, from 0 on.
        count: of implementations.
        done: cases of this implementation that have ended.
        total: cases of each implementation.
    """

    number: int
    count: int
    implementation: str
    operator: str
    case: str
    dtype: str
    done: int
    total: int


class Record(msgspec.Struct, frozen=True, tag="record"):
    """How a case ended, and why."""

    implementation: str
    operator: str
    case: str
    dtype: str
    result: str
    reason: str


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Nothing more is checked: a mistake of the user's, or a dead GPU."""

    reason: str


class Done(msgspec.Struct, frozen=True, tag="done"):
    """Everything is checked."""


Event = Started | Record | Refused | Done
EVENTS: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
ORDERS: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)
