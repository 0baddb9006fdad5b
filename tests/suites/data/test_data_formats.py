import contextlib
import gzip
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import DataError
from suites.data.idx import parse_idx, read_idx
from suites.data.npz import Expected, read_arrays
from suites.data.ply import parse_ply
from suites.data.pointclouds import read_cloud

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
IDX = b"\0\0\x08\x03" + struct.pack(">3I", 2, 3, 4) + IMAGES.tobytes()


def packed(data):
    return gzip.compress(data, mtime=0)


def test_idx_images_are_read(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(packed(IDX))
    read = read_idx(path, axes=3)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, IMAGES)


# Names are given, as bytes would be part of them: gzip may write the time, and workers collect apart.
REFUSED = {
    "cut short": (packed(IDX)[:-12], r"images\.gz is not a gzip file, or is cut short"),
    "not packed": (IDX, r"images\.gz is not a gzip file, or is cut short"),
    "empty": (b"", r"images\.gz begins with nothing"),
    "a byte less": (
        packed(IDX[:-1]),
        r"images\.gz: shape \(2, 3, 4\) needs 24 bytes, and there are 23",
    ),
    "a byte more": (packed(IDX + b"x"), "needs 24 bytes, and there are more"),
    "half a header": (packed(IDX[:9]), "ends within its header"),
    "16-bit numbers": (
        packed(b"\0\0\x09\x03" + IDX[4:]),
        "begins with 00 00 09 03.*begins with 00 00 08 03",
    ),
    "labels": (packed(b"\0\0\x08\x01" + IDX[4:]), "begins with 00 00 08 01"),
    "too large": (packed(IDX[:4] + b"\xff" * 12), "is more than 268,435,456 bytes"),
}


@pytest.mark.parametrize(("data", "complaint"), REFUSED.values(), ids=REFUSED)
def test_other_idx_bytes_are_refused_with_the_file_named(data, complaint):
    with pytest.raises(DataError, match=complaint):
        parse_idx(data, 3, "images.gz")


@given(
    st.binary()
    | st.binary().map(packed)
    | st.binary().map(lambda rest: packed(b"\0\0\x08\x03" + rest))
    | st.binary(max_size=30).map(lambda rest: packed(IDX[:4] + b"\0\0\0\1" * 3 + rest))
)
def test_arbitrary_bytes_give_an_idx_array_or_a_data_error(data):
    with contextlib.suppress(DataError):
        assert parse_idx(data, 3, "images.gz").ndim == 3


FIELDS = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("scalar_intensity", "<f4")]
VERTICES = np.array([(1, 2, 3, 0.5), (4, 5, 6, 0.25)], dtype=FIELDS)
LINES = (
    "ply",
    "format binary_little_endian 1.0",
    "comment by hand",
    "obj_info none",
    "element vertex 2",
    "property float x",
    "property float y",
    "property float z",
    "property float scalar_intensity",
    "end_header",
)


BODY = VERTICES.tobytes()


def ply(lines=LINES, body=BODY, end="\n"):
    return "".join(line + end for line in lines).encode() + body


def replaced(old, new):
    return [new if line == old else line for line in LINES if line != old or new]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_ply_points_and_intensity_are_read(tmp_path, end):
    path = tmp_path / "scene.ply"
    path.write_bytes(ply(end=end))
    cloud = read_cloud(path)
    assert cloud.points.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert cloud.intensity.tolist() == [0.5, 0.25]


def test_a_point_cloud_without_intensity_says_so(tmp_path):
    path = tmp_path / "scene.ply"
    lines = [line for line in LINES if "intensity" not in line]
    path.write_bytes(ply(lines, np.ones((2, 3), dtype="<f4").tobytes()))
    cloud = read_cloud(path)
    assert cloud.intensity is None
    assert cloud.points.tolist() == [[1, 1, 1], [1, 1, 1]]


def test_ply_properties_of_other_types_keep_their_places():
    lines = [
        "ply",
        LINES[1],
        "element vertex 1",
        "property uchar red",
        "property double x",
        "end_header",
    ]
    read = parse_ply(ply(lines, struct.pack("<Bd", 200, 2.5)), "scene.ply")
    assert read["red"].tolist() == [200]
    assert read["x"].tolist() == [2.5]


