"""What must be true of the Transformer, however it is written."""

import math
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from attncourse.papers.counting import count
from solutions.scaled_dot_product import causal_mask, padding_mask
from solutions.transformer import (
    BEGIN,
    END,
    PAD,
    DecoderLayer,
    EncoderLayer,
    FeedForward,
    Incremental,
    Residual,
    Transformer,
    attend_and_remember,
    attention_maps,
    beam_search,
    beam_step,
    decoder_step,
    from_torch,
    greedy,
    label_smoothing_loss,
    learning_rate,
    length_penalty,
    padding,
    parameters,
    start_cache,
    translate,
)

# Every axis has its own size, so that no transposed or swapped axis can hide.
B, TARGETS, SOURCES, HEADS, DIM, HIDDEN = 2, 5, 7, 3, 12, 20
WORDS, LAYERS = 11, 2
NORMS = ("post", "pre")


def random(*sizes):
    return torch.randn(*sizes, dtype=torch.float64)


def learned(model):
    """How many numbers a model learns; a shared matrix counts once."""
    return sum(p.numel() for p in model.parameters())


def shuffled(module):
    """The module in float64 without dropout, with weights of which none is 0 or 1."""
    for weight in module.parameters():
        nn.init.normal_(weight, std=0.3)
    return module.double().eval()


@pytest.fixture(params=NORMS)
def norm(request):
    return request.param


@pytest.fixture
def encoder(norm):
    return shuffled(EncoderLayer(DIM, HEADS, HIDDEN, norm))


@pytest.fixture
def decoder(norm):
    return shuffled(DecoderLayer(DIM, HEADS, HIDDEN, norm))


@pytest.fixture
def model(norm):
    return shuffled(Transformer(9, WORDS, DIM, HEADS, HIDDEN, LAYERS, norm))


@pytest.fixture
def x():
    return random(B, TARGETS, DIM)


@pytest.fixture
def memory():
    return random(B, SOURCES, DIM)


@pytest.fixture
def source():
    """Two sentences, the second with two words of padding."""
    words = torch.randint(3, 9, (B, SOURCES))
    words[1, -2:] = PAD
    return words


@pytest.fixture
def target():
    return torch.cat([torch.full((B, 1), BEGIN), torch.randint(3, WORDS, (B, 4))], dim=1)


# the parts


def test_the_feed_forward_network_computes_equation_2(x):
    layer = shuffled(FeedForward(DIM, HIDDEN))
    for b, n in product(range(B), range(TARGETS)):
        hidden = (layer.up.weight @ x[b, n] + layer.up.bias).clamp(min=0)
        assert_close(layer(x)[b, n], layer.down.weight @ hidden + layer.down.bias)


def normalised(x, norm):
    """Each token on its own, with numpy's variance: mean 0, variance 1, then scale and
    shift."""
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias


def test_the_norm_stands_after_the_sum_or_before_the_function(x):
    post, pre = (shuffled(Residual(DIM, norm)) for norm in NORMS)
    assert_close(post(x, torch.sin), normalised(x + x.sin(), post.norm))
    assert_close(pre(x, torch.sin), x + normalised(x, pre.norm).sin())


def test_another_norm_is_refused():
    with pytest.raises(ValueError, match="norm='sandwich' is neither"):
        Residual(DIM, "sandwich")


def test_dropout_acts_on_what_the_function_gives_and_on_nothing_else(x):
    pre = Residual(DIM, "pre", dropout=0.5).double()
    added = pre(x, torch.ones_like) - x
    assert_close(added.round(decimals=9).unique(), torch.tensor([0.0, 2.0]).double())
    assert_close(pre.eval()(x, torch.ones_like) - x, torch.ones_like(x))
    post = Residual(DIM, "post", dropout=0.5).double()
    assert_close(post(x, torch.zeros_like), post.norm(x))


# the oracles


def torch_layer(kind, norm):
    theirs = kind(
        DIM, HEADS, HIDDEN, batch_first=True, norm_first=norm == "pre", layer_norm_eps=1e-4
    )
    return shuffled(theirs)


