import hashlib
import os

import numpy as np
import pytest

from bench.errors import DataError, MissingDataError, UserError
from suites.data import assamese, cache, mnist
from suites.data.add import add
from suites.data.catalogue import MNIST, DataFile, DataSet, data_set
from suites.data.folder import data_folder as chosen_folder
from suites.data.folder import find, parsed_folder, presence
from suites.data.npz import Expected


def test_the_folder_is_the_variables_else_the_users_cache(data_folder, monkeypatch):
    assert chosen_folder() == data_folder
    monkeypatch.delenv("SPARSEBENCH_DATA")
    assert chosen_folder() == data_folder.parent / "cache" / "sparsebench" / "data"
    monkeypatch.setenv("SPARSEBENCH_DATA", "")
    assert chosen_folder() == data_folder.parent / "cache" / "sparsebench" / "data"


def test_a_variable_that_names_no_folder_is_the_users_mistake(tmp_path, monkeypatch):
    monkeypatch.setenv("SPARSEBENCH_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"SPARSEBENCH_DATA.*nowhere.*not a folder"):
        chosen_folder()


@pytest.mark.usefixtures("data_folder")
def test_a_missing_file_says_how_to_get_it():
    with pytest.raises(
        DataError, match=r"is missing; get it by `sparsebench data fetch mnist`, or"
    ) as raised:
        find(MNIST, "train-images-idx3-ubyte.gz")
    assert "sparsebench data add mnist PATH" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_unknown_names_are_the_users_mistake():
    with pytest.raises(UserError, match="no data set 'imagenet'; there are mnist, assamese"):
        data_set("imagenet")
    with pytest.raises(UserError, match="mnist has no file 'x'"):
        MNIST.file("x")


def test_presence_goes_from_missing_over_partial_and_damaged_to_present(data_folder):
    assert presence(MNIST, data_folder).state == "missing"
    for file in MNIST.files:
        path = data_folder / file.path
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"short")
        assert presence(MNIST, data_folder).state == "damaged"
        with path.open("r+b") as opened:
            opened.truncate(file.size_bytes)
        expected = "present" if file is MNIST.files[-1] else "partial"
        assert presence(MNIST, data_folder).state == expected


def test_a_file_is_found_only_as_its_publisher_has_it(data_folder):
    content = b"as published"
    digest = hashlib.sha256(content).hexdigest()
    file = DataFile("made/file.bin", "https://example.org", f"sha256:{digest}", len(content))
    made = DataSet("made", "", "", "", (file,))
    path = data_folder / file.path
    path.parent.mkdir()
    path.write_bytes(content)
    assert find(made, "file.bin") == path
    path.write_bytes(content[::-1])  # of the same size
    with pytest.raises(DataError, match="is not what its publisher has; move it away") as raised:
        find(made, "file.bin")
    assert not isinstance(raised.value, MissingDataError)
    assert str(path) in str(raised.value)


def test_images_and_labels_that_do_not_belong_together_are_refused(monkeypatch):
    monkeypatch.setattr(mnist, "find", lambda _, name: name)
    counts = {"t10k-images-idx3-ubyte.gz": (3, 28, 28), "t10k-labels-idx1-ubyte.gz": (2,)}
    monkeypatch.setattr(mnist, "read_idx", lambda name, axes: np.full(counts[name], 10, np.uint8))
    with pytest.raises(DataError, match="3 images and 2 labels"):
        mnist.load(train=False)
    counts["t10k-labels-idx1-ubyte.gz"] = (3,)
    with pytest.raises(DataError, match="a label is 10"):
        mnist.load(train=False)


EXPECTED = {"numbers": Expected("i", (None,))}


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.tar.gz"
    path.write_bytes(b"source")
    return path


def counting(calls, value=1):
    def parse():
        calls.append(value)
        return {"numbers": np.array([value])}

    return parse


def test_a_file_is_parsed_once(data_folder, source):
    calls = []
    for _ in range(3):
        arrays = cache.parsed_once(source, 1, EXPECTED, counting(calls))
        assert arrays["numbers"].tolist() == [1]
    assert calls == [1]
    assert list(data_folder.iterdir()) == []
    assert [path.name[:10] for path in parsed_folder().iterdir()] == ["source-v1-"]


