import gzip
import io
import os
import stat
import tarfile
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import DataError
from suites.data.archives import Limits, members

FILES = {"a/one.txt": b"first", "a/two.txt": b"second", "skipped.bin": b"third"}
WANTED = {"a/one.txt": b"first", "a/two.txt": b"second"}


def texts(path, **options):
    return dict(members(path, lambda name, _: name.endswith(".txt"), **options))


def make_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def header(name, kind, target=""):
    made = tarfile.TarInfo(name)
    made.type = kind
    made.linkname = target
    return made


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tar"])
def test_wanted_files_of_a_tar_are_read(tmp_path, make_tar, name):
    folder = header("a", tarfile.DIRTYPE)
    assert texts(make_tar(tmp_path / name, FILES, folder)) == WANTED


def test_wanted_files_of_a_zip_are_read(tmp_path):
    assert texts(make_zip(tmp_path / "x.zip", {"a/": b"", **FILES})) == WANTED


def test_wanted_files_of_a_folder_are_read_under_its_own_name(tmp_path):
    (tmp_path / "a").mkdir()
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    assert texts(tmp_path / "a") == WANTED


def test_backslashes_are_read_as_slashes(tmp_path):
    assert texts(make_zip(tmp_path / "x.zip", {"a\\one.txt": b"1"})) == {"a/one.txt": b"1"}


def test_a_tar_gz_inside_a_zip_counts_as_the_zip_only_when_named(tmp_path, make_tar):
    inner = make_tar(tmp_path / "inner.tar.gz", FILES).read_bytes()
    path = make_zip(tmp_path / "x.zip", {"b/inner.tar.gz": inner, "b/other.tar.gz": inner})
    assert texts(path, nested="inner.tar.gz") == WANTED
    assert texts(path) == {}


ESCAPES = ["../x.bin", "a/../../x.txt", "/etc/x.txt", "C:/x.txt", "..\\x.txt", "\\\\server\\x"]


@pytest.mark.parametrize("name", ESCAPES)
def test_a_member_that_leaves_the_archive_condemns_it_even_unwanted(tmp_path, make_tar, name):
    for path in (
        make_tar(tmp_path / "x.tar.gz", {name: b"", **FILES}),
        make_zip(tmp_path / "x.zip", {name: b"", **FILES}),
    ):
        with pytest.raises(DataError, match="leaves the archive"):
            texts(path)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path, make_tar, kind):
    path = make_tar(tmp_path / "x.tar.gz", {}, header("a/one.txt", kind, "/etc/passwd"))
    with pytest.raises(DataError, match=r"'a/one\.txt' is a link, a device"):
        texts(path)


def test_links_in_a_zip_are_refused(tmp_path):
    link = zipfile.ZipInfo("a/one.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(DataError, match=r"'a/one\.txt' is a link or a device"):
        texts(make_zip(tmp_path / "x.zip", {link: b"/etc/passwd"}))


def test_links_in_a_folder_are_refused(tmp_path):
    (tmp_path / "one.txt").symlink_to("/etc/passwd")
    with pytest.raises(DataError, match="is a link or a device"):
        texts(tmp_path)


def test_a_device_in_a_folder_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "one.txt")
    with pytest.raises(DataError, match="is a link or a device"):
        texts(tmp_path)


LIMITS = Limits(members=5, member_bytes=1_000, total_bytes=30_000)


def test_a_bomb_of_one_wanted_member_is_refused(tmp_path, make_tar):
    bomb = {"a/one.txt": bytes(1_001)}
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.txt").write_bytes(bytes(1_001))
    for path in (
        make_tar(tmp_path / "x.tar.gz", bomb),
        make_zip(tmp_path / "x.zip", bomb),
        tmp_path / "a",
    ):
        with pytest.raises(DataError, match=r"'a/one\.txt' has more than 1,000 bytes"):
            texts(path, limits=LIMITS)


def test_a_bomb_of_an_unwanted_member_is_refused(tmp_path, make_tar):
    path = make_tar(tmp_path / "x.tar.gz", {"zeros.bin": bytes(10_000_000), **FILES})
    with pytest.raises(DataError, match="unpacks to more than 30,000 bytes"):
        texts(path, limits=LIMITS)


def test_a_bomb_in_a_tars_own_headers_is_refused(tmp_path):
    long_name = tarfile.TarInfo("a/one.txt")
    long_name.pax_headers = {"comment": "x" * 10_000_000}
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(long_name)
    with pytest.raises(DataError, match="unpacks to more than 30,000 bytes"):
        texts(tmp_path / "x.tar.gz", limits=LIMITS)


def test_many_small_members_are_a_bomb_too(tmp_path, make_tar):
    few = Limits(members=100, member_bytes=1_000, total_bytes=5_000)
    files = {f"{number}.txt": bytes(1_000) for number in range(6)}
    for path in (make_tar(tmp_path / "x.tar.gz", files), make_zip(tmp_path / "x.zip", files)):
        with pytest.raises(DataError, match="unpacks to more than 5,000 bytes"):
            texts(path, limits=few)
        with pytest.raises(DataError, match="more than 5 members"):
            texts(path, limits=Limits(members=5))


def test_a_bomb_inside_a_nested_archive_is_refused(tmp_path, make_tar):
    inner = make_tar(tmp_path / "inner.tar.gz", {"zeros.bin": bytes(10_000_000)}).read_bytes()
    path = make_zip(tmp_path / "x.zip", {"inner.tar.gz": inner})
    with pytest.raises(DataError, match="unpacks to more than 30,000 bytes"):
        texts(path, limits=LIMITS, nested="inner.tar.gz")


def test_an_archive_cut_short_is_refused(tmp_path, make_tar):
    files = {f"{number}.txt": os.urandom(2_000) for number in range(10)}
    for path in (make_tar(tmp_path / "x.tar.gz", files), make_zip(tmp_path / "x.zip", files)):
        path.write_bytes(path.read_bytes()[:12_000])
        with pytest.raises(DataError, match="may be cut short"):
            texts(path)


def test_an_encrypted_zip_is_refused(tmp_path):
    path = make_zip(tmp_path / "x.zip", {"one.txt": b"secret"})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        texts(path)


def valid(kind):
    made = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/one.txt", b"first" * 20)
    else:
        with tarfile.open(fileobj=made, mode="w") as archive:
            member = tarfile.TarInfo("a/one.txt")
            member.size = 100
            archive.addfile(member, io.BytesIO(b"first" * 20))
    return made.getvalue()


@st.composite
def damaged(draw):
    kind = draw(st.sampled_from(["zip", "tar", "tar.gz"]))
    data = bytearray(valid(kind))
    for _ in range(draw(st.integers(0, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    data = bytes(data[: draw(st.integers(0, len(data)))])
    return gzip.compress(data) if kind == "tar.gz" else data


@given(st.binary() | st.binary().map(lambda data: b"\x1f\x8b" + data) | damaged())
def test_arbitrary_bytes_give_members_or_a_data_error(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "arbitrary"
    path.write_bytes(data)
    try:
        found = texts(path, limits=LIMITS)
    except DataError:
        return
    assert all(isinstance(content, bytes) for content in found.values())
