import gc
from dataclasses import replace
from types import SimpleNamespace

import pytest
from racing import MILLISECOND, AfterRounds, Race

from bench.measure import rounds
from bench.measure.contestant import MOST_SAMPLES, VISIT_NS
from bench.measure.rounds import FEWEST_ROUNDS
from bench.measure.stopping import StoppingRule
from bench.measure.timers import Duration

pytestmark = pytest.mark.usefixtures("unfrozen")


@pytest.fixture
def race(monkeypatch):
    return lambda *durations_ns: Race(monkeypatch, *durations_ns)


def test_every_contestant_is_visited_once_a_round(race):
    field = race(*[MILLISECOND] * 4)
    assert field.run(AfterRounds(20)) == "precise"
    orders = field.orders(4)
    assert len(orders) == 20
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert [len(contestant.rounds) for contestant in field.contestants] == [20] * 4


def test_orders_vary_between_rounds(race):
    field = race(*[MILLISECOND] * 3)
    field.run(AfterRounds(60))
    orders = field.orders(3)
    assert len(set(orders)) == 6
    firsts = [order[0] for order in orders]
    assert all(firsts.count(number) > 8 for number in range(3))


def test_orders_are_reproducible_by_seed_and_differ_between_seeds(race):
    def orders(seed):
        field = race(*[MILLISECOND] * 3)
        field.run(AfterRounds(20), seed=seed)
        return field.orders(3)

    assert orders(1) == orders(1)
    assert orders(1) != orders(2)


def test_the_rule_is_told_the_nanoseconds_of_a_call_of_everyone_in_one_order(race):
    field = race(2 * MILLISECOND, 100_000, 7 * MILLISECOND)
    rule = AfterRounds(5)
    field.run(rule)
    assert len(rule.told) == 5
    for told in rule.told:
        assert told == pytest.approx([2 * MILLISECOND, 100_000, 7 * MILLISECOND], rel=1e-6)


@pytest.mark.parametrize("at_call", [1, 7, 30])
def test_a_contestant_that_fails_is_dropped_and_the_rest_go_on(race, at_call):
    field = race(*[2 * MILLISECOND] * 3)
    field.failures[1] = at_call
    assert field.run(AfterRounds(20)) == "precise"
    assert field.dropped == [("c1", "boom 1")]
    assert [contestant.name for contestant in field.contestants] == ["c0", "c2"]
    assert [len(contestant.rounds) for contestant in field.contestants] == [20, 20]
    assert field.calls[1] == at_call


def test_the_stopping_rule_bears_a_contestant_that_drops_out_on_the_way(race):
    field = race(*[2 * MILLISECOND] * 3)
    field.failures[1] = 7
    assert field.run(StoppingRule(0.005)) == "precise"
    assert [contestant.name for contestant in field.contestants] == ["c0", "c2"]


def test_when_all_have_failed_measuring_ends(race):
    field = race(MILLISECOND, MILLISECOND)
    field.failures = {0: 1, 1: 4}
    assert field.run(AfterRounds(100)) == "budget"
    assert {name for name, _ in field.dropped} == {"c0", "c1"}
    assert field.contestants == []


def test_nobody_to_measure_ends_at_once(race):
    assert race().run(AfterRounds(1)) == "budget"


def test_the_budget_ends_measuring(race):
    field = race(10 * MILLISECOND, 10 * MILLISECOND)
    assert field.run(AfterRounds(10**6), seconds=1.0) == "budget"
    assert len(field.contestants[0].rounds) == pytest.approx(50, abs=2)
    assert field.spent.seconds["timed"] == pytest.approx(1.0, abs=0.05)


def test_the_fewest_rounds_are_measured_past_the_budget(race):
    field = race(400 * MILLISECOND, 300 * MILLISECOND)
    assert field.run(AfterRounds(10**6), seconds=0.9) == "budget"
    assert len(field.contestants[0].rounds) == FEWEST_ROUNDS


def test_one_round_is_measured_however_long_it_takes_but_no_second(race):
    field = race(1000 * MILLISECOND, 3000 * MILLISECOND)
    assert field.run(AfterRounds(10**6), seconds=0.9) == "budget"
    assert [len(contestant.rounds) for contestant in field.contestants] == [1, 1]


