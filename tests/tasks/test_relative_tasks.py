"""What the task of chapter 08 promises, and how honestly it is measured."""

import pytest
import torch
from torch.testing import assert_close

from attncourse.tasks.pictures import photograph
from attncourse.tasks.relative import (
    DOWN,
    POSITIONS,
    RIGHT,
    SEEN,
    UNSEEN,
    Offset,
    Small,
    alternate,
    answers,
    asked,
    mosaics,
    moved,
    offset_accuracy,
    train_offset,
)


def test_every_mosaic_has_twelve_pixels_of_each_colour():
    x, colour = mosaics(5)
    assert x.shape == (5, 4, 6, 8)
    assert_close(x.sum((-2, -1)), torch.full((5, 4), 12.0))
    assert_close(x.argmax(1), colour)


@pytest.mark.parametrize("columns", [SEEN, UNSEEN])
def test_what_is_asked_is_the_colour_at_the_offset(columns):
    _, colour = mosaics(3)
    queries, wanted = asked(colour, columns), answers(colour, columns)
    assert queries.shape == wanted.shape
    for h in range(5):
        for place, w in enumerate(columns):
            assert_close(queries[:, h, place], colour[:, h, w])
            assert_close(wanted[:, h, place], colour[:, h + DOWN, w + RIGHT])


def test_every_offset_that_is_needed_is_seen_in_training():
    def offsets(columns):
        return {x - w for w in columns for x in range(8)}

    assert offsets(UNSEEN) <= offsets(SEEN)


def test_another_colour_is_right_in_twelve_of_forty_seven_cases():
    torch.manual_seed(0)
    _, colour = mosaics(4000)
    other = (asked(colour, (2,)) + 1) % 4
    assert (other == answers(colour, (2,))).float().mean().item() == pytest.approx(
        12 / 47, abs=0.01
    )


@pytest.mark.parametrize("positions", POSITIONS)
def test_scores_depend_on_offsets_alone_only_without_places_or_with_relative_ones(positions):
    network = Offset(positions)
    photo = photograph("china", 8, 11).permute(2, 0, 1)[None]
    picture = torch.cat([photo, photo.mean(1, keepdim=True)], 1)
    apart = moved(network, picture, (2, 3))
    assert (apart < 1e-5) == (positions in ("none", "relative"))


def test_a_short_training_runs_and_leaves_the_generator_alone_in_scoring():
    network = train_offset("relative", 0, steps=2)
    before = torch.get_rng_state()
    assert 0 <= offset_accuracy(network, SEEN, 10) <= 1
    assert torch.equal(before, torch.get_rng_state())
    with pytest.raises(ValueError, match="none of none, sinusoidal"):
        Offset("polar")


@pytest.mark.parametrize("share", [0, 0.25, 1])
def test_the_small_network_takes_any_share(share):
    assert Small(share)(torch.randn(2, 1, 8, 8)).shape == (2, 10)


def test_calls_take_turns():
    order = []
    spent = alternate({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert "".join(order) == "ababab"
    assert all(len(times) == 2 and times[0] <= times[1] for times in spent.values())
