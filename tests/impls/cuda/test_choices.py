"""What measuring found is kept on disk, by GPU, driver and kernels, and survives what files suffer."""

import json
import multiprocessing

import pytest

from impls.cuda import choices
from impls.cuda.choices import Choice, Choices

FACTS = {"gpu": "NVIDIA H200", "driver": "570.86.15", "kernels": "0123abcd"}
FOUND = Choice(
    "tiles 64x64, 4 blocks each", {"tiles 64x64, 4 blocks each": 12.5}, {"tiles": "wrong"}
)


def test_a_choice_is_found_again_by_another_process(tmp_path):
    Choices(tmp_path / "new", FACTS).keep("a convolution", FOUND)
    again = Choices(tmp_path / "new", FACTS)
    assert again.find("a convolution") == FOUND
    assert again.find("another") is None


def test_a_file_is_named_after_what_it_is_for_and_is_readable(tmp_path):
    kept = Choices(tmp_path, FACTS)
    kept.keep("a convolution", FOUND)
    assert [path.name for path in tmp_path.iterdir()] == ["NVIDIA_H200_570.86.15_0123abcd.json"]
    content = json.loads(kept.path.read_text())
    assert content["for"] == FACTS
    assert content["choices"]["a convolution"]["shape"] == FOUND.shape


@pytest.mark.parametrize("fact", FACTS)
def test_another_gpu_driver_or_kernel_knows_nothing_of_it(tmp_path, fact):
    Choices(tmp_path, FACTS).keep("a convolution", FOUND)
    assert Choices(tmp_path, FACTS | {fact: "other"}).find("a convolution") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\x00",
        b"[]",
        b'{"choices": {}}',
        json.dumps({"for": FACTS, "choices": {}}).encode(),
        json.dumps({"for": FACTS, "choices": [], "fatal": {}}).encode(),
        json.dumps({"for": FACTS, "choices": {}, "fatal": []}).encode(),
        json.dumps({"for": FACTS, "choices": {"a convolution": "tiles"}, "fatal": {}}).encode(),
        json.dumps(
            {"for": FACTS, "choices": {"a convolution": {"shape": 3}}, "fatal": {}}
        ).encode(),
        json.dumps(
            {"for": FACTS, "choices": {"a convolution": {"more": "x"}}, "fatal": {}}
        ).encode(),
        json.dumps(
            {
                "for": {"gpu": "another"},
                "choices": {"a convolution": {"shape": "x"}},
                "fatal": {},
            }
        ).encode(),
    ],
)
def test_what_is_none_of_these_files_is_ignored_and_written_anew(tmp_path, content):
    path = Choices(tmp_path, FACTS).path
    path.write_bytes(content)
    found = Choices(tmp_path, FACTS)
    assert found.find("a convolution") is None
    found.keep("a convolution", FOUND)
    assert Choices(tmp_path, FACTS).find("a convolution") == FOUND


def test_what_another_process_kept_meanwhile_stays(tmp_path):
    one, other = Choices(tmp_path, FACTS), Choices(tmp_path, FACTS)
    one.keep("one", FOUND)
    other.keep("other", FOUND)
    again = Choices(tmp_path, FACTS)
    assert again.find("one") == again.find("other") == FOUND


def keep_many(folder, name):
    kept = Choices(folder, FACTS)
    for number in range(50):
        kept.keep(f"{name} {number}", FOUND)


def test_two_processes_that_write_at_once_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=keep_many, args=(tmp_path, name)) for name in ("a", "b")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    (path,) = tmp_path.iterdir()  # nothing temporary is left
    problems = json.loads(path.read_text())["choices"]
    assert problems.keys() == {f"{name} {n}" for n in range(50) for name in ("a", "b")}


def test_a_kernel_that_is_feared_is_known_to_other_processes_and_survives_their_choices(tmp_path):
    other = Choices(tmp_path, FACTS)
    Choices(tmp_path, FACTS).fear("tiles 128x128", "it killed the GPU")
    other.keep("a convolution", FOUND)
    again = Choices(tmp_path, FACTS)
    assert again.fatal("tiles 128x128") == other.fatal("tiles 128x128") == "it killed the GPU"
    assert again.fatal("tiles 64x64") is None


def test_where_nothing_can_be_written_a_process_knows_its_own(tmp_path):
    (tmp_path / "file").touch()
    kept = Choices(tmp_path / "file" / "folder", FACTS)
    kept.keep("a convolution", FOUND)
    assert kept.find("a convolution") == FOUND


def test_the_folder_is_the_environments(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(choices.VARIABLE, raising=False)
    assert choices.folder() == tmp_path / "sparsebench" / "tuning"
    monkeypatch.setenv(choices.VARIABLE, str(tmp_path / "mine"))
    assert choices.folder() == tmp_path / "mine"
    monkeypatch.setenv(choices.VARIABLE, choices.OFF)
    assert choices.folder() is None
