"""What is trained and what is validated."""

from dataclasses import replace

import torch
from counted import OPTIONS, counted
from torch import nn

from attncourse.training.translation.task import Translation, build
from solutions.transformer import BEGIN, PAD


def task_of(tokenizer, **changes):
    return Translation(
        tokenizer,
        counted(120, 0),
        counted(12, 1),
        replace(OPTIONS, **changes),
        torch.device("cpu"),
    )


def test_an_epoch_has_an_order_of_its_own_and_always_the_same(tokenizer):
    def first(epoch, seed=0):
        return task_of(tokenizer, seed=seed).batches(epoch)[0].source.tolist()

    assert first(1) == first(1)
    assert first(1) != first(2)
    assert first(1) != first(1, seed=1)


def test_the_loss_is_that_of_each_sentence_alone(tokenizer):
    """By hand: with smoothing 0.2, 0.8 of -log p(right) and 0.2 of the mean over all words."""
    task = task_of(tokenizer, smoothing=0.2, tokens=100)
    model = build(OPTIONS, len(tokenizer)).double().eval()
    batch = next(b for b in task.batches(0) if (b.target == PAD).any())
    by_hand = count = 0
    for source, target in zip(*batch, strict=True):
        source, target = source[source != PAD], target[target != PAD]
        given = torch.tensor([[BEGIN, *target[:-1].tolist()]])
        log_p = model(source.unsqueeze(0), given)[0].log_softmax(-1)
        for place, word in enumerate(target):
            by_hand -= 0.8 * log_p[place, word] + 0.2 * log_p[place].mean()
            count += 1
    loss, words = task.loss(model, batch)
    assert words == count
    torch.testing.assert_close(loss, by_hand)


def test_the_validation_is_without_smoothing(tokenizer):
    task = task_of(tokenizer, smoothing=0.2)
    model = build(OPTIONS, len(tokenizer)).eval()
    losses = []
    for source, target in zip(*task.val_words, strict=True):
        given = torch.tensor([[BEGIN, *target[:-1].tolist()]])
        logits = model(source.unsqueeze(0), given)[0]
        losses.append(nn.functional.cross_entropy(logits, target, reduction="none"))
    torch.testing.assert_close(task.validate(model)["loss"], torch.cat(losses).mean().item())


def test_source_target_and_output_share_one_matrix():
    model = build(OPTIONS, 60)
    assert model.source.weight is model.target.weight is model.out.weight
    assert isinstance(model.out, nn.Linear)
