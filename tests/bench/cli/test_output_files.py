"""What `-o` names is written where it leads, and nothing but a regular file is replaced."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from stored_runs import run

from bench.cli import browser
from bench.cli.files import refuse_foreign, say_written, write
from bench.errors import UserError
from bench.results import store


def test_a_link_stays_and_what_it_leads_to_is_written_whole(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "page.html").write_text("before")
    link = tmp_path / "link.html"
    link.symlink_to(folder / "page.html")
    write(link, "after \N{EN DASH}\n")
    assert link.is_symlink()
    assert (folder / "page.html").read_bytes() == "after \N{EN DASH}\n".encode()
    assert [path.name for path in folder.iterdir()] == ["page.html"]


def test_a_link_to_nothing_makes_what_it_leads_to(tmp_path):
    link = tmp_path / "link.html"
    link.symlink_to(tmp_path / "page.html")
    write(link, b"content")
    assert link.is_symlink()
    assert (tmp_path / "page.html").read_bytes() == b"content"


def test_a_pipe_is_written_into_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refuse_foreign(pipe, b"marker", "html report")  # reading it would wait for a writer
    content, read = "x" * 200_000, []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write(pipe, content)
    reader.join(10)
    assert read == [content]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_where_a_report_goes_that_goes_into_a_pipe_is_not_said_there(tmp_path):
    store.write(run(), tmp_path / "run.json")
    command = [sys.executable, "-m", "bench", "report", str(tmp_path / "run.json"), "--csv"]
    printed, piped = (
        subprocess.run([*command, *more], capture_output=True, text=True, check=True)
        for more in ([], ["-o", "/dev/stdout"])
    )
    assert piped.stdout == printed.stdout
    assert piped.stderr == "written: /dev/stdout\n"


def test_where_something_was_written_is_said_on_standard_output_of_files_only(tmp_path, capsys):
    say_written(tmp_path / "page.html")
    assert capsys.readouterr() == (f"written: {tmp_path / 'page.html'}\n", "")
    say_written(Path(os.devnull))
    assert capsys.readouterr() == ("", f"written: {os.devnull}\n")


def test_a_device_is_written_to_and_stays(tmp_path):
    link = tmp_path / "nowhere"
    link.symlink_to(os.devnull)
    refuse_foreign(link, None, "csv report")
    write(link, "content")
    assert link.is_symlink()
    assert stat.S_ISCHR(link.stat().st_mode)


def test_a_device_without_room_is_told_in_a_line(tmp_path):
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(UserError, match=f"cannot write {full}: No space left"):
        write(full, "content")


def test_a_printed_page_that_cannot_be_written_is_told_in_a_line(tmp_path, monkeypatch):
    script = tmp_path / "browser"
    script.write_text(
        '#!/bin/sh\nfor each in "$@"; do case $each in --print-to-pdf=*) '
        'echo page > "${each#--print-to-pdf=}";; esac; done\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr(browser, "find", lambda: str(script))
    with pytest.raises(UserError, match=r"cannot write .*page.pdf: there is no folder"):
        browser.print_page(tmp_path / "page.html", tmp_path / "missing" / "page.pdf")
    browser.print_page(tmp_path / "page.html", tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_text() == "page\n"
