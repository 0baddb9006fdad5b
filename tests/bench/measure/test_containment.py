"""What a plug-in does to its process, or leaves behind, costs the others nothing and is told."""

import socket
import time
from dataclasses import replace

import psutil
import pytest

from bench.errors import UserError
from bench.measure.engine import Engine, execute
from bench.measure.messages import PhaseDone, Preparation
from bench.measure.processes import Templates
from bench.measure.record import Record
from bench.measure.template_process import Template
from bench.plugins.installed import Reference
from bench.plugins.suites import load_suite
from bench.results.schema import Status
from tools.harms import disturbed, harmful, plan

pytestmark = pytest.mark.slow
REASONS = {
    "crash-available": "killed by SIGSEGV",
    "close-descriptors-later": "it closed its connection",
    "threads-of-torch-later": "it changed torch's number of threads from 1 to 7",
    "element-type-later": "it changed torch's default element type from torch.float32 to torch.float64",
    "gradients-off-built": "",
    "children-later": "",
    "environment-later": "",
}


def test_harm_is_told_with_who_did_it_and_the_sound_ones_are_measured():
    sound = plan(seconds=0.05, timeout=60.0, seed=0)
    sick = [each for each in harmful(["*"]) if each.name in REASONS]
    assert len(sick) == len(REASONS)
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    beside = execute(replace(sound, implementations=(*sick[:3], *sound.implementations, *sick[3:])))
    assert disturbed(beside, beside) == []
    for name, reason in REASONS.items():
        found = {cell.reason for cell in beside.cells if cell.implementation == name}
        # On a busy machine the moment may not come in every phase.
        assert any(reason in each for each in found), (name, found)
        assert bool(reason) == (found != {""})
    end = time.monotonic() + 600
    while {child.pid for child in psutil.Process().children(recursive=True)} - before:
        assert time.monotonic() < end, "something was left behind"
        time.sleep(0.05)


def test_who_crashes_when_asked_is_named_in_the_header_and_set_aside():
    sound = plan(seconds=0.05, timeout=60.0, seed=0)
    (sick,) = harmful(["crash-available"])
    whole = replace(sound, implementations=(sick, *sound.implementations))
    templates = Templates("quick", 1, count=1)
    try:
        engine = Engine(whole, templates)
        header = engine.header()
    finally:
        templates.close()
    reasons = {each.name: each.unavailable for each in header.implementations}
    assert "SIGSEGV" in reasons["crash-available"]
    assert "when asked whether it can run here" in reasons["crash-available"]
    assert {reasons[reference.name] for reference in sound.implementations} == {""}
    assert header.machine.rates
    assert "crash-available" in engine._set_aside


MORTAL = """
import os
from impls.gather import Gather

class Mortal(Gather):
    name = "mortal"

    def prepare(self):
        os.abort()
"""


def test_a_preparation_that_kills_the_template_is_done_without(one, tmp_path, monkeypatch):
    (tmp_path / "mortal.py").write_text(MORTAL)
    monkeypatch.syspath_prepend(tmp_path)
    templates = Templates("quick", 1, count=1)
    try:
        templates.prepare(Preparation((Reference("mortal", "mortal:Mortal"),), "cpu"))
        templates.wait_until_ready()
        templates.wait_until_ready()
        run = execute(one, templates=templates)
    finally:
        templates.close()
    assert {cell.status for cell in run.cells} == {Status.OK}


def test_a_template_that_was_killed_is_told_in_words():
    templates = Templates("quick", 1, count=1)
    try:
        templates.wait_until_ready()
        (template,) = templates._templates
        template.process.kill()
        template.process.wait()
        ours, theirs = socket.socketpair()
        with ours, theirs, pytest.raises(UserError, match="what forks them has ended"):
            template.fork(theirs)
        with pytest.raises(UserError, match="what forks them has ended"):
            template.wait(0)
    finally:
        templates.close()


@pytest.fixture
def one():
    """One workload, one process, one implementation."""
    sound = plan(seconds=0.05, timeout=60.0, seed=0)
    gather = tuple(each for each in sound.implementations if each.name == "gather")
    return replace(sound, implementations=gather, settings=replace(sound.settings, processes=1))


