"""A module is built with the layers of the exercise."""

from told import written
from torch import nn

from attncourse import check


def test_layers_of_other_names_are_taken_in_their_order():
    class Renamed(nn.Module):
        def __init__(self, query_dim, key_dim, hidden):
            super().__init__()
            self.w_q = nn.Linear(query_dim, hidden, bias=False)
            self.w_k = nn.Linear(key_dim, hidden, bias=False)
            self.w = nn.Linear(hidden, 1, bias=False)

        def scores(self, q, k):
            return self.w((self.w_q(q)[:, :, None] + self.w_k(k)[:, None]).tanh())[..., 0]

        def attention(self, q, k):
            return self.scores(q, k).softmax(-1)

        def forward(self, q, k, v):
            return self.attention(q, k) @ v

    verdict = check("scaled_dot_product.additive_attention", Renamed)
    assert verdict.status == "passed"
    assert "other names than query, key, score" in verdict.message


def test_layers_of_the_right_names_in_another_order_are_taken_by_their_names():
    class Reordered(written("scaled_dot_product.additive_attention")):
        def __init__(self, query_dim, key_dim, hidden):
            super().__init__(query_dim, key_dim, hidden)
            query = self.query
            del self.query
            self.query = query

    assert check("scaled_dot_product.additive_attention", Reordered).status == "passed"