@pytest.mark.usefixtures("data_folder")
def test_another_file_or_parser_is_parsed_anew(source):
    calls = []
    cache.parsed_once(source, 1, EXPECTED, counting(calls))
    cache.parsed_once(source, 2, EXPECTED, counting(calls))
    stamp = source.stat()
    source.write_bytes(b"sourcf")
    os.utime(source, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    cache.parsed_once(source, 1, EXPECTED, counting(calls))
    assert len(calls) == 3


@pytest.mark.usefixtures("data_folder")
@pytest.mark.parametrize("damage", ["cut", "flipped", "pickled", "other"])
def test_a_damaged_cache_is_rebuilt(source, damage):
    calls = []
    cache.parsed_once(source, 1, EXPECTED, counting(calls))
    (kept,) = parsed_folder().iterdir()
    data = bytearray(kept.read_bytes())
    if damage == "cut":
        kept.write_bytes(data[:-20])
    elif damage == "flipped":
        data[data.index(b"\n") + 1] ^= 1
        kept.write_bytes(data)
    elif damage == "pickled":
        np.savez(kept, numbers=np.array([object()]))
    else:
        np.savez(kept, letters=np.array([1]))
    assert cache.parsed_once(source, 1, EXPECTED, counting(calls))["numbers"].tolist() == [1]
    assert len(calls) == 2
    cache.parsed_once(source, 1, EXPECTED, counting(calls))
    assert len(calls) == 2


def test_a_cache_that_cannot_be_written_costs_only_time(data_folder, source):
    cache_folder = data_folder.parent / "cache"
    cache_folder.write_bytes(b"a file where a folder should be")
    calls = []
    for _ in range(2):
        assert cache.parsed_once(source, 1, EXPECTED, counting(calls))["numbers"].tolist() == [1]
    assert len(calls) == 2


@pytest.mark.usefixtures("data_folder")
def test_a_failed_parse_leaves_nothing_behind(source):
    def broken():
        raise DataError("broken")

    with pytest.raises(DataError, match="broken"):
        cache.parsed_once(source, 1, EXPECTED, broken)
    assert not parsed_folder().exists()


@pytest.fixture
def pens(tmp_path, data_folder, pen_set, recordings, make_tar):
    made = pen_set()
    add(made, make_tar(tmp_path / "x.tar", recordings), data_folder)
    return made


def test_recordings_are_the_same_parsed_and_from_the_cache(pens):
    parsed, cached = assamese.load(data_set=pens), assamese.load(data_set=pens)
    assert [(one.writer, one.character) for one in parsed] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    for one, other in zip(parsed, cached, strict=True):
        assert (one.writer, one.character) == (other.writer, other.character)
        assert one.points.dtype == other.points.dtype == np.float32
        assert one.strokes.dtype == other.strokes.dtype == np.int16
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_array_equal(one.strokes, other.strokes)
    assert parsed[2].points.tolist() == [[12, 21], [32, 41], [32, 61], [2, 7]]
    assert parsed[2].strokes.tolist() == [0, 0, 0, 1]


def test_recordings_are_chosen_by_writer(pens):
    assert [one.writer for one in assamese.load([2], pens)] == [2, 2]
    with pytest.raises(UserError, match="has no writer 3"):
        assamese.load([2, 3], pens)


def test_an_archive_that_was_changed_is_not_loaded(pens, data_folder, recordings, make_tar):
    recordings.popitem()
    make_tar(data_folder / "pens" / "pens.tar.gz", recordings)
    with pytest.raises(DataError, match=r"pens\.tar\.gz holds 3 recordings"):
        assamese.load(data_set=pens)


def test_the_writers_are_split_without_overlap():
    assert len(assamese.TRAIN_WRITERS) == 36
    assert len(assamese.TEST_WRITERS) == 9
    assert sorted(assamese.TRAIN_WRITERS + assamese.TEST_WRITERS) == list(range(1, 46))


def test_broken_recordings_are_counted_and_the_first_is_named_unless_they_are_to_be_skipped(
    data_folder, pen_set, recordings, make_tar
):
    pens = pen_set()
    for name in ("W1/2.1.txt", "W2/1.2.txt"):
        recordings[name] = recordings[name][:60]
    (data_folder / "pens").mkdir()
    make_tar(data_folder / pens.files[0].path, recordings)
    refused = pytest.raises(
        assamese.BrokenRecordingsError, match=r"W1/2\.1\.txt.*; and 1 more are broken"
    )
    with refused:
        assamese.load(data_set=pens)
    left, broken = assamese.load_readable([1, 2], pens)
    assert [(one.writer, one.character) for one in left] == [(1, 1), (2, 2)]
    assert [(one.name, one.writer, one.character) for one in broken] == [
        ("W1/2.1.txt", 1, 2),
        ("W2/1.2.txt", 2, 1),
    ]
    assert [len(part) for part in assamese.load_readable([2], pens)] == [1, 1]
    with refused:  # what was skipped is not remembered as the whole
        assamese.load(data_set=pens)


def test_recordings_that_are_all_broken_are_refused_and_a_writers_may_be(
    data_folder, pen_set, recordings, make_tar
):
    pens = pen_set()
    archive = data_folder / pens.files[0].path
    archive.parent.mkdir()
    names = sorted(recordings)  # W1's two, then W2's
    for name in names[2:]:
        recordings[name] = recordings[name][:60]
    make_tar(archive, recordings)
    readable, broken = assamese.load_readable([2], pens)
    assert (readable, len(broken)) == ((), 2)
    with pytest.raises(UserError, match="has no writer 3"):
        assamese.load_readable([3], pens)
    for name in names[:2]:
        recordings[name] = recordings[name][:60]
    make_tar(archive, recordings)
    with pytest.raises(assamese.BrokenRecordingsError, match="and 3 more are broken"):
        assamese.load_readable([1, 2], pens)
