import zipfile

import pytest

from bench.errors import DataError, UserError
from suites.data.archives import members
from suites.data.catalogue import CATALOGUE
from suites.data.fetch import fetch

PUBLISHED = bytes(range(256)) * 1_000


def everything_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def plain(publisher, plain_set):
    publisher.files["plain.bin"] = PUBLISHED
    return plain_set(PUBLISHED, publisher.url + "plain.bin")


def test_a_good_file_is_downloaded_once(data_folder, publisher, plain):
    (target,) = fetch(plain, data_folder)
    assert target.read_bytes() == PUBLISHED
    assert everything_in(data_folder) == [target]
    assert target.stat().st_mode & 0o777 == 0o644
    assert fetch(plain, data_folder) == []
    assert publisher.asked == ["plain.bin"]


def test_the_data_folder_is_made(tmp_path, plain):
    (target,) = fetch(plain, tmp_path / "not" / "yet")
    assert target.read_bytes() == PUBLISHED


def test_a_download_that_breaks_off_leaves_nothing_behind(data_folder, publisher, plain):
    publisher.cut.add("plain.bin")
    with pytest.raises(
        DataError, match=r"plain: http://.*plain\.bin could not be downloaded"
    ) as raised:
        fetch(plain, data_folder)
    assert "\n" not in str(raised.value)
    assert everything_in(data_folder) == []


def test_a_wrong_digest_leaves_nothing_behind(data_folder, publisher, plain):
    publisher.files["plain.bin"] = PUBLISHED[:-1] + b"x"
    with pytest.raises(DataError, match=r"is not the published file, md5:.* was expected"):
        fetch(plain, data_folder)
    assert everything_in(data_folder) == []


def test_a_wrong_file_stays_until_a_good_one_is_there(data_folder, publisher, plain):
    wrong = data_folder / "plain" / "plain.bin"
    wrong.parent.mkdir()
    wrong.write_bytes(b"wrong")
    publisher.cut.add("plain.bin")
    with pytest.raises(DataError):
        fetch(plain, data_folder)
    assert wrong.read_bytes() == b"wrong"
    publisher.cut.clear()
    assert fetch(plain, data_folder) == [wrong]
    assert wrong.read_bytes() == PUBLISHED


def test_a_missing_page_and_a_server_that_is_gone_are_one_line(data_folder, publisher, plain_set):
    with pytest.raises(DataError, match="404"):
        fetch(plain_set(b"x", publisher.url + "nowhere"), data_folder)
    with pytest.raises(DataError, match="could not be downloaded") as raised:
        fetch(plain_set(b"x", "http://127.0.0.1:9/nobody"), data_folder)
    assert "\n" not in str(raised.value)
    assert everything_in(data_folder) == []


def test_a_packed_set_is_downloaded_verified_and_packed_anew(
    tmp_path, data_folder, publisher, pen_set, recordings
):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name, data in recordings.items():
            archive.writestr(f"Pens/{name}", data)
    published = (tmp_path / "x.zip").read_bytes()
    publisher.files["some%20pens.zip"] = published
    pens = pen_set(publisher.url + "some%20pens.zip", published)
    (target,) = fetch(pens, data_folder)
    assert dict(members(target, lambda *_: True)) == recordings
    assert everything_in(data_folder) == [target]
    assert fetch(pens, data_folder) == []


def test_a_publishers_archive_with_other_contents_leaves_nothing_behind(
    tmp_path, data_folder, publisher, pen_set
):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("readme.txt", "moved")
    published = (tmp_path / "x.zip").read_bytes()
    publisher.files["pens.zip"] = published
    with pytest.raises(DataError, match="holds none of the recordings"):
        fetch(pen_set(publisher.url + "pens.zip", published), data_folder)
    assert everything_in(data_folder) == []


def test_a_rar_that_could_not_be_unpacked_is_not_downloaded(
    data_folder, publisher, pen_set, monkeypatch
):
    monkeypatch.setenv("PATH", "")
    publisher.files["pens.rar"] = b"Rar!"
    with pytest.raises(DataError, match=r"pens\.rar is a RAR archive: install one of"):
        fetch(pen_set(publisher.url + "pens.rar", b"Rar!"), data_folder)
    assert publisher.asked == []


def test_a_data_folder_that_cannot_be_written_is_the_users_mistake(data_folder, plain):
    (data_folder / "plain").write_bytes(b"a file where a folder should be")
    with pytest.raises(UserError, match="plain cannot be put into"):
        fetch(plain, data_folder)


def test_progress_is_shown_on_a_terminal_only(data_folder, plain, monkeypatch, capsys):
    fetch(plain, data_folder)
    quiet = capsys.readouterr()
    (data_folder / "plain" / "plain.bin").unlink()
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal
    fetch(plain, data_folder)
    assert (quiet.out, quiet.err) == ("", "")
    assert "plain.bin" in capsys.readouterr().err


def test_every_address_of_the_catalogue_is_https_and_every_digest_is_whole():
    lengths = {"md5": 32, "sha256": 64}
    for data_set in CATALOGUE:
        assert data_set.needed
        for file in data_set.files:
            algorithm, digest = file.digest.split(":")
            assert len(digest) == lengths[algorithm]
            assert file.path == f"{data_set.name}/{file.name}"
            assert file.url is None or file.url.startswith("https://")