@pytest.mark.parametrize(
    ("first_ns", "calls", "samples"),
    [
        (1, 64, 16),
        (10_000, 16, 24),
        (100_000, 2, 24),
        (400_000, 1, 20),
        (MILLISECOND, 1, 8),
        (2 * MILLISECOND, 1, 4),
        (5 * MILLISECOND, 1, 1),
        (10**12, 1, 1),
    ],
)
def test_short_calls_are_repeated_within_a_sample_and_samples_within_a_visit(
    race, first_ns, calls, samples
):
    field = race(first_ns)
    (contestant,) = field.contestants
    assert (contestant.calls, contestant.samples) == (calls, samples)
    field.run(AfterRounds(2))
    assert [len(durations) for durations in contestant.rounds] == [samples] * 2
    result = contestant.result(5, "precise", field.clock)
    assert (result.process, result.calls, result.stop) == (5, calls, "precise")
    assert result.rounds[0][0] == pytest.approx(calls * first_ns, rel=1e-3)
    firsts = 0 if first_ns > VISIT_NS else 2
    assert field.calls[0] == 2 * samples * calls + firsts
    assert result.first_calls == pytest.approx((first_ns, first_ns), rel=1e-3)
    assert field.prepared[0] == field.calls[0]


def test_no_more_calls_are_made_than_the_step_can_prepare_arguments_for(race):
    field = race(10_000)
    (contestant,) = field.contestants
    contestant.step = replace(contestant.step, most_calls=(8, 32))
    field.run(AfterRounds(1))
    assert (contestant.calls, contestant.samples) == (8, 4)
    assert field.prepared[0] == 1 + 4 * 8


def test_calls_that_last_about_as_long_get_equal_numbers(race):
    field = race(74_000, 68_000, 72_000, 130_000)
    field.run(AfterRounds(1))
    assert [each.calls for each in field.contestants] == [4, 4, 4, 2]
    assert [each.samples for each in field.contestants] == [24] * 4


def test_a_stall_of_the_machine_does_not_use_up_the_budget(race):
    field = race(MILLISECOND, MILLISECOND)
    inner = field.contestants[0].step.call
    stalls = iter([False] * 100 + [True] + [False] * 10**6)

    def call(argument):
        if next(stalls):
            field.clock.seconds += 0.5
        return inner(argument)

    field.contestants[0].step = replace(field.contestants[0].step, call=call)
    assert field.run(AfterRounds(10**9), seconds=0.8) == "budget"
    # Nine calls of each a round: 44 rounds without the stall, 17 if it counted.
    assert len(field.contestants[0].rounds) >= 42


def test_visits_of_up_to_four_times_the_shortest_use_up_the_budget(race):
    field = race(MILLISECOND)
    step = field.contestants[0].step
    shares = iter([1] * 8 + [3.5] * 10**6)  # the first of visits of eight samples is the shortest

    def call(argument):
        field.clock.seconds += (next(shares) - 1) * MILLISECOND * 1e-9
        return step.call(argument)

    field.contestants[0].step = replace(step, call=call)
    assert field.run(AfterRounds(10**9), seconds=1.0, rehearses=False) == "budget"
    assert field.clock.seconds < 1.1


def test_a_machine_that_stalls_all_the_time_ends_a_phase_nevertheless(race):
    field = race(MILLISECOND)
    inner = field.contestants[0].step.call
    field.calls_of_stall = 0

    def call(argument):
        field.calls_of_stall += 1
        field.clock.seconds += 0.5 if field.calls_of_stall > 16 else 0
        return inner(argument)

    field.contestants[0].step = replace(field.contestants[0].step, call=call)
    assert field.run(AfterRounds(10**9), seconds=1.0) == "budget"
    assert field.clock.seconds < 14  # nine times the budget, and the round in progress


def test_arguments_are_prepared_and_the_last_result_let_go_outside_of_the_timed_region(race):
    field = race(20_000)
    (contestant,) = field.contestants
    seen = []

    def time(call, arguments):
        seen.append((len(arguments), field.prepared[0], contestant.last))
        return Duration(MILLISECOND), "result"

    field.clock.time = time
    field.run(AfterRounds(1))
    # The first call came first; each sample's arguments were all made before it started.
    assert seen == [(1, 1, None)] + [(8, 9 + 8 * sample, None) for sample in range(24)]
    assert contestant.last == "result"


