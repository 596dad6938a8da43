"""Pairing policies."""

import pytest

from bench.data.pairs import POLICIES, Members, make_policy
from bench.errors import ConfigError, DataError

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
    with pytest.raises(DataError, match="pairing 'atlas' needs a subject of split 'atlas'"):
        make_pairs("atlas", MEMBERS, None)


def test_unknown_policy_is_named_with_those_known():
    words = r"Unknown pairing 'random' in dataset.pairs. Known: atlas, cross, mirrored, n"
    with pytest.raises(ConfigError, match=words):
        make_pairs("random", MEMBERS, None)
