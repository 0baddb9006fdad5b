from dataclasses import replace

from bench.background import Background
from bench.results.accuracy import AccuracyRun, Epoch, Published, TrainingSettings
from bench.results.schema import Machine
from reports.accuracy import table

PAPER = Published(0.58, "Graham 2014")


def run(error, seed=0, *, experiment="mnist", small=False, implementation="gather", planned=2):
    settings = TrainingSettings(
        experiment=experiment,
        version="small" if small else "full",
        small=small,
        implementation=implementation,
        implementation_version="2",
        background=Background.ZERO,
        dtype="float32",
        device="cpu",
        seed=seed,
        epochs=2,
    )
    epochs = tuple(
        Epoch(number, 0.1, 1.0, 0.1, 1.0, each / 100, 60.0, 1.0, 50.0, 3.0)
        for number, each in ((1, 2 * error), (2, error))
    )
    return AccuracyRun(
        id=str(seed),
        started="",
        finished="",
        command=("sparsebench", "train", experiment, "--seed", str(seed)),
        commit="abc",
        machine=Machine("m", {}),
        settings=settings,
        description="",
        definition={"schedule": {"epochs": planned}},
        parameters=1,
        train_samples=1,
        test_samples=1,
        first_losses=(),
        epochs=epochs,
        also_tested={},
        resumed=0,
        weights_sha256="",
        checkpoint_sha256="",
        published=(PAPER,),
        target_percent=0.7,
    )


def rows(*runs, experiments=()):
    lines = list(table(runs, dict.fromkeys(experiments, (PAPER,))))
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"
    ]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]], lines


def test_a_trained_error_stands_beside_the_published_one_with_the_difference():
    (row,), lines = rows(run(0.66))
    assert row["test error"] == "0.66 %"
    assert row["published"] == "0.58 % (Graham 2014)"
    assert row["difference"] == "+0.08"
    assert (row["training"], row["of a processor"]) == ("120 s", "100 s")
    assert row["to the target"] == "0.7 % in 120 s"
    assert "sparsebench train mnist --seed 0" in lines


def test_a_spread_is_shown_from_three_seeds_on():
    (two,), _ = rows(run(0.6, 0), run(0.7, 1))
    assert two["test error"] == "0.65 %"
    (three,), lines = rows(run(0.6, 0), run(0.7, 1), run(0.8, 2))
    assert (three["test error"], three["seeds"]) == ("0.70 % ± 0.10", "3")
    assert three["to the target"] == "0.7 % not reached"
    assert sum("--seed" in line for line in lines) == 3


def test_a_small_version_is_compared_with_nothing_and_comes_last():
    (full, small), _ = rows(run(5.0, small=True), run(0.7))
    assert full["experiment"] == "mnist"
    assert small["experiment"] == "mnist (small)"
    assert (small["published"], small["difference"]) == ("-", "-")


def test_implementations_and_settings_have_rows_of_their_own():
    other = run(0.7)
    shared = replace(other, settings=replace(other.settings, processes=2))
    found, _ = rows(run(0.6), run(0.6, implementation="dense"), shared)
    assert [row["implementation"] for row in found] == ["dense", "gather", "gather, 2 processes"]


def test_another_number_of_epochs_than_the_experiments_own_is_told():
    (row,), _ = rows(run(0.6))
    assert row["epochs"] == "2"
    (row,), _ = rows(run(0.6, planned=30))
    assert row["epochs"] == "2 instead of 30"


def test_what_was_not_trained_is_said():
    _, lines = rows(run(0.6), run(5, experiment="vgg", small=True), experiments=("mnist", "vgg"))
    assert lines[-1] == "Not trained in full: vgg."
    _, lines = rows(run(0.6), experiments=("mnist",))
    assert "Not trained" not in lines[-1]
