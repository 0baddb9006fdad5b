import os
import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from refusals import refusal

from bench.plugins.implementations import (
    choose,
    installed,
    load,
    references_in,
)
from bench.plugins.installed import IMPLEMENTATIONS, Reference

WHOLE = """
from bench.implementation import Implementation

class {kind}(Implementation):
    name = "{name}"

    def encode(self, batch): ...
    def decode(self, native): ...
    def features(self, native): ...
    def with_features(self, native, features): ...
"""


def whole(name="mine", kind="Mine"):
    return WHOLE.format(name=name, kind=kind)


@pytest.fixture
def plugin(tmp_path):
    """Write a plug-in file and return its path."""

    def write(text, name="plugin.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write an importable module and return an entry point to a name in it."""
    monkeypatch.syspath_prepend(tmp_path)
    count = 0

    def write(name, text, attribute="Mine"):
        nonlocal count
        count += 1
        module = f"installed_{tmp_path.name.replace('-', '_')}_{count}"
        (tmp_path / f"{module}.py").write_text(text)
        return EntryPoint(name, f"{module}:{attribute}", IMPLEMENTATIONS)

    return write


DENSE = EntryPoint("dense", "impls.dense:Dense", IMPLEMENTATIONS)
GATHER = EntryPoint("gather", "impls.gather:Gather", IMPLEMENTATIONS)


def test_a_plug_in_file_gives_an_implementation_that_can_be_made(plugin):
    path = plugin(whole())
    (reference,) = references_in(path)
    assert reference == Reference("mine", str(path), is_file=True)
    made = load(reference)
    assert made.name == "mine"
    assert type(made).__name__ == "Mine"


def test_a_plug_in_file_may_define_several_and_import_others(plugin):
    path = plugin("from impls.dense import Dense\n" + whole() + whole("other", "Other"))
    assert [reference.name for reference in references_in(path)] == ["mine", "other"]
    assert [load(reference).name for reference in references_in(path)] == ["mine", "other"]


def test_a_missing_plug_in_file_is_named(tmp_path):
    path = tmp_path / "nowhere.py"
    assert refusal(references_in, path) == f"plug-in file {path} does not exist"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("import a_module_that_nobody_has\n", "No module named 'a_module_that_nobody_has'"),
        ("import sys\nsys.exit(3)\n", "SystemExit: 3"),
        ("raise ValueError('first\\nsecond')\n", "ValueError: first"),
        ("1 / 0\n", "ZeroDivisionError"),
    ],
    ids=["SyntaxError", "ImportError", "sys.exit", "two lines", "exception"],
)
def test_a_plug_in_file_that_does_not_import_is_refused_with_its_error(text, words, plugin):
    path = plugin(text)
    message = refusal(references_in, path)
    assert message.startswith(f"plug-in file {path} does not import: ")
    assert words in message


def test_a_plug_in_file_that_was_mended_imports_the_second_time(plugin):
    path = plugin("import a_module_that_nobody_has\n")
    refusal(references_in, path)
    path.write_text(whole())
    assert references_in(path)[0].name == "mine"


def test_the_users_own_interruption_of_an_import_passes_through(plugin, entries, package):
    interrupted = f"import os\nif os.getpid() == {os.getpid()}: raise KeyboardInterrupt\n"
    with pytest.raises(KeyboardInterrupt):
        references_in(plugin(interrupted))
    entries(package("mine", interrupted))
    for call in (installed, lambda: choose(["mine"])):
        with pytest.raises(KeyboardInterrupt):
            call()


def test_a_plug_in_that_interrupts_itself_is_broken_and_stops_nothing(plugin, entries, package):
    path = plugin("raise KeyboardInterrupt\n")
    words = "the process that imports it raises KeyboardInterrupt"
    assert refusal(references_in, path) == f"plug-in file {path}: {words}"
    entries(DENSE, package("mine", "raise KeyboardInterrupt\n"))
    found, broken = installed()
    assert [reference.name for reference in found] == ["dense"]
    assert broken[0].error == words
    assert refusal(choose, ["mine"]) == f"implementation 'mine' is broken: {words}"


