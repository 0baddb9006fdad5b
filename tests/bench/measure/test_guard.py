"""What one implementation does to the others in its process is noticed, told and put back."""

import ctypes
import os
import signal
import socket
import subprocess
import sys

import pytest
import torch

from bench.measure import guard
from bench.measure.guard import DisconnectedError, Guard, KeptMemoryError, TamperedError

TAMPERING = {
    "torch's number of threads": lambda: torch.set_num_threads(3),
    "default element type": lambda: torch.set_default_dtype(torch.float64),
    "records gradients": lambda: torch.set_grad_enabled(mode=False),
    "deterministic": lambda: torch.set_deterministic_debug_mode("warn"),
    "precision of matrix products": lambda: torch.set_float32_matmul_precision("medium"),
    "TF32": lambda: setattr(
        torch.backends.cudnn, "allow_tf32", not torch.backends.cudnn.allow_tf32
    ),
    "which algorithm": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "oneDNN computes": lambda: torch.backends.mkldnn.set_flags(_enabled=False),
    "looks for anomalies": lambda: torch.autograd.set_detect_anomaly(mode=True),
    "chooses element types itself from": lambda: torch.set_autocast_enabled("cpu", True),  # noqa: FBT003
    "itself on a GPU": lambda: torch.set_autocast_enabled("cuda", True),  # noqa: FBT003
    "on which torch makes tensors": lambda: torch.set_default_device("meta"),
    "told of every call": lambda: sys.setprofile(lambda *_: None),
    "cuDNN computes": lambda: setattr(torch.backends.cudnn, "enabled", False),
    "cuDNN is to be deterministic": lambda: setattr(torch.backends.cudnn, "deterministic", True),
    "timer": lambda: signal.setitimer(signal.ITIMER_REAL, 1000),
}


@pytest.mark.parametrize(("words", "tamper"), TAMPERING.items(), ids=TAMPERING)
def test_a_changed_setting_is_told_and_put_back(words, tamper):
    subject = Guard(device=torch.device("cuda"))
    settings = guard.SETTINGS + guard.SETTINGS_OF_GPUS
    before = [read() for _, read, _ in settings]
    subject.check("a")
    tamper()
    with pytest.raises(TamperedError, match=words):
        subject.check("a")
    assert [read() for _, read, _ in settings] == before
    subject.check("b")


def test_settings_of_gpus_concern_nobody_where_a_processor_is_measured():
    before = torch.backends.cudnn.allow_tf32
    subject = Guard()
    try:
        torch.backends.cudnn.allow_tf32 = not before
        subject.check("a")
    finally:
        torch.backends.cudnn.allow_tf32 = before


def test_what_loading_changes_is_put_back_without_blame():
    subject = Guard()
    torch.set_num_threads(3)
    subject.settle()
    assert torch.get_num_threads() == 1
    subject.check("a")


def test_settings_of_another_moment_can_be_the_expected_ones():
    subject = Guard()
    with torch.no_grad():
        subject.expect_these()
        subject.check("a")


def test_a_connection_that_was_closed_is_noticed_even_if_its_number_was_taken_again():
    ours, theirs = socket.socketpair()
    with theirs:
        descriptor = ours.detach()
        subject = Guard(descriptor)
        subject.check("a")
        os.close(descriptor)
        with pytest.raises(DisconnectedError):
            subject.check("a")
        again = os.open(os.devnull, os.O_RDONLY)
        os.dup2(again, descriptor)
        with pytest.raises(DisconnectedError):
            subject.check("a")
        os.close(descriptor)
        if again != descriptor:
            os.close(again)


@pytest.fixture
def memory(monkeypatch):
    """What the process has taken, made up; 1,000 bytes may be taken."""
    taken = [0]
    monkeypatch.setattr(guard, "_data_bytes", lambda: taken[0])
    monkeypatch.setattr(guard, "freed_bytes", lambda: 0)
    monkeypatch.setattr(guard.resource, "getrlimit", lambda _: (1000, -1))
    return taken


def test_who_takes_memory_at_every_visit_is_left_out_and_nobody_else(memory):
    subject = Guard()
    for _ in range(7):  # two visits to settle, then a quarter
        memory[0] += 50
        subject.check("leaking")
        subject.check("sound")
    memory[0] += 50
    with pytest.raises(KeptMemoryError, match="MiB more than at first"):
        subject.check("leaking")
    subject.check("sound")


def test_what_first_visits_keep_and_what_is_given_back_is_no_leak(memory):
    subject = Guard()
    for taken in (300, 0, 0, 200, 0, 200, 0):
        memory[0] = 500 + taken
        subject.check("caching")


def test_what_all_take_between_phases_is_not_blamed_on_who_is_visited_next(memory):
    subject = Guard()
    for _ in range(3):
        subject.check("innocent")
    memory[0] += 400  # such as recorded passes, which everybody makes before the rounds
    subject.settle()
    subject.check("innocent")


IN_PIECES = """
import resource
import sys
import torch
from bench.measure.guard import Guard, KeptMemoryError
from bench.measure.memory import _kilobytes, keep_freed_memory

def visit(number):  # no block fits in what earlier ones left, as something small lies in there
    block = torch.empty(2**20 * (10 + number), dtype=torch.uint8)
    if sys.argv[1] == "kept":
        results.append(block)
    del block
    results.append(torch.empty(2**16, dtype=torch.uint8))

assert keep_freed_memory()
results = []
limit = _kilobytes("VmData") * 1024 + 2**30
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
subject = Guard()
before = _kilobytes("VmData")
try:
    for number in range(25):
        visit(number)
        subject.check("subject")
except KeptMemoryError as error:
    print("refused")
print((_kilobytes("VmData") - before) // 2**10)
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="the C library does not say what it keeps"
)
def test_freed_memory_that_the_c_library_keeps_in_pieces_is_no_leak():
    def grown(what):
        command = [sys.executable, "-c", IN_PIECES, what]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert grown("kept")[0] == "refused"
    (mebibytes,) = grown("freed")
    assert int(mebibytes) > 300  # a quarter of a gibibyte is the most that may be kept
