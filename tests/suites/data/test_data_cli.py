import argparse
import json
import subprocess
import sys

import pytest

from bench.cli import data
from bench.errors import DataError, UserError
from suites.data import catalogue


@pytest.fixture
def run():
    parser = argparse.ArgumentParser()
    data.add_parser(parser.add_subparsers(required=True))

    def run(*arguments):
        parsed = parser.parse_args(["data", *arguments])
        return parsed.run(parsed)

    return run


@pytest.fixture
def plain(plain_set, publisher, monkeypatch):
    publisher.files["plain.bin"] = b"published"
    made = plain_set(b"published", publisher.url + "plain.bin")
    monkeypatch.setattr(catalogue, "CATALOGUE", (made,))
    return made


def test_list_shows_every_data_set_and_how_to_get_it(run, data_folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    assert run("list") == 0
    shown = capsys.readouterr().out
    assert str(data_folder) in shown
    for data_set in catalogue.CATALOGUE:
        (line,) = [line for line in shown.splitlines() if line.split()[:1] == [data_set.name]]
        assert "missing" in line
        assert data_set.licence in line
        assert f"sparsebench data fetch {data_set.name}" in line


def test_list_for_machines_is_json(run, data_folder, plain, capsys):
    (data_folder / "plain").mkdir()
    states = []
    for content in (None, b"publ", b"PUBLISHED"):
        if content is not None:
            (data_folder / "plain" / "plain.bin").write_bytes(content)
        assert run("list", "--json") == 0
        listed = json.loads(capsys.readouterr().out)
        assert listed["folder"] == str(data_folder)
        (row,) = listed["data_sets"]
        states.append(row["state"])
        assert row["where"] == str(data_folder / "plain")
    assert states == ["missing", "damaged", "present"]
    assert plain.name == row["name"]


def test_fetch_says_what_it_wrote_and_what_was_there(run, data_folder, plain, capsys):
    assert run("fetch", "plain") == 0
    assert capsys.readouterr().out == (
        f"plain: verified and written {data_folder / 'plain' / 'plain.bin'}\n"
    )
    assert run("fetch", "plain") == 0
    assert capsys.readouterr().out == f"plain: already in {data_folder / 'plain'}, and intact\n"


def test_a_wrong_name_downloads_nothing(run, data_folder, plain, publisher):
    with pytest.raises(UserError, match="no data set 'plane'; there are plain"):
        run("fetch", "plain", "plane")
    assert publisher.asked == []


def test_add_takes_a_file_and_says_what_is_missing(run, data_folder, plain, capsys, tmp_path):
    (tmp_path / "mine").write_bytes(b"published")
    assert run("add", "plain", str(tmp_path / "mine")) == 0
    assert "plain: verified and written" in capsys.readouterr().out
    (tmp_path / "other").write_bytes(b"Published")
    with pytest.raises(DataError):
        run("add", "plain", str(tmp_path / "other"))


def test_add_says_which_files_are_still_missing(run, data_folder, tmp_path, monkeypatch, capsys):
    made = catalogue.DataSet(
        "two",
        "two",
        "none",
        "https://x.example",
        (
            catalogue.DataFile(
                "two/a", "https://x.example/a", "md5:0cc175b9c0f1b6a831c399e269772661"
            ),
            catalogue.DataFile(
                "two/b", "https://x.example/b", "md5:92eb5ffee6ae2fec3ad71c777531578f"
            ),
        ),
    )
    monkeypatch.setattr(catalogue, "CATALOGUE", (made,))
    (tmp_path / "a").write_bytes(b"a")
    assert run("add", "two", str(tmp_path / "a")) == 0
    assert "two: b is still missing" in capsys.readouterr().out


def test_an_empty_path_is_not_the_current_folder(run, capsys):
    with pytest.raises(SystemExit) as ended:
        run("add", "mnist", "")
    assert ended.value.code == 2
    assert "an empty path; give a file, folder or archive" in capsys.readouterr().err


def test_the_command_line_is_parsed_without_heavy_imports():
    program = (
        "import argparse, sys\n"
        "from bench.cli import data\n"
        "data.add_parser(argparse.ArgumentParser().add_subparsers())\n"
        "print({'torch', 'numpy', 'pooch', 'rich', 'suites'} & set(sys.modules))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "set()"
