"""The record of `transformer.greedy`."""

import torch
from torch.nn import functional as F

from attncourse.exercises.families import also, family
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.transformer import (
    BEGIN,
    END,
    PAD,
    greedy,
)


def language(seed, words, likely_end=0.0):
    """A made-up model: the logits of the next word depend on the last two, and on how many
    there are."""
    dice = torch.Generator().manual_seed(seed)
    table = torch.randn(12, words, words, words, generator=dice, dtype=torch.float64)
    table[..., END] += likely_end

    def logits(target, *_):
        target = target.cpu()
        before = target[:, -2] if target.shape[1] > 1 else target[:, -1]
        return table[target.shape[1] % 12, before, target[:, -1]]

    return logits


def greedy_trials():
    def trial(name, rows, longest, logits):
        start = Given("b 1", torch.full((rows, 1), BEGIN))
        return Trial(name, dict(b=rows), dict(logits=logits, start=start, longest=longest))

    def ends_in_turn(target, *_):
        """Example n ends after n words. After an end another word is likely, not padding."""
        n, b = torch.arange(len(target)), target.shape[1] - 1
        return F.one_hot(torch.where(n == b, END, 3 + (n + b) % 3), 6).double()

    return (
        trial("where examples end one after the other", 4, 9, ends_in_turn),
        trial("where all end at once", 2, 9, lambda t, *_: ends_in_turn(t[:1]).expand(2, 6)),
        trial("where not all come to an end", 3, 5, ends_in_turn_late),
        trial("where the next word depends on the last two", 1, 10, language(2, 7)),
    )


def ends_in_turn_late(target, *_):
    """The first example ends after two words, the others go on and on."""
    n, b = target.shape[1], torch.arange(len(target))
    word = torch.where((b == 0) & (n == 2), END, 3 + (b + n) % 4)
    return F.one_hot(word, 7).double()


def likeliest(scores):
    return scores.argmax(-1)


def all_so_far(target):
    return target


def when_all_have_ended(ended, target):
    return bool(ended.all())


def padding_follows(word, ended):
    return word.masked_fill(ended, PAD)


def at_end(word):
    return word == END


def as_long_as_said(longest):
    return longest


def as_written(target):
    return target


def the_last_word_too(target):
    return True


def decoded(
    choosing=likeliest,
    showing=all_so_far,
    stopping=when_all_have_ended,
    following=padding_follows,
    ending=at_end,
    counting=as_long_as_said,
    returning=as_written,
    writing=the_last_word_too,
):
    """`greedy` with some of its steps changed."""

    def answer(logits, start, longest):
        target, ended = start, torch.zeros(len(start), dtype=torch.bool)
        for _ in range(counting(longest)):
            if stopping(ended, target):
                break
            word = following(choosing(logits(showing(target))), ended)
            ended = ended | ending(word)
            longer = torch.cat([target, word[:, None]], dim=1)
            if stopping(ended, longer) and not writing(longer):
                break
            target = longer
        return returning(target)

    return answer


def goes_on_after_the_end(word, ended):
    """Examples that have ended go on. After its END an example has PAD."""
    return word


def ends_again_and_again(word, ended):
    """Examples that have ended get END again and again. After the first one comes PAD."""
    return word.masked_fill(ended, END)


@also(following=goes_on_after_the_end)
def forgets_who_has_ended(ended, target):
    """You look at the last words only: you stop where all are END at once, and examples that
    ended before go on. Remember who has ended; they get PAD."""
    return target.shape[1] > 1 and bool((target[:, -1] == END).all())


def stops_with_the_first(ended, target):
    """You stop when one example has ended. Go on until all have."""
    return bool(ended.any())


def never_stops_early(ended, target):
    """You always write `longest` words. Stop when all examples have ended."""
    return False


def one_word_too_many(longest):
    """You write one word more than `longest`. BEGIN is not counted: the target has at most
    1 + longest."""
    return longest + 1


def one_word_too_few(longest):
    """You write one word fewer than `longest`. BEGIN is not counted: the target has at most
    1 + longest."""
    return longest - 1


