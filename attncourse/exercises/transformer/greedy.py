"""Greedy decoding: always the likeliest next word, until every example has ended."""

import torch
from torch.nn import functional as F

from attncourse.exercises.edits import often, wrong
from attncourse.exercises.record import Exercise, Given, Trial
from solutions.transformer import BEGIN, END, PAD, greedy


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
        trial("where no word is asked for", 2, 0, ends_in_turn_late),
    )


def ends_in_turn_late(target, *_):
    """The first example ends after two words, the others go on and on."""
    n, b = target.shape[1], torch.arange(len(target))
    word = torch.where((b == 0) & (n == 2), END, 3 + (b + n) % 4)
    return F.one_hot(word, 7).double()


# fmt: off
ENDED = (
    *often(
        wrong("goes_on_after_the_end", ".masked_fill(ended, PAD)", "",
              "Examples that have ended go on. After its END an example has PAD."),
        wrong("ends_again_and_again", "(ended, PAD)", "(ended, END)",
              "Examples that have ended get END again and again. After the first one comes PAD."),
        wrong("forgets_who_has_ended", "ended | (word == END)", "word == END",
              "You look at the last words only: you stop where all are END at once, and examples"
              " that ended before go on. Remember who has ended; they get PAD.",
              (".masked_fill(ended, PAD)", "")),
        wrong("stops_with_the_first", "ended.all()", "ended.any()",
              "You stop when one example has ended. Go on until all have."),
        wrong("never_stops_early", " and not ended.all()", "",
              "You always write `longest` words. Stop when all examples have ended."),
    ),
    wrong("ended_written_over", "ended | (word == END)", "word == END",
          "You write over who has ended: an example gets one PAD and then goes on. Who ended before"
          " has ended still: ended | (word == END)."),
    wrong("stops_at_padding", "word == END", "word == PAD",
          "You take PAD for the end. A target ends with END."),
)

LENGTHS = (
    *often(
        wrong("one_word_too_many", "target.shape[1] <=", "target.shape[1] - 1 <=",
              "You write one word more than `longest`. BEGIN is not counted: the target has at most"
              " 1 + longest."),
        wrong("one_word_too_few", "<= longest", "< longest",
              "You write one word fewer than `longest`. BEGIN is not counted: the target has at"
              " most 1 + longest."),
        wrong("begin_dropped", "return target", "return target[:, 1:]",
              "You drop the first word. BEGIN is kept."),
        wrong("stops_before_the_last_word", "target = torch.cat",
              "if (ended | (word == END)).all():\n    break\ntarget = torch.cat",
              "You stop before the last END is written. Append the word first, then see who has"
              " ended."),
    ),
    wrong("end_not_written", "return target", "return target.masked_fill(target == END, PAD)",
          "END itself is not written: you put PAD in its place. An example keeps its END."),
)

CHOICES = (
    *often(
        wrong("last_word_alone", "logits(target)", "logits(target[:, -1:])",
              "You show `logits` the last word only. The next one depends on all so far."),
    ),
    wrong("without_begin", "logits(target)",
          "logits(target[:, 1:] if target.shape[1] > 1 else target)",
          "You show `logits` the targets without BEGIN. It maps targets so far, BEGIN among them."),
    wrong("least_likely", "argmax", "argmin",
          "You take the least likely word: argmin where it is argmax."),
    wrong("second_likeliest", ".argmax(-1)", ".topk(2).indices[:, 1]",
          "You take the second likeliest word. It is always the likeliest."),
    wrong("same_for_all", ".argmax(-1)", ".argmax(-1)[:1].expand(len(start))",
          "All examples get the word of the first. Each has its own."),
)
# fmt: on


def one_example_at_a_time(logits, start, longest):
    """You show `logits` one example at a time. It knows by its row which source an example has:
    show it the whole batch."""
    rows = [greedy(logits, start[b : b + 1], longest) for b in range(len(start))]
    longest = max(row.shape[1] for row in rows)
    return torch.cat([F.pad(row, (0, longest - row.shape[1]), value=PAD) for row in rows])


def greedy_by_rows(logits, start, longest):
    rows = [row.tolist() for row in start]
    for _ in range(longest):
        if all(END in row for row in rows):
            break
        best = logits(torch.tensor(rows, device=start.device)).max(-1).indices.tolist()
        rows = [[*row, PAD if END in row else w] for row, w in zip(rows, best, strict=True)]
    return torch.tensor(rows, device=start.device)


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
    slips=(*ENDED, *LENGTHS, *CHOICES, one_example_at_a_time),
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