@pytest.mark.parametrize(
    "text",
    ["", "class Mine: name = 'mine'\n", "from impls.dense import Dense\n"],
    ids=["empty", "another class", "imported only"],
)
def test_a_plug_in_file_without_a_class_of_its_own_is_refused(text, plugin):
    path = plugin(text)
    assert refusal(references_in, path) == (
        f"{path} has no class that derives from bench.implementation.Implementation"
    )


@pytest.mark.parametrize(
    ("statement", "words"),
    [("raise OSError('no licence')", "OSError: no licence"), ("exit(3)", "SystemExit: 3")],
)
def test_a_class_that_cannot_be_made_is_refused_with_what_it_raises(statement, words, plugin):
    path = plugin(whole() + f"    def __init__(self):\n        {statement}\n")
    assert refusal(references_in, path) == f"{path}: class Mine cannot be made: {words}"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("version = None", "has version = None, which is not of type str"),
        ("origin = 5", "has origin = 5, which is not of type str"),
        ("starts_dense = 'no'", "has starts_dense = 'no', which is not of type bool"),
        ("timed_region = 'all'", "has timed_region = 'all', which maps no phases to words"),
        (
            "timed_region = {'forwards': 'it'}",
            "has 'forwards' in timed_region; phases: encode, map, ",
        ),
        ("timed_region = {'map': 3}", "has 3 for map in timed_region; it takes words"),
    ],
)
def test_what_no_run_file_could_hold_is_refused_before_anything_is_measured(
    line, words, plugin, package, entries
):
    text = whole() + f"    {line}\n"
    path = plugin(text)
    assert refusal(references_in, path).startswith(f"{path}: class Mine {words}")
    entries(package("mine", text))
    assert f"class Mine {words}" in refusal(choose, ["mine"])


