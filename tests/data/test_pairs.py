"""Pairing policies."""

import dataclasses

import pytest
from conf_options import TINY, experiment

from bench.config.overrides import quoted
from bench.data import prepare
from bench.data.setup import Setup, make_source
from bench.data.sources.pairs import POLICIES, Members, make_policy
from bench.errors import ConfigError, DataError
from bench.tasks.registration.registration import parts_with_data

MEMBERS = [3, 4, 7, 9, 10]


def make_pairs(policy, indices, atlas=None, **members):
    return make_policy(policy)(Members(indices, atlas, **members))


def test_cross_pairs_every_subject_with_every_other():
    pairs = make_pairs("cross", MEMBERS, None)
    assert len(pairs) == len(set(pairs)) == 5 * 4
    assert {moving for moving, _ in pairs} == {fixed for _, fixed in pairs} == set(MEMBERS)


def test_mirrored_pairs_i_with_n_minus_1_minus_i():
    assert make_pairs("mirrored", MEMBERS[:4], None) == [(3, 9), (4, 7), (7, 4), (9, 3)]


def test_mirrored_leaves_the_middle_of_an_odd_number_out():
    assert make_pairs("mirrored", MEMBERS, None) == [(3, 10), (4, 9), (9, 4), (10, 3)]


def test_atlas_is_always_fixed_and_never_moving():
    assert make_pairs("atlas", MEMBERS, 0) == [(member, 0) for member in MEMBERS]


@pytest.mark.parametrize("policy", sorted(set(POLICIES) - {"given"}))
@pytest.mark.parametrize("count", range(6))
def test_no_policy_pairs_a_subject_with_itself(policy, count):
    pairs = make_pairs(policy, list(range(1, count + 1)), 0)
    assert all(moving != fixed for moving, fixed in pairs)


def test_pairing_to_an_atlas_needs_one():
    with pytest.raises(DataError, match="pairing 'atlas' needs a subject with split 'atlas'"):
        make_pairs("atlas", MEMBERS, None)


def test_unknown_policy_is_named_with_those_known():
    words = r"dataset.pairs: unknown policy random. Known: atlas, cross, mirrored, n"
    with pytest.raises(ConfigError, match=words):
        make_pairs("random", MEMBERS, None)


@pytest.mark.parametrize("within", [1, 2, 9])
def test_neighbours_are_all_at_most_k_places_away(within):
    pairs = make_pairs({"policy": "neighbours", "within": within}, MEMBERS)
    expected = {
        (a, b)
        for i, a in enumerate(MEMBERS)
        for j, b in enumerate(MEMBERS)
        if 0 < abs(i - j) <= within
    }
    assert set(pairs) == expected
    assert len(pairs) == len(expected)


def test_neighbours_are_one_place_away_by_default():
    assert make_pairs("neighbours", [5, 6, 8]) == [(5, 6), (6, 5), (6, 8), (8, 6)]


def test_next_registers_each_to_the_one_after_it():
    assert make_pairs("next", MEMBERS) == [(3, 4), (4, 7), (7, 9), (9, 10)]


@pytest.mark.parametrize("policy", ["next", {"policy": "neighbours", "within": 5}])
def test_series_never_mix(policy):
    places = [("a", 0), ("b", 1), ("a", 1), ("b", 2), (None, 3)]
    pairs = make_pairs(policy, MEMBERS, places=places)
    series = dict(zip(MEMBERS, (name for name, _ in places), strict=True))
    assert {tuple(sorted(pair)) for pair in pairs} == {(3, 7), (4, 9)}
    assert all(series[moving] == series[fixed] for moving, fixed in pairs)


def test_slices_with_a_gap_between_them_are_no_neighbours():
    places = [("a", place) for place in (0, 1, 3, 4, 7)]
    assert make_pairs("next", MEMBERS, places=places) == [(3, 4), (7, 9)]
    pairs = make_pairs({"policy": "neighbours", "within": 2}, MEMBERS, places=places)
    assert {tuple(sorted(pair)) for pair in pairs} == {(3, 4), (4, 7), (7, 9)}