def test_a_template_that_is_killed_between_workloads_is_started_and_prepared_anew(
    wary, one, tmp_path
):
    wary.prepare(Preparation((Reference("noting", "wary:Noting"),), "cpu"))

    def kill(*_):
        wary._templates[0].process.kill()

    whole = replace(one, workloads=load_suite("quick").workloads()[:3])
    run = execute(whole, templates=wary, tell=kill)
    assert [unit.workload.name for unit in run.units] == [each.name for each in whole.workloads]
    assert {cell.status for cell in run.cells} == {Status.OK}
    processes = [line.split()[1] for line in (tmp_path / "notes").read_text().splitlines()]
    assert len(set(processes)) == len(whole.workloads)


def test_nobody_is_blamed_for_a_template_that_is_killed_while_a_worker_is_at_work(
    wary, one, monkeypatch
):
    heard = []

    def hear(record, event, usual=Record.hear):
        usual(record, event)
        heard.append(event)
        if isinstance(event, PhaseDone) and sum(isinstance(e, PhaseDone) for e in heard) == 1:
            wary._templates[0].process.kill()

    monkeypatch.setattr(Record, "hear", hear)
    run = execute(one, templates=wary)
    assert {cell.status for cell in run.cells} == {Status.OK}
    assert sum(isinstance(event, PhaseDone) for event in heard) == len(one.settings.phases)


def test_templates_that_are_killed_again_and_again_end_the_run_with_a_reason(
    wary, one, monkeypatch
):
    killed = []

    def fork(template, connection, usual=Template.fork):
        template.wait_until_ready()
        template.process.kill()
        template.process.wait()
        killed.append(template)
        return usual(template, connection)

    monkeypatch.setattr(Template, "fork", fork)
    reason = "what forks them has ended, killed by SIGKILL; so were 2 before it, as when memory"
    with pytest.raises(UserError, match=reason):
        execute(one, templates=wary)
    assert len(killed) == len(set(killed)) == 3
    with pytest.raises(UserError, match="so were 3 before it"):
        execute(one, templates=wary)
    assert len(killed) == 4


WARY = """
import os
from pathlib import Path
import torch
from impls.gather import Gather

NOTES = Path(__file__).with_name("notes")

def note(what):
    with NOTES.open("a") as stream:
        stream.write(f"{what} {os.getpid()} {os.getppid()}\\n")

class Wary(Gather):
    name = "wary"

    def unavailable(self, device):
        note("asked")
        torch.cuda._initialized = True  # as whoever asks for a GPU leaves it
        return None if device.index is None else "there is no such GPU"

    def prepare(self):
        note("prepared")
        super().prepare()

class Noting(Gather):
    name = "noting"

    def prepare(self):
        note("prepared")

class Rash(Gather):
    name = "rash"

    def prepare(self):
        torch.cuda._initialized = True
"""


@pytest.fixture
def wary(tmp_path, monkeypatch):
    (tmp_path / "wary.py").write_text(WARY)
    monkeypatch.syspath_prepend(tmp_path)
    templates = Templates("quick", 1, count=1)
    yield templates
    templates.close()


def test_whether_a_gpu_can_be_used_is_asked_in_a_process_that_no_worker_comes_from(
    wary, one, tmp_path
):
    wary.prepare(Preparation((Reference("wary", "wary:Wary"),), "cuda"))
    wary.prepare(Preparation((Reference("wary", "wary:Wary"),), "cuda:7"))
    wary.wait_until_ready()
    lines = [line.split() for line in (tmp_path / "notes").read_text().splitlines()]
    template = str(wary._templates[0].process.pid)
    assert [line[0] for line in lines] == ["asked", "prepared", "asked"]
    assert lines[0][2] == lines[1][1] == lines[2][2] == template
    assert template not in {lines[0][1], lines[2][1]}
    run = execute(one, templates=wary)
    assert {cell.status for cell in run.cells} == {Status.OK}


def test_a_preparation_that_opens_cuda_ends_the_run_and_says_why(wary):
    wary.prepare(Preparation((Reference("rash", "wary:Rash"),), "cpu"))
    with pytest.raises(UserError, match="CUDA was opened in the process that workers are forked"):
        execute(plan(seconds=0.05, timeout=60.0, seed=0), templates=wary)
