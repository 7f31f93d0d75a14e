from itertools import combinations

from aumclean import chance


def test_streams_of_one_seed_and_of_neighbours_differ():
    names = [(), ("weights",), ("order", 0), ("order", 1), ("indicators",), ("corruption",), ("training", 0)]
    drawn = [tuple(chance.generator(seed, *name).integers(0, 2**62, 3)) for seed in (0, 1) for name in names]
    assert all(one != other for one, other in combinations(drawn, 2))


def test_a_stream_is_the_same_whenever_it_is_asked_for():
    assert chance.number(7, "order", 3) == chance.number(7, "order", 3) < 2**63
