import io
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bench.errors import DataError, UserError
from suites.data import caltech, rar
from suites.data.add import add
from suites.data.archives import LIMITS, members
from suites.data.caltech import photographs
from suites.data.catalogue import DataFile, DataSet
from suites.data.contents import describe


def unpack(archive, folder):
    for name, data in archive.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def zipped(path, archive):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in archive.items():
            file.writestr(name, data)
    return path


def as_published(recordings):
    """Mixed endings, a folder around, a table, and a copy under another writer's name."""
    published = {
        f"Online/{name}".replace("1.txt", "1.TXT"): data for name, data in recordings.items()
    }
    return {**published, "Online/W2/1.1.txt": b"copy", "Online/Data_Table.pdf": b"%PDF"}


def test_a_folder_tar_or_zip_of_recordings_is_packed_to_the_same_bytes(
    tmp_path, data_folder, pen_set, recordings, make_tar
):
    pens = pen_set()
    backwards = dict(reversed(as_published(recordings).items()))
    packed = set()
    for source in (
        unpack(as_published(recordings), tmp_path / "unpacked"),
        make_tar(tmp_path / "x.tar.gz", backwards),
        make_tar(tmp_path / "x.tar", recordings),
        zipped(tmp_path / "x.zip", backwards),
    ):
        (target,) = add(pens, source, data_folder)
        assert target == data_folder / "pens" / "pens.tar.gz"
        assert dict(members(target, lambda *_: True)) == recordings
        packed.add(target.read_bytes())
        target.unlink()
    assert len(packed) == 1


def test_nothing_but_the_file_is_left_in_the_data_folder(
    tmp_path, data_folder, pen_set, recordings
):
    add(pen_set(), zipped(tmp_path / "x.zip", recordings), data_folder)
    assert [path.name for path in (data_folder / "pens").iterdir()] == ["pens.tar.gz"]


def test_recordings_that_lack_one_or_differ_in_a_point_are_refused(
    tmp_path, data_folder, pen_set, recordings
):
    pens = pen_set()
    name, data = next(iter(recordings.items()))
    fewer = {key: value for key, value in recordings.items() if key != name}
    other = {**recordings, name: data.replace(b"11        21", b"11        22")}
    assert other != recordings
    twice = {**recordings, f"again/{name}": other[name]}
    for archive, complaint in (
        (fewer, "3 recordings with 12 points; 4 recordings with 16 points were expected"),
        (other, "as many as expected, but some are not the published ones"),
        (twice, "two different members that mean W1/1.1.txt"),
        ({"a.txt": b""}, "holds none of the recordings"),
        ({name: b"junk"}, "W1/1.1.txt, line 1"),
    ):
        with pytest.raises(DataError, match=complaint):
            add(pens, zipped(tmp_path / "x.zip", archive), data_folder)
        assert not (data_folder / "pens").exists()


def test_a_good_file_is_kept_and_a_wrong_one_replaced(tmp_path, data_folder, pen_set, recordings):
    pens = pen_set()
    source = zipped(tmp_path / "x.zip", recordings)
    (target,) = add(pens, source, data_folder)
    before = target.stat()
    assert add(pens, source, data_folder) == []
    assert target.stat().st_mtime_ns == before.st_mtime_ns
    target.write_bytes(target.read_bytes()[:100])
    assert add(pens, source, data_folder) == [target]
    assert target.stat().st_size == before.st_size


def test_a_plain_file_is_told_by_its_digest_whatever_its_name_and_packing(
    tmp_path, data_folder, plain_set, make_tar
):
    plain = plain_set(b"published")
    lone = tmp_path / "other-name"
    lone.write_bytes(b"published")
    for source in (
        lone,
        unpack({"deep/down": b"published", "deep/up": b"unrelated"}, tmp_path / "unpacked"),
        make_tar(tmp_path / "x.tar.gz", {"a": b"published"}),
        zipped(tmp_path / "x.zip", {"plain.bin": b"published"}),
    ):
        (target,) = add(plain, source, data_folder)
        assert target.read_bytes() == b"published"
        target.unlink()


