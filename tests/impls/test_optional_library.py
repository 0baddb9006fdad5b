import logging
import os
import subprocess
import sys
import warnings

import pytest

from impls.optional_library import OptionalLibrary

CURE = "make it"


@pytest.fixture
def library(tmp_path, monkeypatch, request):
    """Make a library of a given source, under a name of the test's own."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(source, works=lambda module: True, version="1.2"):
        name = f"library_{abs(hash(request.node.name))}"
        if source is not None:
            (tmp_path / f"{name}.py").write_text(source)
        return OptionalLibrary("Lib", name, version, CURE, works)

    return make


def test_a_library_that_works_is_usable(library):
    subject = library("__version__ = '1.2'\nanswer = 42\n", works=lambda lib: lib.answer == 42)
    assert subject.why_unusable() is None
    assert subject.load().answer == 42


@pytest.mark.parametrize(
    ("source", "works", "words"),
    [
        (None, None, "Lib is not installed"),
        ("import no_such_module\n", None, "Lib lacks the module no_such_module"),
        ("raise ImportError('undefined symbol: _ZN3c10')\n", None, "undefined symbol: _ZN3c10"),
        ("raise OSError('libgone.so: cannot open')\n", None, "libgone.so"),
        ("__version__ = '1.1'\n", None, "Lib 1.1 is installed, and 1.2 was proved right"),
        ("", None, "Lib of no version is installed"),
        ("__version__ = '1.2'\n", lambda _: False, "fails its self-check"),
        ("__version__ = '1.2'\n", lambda lib: lib.gone, "fails its self-check: AttributeError"),
    ],
)
def test_whatever_is_wrong_is_one_line_with_its_cure(library, source, works, words):
    reason = library(source, works).why_unusable()
    assert words in reason
    assert CURE in reason
    assert "\n" not in reason


def test_importing_is_quiet_and_leaves_the_environment_alone(library, monkeypatch, caplog):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    subject = library(
        "import logging, os, warnings\n__version__ = '1.2'\n"
        "os.environ['OMP_NUM_THREADS'] = '16'\nwarnings.warn('built for the CPU')\n"
        "logging.getLogger('torch').warning('tracing')\n"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert subject.why_unusable() is None
    assert "OMP_NUM_THREADS" not in os.environ
    assert not caplog.records
    logging.getLogger("torch").warning("heard again")
    assert len(caplog.records) == 1


@pytest.mark.parametrize("name", ["minkowski", "spconv"])
def test_an_implementation_is_there_without_its_library_being_imported(name):
    code = (
        f"import sys\nfrom impls.{name} import LIBRARY, {name.title()}\n"
        f"assert {name.title()}().name == {name!r} and LIBRARY.module not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