def test_order_of_slices_is_that_of_their_numbers():
    places = [("a", place) for place in (4, 2, 0, 1, 3)]
    assert set(make_pairs("next", MEMBERS, places=places)) == {(7, 9), (9, 4), (4, 10), (10, 3)}


def test_given_pairs_are_taken_as_they_are():
    given = [(9, 3), (3, 9), (4, 10)]
    assert make_pairs("given", MEMBERS, given=given) == given


def test_given_pairs_need_a_table_of_pairs():
    words = "pairing 'given' needs a table with the columns moving and fixed; the data set has none"
    with pytest.raises(DataError, match=words):
        make_pairs("given", MEMBERS)


@pytest.mark.parametrize("policy", [*POLICIES, {"policy": "neighbours", "within": 2}])
def test_pairs_are_the_same_each_time(policy):
    members = {"atlas": 0, "given": [(3, 4)], "places": [("a", i) for i in range(5)]}
    assert make_pairs(policy, MEMBERS, **members) == make_pairs(policy, MEMBERS, **members)


@pytest.mark.parametrize("policy", [*POLICIES, {"policy": "neighbours", "within": 2}])
def test_most_leaves_so_many_pairs_of_any_policy_evenly_spaced(policy):
    options = policy if isinstance(policy, dict) else {"policy": policy}
    members = {"atlas": 0, "given": [(3, 4), (4, 3), (7, 9), (9, 7)]}
    everything = make_pairs(policy, MEMBERS, **members)
    assert make_pairs({**options, "most": 2}, MEMBERS, **members) == [
        everything[0],
        everything[len(everything) // 2],
    ]
    assert make_pairs({**options, "most": 1000}, MEMBERS, **members) == everything


@pytest.mark.parametrize("most", [0, -1, 1.5, True, "2", None])
def test_most_that_is_no_number_of_pairs_is_refused(most):
    words = rf"dataset.pairs: most={quoted(most)}: must be a whole number of at least 1\."
    with pytest.raises(ConfigError, match=words):
        make_policy({"policy": "cross", "most": most})


@pytest.mark.parametrize("within", [0, -1, 1.5, True, "2"])
def test_neighbours_within_no_whole_number_of_places_are_refused(within):
    words = rf"dataset.pairs: within={quoted(within)}: must be a whole number of at least 1\."
    with pytest.raises(ConfigError, match=words):
        make_policy({"policy": "neighbours", "within": within})


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"policy": "next", "within": 2}, "next does not take within. Every policy takes most;"),
        ({"policy": "neighbours", "k": 2}, "neighbours does not take k. Every policy takes most;"),
        ({"policy": "neighbours", "within": 2, "k": 2}, "neighbours does not take k. Every"),
        ({"within": 2}, "dataset.pairs: {within:2} names no policy. Known: atlas, cross"),
        ({"policy": None}, "dataset.pairs: unknown policy null. Known: atlas, cross"),
        ({"policy": ["cross"]}, r"dataset.pairs: unknown policy \[cross\]. Known: atlas, cross"),
    ],
)
def test_unknown_option_of_a_policy_is_named(section, words):
    with pytest.raises(ConfigError, match=words):
        make_policy(section)


@pytest.mark.parametrize(
    ("pairing", "count", "left_out"),
    [("mirrored", 5, 1), ({"policy": "mirrored"}, 5, 1), ("mirrored", 4, 0), ("cross", 5, 0)],
)
def test_run_names_the_subject_that_mirrored_pairs_with_nobody(
    pairing, count, left_out, tmp_path, capsys
):
    subjects = f"dataset.subjects_per_split={{train:2,val:2,test:{count}}}"
    chosen = experiment([*TINY[2], "model=identity", "trainer.accelerator=cpu", subjects])
    source = dataclasses.replace(
        make_source(chosen), pairs={"train": "cross", "val": "mirrored", "test": pairing}
    )
    dataset = prepare(source, tmp_path)
    parts_with_data(Setup(chosen, dataset, source.settings()))
    middle = dataset.ids[dataset.members("test")[2]]
    said = (
        f"identity on demo: {middle} is in no test pair; pairing 'mirrored' leaves out the middle"
    )
    assert capsys.readouterr().out.count(said) == left_out
    assert len(dataset.unpaired("test")) == left_out
    assert dataset.unpaired("val") == []