def test_with_torchs_weights_the_encoder_layer_gives_torchs_output(x, norm):
    theirs = torch_layer(nn.TransformerEncoderLayer, norm)
    ours = from_torch(theirs)
    assert_close(ours(x), theirs(x))
    causal = causal_mask(TARGETS, TARGETS)
    assert_close(ours(x, causal), theirs(x, src_mask=~causal))
    there = padding_mask(torch.tensor([5, 3]), TARGETS)
    theirs.train()  # in eval, torch puts zeros where there is padding
    for part in theirs.modules():
        if isinstance(part, nn.Dropout | nn.MultiheadAttention):
            part.p = part.dropout = 0.0
    assert_close(ours(x, there), theirs(x, src_key_padding_mask=~there[:, 0]))


def test_with_torchs_weights_the_decoder_layer_gives_torchs_output(x, memory, norm):
    theirs = torch_layer(nn.TransformerDecoderLayer, norm)
    ours, later = from_torch(theirs), ~causal_mask(TARGETS, TARGETS)
    assert_close(ours(x, memory), theirs(x, memory, tgt_mask=later))
    there = padding_mask(torch.tensor([7, 4]), SOURCES)
    output = theirs(x, memory, tgt_mask=later, memory_key_padding_mask=~there[:, 0])
    assert_close(ours(x, memory, there), output)


def test_a_layer_with_another_activation_is_refused():
    with pytest.raises(ValueError, match="is not a ReLU"):
        from_torch(nn.TransformerEncoderLayer(DIM, HEADS, HIDDEN, activation="gelu"))


def test_with_torchs_weights_the_whole_model_gives_torchs_output(source, target, norm):
    ours = Transformer(9, WORDS, DIM, HEADS, HIDDEN, LAYERS, norm).double().eval()
    theirs = shuffled(
        nn.Transformer(
            DIM,
            HEADS,
            custom_encoder=nn.TransformerEncoder(
                torch_layer(nn.TransformerEncoderLayer, norm),
                LAYERS,
                nn.LayerNorm(DIM),
                enable_nested_tensor=False,
            ),
            custom_decoder=nn.TransformerDecoder(
                torch_layer(nn.TransformerDecoderLayer, norm), LAYERS, nn.LayerNorm(DIM)
            ),
            batch_first=True,
        )
    )
    for mine, its in (ours.encoder, theirs.encoder), (ours.decoder, theirs.decoder):
        for n, layer in enumerate(its.layers):
            mine[n] = from_torch(layer)
    if norm == "pre":
        ours.encoder_norm.load_state_dict(theirs.encoder.norm.state_dict())
        ours.decoder_norm.load_state_dict(theirs.decoder.norm.state_dict())
    else:  # torch adds final norms whatever the layers do; the paper has none after post-norm
        theirs.encoder.norm = theirs.decoder.norm = None
    pad = source == PAD
    output = theirs(
        ours.embed(source, ours.source),
        ours.embed(target, ours.target),
        tgt_mask=~causal_mask(TARGETS, TARGETS),
        src_key_padding_mask=pad,
        memory_key_padding_mask=pad,
    )
    assert_close(ours(source, target), ours.out(output))


# what may matter and what may not


def test_a_later_token_changes_nothing_before_it_not_by_a_bit(decoder, x, memory):
    before = decoder(x, memory)
    for t in range(1, TARGETS):
        changed = x.clone()
        changed[:, t] = random(B, DIM)
        after = decoder(changed, memory)
        assert torch.equal(after[:, :t], before[:, :t])
        assert (after[:, t:] != before[:, t:]).any(-1).all()


def test_a_later_word_changes_no_logit_before_it_not_by_a_bit(model, source, target):
    before = model(source, target)
    for t in range(1, TARGETS):
        changed = target.clone()
        changed[:, t] = (changed[:, t] + 1) % WORDS
        after = model(source, changed)
        assert torch.equal(after[:, :t], before[:, :t])
        assert (after[:, t:] != before[:, t:]).any(-1).all()