def test_elements_after_the_vertices_are_left_alone():
    lines = [*LINES[:-1], "element face 1", "property list uchar int vertex_indices", "end_header"]
    read = parse_ply(ply(lines, VERTICES.tobytes() + b"\3" + bytes(12)), "scene.ply")
    np.testing.assert_array_equal(read, VERTICES)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "is not a PLY file"),
        (b"plyx" + ply()[3:], "is not a PLY file"),
        (ply(LINES[:-1]), "is not a PLY file"),
        (b"ply\n" + b"comment x\n" * 10_000 + ply()[4:], "is not a PLY file"),
        (b"ply\n" + b"comment\n" * 1_000 + ply()[4:], "more than 1,000 lines"),
        (ply(replaced(LINES[1], "format ascii 1.0")), "not 'format ascii 1.0'"),
        (ply(replaced(LINES[4], "")), "`element vertex` with a number was expected first"),
        (ply(replaced(LINES[4], "element vertex -2")), "`element vertex` with a number"),
        (ply(replaced(LINES[4], "element face 2")), "`element vertex` with a number"),
        (
            ply(replaced(LINES[5], "property list uchar int x")),
            "is not a property that a point can have",
        ),
        (ply(replaced(LINES[5], "property half x")), "is not a property that a point can have"),
        (ply(replaced(LINES[5], "property float y")), "'y' appears twice"),
        (ply([*LINES[:5], "end_header"]), "have no properties"),
        (ply(body=VERTICES.tobytes()[:-1]), "need 32 bytes, and there are 31"),
        (ply(body=VERTICES.tobytes() + b"x"), "need 32 bytes, and there are 33"),
        (ply(replaced(LINES[4], "element vertex 999999999999")), "and there are 32"),
    ],
)
def test_other_ply_bytes_are_refused_with_the_file_named(data, complaint):
    with pytest.raises(DataError, match=rf"scene\.ply.*{complaint}"):
        parse_ply(data, "scene.ply")


def test_points_that_are_not_finite_are_refused(tmp_path):
    broken = VERTICES.copy()
    broken["y"][1] = np.nan
    path = tmp_path / "scene.ply"
    path.write_bytes(ply(body=broken.tobytes()))
    with pytest.raises(DataError, match=r"scene\.ply: point 1 holds NaN"):
        read_cloud(path)


def test_a_point_cloud_needs_three_coordinates(tmp_path):
    path = tmp_path / "scene.ply"
    path.write_bytes(ply(replaced(LINES[7], "property float depth")))
    with pytest.raises(DataError, match="x, y and z are needed"):
        read_cloud(path)


@given(
    st.binary()
    | st.lists(st.sampled_from(LINES)).map(ply)
    | st.binary().map(lambda body: ply(body=body))
)
def test_arbitrary_bytes_give_vertices_or_a_data_error(data):
    with contextlib.suppress(DataError):
        assert parse_ply(data, "scene.ply").dtype.names


ANY_POINTS = {"pc": Expected("f", (None, 3))}


def test_npz_arrays_are_read_and_others_left_alone(tmp_path):
    points = np.ones((5, 3), dtype=np.float32)
    for save in (np.savez, np.savez_compressed):
        save(
            tmp_path / "x.npz", pc=points, columns=np.asfortranarray(points), other=np.array("text")
        )
        read = read_arrays(tmp_path / "x.npz", {**ANY_POINTS, "columns": Expected("f", (5, 3))})
        assert sorted(read) == ["columns", "pc"]
        np.testing.assert_array_equal(read["columns"], points)


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"points": np.ones((5, 3))}, "pc.npy"),
        ({"pc": np.ones((5, 4))}, r"\(5, 4\).*\(None, 3\) were expected"),
        ({"pc": np.ones((5, 3), dtype=int)}, "kind 'f'"),
        ({"pc": np.ones(5)}, "were expected"),
        ({"pc": np.array([[object()] * 3])}, "not numbers"),
    ],
)
def test_other_npz_arrays_are_refused(tmp_path, arrays, complaint):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=rf"x\.npz.*{complaint}"):
        read_arrays(tmp_path / "x.npz", ANY_POINTS)


def test_an_array_larger_than_its_bytes_is_refused_before_memory_is_taken(tmp_path):
    np.savez(tmp_path / "good.npz", pc=np.ones((5, 3)))
    with zipfile.ZipFile(tmp_path / "good.npz") as good:
        array = good.read("pc.npy")
    lying = array.replace(b"(5, 3), }" + b" " * 12, b"(9999999999999, 3), }")
    assert len(lying) == len(array)
    assert lying != array
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("pc.npy", lying)
    with pytest.raises(DataError, match=r"x\.npz.*shorter or longer than its shape"):
        read_arrays(tmp_path / "x.npz", ANY_POINTS)


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8),
    st.integers(0, 700),
)
def test_a_damaged_npz_gives_arrays_or_a_data_error(tmp_path_factory, changes, cut):
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    np.savez(path, pc=np.ones((5, 3), dtype=np.float32))
    data = bytearray(path.read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    path.write_bytes(bytes(data[: len(data) - cut % len(data)] if cut < 350 else data))
    with contextlib.suppress(DataError):
        assert read_arrays(path, ANY_POINTS)["pc"].shape[1] == 3
