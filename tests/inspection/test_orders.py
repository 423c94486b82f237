"""Orders of units: each unit once, by the number they are named after, near ones side by side."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.inspection.recorded_layers import plain, recorded

from carousel.inspection.orders import ORDERS, leaf_order, unit_orders
from carousel.inspection.statistics import correlations, layer_statistics


def orders(layer) -> dict[str, np.ndarray]:
    return unit_orders(layer, layer_statistics(layer))


def clustered(distances: np.ndarray) -> list[set[frozenset[int]]]:
    """Clusters of average linkage after each join, the nearest pair of all first, in loops."""
    clusters = [frozenset([n]) for n in range(len(distances))]
    found = []
    while len(clusters) > 1:

        def apart(pair: tuple[frozenset[int], frozenset[int]]) -> float:
            one, other = pair
            return math.fsum(distances[a, b] for a in one for b in other) / len(one) / len(other)

        pairs = [(a, b) for n, a in enumerate(clusters) for b in clusters[n + 1 :]]
        nearest = min(pairs, key=apart)
        clusters = [c for c in clusters if c not in nearest] + [nearest[0] | nearest[1]]
        found.append(set(clusters))
    return found


@pytest.mark.parametrize("T", [0, 1, 2, 60])
def test_every_order_has_every_unit_once(T: int) -> None:
    found = orders(recorded(T, 9))
    assert tuple(found) == ORDERS
    for name, order in found.items():
        np.testing.assert_array_equal(np.sort(order), np.arange(9), err_msg=name)


def test_the_number_that_names_the_order_falls() -> None:
    layer = recorded(50, 9)
    statistics = layer_statistics(layer)
    found = unit_orders(layer, statistics)
    np.testing.assert_array_equal(found["number"], np.arange(9))
    assert (np.diff(statistics.half_life[found["half-life"]]) < 0).all()
    assert (np.diff(statistics.activity[found["activity"]]) < 0).all()


def test_the_longest_memory_is_first_and_equal_units_keep_their_order() -> None:
    f = np.tile([0.5, 1.0, 0.9, 0.5, 1.0], (20, 1))
    np.testing.assert_array_equal(orders(plain(f=f))["half-life"], [1, 4, 2, 0, 3])


def test_similar_units_stand_side_by_side() -> None:
    rng = np.random.default_rng(0)
    sources = rng.normal(size=(300, 4))
    kinds = rng.permutation(np.repeat(np.arange(4), 5))
    c = sources[:, kinds] + 0.1 * rng.normal(size=(300, 20))
    order = orders(plain(c=c))["similarity"]
    assert (np.diff(kinds[order]) != 0).sum() == 3
    # Within a kind all correlate by 1/(1 + 0.1²), between them by chance, some ±1/√300.
    assert correlations(c)[order[:-1], order[1:]][np.diff(kinds[order]) == 0].min() > 0.95


def test_opposite_units_are_not_similar() -> None:
    source = np.random.default_rng(0).normal(size=(100, 2))
    c = np.stack([source[:, 0], -source[:, 0], source[:, 1], source[:, 0]], 1)
    order = list(orders(plain(c=c))["similarity"])
    assert abs(order.index(0) - order.index(3)) == 1
    for same in (0, 3):
        assert abs(order.index(same) - order.index(1)) > 1


def test_constant_units_come_last() -> None:
    c = np.random.default_rng(0).normal(size=(30, 6))
    c[:, [1, 4]] = 0.25
    order = orders(plain(c=c))["similarity"]
    np.testing.assert_array_equal(order[4:], [1, 4])


@pytest.mark.parametrize("seed", range(20))
def test_the_leaves_are_of_average_linkage(seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(12, 3))
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    place = np.argsort(leaf_order(distances))
    for clusters in clustered(distances):
        for cluster in clusters:  # each a run of the order
            places = sorted(place[list(cluster)])
            assert places == list(range(places[0], places[0] + len(cluster)))


def test_two_clusters_touch_with_their_nearest_ends() -> None:
    # Points on a line, in two groups: only one order of them has no step back.
    places = np.array([10.0, 0.0, 11.5, 1.0, 13.5, 2.5])
    order = leaf_order(np.abs(places[:, None] - places))
    steps = np.diff(places[order])
    assert (steps > 0).all() or (steps < 0).all()


def test_equal_distances_come_to_an_end_in_the_same_order() -> None:
    for N in (0, 1, 2, 7):
        for distances in (np.zeros((N, N)), np.ones((N, N))):
            found = leaf_order(distances)
            np.testing.assert_array_equal(np.sort(found), np.arange(N))
            np.testing.assert_array_equal(found, leaf_order(distances.copy()))
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 3, (40, 40)).astype(float)  # nearly all distances are ties
    coarse += coarse.T
    np.testing.assert_array_equal(np.sort(leaf_order(coarse)), np.arange(40))


def test_the_distances_are_left_as_they_were() -> None:
    distances = np.ones((4, 4)) - np.eye(4)
    leaf_order(distances)
    np.testing.assert_array_equal(distances, np.ones((4, 4)) - np.eye(4))