def test_padding_never_matters(model, source, target):
    """A batch in which sentences are padded gives each what it gets alone and unpadded."""
    wider = F.pad(source, (0, 3), value=PAD)
    together = model(wider, F.pad(target, (0, 2), value=PAD))
    for b in range(B):
        alone = model(source[b : b + 1, : (source[b] != PAD).sum()], target[b : b + 1])
        assert_close(together[b : b + 1, :TARGETS], alone)


def test_what_stands_in_the_memory_of_padding_never_matters(model, source, target):
    memory = model.encode(source)
    changed = memory.masked_fill((source == PAD)[..., None], 1e3)
    assert torch.equal(
        model.decode(target, changed, source), model.decode(target, memory, source)
    )


def test_two_sentences_are_encoded_together_as_they_are_apart(model, source):
    apart = torch.cat([model.encode(source[b : b + 1]) for b in range(B)])
    assert_close(model.encode(source), apart)


def test_gradients_do_not_flow_back_in_time(decoder, x, memory):
    decoder(x.requires_grad_(), memory)[:, 2].sum().backward()
    assert (x.grad[:, 3:] == 0).all()
    assert (x.grad[:, :3] != 0).any()


def test_without_positions_the_encoder_layer_does_not_see_the_order(encoder, x):
    order = torch.randperm(TARGETS)
    assert_close(encoder(x[:, order]), encoder(x)[:, order])


def test_with_positions_the_model_does(model, source):
    swapped = source[:, [1, 0, *range(2, SOURCES)]]
    swapped[:, 0] = swapped[:, 0] % 6 + 3  # never the word that stood there
    there, here = model.encode(swapped)[:, 1], model.encode(source)[:, 0]
    assert not torch.allclose(there, here)


def test_the_output_of_a_post_norm_layer_is_normalised_and_of_a_pre_norm_layer_is_not(x):
    for norm in NORMS:
        layer = EncoderLayer(DIM, HEADS, HIDDEN, norm).double().eval()
        size = layer(10 * x).std(-1, correction=0)
        assert torch.allclose(size, torch.ones_like(size), atol=1e-3) is (norm == "post")


def test_gradients_reach_every_weight(model, source, target):
    model(source, target).square().sum().backward()
    for name, weight in model.named_parameters():
        if "key.bias" not in name:  # it adds the same to all scores of a query, and cancels
            assert weight.grad.abs().max() > 0, name


def test_gradients_are_right(norm):
    layer = shuffled(DecoderLayer(4, 2, 3, norm))
    x, memory = random(1, 3, 4).requires_grad_(), random(1, 2, 4).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x, memory, torch.tensor([[True, False]])))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_it_keeps_the_dtype(model, source, target, dtype):
    exact = model(source, target)
    rounded = model.to(dtype)(source, target)
    assert rounded.dtype == dtype
    slack = 100 * torch.finfo(dtype).eps
    assert_close(rounded.double(), exact, rtol=slack, atol=slack * exact.abs().max().item())


# the model