def test_a_plug_in_that_changes_the_folder_moves_nobodys_files(plugin, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    text = "import os\nos.chdir('/')\nfrom impls.gather import Gather\n"
    (reference, *_), _ = choose([str(plugin(text + "class Mine(Gather):\n    name = 'mine'\n"))])
    load(reference)
    assert Path.cwd() == tmp_path


def test_what_a_plug_in_prints_is_no_part_of_what_a_command_prints(
    plugin, package, entries, capsys
):
    text = "print('imported')\n" + whole() + "    def __init__(self): print('made')\n"
    references_in(plugin(text))
    entries(package("mine", text))
    choose(["mine"])
    printed = capsys.readouterr()
    assert printed.out == ""
    assert set(printed.err.split()) == {"imported", "made"}


def test_a_class_that_lacks_methods_is_refused_with_their_names(plugin):
    path = plugin(
        "from bench.implementation import Implementation\n"
        "class Half(Implementation):\n"
        "    name = 'half'\n"
        "    def encode(self, batch): ...\n"
        "    def features(self, native): ...\n"
    )
    assert refusal(references_in, path) == f"{path}: class Half lacks decode, with_features"


@pytest.mark.parametrize("line", ["", 'name = ""', "name = 3"])
def test_a_class_without_a_name_is_refused_with_what_to_write(line, plugin):
    message = refusal(references_in, plugin(whole().replace('name = "mine"', line)))
    assert 'class Mine has no name; give it `name = "..."`' in message


@pytest.mark.parametrize("name", ["a,b", "a b", "a\nb", "a/b"])
def test_a_name_that_cannot_stand_in_a_list_or_a_line_is_refused(name, plugin):
    path = plugin(whole().replace('name = "mine"', f"name = {name!r}"))
    message = refusal(references_in, path)
    assert f"class Mine is called {name!r}; a name has letters, digits" in message
    assert "\n" not in message


def test_a_folder_is_called_one(tmp_path):
    assert refusal(references_in, tmp_path).endswith("is a folder; name a file in it")


def test_a_file_that_is_not_python_is_refused(plugin):
    assert "is not a Python file" in refusal(references_in, plugin(whole(), "plugin.txt"))


def test_a_name_that_is_installed_already_is_refused_with_both_places(plugin, entries):
    entries(DENSE)
    path = plugin(whole("dense"))
    message = refusal(references_in, path)
    assert f"{path} calls an implementation 'dense'" in message
    assert "impls.dense:Dense" in message


def test_the_version_of_a_plugin_file_is_that_of_its_text_unless_it_has_one(plugin):
    first, again, other, own = (
        load(references_in(plugin(text, name))[0]).version
        for text, name in (
            (whole(), "a.py"),
            (whole(), "b.py"),
            (whole() + "# faster\n", "c.py"),
            (whole() + '    version = "1.5"\n', "d.py"),
        )
    )
    assert first == again != other
    assert own == "1.5"


def test_a_plugin_file_imports_its_neighbours_and_they_hide_no_library(plugin, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    plugin("NAME = 'neighbourly'\n", "its_neighbour.py")
    plugin("raise RuntimeError('hidden')\n", "colorsys.py")
    text = "import colorsys\nfrom its_neighbour import NAME\n" + whole().replace('"mine"', "NAME")
    (found,) = references_in(plugin(text))
    assert load(found).name == "neighbourly"


def test_two_classes_of_one_name_in_a_file_are_refused(plugin):
    message = refusal(references_in, plugin(whole() + whole("mine", "Again")))
    assert "two implementations called 'mine'" in message


def test_two_files_that_define_one_name_are_refused_with_both_paths(plugin, entries):
    entries(DENSE)
    first, second = plugin(whole(), "first.py"), plugin(whole(), "second.py")
    message = refusal(choose, [str(first), str(second)])
    assert "two implementations are called 'mine'" in message
    assert str(first) in message
    assert str(second) in message


def test_two_files_of_one_file_name_are_told_apart(plugin, entries):
    entries(DENSE)
    first = plugin(whole("one"), "a/plugin.py")
    second = plugin(whole("two"), "b/plugin.py")
    chosen, _ = choose([str(first), str(second)])
    assert [load(reference).name for reference in chosen] == ["one", "two"]


def test_a_class_with_a_second_name_in_its_file_is_one_implementation(plugin):
    assert len(references_in(plugin(whole() + "Alias = Mine\n"))) == 1


def test_everything_installed_is_found_in_the_order_of_names():
    found, broken = installed()
    assert broken == []
    assert [reference.name for reference in found] == sorted(reference.name for reference in found)
    assert {"dense", "dense_from_sparse", "masked", "gather"} <= {r.name for r in found}
    assert choose(None) == (found, broken)
    for reference in found:
        made = load(reference)
        assert made.name == reference.name
        if reference.name in {"dense", "dense_from_sparse", "masked", "gather"}:
            assert made.unavailable(torch.device("cpu")) is None


BROKEN = {
    "missing module": ("nowhere.to_be:Found", "No module named 'nowhere'"),
    "missing class": ("impls.dense:Sparse", "no attribute 'Sparse'"),
    "no class": ("impls.dense:CHANNELS_LAST", "is not a subclass of"),
    "another class": ("impls.dense:Sites", "is not a subclass of"),
    "another name": ("impls.dense:Dense", "calls itself 'dense', its entry point 'broken'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_entry_point_is_listed_with_its_error_and_the_others_are_there(case, entries):
    value, words = BROKEN[case]
    entries(GATHER, EntryPoint("broken", value, IMPLEMENTATIONS), DENSE)
    found, broken = installed()
    assert [reference.name for reference in found] == ["dense", "gather"]
    assert [(each.name, each.source) for each in broken] == [("broken", value)]
    assert words in broken[0].error
    assert "\n" not in broken[0].error


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("raise RuntimeError('first\\nsecond')\n", "RuntimeError: first"),
        ("raise RuntimeError\n", "RuntimeError"),
        (
            "import bench.implementation as i\nclass Mine(i.Implementation): name = 'broken'\n",
            "abstract",
        ),
        (
            whole("broken") + "    def __init__(self):\n        raise OSError('no licence')\n",
            "OSError: no licence",
        ),
        ("import sys\nsys.exit('goodbye')\n", "SystemExit: goodbye"),
    ],
    ids=["SyntaxError", "two lines", "no words", "abstract", "constructor", "sys.exit"],
)
def test_an_installed_plug_in_that_fails_is_broken_and_stops_nothing(text, words, entries, package):
    entries(DENSE, package("broken", text))
    found, broken = installed()
    assert [reference.name for reference in found] == ["dense"]
    assert words in broken[0].error
    assert "\n" not in broken[0].error


def test_a_broken_one_that_the_user_names_is_an_error(entries, package):
    entries(DENSE, package("broken", "raise RuntimeError('no driver')\n"))
    assert refusal(choose, ["broken"]) == (
        "implementation 'broken' is broken: RuntimeError: no driver"
    )
    chosen, broken = choose(["dense"])
    assert [reference.name for reference in chosen] == ["dense"]
    assert broken == []


def test_one_that_exits_when_the_user_names_it_is_an_error_like_any_other(entries, package):
    entries(package("broken", "import sys\nsys.exit('goodbye')\n"))
    assert "is broken: SystemExit: goodbye" in refusal(choose, ["broken"])


def test_two_entry_points_of_one_name_are_refused_with_both(entries):
    entries(DENSE, EntryPoint("dense", "elsewhere:Dense", IMPLEMENTATIONS))
    message = refusal(installed)
    assert "'dense'" in message
    assert "impls.dense:Dense and elsewhere:Dense" in message


def test_one_entry_point_that_is_seen_twice_is_one(entries):
    # An editable install beside an ordinary one lists the same entry point twice.
    entries(DENSE, DENSE)
    assert [reference.name for reference in installed()[0]] == ["dense"]


def test_an_unknown_implementation_is_refused_with_the_known_ones(entries):
    entries(DENSE, GATHER)
    message = refusal(choose, ["sparse"])
    assert "unknown implementation 'sparse'; installed: dense, gather" in message
    assert "--impl path/to/file.py" in message


def test_an_unknown_implementation_is_refused_where_none_is_installed(entries):
    entries()
    assert "installed: none" in refusal(choose, ["sparse"])


def test_naming_one_implementation_twice_is_refused(entries):
    entries(DENSE)
    assert refusal(choose, ["dense", "dense"]) == "implementation 'dense' is named twice"


def test_naming_one_file_twice_is_refused(plugin, entries):
    entries(DENSE)
    path = str(plugin(whole()))
    assert refusal(choose, [path, path]) == "implementation 'mine' is named twice"


def test_the_order_that_the_user_names_is_kept(plugin, entries):
    entries(DENSE, GATHER)
    path = plugin(whole())
    chosen, _ = choose(["gather", str(path), "dense"])
    assert [reference.name for reference in chosen] == ["gather", "mine", "dense"]


def test_a_reference_to_a_class_that_is_gone_is_refused(plugin):
    path = plugin(whole())
    gone = Reference("theirs", str(path), is_file=True)
    assert refusal(load, gone) == f"{path} no longer has an implementation 'theirs'"


def test_variants_may_share_an_abstract_base_in_their_file(plugin):
    path = plugin(
        "from impls.gather import Gather\nfrom abc import abstractmethod\n"
        "class Base(Gather):\n    @abstractmethod\n    def tile(self): ...\n"
        "class Small(Base):\n    name = 'small'\n    def tile(self): return 8\n"
    )
    assert [reference.name for reference in references_in(path)] == ["small"]


def test_the_readmes_plug_in_is_the_example_and_has_at_most_forty_lines():
    project = Path(__file__).parents[3]
    shown, _ = re.findall(r"```python\n(.*?)```", (project / "README.md").read_text(), re.DOTALL)
    example = (project / "docs" / "examples" / "unfold.py").read_text()
    assert len(example.splitlines()) <= 40
    assert [line for line in shown.splitlines() if line] == [
        line for line in example.splitlines() if line
    ]
