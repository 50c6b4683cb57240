"""What must be true of the Transformer's layers and of the whole model."""

import math
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from transformer_parts import (
    DIM,
    HEADS,
    HIDDEN,
    LAYERS,
    NORMS,
    SOURCES,
    TARGETS,
    WORDS,
    B,
    learned,
    random,
    shuffled,
)

from solutions.scaled_dot_product import causal_mask, padding_mask
from solutions.transformer import (
    PAD,
    DecoderLayer,
    EncoderLayer,
    FeedForward,
    Residual,
    Transformer,
    attention_maps,
    from_torch,
)


@pytest.fixture
def encoder(norm):
    return shuffled(EncoderLayer(DIM, HEADS, HIDDEN, norm))


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
