"""An answer keeps no state."""

from functools import cache

from told import ATTENTION, written

from attncourse import check
from solutions.scaled_dot_product import causal_mask, scaled_dot_product_attention


def test_an_answer_that_remembers_earlier_calls_is_caught():
    kept = []

    def remembering(q, k, v, mask=None):
        kept.append(mask)
        late = len(kept) > 12 and mask is not None  # right the first time round
        return scaled_dot_product_attention(q, k, v, None if late else mask)

    verdict = check(ATTENTION, remembering)
    assert verdict.slip == "remembers_earlier_calls"


def test_an_answer_that_keeps_its_results_by_shape_is_caught():
    kept = {}

    def cached(q, k, v, mask=None):
        if q.shape not in kept:
            kept[q.shape] = scaled_dot_product_attention(q, k, v, mask)
        return kept[q.shape]

    verdict = check(ATTENTION, cached)
    assert verdict.slip == "remembers_earlier_calls"


def test_a_module_that_goes_on_with_earlier_weights_is_caught():
    class Kept(written("stand_alone.spatial_values")):
        def shares(self):
            if not hasattr(self, "known"):
                self.known = super().shares()
            return self.known

    verdict = check("stand_alone.spatial_values", Kept)
    assert verdict.slip == "remembers_earlier_calls"
    assert "before its weights changed" in verdict.message


def test_a_tensor_that_is_handed_out_again_is_caught():
    @cache
    def kept(queries, keys):
        return causal_mask(queries, keys)

    verdict = check("scaled_dot_product.causal_mask", kept)
    assert verdict.slip == "remembers_earlier_calls"
