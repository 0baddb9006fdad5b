"""What the accuracy section is drawn from: which trainings share a chart, and what it finds."""

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from bench.results.accuracy import ActiveSites, Picture
from reports.accuracy import curves, inputs, scales, sparsity, table
from reports.accuracy.charts import FLOOR, Chart, Series, draw, straight_ticks
from tests.reports.trained_runs import SITES, dropped, picture, scaled, trained

DIGITS = "digits-deepcnet-3-10"


def rows(*runs):
    return table.trained(runs)


def chart(*series, **changes):
    return Chart("h", "c", series, "test error", "epochs", **changes)


@pytest.mark.parametrize("is_straight", [True, False])
def test_a_figure_is_well_formed_and_takes_errors_and_places_of_0(is_straight):
    figure = draw(
        chart(
            Series("a", ((0.0, 0.0), (1.0, 50.0)), 1),
            Series("b", ((1.0, 3.0),), 1, is_published=True),
            is_straight=is_straight,
        ),
        "x",
    )
    texts = [text.text for text in ET.fromstring(figure).iter("text")]  # noqa: S314
    assert {"test error", "epochs", f"{FLOOR} %", "10 %"} <= set(texts)
    assert not re.search(r"nan|inf\b", figure)
    assert set(re.findall(r"#[0-9a-f]{6}\b", figure)) <= {"#000000"}


def test_names_stay_out_of_figures():
    assert "evil" not in draw(chart(Series("evil", ((1.0, 1.0), (2.0, 2.0)), 1)), "x")


@pytest.mark.parametrize(
    ("ends", "ticks"),
    [
        ((0.0, 30.0), [0, 10, 20, 30]),
        ((0.9, 5.1), [1, 2, 3, 4, 5]),
        ((2.31, 2.39), [2.32, 2.34, 2.36, 2.38]),
        ((0.0, 2500.0), [0, 500, 1000, 1500, 2000, 2500]),
    ],
)
def test_straight_axes_get_round_numbers(ends, ticks):
    assert straight_ticks(*ends) == ticks


def test_epochs_and_layers_are_whole_numbers():
    assert straight_ticks(0.9, 3.1, least_step=1) == [1, 2, 3]


def test_experiments_whose_names_begin_alike_share_a_chart_of_no_more_lines_than_can_be_told():
    found = curves.families(
        rows(
            *(scaled(level, kind, 9) for level in (3, 4, 5) for kind in ("none", "translations")),
            *(scaled(level, "affine", 9) for level in (3, 4, 5)),
            trained(1, experiment="mnist-cnn-small"),
            trained(1, experiment="mnist-cnn-small", small=True),
        )
    )
    assert [curves.family_name(each) for each in found] == [
        "assamese-deepcnet-3-30",
        "assamese-deepcnet-4-30",
        "assamese-deepcnet-5-30",
        "mnist-cnn-small",
        "mnist-cnn-small (small)",
    ]
    many = rows(*(trained(1, experiment="x-y-z", implementation=f"i{n}") for n in range(20)))
    assert [len(each) for each in curves.families(many)] == [8, 8, 4]


def test_lines_are_told_apart_by_no_more_than_they_differ_in():
    same = {"experiment": DIGITS}
    tell = curves.tell_apart
    assert tell(rows(trained(1, **same), trained(1, implementation="dense", **same))) == [
        "dense",
        "gather",
    ]
    assert tell(rows(trained(1, **same))) == ["gather"]
    long = trained(1, settings={"version": "other"}, **same)
    assert tell(rows(trained(1, **same), long)) == ["version full", "version other"]


def test_a_learning_curve_has_a_line_for_every_seed_in_one_colour():
    found = curves.learning(rows(trained(1, 0), trained(3, 1)))
    assert [series.points for series in found.series] == [
        ((1, 2.0), (2, 1.0)),
        ((1, 6.0), (2, 3.0)),
    ]
    assert {series.number for series in found.series} == {1}
    assert "2.00 % in the end." in found.caption


def test_implementations_race_on_processor_time_only_where_they_trained_the_same():
    slow = trained(1.5, implementation="dense", epoch_seconds=180.0)
    (race,) = curves.races(rows(trained(1), slow, trained(1, experiment="alone")))
    assert {series.label: series.points for series in race.series} == {
        "gather": ((50.0, 2.0), (100.0, 1.0)),
        "dense": ((150.0, 3.0), (300.0, 1.5)),
    }
    assert "gather takes 100 s" in race.caption
    assert "dense 3.00\N{MULTIPLICATION SIGN} that (1.50 %)" in race.caption
    other = trained(1.5, implementation="dense", settings={"version": "other"})
    assert curves.races(rows(trained(1), other)) == []


def test_a_gpu_s_race_is_by_the_clock():
    runs = [trained(1, implementation=name, settings={"device": "cuda"}) for name in "ab"]
    (race,) = curves.races(rows(*runs))
    assert race.x_label == "training time"
    assert race.series[0].points[-1] == (120.0, 1.0)