def test_embeddings_are_scaled_and_get_their_positions():
    model = Transformer(9, WORDS, 7, 1, HIDDEN, 1).eval()
    words = torch.tensor([[3, 5, 3]])
    x = model.embed(words, model.source)
    for p, word in enumerate(words[0]):
        for f in range(7):
            angle = p / 10000 ** (2 * (f // 2) / 7)
            wave = math.cos(angle) if f % 2 else math.sin(angle)
            wanted = model.source.weight[word, f] * math.sqrt(7) + wave
            assert_close(x[0, p, f], wanted)


def test_a_new_models_embeddings_and_logits_have_size_one():
    model = Transformer(1000, 1000, 256, 4, 64, 1, share=True).eval()
    words = torch.randint(3, 1000, (4, 50))
    embedded = model.source(words) * 16
    assert 0.9 < embedded.std() < 1.1
    assert 0.5 < model(words, words).std() < 2


def test_shared_embeddings_are_one_matrix():
    model = Transformer(WORDS, WORDS, DIM, HEADS, HIDDEN, 1, share=True)
    assert model.source.weight is model.target.weight
    assert model.source.weight is model.out.weight
    apart = Transformer(WORDS, WORDS, DIM, HEADS, HIDDEN, 1)
    assert learned(apart) - learned(model) == 2 * WORDS * DIM


def test_vocabularies_of_other_sizes_cannot_be_shared():
    with pytest.raises(ValueError, match="source_words=9 and target_words=11"):
        Transformer(9, WORDS, DIM, HEADS, HIDDEN, 1, share=True)


def test_only_pre_norm_has_a_norm_at_the_end(norm):
    model = Transformer(9, WORDS, DIM, HEADS, HIDDEN, 1, norm)
    norms = [m for m in model.modules() if isinstance(m, nn.LayerNorm)]
    assert len(norms) == 5 + 2 * (norm == "pre")


def test_every_map_can_be_read_off(model, source, target):
    maps = attention_maps(model, source, target)
    assert len(maps) == 3 * LAYERS
    assert maps["encoder.1.self_attention"].shape == (B, HEADS, SOURCES, SOURCES)
    assert maps["decoder.0.self_attention"].shape == (B, HEADS, TARGETS, TARGETS)
    cross = maps["decoder.1.cross_attention"]
    assert cross.shape == (B, HEADS, TARGETS, SOURCES)
    assert (cross[1, :, :, -2:] == 0).all()
    assert (maps["decoder.1.self_attention"].triu(1) == 0).all()
    for shares in maps.values():
        assert_close(shares.sum(-1), torch.ones(shares.shape[:-1]).double())


def test_reading_maps_leaves_no_trace(model, source, target):
    before = model(source, target)
    attention_maps(model, source, target)
    assert not any(layer._forward_pre_hooks for layer in model.modules())
    assert torch.equal(model(source, target), before)


# the paper's numbers


def test_layers_of_the_base_model_have_the_known_sizes():
    assert learned(EncoderLayer(512, 8, 2048)) == 3_152_384
    assert learned(DecoderLayer(512, 8, 2048)) == 4_204_032
    assert parameters(0, 512, 2048, 6) == 44_138_496
    with torch.device("meta"):
        base = Transformer(5, 5, share=True)
    assert learned(base) == 44_138_496 + 5 * 512


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize(("words", "dim", "hidden"), [(11, 12, 20), (7, 6, 5)])
def test_the_formula_counts_the_parameters(words, dim, hidden, layers):
    model = Transformer(words, words, dim, 3, hidden, layers, share=True)
    assert parameters(words, dim, hidden, layers) == learned(model)


# Table 3 of the paper: what a row changes, and how many millions it has (base: 65).
ROWS = (
    (dict(layers=2), 36),
    (dict(layers=4), 50),
    (dict(layers=8), 80),
    (dict(hidden=1024), 53),
    (dict(hidden=4096), 90),
)


@pytest.mark.parametrize(("change", "millions"), ROWS)
def test_rows_of_table_3_differ_as_the_formula_says(change, millions):
    base = dict(words=0, dim=512, hidden=2048, layers=6)
    difference = parameters(**base | change) - parameters(**base)
    assert abs(difference / 1e6 - (millions - 65)) <= 1  # two figures, each rounded


def test_no_one_vocabulary_gives_all_rows_of_table_3_but_about_41000_words_come_near():
    rows = [({}, 65), (dict(dim=256), 28), (dict(dim=1024), 168), *ROWS]
    base = dict(dim=512, hidden=2048, layers=6)
    for change, millions in rows:
        for words, off in ((37_000, 6), (40_700, 1.5)):
            assert abs(parameters(words, **base | change) / 1e6 - millions) < off
    big = parameters(40_700, 1024, 4096, 6) / 1e6
    assert abs(big - 213) < 6  # printed for both pairs of languages, one with 32000 words


# training


def paper_loss(logits, target, smoothing):
    """Szegedy et al., section 7, one word at a time."""
    total, n = 0.0, 0
    for b, i in product(range(target.shape[0]), range(target.shape[1])):
        if target[b, i] == PAD:
            continue
        z = logits[b, i].exp().tolist()
        for word in range(len(z)):
            q = smoothing / len(z) + (1 - smoothing) * (word == int(target[b, i]))
            total -= q * math.log(z[word] / sum(z))
        n += 1
    return torch.tensor(total / n, dtype=torch.float64)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_the_smoothed_loss_is_that_of_szegedy_and_of_torch(smoothing):
    logits = random(B, TARGETS, WORDS)
    words = torch.tensor([[4, 5, 6, 2, 0], [7, 2, 0, 0, 0]])
    loss = label_smoothing_loss(logits, words, smoothing)
    assert_close(loss, paper_loss(logits, words, smoothing))
    theirs = F.cross_entropy(
        logits.flatten(0, 1), words.flatten(), ignore_index=PAD, label_smoothing=smoothing
    )
    assert_close(loss, theirs)


def test_smoothing_has_its_lowest_loss_where_the_prediction_is_the_smoothed_target():
    words, q = torch.tensor([[3]]), torch.full((1, 1, WORDS), 0.1 / WORDS).double()
    q[0, 0, 3] += 0.9
    lowest = label_smoothing_loss(q.log(), words)
    assert_close(lowest, -(q * q.log()).sum())
    for _ in range(20):
        assert label_smoothing_loss(q.log() + 0.1 * random(1, 1, WORDS), words) > lowest


def test_logits_of_padding_get_no_gradient():
    logits = random(1, 3, WORDS).requires_grad_()
    label_smoothing_loss(logits, torch.tensor([[4, 2, PAD]])).backward()
    assert (logits.grad[0, 2] == 0).all()
    assert (logits.grad[0, :2] != 0).all()


def test_the_rate_rises_along_a_line_and_falls_as_one_over_the_root():
    step = torch.arange(1, 20_001).double()
    rate = learning_rate(step, 512)
    assert rate.argmax() == 3999
    assert_close(rate[3999].item(), 512**-0.5 * 4000**-0.5)
    assert_close(rate[:4000], step[:4000] * rate[0])
    assert_close(rate[4 * 4000 - 1], rate[3999] / 2)
    assert (rate[4000:].diff() < 0).all()


# decoding

TABLE = 2 * torch.randn(
    5, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(98)
)


def two_before(target, rows=None):
    """A language of five words in which the next depends on the last two."""
    last = target[:, -1]
    before = target[:, -2] if target.shape[1] > 1 else torch.zeros_like(last)
    return TABLE[before, last]


def score(words, alpha, logits=two_before):
    """log p / penalty of a target after BEGIN."""
    total, target = 0.0, [BEGIN]
    for word in words:
        total += logits(torch.tensor([target])).log_softmax(-1)[0, word].item()
        target.append(word)
    return total / ((5 + len(words)) / 6) ** alpha


def start(examples):
    return torch.full((examples, 1), BEGIN)


def test_greedy_takes_the_likeliest_word_each_time(model, source):
    output = translate(model, source, longest=6)
    assert (output[:, 0] == BEGIN).all()
    for b in range(B):
        target = output[b : b + 1]
        ended = False
        for n in range(1, target.shape[1]):
            likeliest = model(source[b : b + 1], target[:, :n])[0, -1].argmax()
            assert target[0, n] == (PAD if ended else likeliest)
            ended |= bool(target[0, n] == END)


def test_greedy_stops_when_all_have_ended_and_pads_those_that_ended_first():
    def countdown(target):  # example b ends after b words
        n = target.shape[1] - 1
        word = torch.where(torch.arange(3) > n, 4, END)
        return F.one_hot(word, 5).float()

    output = greedy(countdown, start(3), longest=9)
    assert output.tolist() == [[1, 2, 0, 0], [1, 4, 2, 0], [1, 4, 4, 2]]


def test_greedy_gives_up_after_the_longest():
    assert greedy(lambda target: torch.eye(5)[4:], start(1), 3).tolist() == [[1, 4, 4, 4]]


def test_the_penalty_is_one_for_one_word_and_for_alpha_0():
    length = torch.arange(1, 9).double()
    assert length_penalty(length, 0.6)[0] == 1
    assert (length_penalty(length, 0.0) == 1).all()
    assert_close(length_penalty(length, 1.0), (5 + length) / 6)


def test_a_step_of_the_beam_finds_the_best_continuations():
    log_p, following = random(B, 3), random(B, 3, WORDS)
    best, beam, word = beam_step(log_p, following, 4)
    for b in range(B):
        every = sorted(
            ((log_p[b, k] + following[b, k, w]).item(), k, w)
            for k, w in product(range(3), range(WORDS))
        )[::-1][:4]
        found = zip(best[b].tolist(), beam[b].tolist(), word[b].tolist(), strict=True)
        for one, other in zip(found, every, strict=True):
            assert one == pytest.approx(other)


@pytest.mark.parametrize("longest", [1, 4, 8])
def test_one_beam_without_penalty_is_greedy(longest):
    for seed in range(20):
        logits = 3 * torch.randn(2, 5, 5, generator=torch.Generator().manual_seed(seed))

        def last(target, rows=None, logits=logits):
            return logits[torch.arange(2), target[:, -1]]

        wanted = greedy(last, start(2), longest)
        assert beam_search(last, start(2), longest, width=1, alpha=0.0).equal(wanted)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_as_many_beams_as_there_are_targets_find_the_best_of_all(alpha):
    longest = 4
    ended = [
        (*words, END)
        for n in range(longest)
        for words in product([0, 1, 3, 4], repeat=n)  # any but END
    ]
    best = max(ended, key=lambda words: score(words, alpha))
    found = beam_search(two_before, start(1), longest, width=5**longest, alpha=alpha)
    assert found[0, 1:].tolist() == list(best)


def test_more_beams_find_targets_that_are_not_worse_here():
    scores = [
        score(beam_search(two_before, start(1), 8, width, 0.6)[0, 1:].tolist(), 0.6)
        for width in (1, 2, 4, 16)
    ]
    assert scores == sorted(scores)
    assert scores[-1] > scores[0]


def test_a_larger_alpha_never_finds_a_shorter_target_when_all_are_seen():
    lengths = [
        beam_search(two_before, start(1), 4, 5**4, alpha).shape[1]
        for alpha in (0.0, 1.0, 2.0, 4.0)
    ]
    assert lengths == sorted(lengths)


def test_nothing_goes_on_after_its_end():
    """Here END follows END for nothing, and a large penalty would reward the length."""

    def again(target, rows=None):
        after = torch.tensor([0.0, 0, 0.3, 0.7, 0]), torch.tensor([0.0, 0, 1, 0, 0])
        ended = (target == END).any(-1, keepdim=True)
        return torch.where(ended, after[1], after[0]).log()

    found = beam_search(again, start(1), 4, width=3, alpha=4.0)
    assert found.tolist() == [[1, 3, 3, 3, 2]]


def test_beams_of_examples_do_not_mix(norm):
    torch.manual_seed(5)  # where examples get different translations
    model = Transformer(9, WORDS, DIM, HEADS, HIDDEN, 1, norm).double().eval()
    cross = model.decoder[0].cross_attention
    for layer in (model.out, cross.value, cross.out):
        nn.init.normal_(layer.weight, std=2)  # so that the source matters
    sources = torch.randint(3, 9, (6, 5))
    together = translate(model, sources, 6, width=3)
    assert len({tuple(row) for row in together.tolist()}) > 2  # they are told apart
    for b in range(6):
        alone = translate(model, sources[b : b + 1], 6, width=3)
        assert together[b, : alone.shape[1]].equal(alone[0])
        assert (together[b, alone.shape[1] :] == PAD).all()


def test_translating_leaves_the_model_in_training(model, source):
    model.train()
    first = translate(model, source, 5)
    assert model.training
    assert translate(model, source, 5).equal(first)  # without dropout


# the cache


def test_a_step_with_a_cache_gives_what_the_whole_layer_gives(decoder, x, memory):
    there = padding_mask(torch.tensor([7, 4]), SOURCES)
    whole, cache = decoder(x, memory, there), start_cache(decoder, memory)
    for n in range(TARGETS):
        output, cache = decoder_step(decoder, x[:, n : n + 1], cache, there)
        assert_close(output, whole[:, n : n + 1])
        assert cache.keys.shape == (B, HEADS, n + 1, DIM // HEADS)


def test_remembered_keys_and_values_are_those_of_all_tokens():
    q, k, v = (random(B, HEADS, TARGETS, 4) for _ in range(3))
    keys, values = k[:, :, :0], v[:, :, :0]
    whole = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    for n in range(TARGETS):
        own = slice(n, n + 1)
        read, keys, values = attend_and_remember(
            q[:, :, own], k[:, :, own], v[:, :, own], keys, values
        )
        assert_close(read, whole[:, :, own])
    assert_close((keys, values), (k, v))


def test_incremental_decoding_gives_the_logits_of_the_whole(model, source, target):
    whole, step = model(source, target), Incremental(model, source)
    for n in range(1, TARGETS + 1):
        assert_close(step(target[:, :n]), whole[:, n - 1])


def test_incremental_decoding_follows_rows_that_move(model, source, target):
    step = Incremental(model, source)
    step(target[:, :1])
    rows = torch.tensor([1, 0])
    logits = step(target[rows, :2], rows)
    assert_close(logits, model(source[rows], target[rows, :2])[:, -1])


def test_incremental_decoding_refuses_a_jump(model, source, target):
    step = Incremental(model, source)
    with pytest.raises(ValueError, match="3 words after 0"):
        step(target[:, :3])


@pytest.mark.parametrize("width", [1, 3])
def test_with_and_without_a_cache_the_translation_is_the_same(model, source, width):
    from_scratch = source.repeat_interleave(width, 0)
    memory = model.encode(from_scratch)

    def logits(target, rows=None):
        return model.decode(target, memory, from_scratch)[:, -1]

    begin = start(B)
    wanted = greedy(logits, begin, 6) if width == 1 else beam_search(logits, begin, 6, width)
    assert translate(model, source, 6, width).equal(wanted)


def test_a_step_costs_one_token_where_it_would_cost_all(model, source):
    def whole(n):
        target, memory = torch.full((B, n), 5), model.encode(source)
        return count(lambda: model.decode(target, memory, source)).multiply_adds

    def step(n):
        incremental, target = Incremental(model, source), torch.full((B, n), 5)
        for k in range(1, n):
            incremental(target[:, :k])
        return count(lambda: incremental(target)).multiply_adds

    token = B * LAYERS * (6 * DIM**2 + 2 * DIM * HIDDEN + 2 * SOURCES * DIM) + B * DIM * WORDS
    memory = B * LAYERS * 2 * SOURCES * DIM**2
    for n in (4, 9):
        assert step(n) == token + B * LAYERS * 2 * n * DIM
        assert whole(n) == memory + n * (token + B * LAYERS * 2 * n * DIM)


# devices


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_it_runs_on_the_gpu_as_on_the_cpu(model, source, target):
    there = model(source, target)
    model.cuda()
    assert_close(model(source.cuda(), target.cuda()).cpu(), there)
    for width in (1, 3):
        assert translate(model, source.cuda(), 6, width).is_cuda


def test_masks_and_padding_follow_the_device(norm):
    with torch.device("meta"):
        model = Transformer(9, WORDS, DIM, HEADS, HIDDEN, 1, norm)
        words = torch.zeros(B, 4, dtype=torch.long)
    assert model(words, words).is_meta


def test_padding_is_where_there_is_no_word(source):
    assert padding(source).shape == (B, 1, SOURCES)
    assert padding(source)[:, 0].sum(-1).tolist() == [7, 5]
