"""What `attention_weights` does for multi-head attention, written out, and what goes wrong in it."""

from attncourse.exercises.edits import by_hand, often, same, wrong

# fmt: off
WAYS = (
    by_hand("return attention_weights(q, k, mask)",
            "scores = q @ k.mT / math.sqrt(q.shape[-1])\n"
            "if mask is not None:\n"
            "    scores = scores.masked_fill(~mask, -math.inf)\n"
            "weights = scores.softmax(-1)\n"
            "if mask is not None:\n"
            "    weights = weights.masked_fill(~mask.any(-1, keepdim=True), 0)\n"
            "return weights"),
    same("weights.masked_fill(~mask.any(-1, keepdim=True), 0)", "weights.nan_to_num(0)"),
)

LEFT_AS_THEY_ARE = "weights.masked_fill(~mask.any(-1, keepdim=True), 0)", "weights"

SCORES = (
    *often(
        wrong("unscaled", " / math.sqrt(q.shape[-1])", "",
              "The scores are not divided by sqrt(d)."),
        wrong("divided_by_d", "math.sqrt(q.shape[-1])", "q.shape[-1]",
              "You divide the scores by d; it is sqrt(d), the root of the width of a head. (Or do"
              " you scale twice? `attention_weights` does it already.)"),
        wrong("divided_by_root_of_dim", "math.sqrt(q.shape[-1])", "math.sqrt(x.shape[-1])",
              "You divide by the root of the whole width, sqrt(dim). Each head is d = dim / heads"
              " wide: divide by sqrt(d)."),
        wrong("multiplied_by_root", "k.mT / math", "k.mT * math",
              "You multiply the scores by sqrt(d); they are divided by it."),
    ),
    wrong("cosine_similarity", "q @ k.mT", "F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT",
          "You divide queries and keys by their lengths (cosine similarity). The scores are the"
          " plain inner products, over sqrt(d)."),
    wrong("negative_squared_distance", "q @ k.mT", "-torch.cdist(q, k) ** 2",
          "Your scores are negative squared distances; attention has inner products."),
    wrong("keys_reshaped", "k.mT", "k.reshape(*k.shape[:2], k.shape[3], k.shape[2])",
          "You reshape k to b head d n instead of transposing it: the numbers of different keys get"
          " mixed."),
)

MASKS = (
    *often(
        wrong("mask_ignored",
              "if mask is not None:\n    scores = scores.masked_fill(~mask, -math.inf)\n", "",
              "The mask is not used: masked keys are attended to.", LEFT_AS_THEY_ARE),
        wrong("mask_inverted", "masked_fill(~mask,", "masked_fill(mask,",
              "The mask is inverted: it is True where a query may attend, and you hide just that."
              " (The masks of nn.MultiheadAttention have the other sense.)"),
        wrong("mask_fills_zero", "-math.inf", "0.0",
              "Masked scores become 0, and exp(0) = 1 still counts. Fill with -inf: exp(-inf) ="
              " 0.", LEFT_AS_THEY_ARE),
        wrong("mask_added", "scores.masked_fill(~mask, -math.inf)", "scores + mask",
              "You add the mask to the scores as 0 and 1: a nudge, not a wall. Fill with -inf where"
              " it is False.", LEFT_AS_THEY_ARE),
        wrong("mask_after_the_softmax",
              "if mask is not None:\n    scores = scores.masked_fill(~mask, -math.inf)\n", "",
              "You hide keys after the softmax: they have already taken weight, and what is left sums"
              " to less than 1. Mask the scores, before the softmax.",
              ("weights.masked_fill(~mask.any(-1, keepdim=True), 0)", "weights * mask")),
    ),
    wrong("mask_fills_tiny", "-math.inf", "1e-4",
          "Masked scores become a tiny number near 0 (1e-9?), and exp(0) = 1 still counts. Fill"
          " with -inf; -1e9 and 1e-9 are not the same.", LEFT_AS_THEY_ARE),
    wrong("mask_fills_plus_infinity", "-math.inf", "math.inf",
          "Masked scores become +inf: they take everything, and inf - inf is nan. Fill with -inf.",
          LEFT_AS_THEY_ARE),
    wrong("mask_of_first_example", "~mask,", "~mask[:1],",
          "You use the mask of the first example for all of them. Each example has its own."),
    wrong("mask_of_first_query", "~mask,", "~mask[..., :1, :],",
          "You use the mask of the first query for all of them. Each query has its own row."),
    wrong("mask_transposed", "~mask,", "~mask.mT,",
          "You use the mask transposed. Its rows are queries and its columns keys, as in the map."),
    wrong("mask_is_taken_as_causal", "~mask,", "~torch.ones_like(scores).tril().bool(),",
          "Whatever mask you are given, you hide the future. Use the mask that comes in."),
    wrong("mask_repeated_in_the_wrong_order", "scores = scores.masked_fill(~mask",
          "each = mask\n"
          "if mask.ndim == 4:\n"
          "    each = mask.repeat(self.heads, 1, 1, 1)\n"
          '    each = rearrange(each, "(b head) 1 i j -> b head i j", head=self.heads)\n'
          "scores = scores.masked_fill(~each",
          "Heads are folded into the batch in one order and the mask is repeated in the other: an"
          " example gets the mask of another. For (b head) repeat each mask in a row, for (head b)"
          " all of them."),
    wrong("mask_repeated_in_the_other_wrong_order", "scores = scores.masked_fill(~mask",
          "each = mask\n"
          "if mask.ndim == 4:\n"
          "    each = mask.repeat_interleave(self.heads, 0)\n"
          '    each = rearrange(each, "(head b) 1 i j -> b head i j", head=self.heads)\n'
          "scores = scores.masked_fill(~each",
          "Heads are folded into the batch as (head b) and the mask is repeated for (b head): an"
          " example gets the mask of another."),
)

SOFTMAXES = (
    *often(
        wrong("over_queries", ".softmax(-1)", ".softmax(-2)",
              "Your softmax runs over the queries i: your weights sum to 1 down the columns. It"
              " runs over the keys j, the last axis."),
        wrong("over_heads", ".softmax(-1)", ".softmax(1)",
              "Your softmax runs over the heads: they compete with each other. It runs over the"
              " keys j, the last axis."),
        wrong("over_batch", ".softmax(-1)", ".softmax(0)",
              "Your softmax runs over the first axis, b: examples compete with each other. It runs"
              " over the keys j, the last axis."),
        wrong("softmax_twice", ".softmax(-1)", ".softmax(-1).softmax(-1)",
              "The softmax is applied twice: the second one flattens the weights."),
    ),
    wrong("two_best_keys", "weights = scores.softmax(-1)",
          "second = scores.topk(2, -1).values[..., -1:]\n"
          "weights = scores.masked_fill(scores < second, -math.inf).softmax(-1)",
          "Each query attends to its two best keys alone (top-k). The softmax spreads the weight"
          " over all keys."),
)

EMPTY_ROWS = often(
    wrong("empty_rows_are_nan", *LEFT_AS_THEY_ARE,
          "A query that may attend to nothing gives nan: softmax over nothing but -inf is 0 / 0. Its"
          " weights are 0."),
    wrong("empty_rows_are_uniform", "-math.inf", "-1e9",
          "A query that may attend to nothing gets the mean of all values: with a finite filler such"
          " as -1e9 its softmax is uniform. Its weights are 0.", LEFT_AS_THEY_ARE),
)
# fmt: on

WRITTEN_OUT = (*WAYS, *SCORES, *MASKS, *SOFTMAXES, *EMPTY_ROWS)