def test_error_against_sparsity_says_where_the_invariant_convolution_is_ahead():
    (study,) = sparsity.studies(
        rows(
            dropped("invariant", 50, 6),
            dropped("ordinary", 50, 5),
            dropped("invariant", 80, 12),
            dropped("ordinary", 80, 12.5),
            dropped("invariant", 90, 20),
            dropped("ordinary", 90, 30),
            trained(1),
        )
    )
    assert (
        "Sparsity invariant convolution has a lower error at 90 %, has a higher error at 50 % and "
        "is too close to call at 80 %"
    ) in study.chart.caption
    ours, published, *_ = study.chart.series
    assert (ours.label, ours.points) == ("sparsity invariant", ((50, 6), (80, 12), (90, 20)))
    assert published.is_published
    assert published.points == ((50, 0.58), (80, 0.58), (90, 0.58))
    assert study.has_curve
    assert study.tested == ("50 %", "90 %", "80 %")
    matrix = {(kind, at): cells for kind, at, cells in study.matrix}
    elsewhere, own, untested = matrix["sparsity invariant", "90 %"]
    assert (elsewhere.percent, elsewhere.is_own, elsewhere.is_best) == (21, False, True)
    assert (own.percent, own.is_own, own.is_best) == (20, True, True)
    assert untested is None
    assert not matrix["sparsity invariant", "50 %"][0].is_best
    assert matrix["ordinary", "50 %"][0].is_best


def test_more_seeds_tested_on_the_same_samples_make_no_difference_surer():
    alike = [dropped(kind, 80, error) for kind, error in (("invariant", 12), ("ordinary", 12.5))]
    more = [
        replace(run, id=f"{run.id}-{seed}", settings=replace(run.settings, seed=seed))
        for run in alike
        for seed in range(9)
    ]
    for runs in (alike, more):
        (study,) = sparsity.studies(rows(*runs))
        assert "is too close to call at 80 %" in study.chart.caption


def test_small_versions_are_studied_apart_and_compared_with_no_published_figure():
    small = sparsity.studies(
        rows(dropped("invariant", 50, 6, small=True), dropped("ordinary", 50, 5))
    )
    assert len(small) == 2
    assert not any(study.has_curve for study in small)
    assert [any(series.is_published for series in study.chart.series) for study in small] == [
        True,
        False,
    ]


def test_errors_by_scale_and_augmentation_make_graham_s_table():
    (study,) = scales.studies(
        rows(
            scaled(3, "none", 50),
            scaled(3, "affine", 30),
            scaled(4, "none", 40),
            scaled(4, "translations", 20),
            scaled(4, "affine", 25),
        )
    )
    assert study.motions == ("none", "translations", "affine")
    (small, first), (_, second) = study.lines
    assert small == 8
    assert [row and row.error_percent for row in first] == [50, None, 30]
    assert [row and row.error_percent for row in second] == [40, 20, 25]
    assert study.chart.caption.endswith(
        "The error falls with larger characters everywhere and with more augmentation in 2 of 3 steps."
    )
    assert scales.studies(rows(scaled(3, "none", 50), scaled(3, "affine", 9))) == []


def longer(run, epochs):
    settings = replace(run.settings, epochs=epochs)
    return replace(run, settings=settings, epochs=run.epochs * (epochs // 2))


def test_graham_s_table_holds_cells_that_were_trained_for_different_numbers_of_epochs():
    (study,) = scales.studies(
        rows(
            scaled(3, "none", 50),
            longer(scaled(3, "none", 45), 6),
            longer(scaled(3, "affine", 30), 4),
            longer(scaled(4, "affine", 25), 6),
        )
    )
    assert [[row and row.error_percent for row in line] for _, line in study.lines] == [
        [45, 30],
        [None, 25],
    ]
    assert "for each augmentation, after 4 to 6 epochs." in study.chart.caption


def test_error_against_sparsity_is_one_curve_and_compares_what_was_trained_as_long():
    (study,) = sparsity.studies(
        rows(
            dropped("invariant", 50, 6),
            dropped("ordinary", 50, 50),
            longer(dropped("invariant", 90, 20), 4),
            dropped("ordinary", 90, 30),
        )
    )
    assert study.chart.heading.endswith("2 to 4 epochs")
    assert study.chart.series[0].points == ((50, 6), (90, 20))
    assert "convolution has a lower error at 50 % (95 %" in study.chart.caption
    assert not study.matrix[1][2][0].is_best


def test_every_kind_of_samples_is_shown_once_and_what_is_no_picture_is_not():
    pictures = (picture(7), Picture(1, (28, 28), b"<svg onload=alert(1)>"))
    shown = inputs.shown(
        rows(
            dropped("invariant", 50, 6, pictures=pictures),
            dropped("ordinary", 50, 6, pictures=pictures),
            dropped("ordinary", 90, 6, pictures=pictures),
            trained(1),
        )
    )
    assert [each.heading for each in shown] == ["mnist-invariant-50", "mnist-ordinary-90"]
    ((description, address),) = shown[0].pictures
    assert description == "class 7"
    assert address.startswith("data:image/png;base64,iVBOR")


def test_active_sites_are_shares_of_the_grid_by_layer():
    few = (ActiveSites("input", 1, 1000), ActiveSites("end", 0, 0))
    (found,) = inputs.activity(
        rows(
            trained(1, active_sites=SITES),
            trained(1, implementation="dense", active_sites=SITES),
            trained(1, implementation="other", active_sites=few),
            trained(1, experiment="without"),
        )
    )
    first, second = found.series
    assert first.points == ((0, 1), (1, pytest.approx(200 / 3)), (2, 100))
    assert second.points == ((0, 0.1), (1, 0))
    assert "0.10 % to 1.0 % at first; half is first reached at layer 1" in found.caption


@pytest.mark.parametrize(
    "definition",
    [{}, {"source": []}, {"source": {"scale": -1, "motion": {}}}, {"source": {"sparsity": "x"}}],
)
def test_a_definition_of_another_shape_is_no_error(definition):
    found = rows(
        trained(1, definition=definition, also_tested={"50 %": 0.1}),
        trained(2, implementation="dense", definition=definition | {"network": {"layers": [1]}}),
    )
    assert scales.studies(found) == []
    assert sparsity.studies(found) == []
    assert inputs.shown(found) == []
