import io
import runpy
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.errors import UserError
from tools.minkowski import __main__ as command
from tools.minkowski.target import check_prerequisites, describe
from tools.minkowski.wheel import (
    VERSION,
    build_wheel,
    cached_wheel,
    download,
    prepare,
    unpack,
    wheel_folder,
)


@pytest.fixture(scope="module")
def target():
    return describe()


def executable(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_an_interpreter_is_described_by_what_a_wheel_depends_on(target):
    assert target.torch == torch.__version__
    assert f"{sys.version_info.major}{sys.version_info.minor}" in target.tag
    assert Path(target.include).name.startswith("python")


@pytest.mark.parametrize(
    ("compiler", "words"),
    [
        (None, r"the C\+\+ compiler .* apt-get install g\+\+"),
        ("grep -q Python.h $2", "OpenBLAS with its headers .* apt-get install libopenblas-dev"),
        ("grep -q cblas $2", r"Python.h in .* apt-get install python3-dev"),
        ("false", "Python.h .* and OpenBLAS"),
    ],
)
def test_every_prerequisite_that_is_missing_is_named_with_its_package(
    target, tmp_path, compiler, words
):
    path = tmp_path / "compiler"
    if compiler is not None:
        executable(path, f"#!/bin/sh\n{compiler}\n")
    with pytest.raises(UserError, match=words):
        check_prerequisites(replace(target, compiler=str(path)))


def test_nothing_is_said_where_everything_is_there(target, tmp_path):
    check_prerequisites(replace(target, compiler=executable(tmp_path / "compiler", "#!/bin/sh\n")))


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip looks into, and nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_source_that_is_not_to_be_had_is_said(tmp_path, index):
    with pytest.raises(UserError, match=f"MinkowskiEngine {VERSION} cannot be downloaded: ERROR"):
        download(tmp_path)


def test_another_source_under_the_same_name_is_refused_before_any_of_it_runs(
    target, tmp_path, index
):
    trace = tmp_path / "ran"
    setup = f"open({str(trace)!r}, 'w')\n".encode()
    with tarfile.open(index / f"MinkowskiEngine-{VERSION}.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo(f"MinkowskiEngine-{VERSION}/setup.py")
        member.size = len(setup)
        archive.addfile(member, io.BytesIO(setup))
    with pytest.raises(UserError, match=r"cannot be downloaded: .*DO NOT MATCH THE HASHES"):
        build_wheel(target, tmp_path / "cache")
    assert not trace.exists()
    assert not list(tmp_path.glob("cache/**/*.whl"))


def test_the_source_becomes_one_unit_that_new_pythons_import(tmp_path):
    source = tmp_path / "source"
    package = source / "MinkowskiEngine" / "utils"
    package.mkdir(parents=True)
    one = package / "one.py"
    one.write_text("from collections import Sequence\nassert issubclass(list, Sequence)\n")
    two = package.parent / "two.py"
    two.write_text("from collections import Sequence, namedtuple\nnamedtuple('A', 'b')\n")
    three = package / "three.py"
    three.write_text("from collections import OrderedDict\n")
    prepare(source)
    for path in (one, two, three):
        runpy.run_path(str(path))
    unit = (source / "everything.cpp").read_text().splitlines()
    assert len(unit) == 13
    assert unit[-1] == '#include "pybind/minkowski.cpp"'
    compile((source / "setup.py").read_text(), "setup.py", "exec")
    assert "uninstall" not in (source / "setup.py").read_text().split('"""')[2]


def test_unpacking_finds_the_top_folder(tmp_path):
    archive = tmp_path / "source.tar.gz"
    with tarfile.open(archive, "w:gz") as opened:
        opened.addfile(tarfile.TarInfo("top/setup.py"))
    assert unpack(archive, tmp_path / "out") == tmp_path / "out" / "top"


@pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="Python 3.11.4 brought filters")
def test_nothing_is_unpacked_outside_of_the_folder(tmp_path):
    archive = tmp_path / "source.tar.gz"
    with tarfile.open(archive, "w:gz") as opened:
        opened.addfile(tarfile.TarInfo("../outside"))
    with pytest.raises(tarfile.FilterError):
        unpack(archive, tmp_path / "again")


def test_a_wheel_is_found_again_for_the_same_torch_and_python_only(target, tmp_path):
    assert cached_wheel(target, tmp_path) is None
    kept = wheel_folder(target, tmp_path) / "minkowskiengine.whl"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert cached_wheel(target, tmp_path) == kept
    assert cached_wheel(replace(target, torch="2.4.0"), tmp_path) is None
    assert cached_wheel(replace(target, tag="cpython-313-linux-x86_64"), tmp_path) is None


@pytest.fixture
def calls(monkeypatch, target):
    """What the command does, with every step replaced by its name."""
    done = []

    def step(name, result=None):
        monkeypatch.setattr(command, name, lambda *_: done.append(name) or result)

    monkeypatch.setattr(command, "describe", lambda: target)
    step("check_prerequisites")
    step("build_wheel", Path("new.whl"))
    step("install")
    step("why_not_importable", "ImportError: no such thing")
    return done


def test_the_command_builds_then_installs(calls, tmp_path, capsys):
    assert command.main(["--cache", str(tmp_path)]) == 0
    assert calls == ["why_not_importable", "check_prerequisites", "build_wheel", "install"]
    assert "building MinkowskiEngine" in capsys.readouterr().out


def test_the_command_installs_a_wheel_that_was_kept(calls, target, tmp_path):
    kept = wheel_folder(target, tmp_path) / "minkowskiengine.whl"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert command.main(["--cache", str(tmp_path)]) == 0
    assert calls == ["why_not_importable", "install"]
    calls.clear()
    assert command.main(["--cache", str(tmp_path), "--rebuild"]) == 0
    assert calls == ["check_prerequisites", "build_wheel", "install"]


def test_the_command_leaves_alone_what_works(calls, monkeypatch, tmp_path):
    monkeypatch.setattr(command, "why_not_importable", lambda: None)
    assert command.main(["--cache", str(tmp_path)]) == 0
    assert calls == []


def test_a_mistake_gets_one_line_and_exit_2(calls, monkeypatch, tmp_path, capsys):
    def refuse(_):
        raise UserError("no compiler")

    monkeypatch.setattr(command, "check_prerequisites", refuse)
    assert command.main(["--cache", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("minkowski: error: ")
    assert error.count("\n") == 1