def begin_dropped(target):
    """You drop the first word. BEGIN is kept."""
    return target[:, 1:]


def least_likely(scores):
    """You take the least likely word: argmin where it is argmax."""
    return scores.argmin(-1)


def second_likeliest(scores):
    """You take the second likeliest word. It is always the likeliest."""
    return scores.topk(2).indices[:, 1]


def same_for_all(scores):
    """All examples get the word of the first. Each has its own."""
    return scores.argmax(-1)[:1].expand(len(scores))


def last_word_alone(target):
    """You show `logits` the last word only. The next one depends on all so far."""
    return target[:, -1:]


def without_begin(target):
    """You show `logits` the targets without BEGIN. It maps targets so far, BEGIN among them."""
    return target[:, 1:] if target.shape[1] > 1 else target


def stops_at_padding(word):
    """You take PAD for the end. A target ends with END."""
    return word == PAD


def end_not_written(target):
    """END itself is not written: you put PAD in its place. An example keeps its END."""
    return target.masked_fill(target == END, PAD)


def stops_before_the_last_word(target):
    """You stop before the last END is written. Append the word first, then see who has
    ended."""
    return False


def one_example_at_a_time(logits, start, longest):
    """You show `logits` one example at a time. It knows by its row which source an example has:
    show it the whole batch."""
    rows = [decoded()(logits, start[b : b + 1], longest) for b in range(len(start))]
    return padded_rows(rows)


def padded_rows(rows):
    longest = max(row.shape[1] for row in rows)
    return torch.cat([F.pad(row, (0, longest - row.shape[1]), value=PAD) for row in rows])


GREEDY = family(
    decoded,
    following=(goes_on_after_the_end, ends_again_and_again),
    stopping=(
        forgets_who_has_ended,
        stops_with_the_first,
        never_stops_early,
    ),
    counting=(one_word_too_many, one_word_too_few),
    returning=(begin_dropped, end_not_written),
    choosing=(least_likely, same_for_all, second_likeliest),
    showing=(last_word_alone, without_begin),
    ending=(stops_at_padding,),
    writing=(stops_before_the_last_word,),
    paired=(
        goes_on_after_the_end,
        ends_again_and_again,
        forgets_who_has_ended,
        stops_with_the_first,
        never_stops_early,
        one_word_too_many,
        one_word_too_few,
        begin_dropped,
        last_word_alone,
        stops_before_the_last_word,
    ),
)


def greedy_by_rows(logits, start, longest):
    rows = [row.tolist() for row in start]
    for _ in range(longest):
        if all(END in row for row in rows):
            break
        best = logits(torch.tensor(rows)).max(-1).indices.tolist()
        rows = [[*row, PAD if END in row else w] for row, w in zip(rows, best, strict=True)]
    return torch.tensor(rows)


def greedy_into_a_table(logits, start, longest):
    target = F.pad(start, (0, longest), value=PAD)
    for n in range(1, longest + 1):
        ended = (target == END).any(-1)
        if bool(ended.all()):
            return target[:, :n]
        word = logits(target[:, :n]).log_softmax(-1).topk(1).indices[:, 0]
        target[:, n] = torch.where(ended, PAD, word)
    return target


EXERCISE = Exercise(
    id="transformer.greedy",
    solution=greedy,
    probes={"greedy": "b i"},
    trials=greedy_trials,
    slips=(*GREEDY, one_example_at_a_time),
    hints=(
        "What must you remember of each example from word to word?",
        (
            "Whether it has ended, b. Its next word is the argmax of the logits, or PAD if"
            " it has. Go on until all have ended or `longest` words are written."
        ),
        (
            "ended = nowhere\n"
            "as long as there are fewer than longest words, and not all have ended:\n"
            "    word = argmax of logits(target), PAD where ended\n"
            "    append word to target\n"
            "    ended also where word is END"
        ),
    ),
    minutes=12,
    difficulty=3,
    otherwise=(greedy_by_rows, greedy_into_a_table),
    skip=frozenset({"device"}),
)
