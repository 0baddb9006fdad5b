import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import DataError
from suites.data.recording import digest, layout_name, parse

NAME = "W3/17.3.txt"
HEADER = b"CHARACTER_NAME: KA\r\nSTROKE_COUNT: 2\r\n  X  Y   STYLUS_STATE STROKE\r\n"
END = b"END_CHARACTER: KA\r\n"


def strokes_of(body):
    return parse(HEADER + body + END, NAME).strokes.tolist()


def test_points_strokes_writer_and_character_are_read(text):
    recording = parse(text([(1, 2), (3, 4)], [(5, 6)]), NAME)
    assert (recording.writer, recording.character) == (3, 17)
    assert recording.points.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert recording.points.dtype == np.float32
    assert recording.strokes.tolist() == [0, 0, 1]


def test_line_ends_do_not_matter(text):
    windows = text([(1, 2), (3, 4)])
    unix = windows.replace(b"\r\n", b"\n")
    assert digest(parse(windows, NAME)) == digest(parse(unix, NAME))


@pytest.mark.parametrize("count", [0, 1, 9])
def test_a_stroke_count_that_differs_from_the_markers_does_not_matter(text, count):
    assert parse(text([(1, 2)], [(3, 4)], count=count), NAME).strokes.tolist() == [0, 1]


def test_an_empty_pair_of_pen_markers_is_no_stroke():
    body = b"PEN_DOWN\r\n1 1 1 1\r\nPEN_UP 0\r\nPEN_DOWN\r\nPEN_UP 0\r\nPEN_DOWN\r\n2 2 1 2\r\n"
    assert strokes_of(body) == [0, 1]


def test_points_after_pen_up_without_pen_down_begin_a_new_stroke():
    body = b"PEN_DOWN\r\n1 1 1 1\r\nPEN_UP 0\r\n2 2 1 1\r\n3 3 1 1\r\nPEN_DOWN\r\n4 4 1 1\r\n"
    assert strokes_of(body) == [0, 1, 1, 2]


def test_a_change_of_the_stroke_column_begins_a_new_stroke():
    assert strokes_of(b"PEN_DOWN\r\n1 1 1 1\r\n1 1 1 2\r\n2 2 1 2\r\nPEN_UP 0\r\n") == [0, 1, 1]


def test_pen_up_first_pen_down_twice_and_no_pen_up_at_the_end_are_survived():
    assert strokes_of(b"PEN_UP 0\r\nPEN_DOWN\r\nPEN_DOWN\r\n1 1 1 1\r\n2 2 1 1\r\n") == [0, 0]


def test_negative_coordinates_are_kept():
    recording = parse(HEADER + b"PEN_DOWN\r\n1508  -106  1  1\r\nPEN_UP 0\r\n" + END, NAME)
    assert recording.points.tolist() == [[1508, -106]]


@pytest.mark.parametrize("name", ["", "KA", "ka (second)", "T.TH"])
def test_the_class_goes_by_the_file_number_whatever_its_name(text, name):
    assert parse(text([(1, 2)], name=name), NAME).character == 17


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"\x00\xffjunk\n" * 3, r"W3/17\.3\.txt, line 1: CHARACTER_NAME"),
        (b"", r"line 1: CHARACTER_NAME"),
        (HEADER.split(b"\r\n", 1)[1], r"line 1: CHARACTER_NAME"),
        (b"CHARACTER_NAME: KA\r\n" + END, r"line 2: STROKE_COUNT"),
        (
            b"CHARACTER_NAME: KA\r\nSTROKE_COUNT: two\r\n",
            r"line 2: STROKE_COUNT.*'STROKE_COUNT: two'",
        ),
        (b"CHARACTER_NAME: KA\r\nSTROKE_COUNT: 1\r\nPEN_DOWN\r\n", r"line 3: X Y"),
        (HEADER + b"PEN_DOWN\r\n12 abc 1 1\r\n" + END, r"line 5: a point.*'12 abc 1 1'"),
        (HEADER + b"PEN_DOWN\r\n12 1_3 1 1\r\n" + END, r"line 5: a point"),
        (HEADER + b"PEN_DOWN\r\n12 nan 1 1\r\n" + END, r"line 5: a point"),
        (HEADER + b"PEN_DOWN\r\n12 123456789 1 1\r\n" + END, r"line 5: a point"),
        (HEADER + b"PEN_DOWN\r\n12 13\r\n" + END, r"line 5: a point"),
        (HEADER + b"PEN_SIDEWAYS\r\n" + END, r"line 4: a point or a pen marker"),
        (HEADER + b"PEN_DOWN\r\n1 1 1 1\r\n\xf0\x9f\r\n" + END, r"line 6: .*'\\xf0\\x9f'"),
        (HEADER + b"PEN_DOWN\r\n1 1 1 1\r\n", "ends without END_CHARACTER; it is cut short"),
        (HEADER + b"PEN_DOWN\r\nPEN_UP 0\r\n" + END, "holds no point"),
        (HEADER + b"1 1 1 1\r\n" + END + b"1 1 1 1\r\n", "line 6: nothing was expected after"),
    ],
)
def test_corruption_is_named_by_member_and_line(data, complaint):
    with pytest.raises(DataError, match=complaint) as raised:
        parse(data, NAME)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("W3/17.3.txt", "W3/17.3.txt"),
        ("./W3/17.3.txt", "W3/17.3.txt"),
        ("Online Handwritten Assamese Characters Dataset/W6/15.6.TXT", "W6/15.6.txt"),
        ("Online Handwritten Assamese Characters Dataset/W6/15.5.TXT", None),
        ("Online Handwritten Assamese Characters Dataset/Data_Table.pdf", None),
        ("XW3/17.3.txt", None),
        ("W3/17.3.txt/other", None),
    ],
)
def test_members_are_told_by_name_whatever_the_packing(name, expected):
    assert layout_name(name) == expected


def test_a_member_of_another_name_is_no_recording(text):
    with pytest.raises(DataError, match="not a recording's name"):
        parse(text([(1, 2)]), "W3/readme.txt")


LINES = st.sampled_from(
    [
        b"PEN_DOWN",
        b"PEN_UP 0",
        b"1 2 1 1",
        b"-1 2 1 2",
        b"END_CHARACTER: KA",
        b"CHARACTER_NAME: KA",
        b"STROKE_COUNT: 3",
        b" X Y STYLUS_STATE STROKE",
        b"",
        b"\x00\xff",
        b"99999999999999999999 1 1 1",
    ]
)


@given(
    st.binary()
    | st.lists(LINES).map(b"\n".join)
    | st.lists(LINES).map(lambda x: HEADER + b"\n".join(x))
)
def test_arbitrary_bytes_give_a_recording_or_a_data_error(data):
    try:
        recording = parse(data, NAME)
    except DataError:
        return
    assert recording.points.shape == (len(recording.strokes), 2)
    assert len(recording.points)
    assert np.isfinite(recording.points).all()
    assert recording.strokes[0] == 0
    assert set(np.diff(recording.strokes).tolist()) <= {0, 1}
