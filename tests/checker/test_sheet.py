"""Slips that look alike are kept once."""

from attncourse.checker.sheet import slips
from attncourse.course import exercise
from attncourse.exercises.edited import slips_of


def test_a_pair_that_looks_like_one_of_its_parts_is_left_out():
    ex = exercise("scaled_dot_product.scaled_dot_product_attention")
    kept = {one.name for one in slips(ex)}
    assert "plain_mean" in kept
    assert "unscaled + plain_mean" in {one.name for one in slips_of(ex)}
    assert "unscaled + plain_mean" not in kept
    assert "unscaled + over_queries" in kept