def test_large_files_of_no_concern_are_not_read(tmp_path, data_folder, plain_set):
    source = unpack({"large": b"", "plain": b"published"}, tmp_path / "unpacked")
    os.truncate(source / "large", LIMITS.member_bytes + 1)
    (target,) = add(plain_set(b"published"), source, data_folder)
    assert target.read_bytes() == b"published"
    with pytest.raises(DataError, match="'unpacked/large' has more than"):
        dict(members(source, lambda *_: True))


def test_a_published_file_that_is_itself_a_zip_is_not_searched(tmp_path, data_folder, plain_set):
    np.savez(tmp_path / "scene.npz", pc=np.ones((2, 3)))
    data = (tmp_path / "scene.npz").read_bytes()
    (target,) = add(plain_set(data, name="scene.npz"), tmp_path / "scene.npz", data_folder)
    assert target.read_bytes() == data


def test_a_file_of_the_right_name_and_wrong_bytes_is_refused(tmp_path, data_folder, plain_set):
    plain = plain_set(b"published")
    (tmp_path / "plain.bin").write_bytes(b"Published")
    for source in (tmp_path / "plain.bin", zipped(tmp_path / "x.zip", {"plain.bin": b"publishe"})):
        with pytest.raises(DataError, match=r"plain\.bin in .* is not the published file"):
            add(plain, source, data_folder)
    assert list(data_folder.iterdir()) == []


def test_what_holds_nothing_of_the_data_set_is_refused(tmp_path, data_folder, plain_set):
    with pytest.raises(DataError, match=r"holds nothing of plain; plain\.bin were looked for"):
        add(plain_set(b"published"), zipped(tmp_path / "x.zip", {"a": b"b"}), data_folder)
    with pytest.raises(UserError, match="does not exist"):
        add(plain_set(b"published"), tmp_path / "nowhere", data_folder)


def test_an_archive_with_a_member_that_leaves_it_is_refused(
    tmp_path, data_folder, plain_set, pen_set, recordings
):
    source = zipped(tmp_path / "x.zip", {"../plain.bin": b"published", **recordings})
    for data_set in (plain_set(b"published"), pen_set()):
        with pytest.raises(DataError, match="leaves the archive"):
            add(data_set, source, data_folder)
    assert list(data_folder.iterdir()) == []
    assert not (tmp_path / "plain.bin").exists()


def test_a_data_folder_that_cannot_be_written_is_the_users_mistake(
    tmp_path, data_folder, plain_set
):
    (tmp_path / "mine").write_bytes(b"published")
    (data_folder / "plain").write_bytes(b"a file where a folder should be")
    with pytest.raises(UserError, match="plain cannot be put into"):
        add(plain_set(b"published"), tmp_path / "mine", data_folder)


IMAGES = {
    f"101_ObjectCategories/{category}/image_{number:04d}.jpg": f"{category}{number}".encode()
    for category in ("BACKGROUND_Google", "airplanes", "crab")
    for number in (1, 2)
}


@pytest.fixture
def image_set():
    content = describe("images", IMAGES)
    file = DataFile("pics/101_ObjectCategories.tar.gz", "https://x.example", "md5:0", None, content)
    return DataSet("pics", "pics", "none", "https://x.example", (file,))


def test_images_are_taken_from_the_publishers_zip_with_its_tar_gz_inside(
    tmp_path, data_folder, image_set, make_tar
):
    stray = {"101_ObjectCategories/BACKGROUND_Google/tmp": b"", **IMAGES}
    stray["101_ObjectCategories/crab/._image_0001.jpg"] = b"left by a Mac"
    inner = make_tar(tmp_path / "101_ObjectCategories.tar.gz", stray)
    source = zipped(
        tmp_path / "x.zip",
        {"caltech-101/101_ObjectCategories.tar.gz": inner.read_bytes(), "caltech-101/a.m": b""},
    )
    (target,) = add(image_set, source, data_folder)
    assert dict(members(target, lambda *_: True)) == IMAGES


def test_images_are_taken_from_a_folder_and_listed_by_class(tmp_path, data_folder, image_set):
    source = unpack(IMAGES, tmp_path / "unpacked") / "101_ObjectCategories"
    (target,) = add(image_set, source, data_folder)
    listed = [(picture.category, picture.name, picture.jpeg) for picture in photographs(target)]
    assert listed == [
        ("airplanes", "airplanes/image_0001.jpg", b"airplanes1"),
        ("airplanes", "airplanes/image_0002.jpg", b"airplanes2"),
        ("crab", "crab/image_0001.jpg", b"crab1"),
        ("crab", "crab/image_0002.jpg", b"crab2"),
    ]


