"""A decoder layer: tokens that attend to earlier ones, then to the memory, then think."""

import torch

from attncourse.exercises.edits import wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.scaled_dot_product import padding_mask
from solutions.transformer import DecoderLayer


def decoder_trials():
    def trial(name, norm, mask=None, **sizes):
        dim = sizes["head"] * sizes["d"]
        init = dict(dim=dim, heads=sizes["head"], hidden=sizes["m"], norm=norm, dropout=0.0)
        inputs = dict(x="b i (head d)", memory="b j (head d)")
        if mask is not None:
            inputs["memory_mask"] = mask
        return Trial(name, sizes, inputs, init)

    post, pre = dict(b=2, i=5, j=7, head=3, d=4, m=11), dict(b=3, i=4, j=6, head=2, d=5, m=11)
    square = dict(b=2, i=5, j=5, head=3, d=4, m=7)
    there = Given("b 1 j", padding_mask(torch.tensor([4, 6, 3]), 6))
    return (
        trial("with post-norm", "post", **post),
        trial("with pre-norm", "pre", **pre),
        trial("with a padding mask, b 1 j", "post", there, **pre),
        trial("with pre-norm and as many tokens on both sides", "pre", **square),
    )


READ = "self.around_self(x, lambda x: self.self_attention(x, mask=causal))"
LOOK = "self.around_cross(x, lambda x: self.cross_attention(x, memory, memory_mask))"
THINK = "self.around_feed_forward(x, self.feed_forward)"

# fmt: off
HIDING = (
    wrong("nothing_hidden", "x, mask=causal", "x",
          "Later tokens are not hidden: each sees the word that it should predict. The loss will"
          " fall to nearly 0, and what it writes will be nonsense. Give `self_attention` a causal"
          " mask."),
    wrong("past_hidden", ".to(x.device)", ".to(x.device).mT",
          "The causal mask is turned round: each token sees itself and what comes later. It must"
          " see itself and what came before."),
    wrong("all_but_later_hidden", "mask=causal", "mask=~causal",
          "The causal mask is inverted: True means may attend, and you let each token see later"
          " ones only."),
    wrong("itself_hidden", ".to(x.device)", ".to(x.device).tril(-1)",
          "Your causal mask hides the token itself as well. Query i may see keys j <= i, its own"
          " among them."),
    wrong("one_later_seen", "causal_mask(x.shape[1], x.shape[1]).to(x.device)",
          "torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril(1)",
          "Your causal mask lets each token see one later token: the one that it should predict."
          " Query i may see keys j <= i."),
)

WORDS = (
    wrong("words_by_cross_attention", "self.self_attention(", "self.cross_attention(",
          "Among themselves the tokens attend by `cross_attention`. It is `self_attention`."),
    wrong("words_around_cross", "self.around_self(", "self.around_cross(",
          "`self_attention` goes through `around_cross`. Its own way is `around_self`."),
    wrong("words_before_the_norm", "lambda x: self.self_attention(x, mask=causal)",
          "lambda given: self.self_attention(given, x, causal)",
          "With pre-norm keys and values of `self_attention` are made of x before the norm: inside"
          " the function you use the x from outside."),
    wrong("words_ask_before_the_norm", "lambda x: self.self_attention",
          "lambda given: self.self_attention",
          "With pre-norm queries, keys and values of `self_attention` are made of x before the"
          " norm: inside the function you use the x from outside. Use what the function is given."),
)