def test_rounds_in_which_the_processor_was_taken_away_are_flagged_and_kept(race, monkeypatch):
    field = race(MILLISECOND)
    switches = iter([0, 0, 5, 6, 6, 6, 6, 7])

    def getrusage(who):
        return SimpleNamespace(ru_nivcsw=next(switches))

    fake = SimpleNamespace(getrusage=getrusage, RUSAGE_SELF=0)
    monkeypatch.setattr(rounds, "resource", fake)
    field.run(AfterRounds(4))
    result = field.contestants[0].result(0, "precise", field.clock)
    assert result.disturbed == (1, 3)
    assert len(result.rounds) == 4


def test_who_was_disturbed_in_a_rehearsal_was_not_in_the_first_round(race, monkeypatch):
    field = race(MILLISECOND)
    switches = iter([0, 5, 5, 5, 5, 6])
    fake = SimpleNamespace(
        getrusage=lambda who: SimpleNamespace(ru_nivcsw=next(switches)), RUSAGE_SELF=0
    )
    monkeypatch.setattr(rounds, "resource", fake)
    field.run(AfterRounds(2), rehearses=True)
    assert field.contestants[0].result(0, "precise", field.clock).disturbed == (1,)


def test_who_calls_last_as_long_as_anothers_prepares_no_more_arguments_than_it_can(race):
    field = race(10_000, 11_000)
    able, unable = field.contestants
    unable.step = replace(unable.step, most_calls=(8, 32))
    field.run(AfterRounds(1))
    assert (able.calls, able.samples) == (16, 24)
    assert (unable.calls, unable.samples) == (8, 4)


def test_a_timer_that_takes_one_call_a_sample_gets_one_of_fast_and_slow_alike(race):
    field = race(1_000, 5 * MILLISECOND)
    field.clock.most_calls = 1
    field.run(AfterRounds(3))
    assert [each.calls for each in field.contestants] == [1, 1]
    assert [len(each.rounds[0]) for each in field.contestants] == [MOST_SAMPLES, 1]
    again = race(10 * MILLISECOND)
    again.clock.most_calls = 1
    again.contestants[0].step = again.step(0, 1_000)  # much shorter than it seemed
    again.run(AfterRounds(3))
    assert again.contestants[0].calls == 1
    assert len(again.contestants[0].rounds[0]) == MOST_SAMPLES


def test_the_garbage_collector_rests_while_measuring_and_works_again_afterwards(race):
    field = race(MILLISECOND)
    states = []
    contestant = field.contestants[0]
    inner = contestant.step.call
    contestant.step = replace(
        contestant.step, call=lambda argument: states.append(gc.isenabled()) or inner(argument)
    )
    field.run(AfterRounds(2))
    assert set(states) == {False}
    assert gc.isenabled()


def test_the_garbage_collector_works_again_after_an_interruption(race):
    def interrupt(number):
        raise KeyboardInterrupt

    field = race(MILLISECOND)
    field.visits = SimpleNamespace(append=interrupt)
    with pytest.raises(KeyboardInterrupt):
        field.run(AfterRounds(2))
    assert gc.isenabled()


def test_what_calls_share_is_renewed_evenly_over_the_budget(race):
    field = race(MILLISECOND, 3 * MILLISECOND)
    renewed = {0: [], 1: []}
    for contestant in field.contestants:
        times = renewed[contestant.number]
        step = replace(contestant.step, renew=lambda times=times: times.append(field.clock.seconds))
        contestant.step = step
    field.run(AfterRounds(10**9), seconds=1.0)
    for times in renewed.values():
        count = int(rounds.RENEWAL_SHARE * 1000 / (2 * 4))
        assert count > 1
        assert times == pytest.approx([(n + 1) / (count + 1) for n in range(count)], abs=0.03)


def test_nothing_is_renewed_where_that_would_take_long(race):
    field = race(30 * MILLISECOND)
    contestant = field.contestants[0]
    contestant.step = replace(contestant.step, renew=lambda: pytest.fail("renewed"))
    assert field.run(AfterRounds(10**9), seconds=1.0) == "budget"


def test_who_fails_when_renewed_is_dropped(race):
    def ill():
        raise RuntimeError("no memory")

    field = race(MILLISECOND, MILLISECOND)
    field.contestants[0].step = replace(field.contestants[0].step, renew=ill)
    field.run(AfterRounds(10**9), seconds=1.0)
    assert field.dropped == [("c0", "no memory")]
    assert [each.name for each in field.contestants] == ["c1"]