def test_photographs_that_are_not_sorted_are_refused(tmp_path, make_tar):
    unsorted = dict(sorted(IMAGES.items(), reverse=True))
    archive = make_tar(tmp_path / "101_ObjectCategories.tar.gz", unsorted)
    with pytest.raises(DataError, match=r"is not sorted: .*`sparsebench data add caltech101`"):
        list(photographs(archive))


def test_photographs_that_are_not_all_there_are_refused_unless_that_is_wanted(
    tmp_path, data_folder, image_set, make_tar, monkeypatch
):
    monkeypatch.setattr(caltech, "CALTECH101", image_set)
    monkeypatch.setattr(caltech, "find", lambda *_: archive)
    for entries in (IMAGES, dict(sorted(IMAGES.items())[1:])):
        archive = make_tar(tmp_path / f"{len(entries)}.tar.gz", dict(sorted(entries.items())))
        if len(entries) < len(IMAGES):
            with pytest.raises(DataError, match="were expected"):
                list(photographs())
        assert list(photographs(as_published=False)) == list(photographs(archive))
    archive = tmp_path / f"{len(IMAGES)}.tar.gz"
    assert list(photographs()) == list(photographs())  # the second time from what is kept


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """A folder that is all of $PATH."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(tools, name, script):
    path = tools / name
    path.write_text(f"#!{shutil.which('sh', path='/bin:/usr/bin')}\n{script}\n")
    path.chmod(0o755)


def test_a_rar_is_unpacked_by_a_tool_that_is_installed(
    tmp_path, data_folder, tools, pen_set, recordings
):
    unpack(as_published(recordings), tmp_path / "inside")
    source = tmp_path / "x y.rar"
    source.write_bytes(b"Rar!")
    # unar's arguments: -quiet -output-directory FOLDER ARCHIVE
    install(tools, "unar", f'/bin/test -f "$4" && /bin/cp -r \'{tmp_path}/inside/Online\' "$3"')
    (target,) = add(pen_set(), source, data_folder)
    assert dict(members(target, lambda *_: True)) == recordings


def test_a_rar_without_a_tool_says_what_to_install(tmp_path, data_folder, tools, pen_set):
    source = tmp_path / "x.rar"
    source.write_bytes(b"Rar!")
    with pytest.raises(DataError, match=r"x\.rar is a RAR archive: install one of bsdtar, unar"):
        add(pen_set(), source, data_folder)
    install(tools, "7z", "exit 2")
    with pytest.raises(DataError, match=r"7z could not unpack x\.rar"):
        add(pen_set(), source, data_folder)


@pytest.mark.parametrize(
    "ends", ["exit 0", "while :; do :; done"], ids=["at its end", "on its way"]
)
def test_a_rar_that_unpacks_to_too_much_is_refused(
    ends, tmp_path, data_folder, tools, pen_set, monkeypatch
):
    source = tmp_path / "bomb.rar"
    source.write_bytes(b"Rar!")
    monkeypatch.setattr(rar, "LARGEST_BYTES", 10_000)
    install(tools, "unar", f'/usr/bin/head -c 20000 /dev/zero > "$3/large"; {ends}')
    with pytest.raises(DataError, match=r"unar could not unpack bomb\.rar: more than 10,000 bytes"):
        add(pen_set(), source, data_folder)


@pytest.mark.parametrize("tool", rar.UNPACKERS)
def test_every_unpacker_is_told_the_archive_and_the_folder(tool):
    arguments = " ".join(rar.UNPACKERS[tool])
    assert "{archive}" in arguments
    assert "{folder}" in arguments


def test_a_packed_file_is_plain_tar_gz_without_owner_or_time(
    tmp_path, data_folder, pen_set, recordings
):
    (target,) = add(pen_set(), zipped(tmp_path / "x.zip", recordings), data_folder)
    with tarfile.open(fileobj=io.BytesIO(target.read_bytes())) as archive:
        assert {(m.mtime, m.uid, m.gid, m.mode, m.uname) for m in archive} == {(0, 0, 0, 0o644, "")}
    assert target.read_bytes()[4:8] == bytes(4)
    assert Path(target).stat().st_mode & 0o400