MEMORY = (
    wrong("memory_mask_forgotten", "x, memory, memory_mask", "x, memory",
          "`memory_mask` is not used: tokens attend to padding in the memory."),
    wrong("memory_mask_inverted", "x, memory, memory_mask",
          "x, memory, None if memory_mask is None else ~memory_mask",
          "`memory_mask` is inverted. It is True where a token may attend. (Torch's layers want"
          " the opposite.)"),
    wrong("memory_asks", "x, memory, memory_mask", "memory, mask=memory_mask",
          "`cross_attention` gets the memory as its only input: it attends to itself. The tokens"
          " ask, the memory answers: `cross_attention(x, memory, …)`."),
    wrong("tokens_answer", "x, memory, memory_mask", "x",
          "`cross_attention` gets no memory: the tokens read each other a second time."),
    wrong("memory_by_self_attention", "self.cross_attention(", "self.self_attention(",
          "The memory is read by `self_attention`. That is the work of `cross_attention`, which"
          " has weights of its own."),
    wrong("memory_around_self", "self.around_cross(", "self.around_self(",
          "`cross_attention` goes through `around_self`. Its own way is `around_cross`."),
    wrong("memory_hidden_like_words", "x = self.around_cross",
          "part = causal_mask(x.shape[1], memory.shape[1])\n"
          "memory_mask = part if memory_mask is None else memory_mask & part\n"
          "x = self.around_cross",
          "You hide later parts of the memory from earlier tokens. The source is known in whole"
          " before the first word is written."),
    wrong("memory_normed_too", "x, memory, memory_mask",
          "x, self.around_cross.norm(memory), memory_mask",
          "You norm the memory with the norm of `around_cross`. The encoder has done with it; only"
          " the tokens are normed here."),
    wrong("asks_as_it_came", "lambda x: self.cross_attention(x,",
          "lambda given: self.cross_attention(first,",
          "`cross_attention` is asked by the layer's input: inside the function you use an x from"
          " outside. Use what the function is given.",
          ("causal = ", "first = x\ncausal = ")),
    wrong("asks_before_the_norm", "lambda x: self.cross_attention",
          "lambda given: self.cross_attention",
          "With pre-norm `cross_attention` is asked by x before the norm: inside the function you"
          " use the x from outside. Use what the function is given."),
    wrong("memory_and_words_read", f"x = {LOOK}",
          "if memory_mask is not None:\n"
          "    there = torch.ones(len(x), 1, x.shape[1], dtype=torch.bool, device=x.device)\n"
          "    memory_mask = torch.cat([memory_mask.expand(len(x), 1, -1), there], dim=-1)\n"
          "x = self.around_cross(\n"
          "    x, lambda x: self.cross_attention(x, torch.cat([memory, x], 1), memory_mask)\n"
          ")",
          "`cross_attention` reads the tokens as well, beside the memory. It reads the memory"
          " alone."),
)

THOUGHTS = (
    wrong("thinks_around_cross", "self.around_feed_forward", "self.around_cross",
          "The feed-forward network goes through `around_cross`. Its own way is"
          " `around_feed_forward`."),
    wrong("thinks_of_the_input", ", self.feed_forward)",
          ", lambda given: self.feed_forward(first))",
          "The network is given the layer's input: inside the function you use an x from outside."
          " Use what the function is given.",
          ("causal = ", "first = x\ncausal = ")),
    wrong("memory_first", READ, LOOK,
          "The memory is read first. The tokens attend to each other first, then to the memory.",
          (LOOK, READ)),
    wrong("thinks_in_the_middle", LOOK, THINK,
          "The feed-forward network comes before the memory is read. It comes last.",
          (THINK, LOOK)),
    wrong("thinks_after_each", "x = self.around_cross", f"x = {THINK}\nx = self.around_cross",
          "The feed-forward network comes after each attention. There is one, at the end."),
)
# fmt: on


class DecodesByHand(DecoderLayer):
    def forward(self, x, memory, memory_mask=None):
        i = torch.arange(x.shape[1], device=x.device)
        may = i[:, None] >= i[None, :]
        steps = (
            (self.around_self, lambda y: self.self_attention(y, y, may)),
            (self.around_cross, lambda y: self.cross_attention(y, memory, memory_mask)),
            (self.around_feed_forward, self.feed_forward),
        )
        for around, step in steps:
            drop = around.dropout
            pre = around.pre
            x = x + drop(step(around.norm(x))) if pre else around.norm(x + drop(step(x)))
        return x


class TokenByToken(DecoderLayer):
    """Each token attends to a list that ends with itself: no mask at all."""

    def forward(self, x, memory, memory_mask=None):
        def read(given):
            tokens = range(given.shape[1])
            ones = [self.self_attention(given[:, i : i + 1], given[:, : i + 1]) for i in tokens]
            return torch.cat(ones, dim=1)

        def look(given):
            return self.cross_attention(given, memory, memory_mask)

        x = self.around_self(x, read)
        x = self.around_cross(x, look)
        return self.around_feed_forward(x, self.feed_forward)


EXERCISE = Exercise(
    id="transformer.decoder_layer",
    solution=DecoderLayer,
    probes={"forward": "b i (head d)"},
    trials=decoder_trials,
    blank=("forward",),
    slips=(*HIDING, *WORDS, *MEMORY, *THOUGHTS),
    hints=(
        (
            "Three steps, each with its residual connection. In which of them is something hidden,"
            " and from whom?"
        ),
        (
            "Tokens read tokens that are not later: `causal_mask` of chapter 1, i i, sent"
            " to the device of x. Then they read the memory, all of it but its padding."
            " Then each thinks by itself."
        ),
        (
            "causal = causal_mask(i, i) on the device of x\n"
            "x = around_self(x, self_attention with mask=causal)\n"
            "x = around_cross(x, cross_attention to the memory, with memory_mask)\n"
            "return around_feed_forward(x, feed_forward)"
        ),
    ),
    minutes=12,
    difficulty=3,
    otherwise=(DecodesByHand, TokenByToken),
    laws=("examples_do_not_mix", "one_step_more_or_less", "a_constant_factor"),
    ready=("torch.nn.TransformerDecoderLayer",),
)