def test_a_call_that_seemed_too_long_gets_its_number_of_calls_after_all(race):
    field = race(MILLISECOND // 10, MILLISECOND)
    field.contestants[0].first_ns = 30 * MILLISECOND
    field.run(AfterRounds(5))
    short, other = field.contestants
    assert (short.calls, other.calls) == (2, 1)
    assert [len(durations) for durations in short.rounds] == [24] * 5
    assert len(other.rounds) == 5


def test_a_rehearsal_tells_the_time_of_one_call_of_several(race):
    field = race(10_000)
    (contestant,) = field.contestants
    contestant.first_ns = 25_000  # eight calls a sample
    field.run(AfterRounds(5))
    assert (contestant.first_ns, contestant.calls) == (10_000, 16)
    assert [len(durations) for durations in contestant.rounds] == [24] * 5
    kept, rehearsed = 5 * (24 * 16 + 1) * 10e-6, (24 * 8 + 1) * 10e-6
    assert field.spent.seconds["timed"] == pytest.approx(kept, rel=1e-3)
    assert field.spent.seconds["warm-up"] == pytest.approx(rehearsed, rel=1e-3)


def test_a_rehearsal_that_uses_up_the_budget_is_followed_by_one_round(race):
    field = race(1000 * MILLISECOND)
    field.contestants[0].first_ns = 30_000 * MILLISECOND
    assert field.run(AfterRounds(10**6), seconds=0.1) == "budget"
    assert len(field.contestants[0].rounds) == 1


def test_a_duration_that_was_about_right_is_kept(race):
    field = race(MILLISECOND)
    field.contestants[0].first_ns = 3 * MILLISECOND // 2
    field.run(AfterRounds(5))
    assert field.contestants[0].first_ns == 3 * MILLISECOND // 2
    assert field.spent.seconds["warm-up"] == 0


@pytest.mark.parametrize(("rehearses", "visits"), [(True, 6), (False, 5)])
def test_whether_the_first_round_is_a_rehearsal_can_be_settled_beforehand(race, rehearses, visits):
    field = race(MILLISECOND)
    field.contestants[0].first_ns = (1 if rehearses else 30) * MILLISECOND
    field.run(AfterRounds(5), rehearses=rehearses)
    assert len(field.contestants[0].rounds) == 5
    assert len(field.visits) == visits
    assert field.contestants[0].first_ns == (1 if rehearses else 30) * MILLISECOND


def test_before_each_visit_the_last_result_is_let_go_and_blocks_are_set_aside(race, monkeypatch):
    field = race(MILLISECOND, MILLISECOND)
    inner, taken, at_work = rounds._blocks, [], []

    def blocks(order, device):
        at_work.append(field.contestants[field.visits[-1]].last)
        taken.append([block.nbytes for block in inner(order, device)])
        return inner(order, device)

    monkeypatch.setattr(rounds, "_blocks", blocks)
    field.run(AfterRounds(5))
    assert at_work == [None] * 10
    low, high = (2**power for power in rounds.BLOCK_BYTES)
    assert all(low <= size <= high for sizes in taken for size in sizes)
    assert len({tuple(sizes) for sizes in taken}) == 10


def test_a_rehearsal_is_no_measure_of_what_a_stall_is(race):
    field = race(MILLISECOND // 10)
    field.contestants[0].first_ns = 30 * MILLISECOND
    assert field.run(AfterRounds(10**9), seconds=1.0) == "budget"
    assert field.clock.seconds < 1.1


def test_who_changed_what_belongs_to_all_is_dropped(race):
    def check(name):
        if name == "c1":
            raise RuntimeError("tampered")

    field = race(MILLISECOND, MILLISECOND)
    assert field.run(AfterRounds(3), check=check) == "precise"
    assert field.dropped == [("c1", "tampered")]
    assert [each.name for each in field.contestants] == ["c0"]


def test_others_take_their_turn_after_every_visit(race):
    field = race(MILLISECOND, MILLISECOND)
    turns = []
    field.run(AfterRounds(3), take_turns=lambda: turns.append(len(field.visits)))
    assert turns == [1, 2, 3, 4, 5, 6]


def test_the_rule_is_told_the_median_of_a_visits_samples(race):
    field = race(3 * MILLISECOND, 3 * MILLISECOND)
    durations = iter([1_000, 9_000, 4_000, 6_000] * 2)
    for contestant in field.contestants:
        contestant.samples = 2
    field.clock.times_first_calls = False
    field.clock.time = lambda call, arguments: (Duration(next(durations)), None)
    rule = AfterRounds(2)
    field.run(rule, rehearses=False)
    assert rule.told == [[5_000, 5_000]] * 2
