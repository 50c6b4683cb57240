"""Boxes, anchors, the pyramid and the focal loss, against loops and against torchvision."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from solutions.capstone.boxes import (
    anchors,
    box_iou,
    decode,
    encode,
    match,
    middles,
    non_maximum_suppression,
)
from solutions.capstone.detection import (
    FeaturePyramid,
    RetinaNet,
    detection_loss,
    detections,
    focal_loss,
)


def boxes(n, side=20.0):
    corner = side * torch.rand(n, 2, dtype=torch.float64)
    return torch.cat([corner, corner + 1 + side / 2 * torch.rand(n, 2).double()], dim=1)


def whole_boxes(n, side=9):
    corner = torch.randint(side, (n, 2))
    return torch.cat([corner, corner + torch.randint(1, side, (n, 2))], dim=1).double()


# ---------------------------------------------------------------- overlaps


def test_the_overlap_of_boxes_of_whole_pixels_is_counted_pixel_by_pixel():
    a, b = whole_boxes(7), whole_boxes(5)

    def pixels(box):
        left, top, right, bottom = map(int, box)
        return {(y, x) for y in range(top, bottom) for x in range(left, right)}

    iou = box_iou(a, b)
    assert iou.shape == (7, 5)
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            both, either = pixels(one) & pixels(other), pixels(one) | pixels(other)
            assert iou[i, j] == len(both) / len(either)


def test_boxes_without_area_overlap_nothing_and_their_gradients_are_numbers():
    empty = torch.tensor([[3.0, 4.0, 3.0, 4.0]]).double().requires_grad_()
    iou = box_iou(empty, torch.cat([empty.detach(), boxes(2)]))
    assert torch.equal(iou, torch.zeros(1, 3).double())
    iou.sum().backward()
    assert empty.grad.isfinite().all()


def test_overlaps_know_no_place_and_no_scale():
    a, b = boxes(4), boxes(6)
    # 1e-12 bounds the rounding of numbers below 300 in float64
    torch.testing.assert_close(box_iou(7 * a + 5, 7 * b + 5), box_iou(a, b), atol=1e-12, rtol=0)
    assert box_iou(a[:0], b).shape == (0, 6)


# ---------------------------------------------------------------- anchors and their numbers


def test_anchors_stand_at_the_middles_of_pixels_row_by_row():
    found = anchors(2, 3, 4, 10, scales=(1, 2), ratios=(1, 4, 0.25))
    assert found.shape == (2 * 3 * 6, 4)
    x, y, w, h = middles(found)
    at = 0
    for row in range(2):
        for column in range(3):
            for scale in (1, 2):
                for ratio in (1, 4, 0.25):
                    assert (x[at], y[at]) == (4 * column + 2, 4 * row + 2)
                    assert h[at] / w[at] == pytest.approx(ratio)
                    assert (h[at] * w[at]).sqrt() == pytest.approx(10 * scale)
                    at += 1


def test_the_papers_anchors():
    """Nine at each place of P3 to P7; 32 to 813 pixels in size (sec. 4)."""
    scales = tuple(2 ** (k / 3) for k in range(3))
    x, _, w, h = middles(anchors(1, 1, 128, 512, scales, (0.5, 1, 2)))
    assert len(x) == 9
    assert (w * h).sqrt().max() == pytest.approx(813, abs=0.5)


def test_a_box_is_got_back_from_its_numbers():
    box, anchor = boxes(9), boxes(9)
    torch.testing.assert_close(decode(encode(box, anchor), anchor), box)
    assert torch.equal(encode(anchor, anchor), torch.zeros(9, 4).double())


def test_the_four_numbers_by_hand():
    anchor = torch.tensor([[10.0, 20.0, 14.0, 30.0]])  # centre 12, 25; 4 x 10
    box = torch.tensor([[11.0, 25.0, 19.0, 30.0]])  # centre 15, 27.5; 8 x 5
    wanted = torch.tensor([[3 / 4, 2.5 / 10, math.log(2), -math.log(2)]])
    torch.testing.assert_close(encode(box, anchor), wanted)


def test_who_has_which_truth():
    iou = torch.tensor([[0.5, 0.39, 0.49, 0.1, 0.4], [0.2, 0.38, 0.1, 0.9, 0.4]])
    assert match(iou).tolist() == [0, -1, -2, 1, -2]
    assert match(iou, 0.9, 0.05).tolist() == [-2, -2, -2, 1, -2]
    assert match(iou[:0]).tolist() == [-1] * 5


# ---------------------------------------------------------------- suppression


def suppressed(edges, scores, threshold):
    """The words of the header, one box at a time."""
    left, kept = sorted(range(len(scores)), key=lambda i: -scores[i]), []
    while left:
        kept.append(left.pop(0))
        left = [i for i in left if box_iou(edges[kept[-1:]], edges[i : i + 1]) <= threshold]
    return kept


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0])
def test_suppression_is_greedy(threshold):
    edges, scores = boxes(30, side=10.0), torch.rand(30).double()
    kept = non_maximum_suppression(edges, scores, threshold)
    assert kept.tolist() == suppressed(edges, scores.tolist(), threshold)


def test_what_a_suppressed_box_overlaps_may_stay():
    """A chain: the second goes for the first, and the third stays for it."""
    chain = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
    assert non_maximum_suppression(chain, torch.tensor([0.9, 0.8, 0.7]), 0.4).tolist() == [0, 2]
    assert non_maximum_suppression(chain[:0], torch.ones(0), 0.4).shape == (0,)


def test_of_equal_scores_the_first_stays():
    twice = torch.tensor([[0.0, 0, 4, 4]]).expand(3, 4)
    assert non_maximum_suppression(twice, torch.ones(3)).tolist() == [0]


# ---------------------------------------------------------------- focal loss


def test_the_focal_loss_is_equation_5():
    x, t = torch.randn(3, 5).double(), torch.rand(3, 5) < 0.5
    found = focal_loss(x, t, alpha=0.3, gamma=1.5)
    for at in range(15):
        p, there = x.flatten()[at].sigmoid().item(), bool(t.flatten()[at])
        p_t, a_t = (p, 0.3) if there else (1 - p, 0.7)
        wanted = -a_t * (1 - p_t) ** 1.5 * math.log(p_t)
        assert found.flatten()[at].item() == pytest.approx(wanted, rel=1e-9)


def test_without_focus_it_is_half_of_cross_entropy():
    x, t = torch.randn(17).double(), torch.rand(17) < 0.5
    wanted = F.binary_cross_entropy_with_logits(x, t.double(), reduction="none") / 2
    torch.testing.assert_close(focal_loss(x, t, alpha=0.5, gamma=0), wanted)


def test_it_is_finite_where_a_score_is_sure_and_wrong():
    x = torch.tensor([200.0, -200.0, 0.0], requires_grad=True)
    loss = focal_loss(x, torch.tensor([False, True, True]))
    torch.testing.assert_close(loss[:2], torch.tensor([150.0, 50.0]))
    loss.sum().backward()
    assert x.grad.isfinite().all()


def test_gradients_of_the_focal_loss():
    x = torch.randn(6).double().requires_grad_()
    t = torch.tensor([0, 1, 1, 0, 0, 1]) > 0
    assert torch.autograd.gradcheck(lambda x: focal_loss(x, t), x)


# ---------------------------------------------------------------- pyramid and network


def test_every_level_has_its_size_and_knows_the_coarser_ones():
    pyramid = FeaturePyramid((3, 5, 7), 4).double()
    maps = [
        torch.randn(2, c, *size).double() for c, *size in ((3, 9, 12), (5, 5, 6), (7, 3, 3))
    ]
    levels = pyramid(*maps)
    assert [tuple(p.shape) for p in levels] == [(2, 4, 9, 12), (2, 4, 5, 6), (2, 4, 3, 3)]
    maps[2] = torch.zeros_like(maps[2])
    changed = pyramid(*maps)
    assert not any(torch.allclose(p, q) for p, q in zip(levels, changed, strict=True))
    maps[0] = torch.zeros_like(maps[0])
    below = pyramid(*maps)
    assert torch.equal(below[1], changed[1])  # nothing goes up
    assert torch.equal(below[2], changed[2])


class Pooled(nn.Module):
    """Three stages that learn nothing."""

    def stages(self, x):
        maps = [F.avg_pool2d(x, n) for n in (2, 4, 8)]
        return [m.repeat(1, 2, 1, 1) for m in maps]


def small(classes=5):
    return RetinaNet(Pooled(), (6, 6), 4, classes, features=8).double()


def test_there_is_a_score_and_a_box_for_each_anchor():
    logits, deltas, places = small()(torch.rand(2, 3, 48, 32).double())
    a = 2 * (12 * 8 + 6 * 4 + 3 * 2)
    assert (logits.shape, deltas.shape, places.shape) == ((2, a, 5), (2, a, 4), (a, 4))
    middle = middles(places)[:2]
    assert middle.min() == 2
    assert middle[0].max() == 30
    assert middle[1].max() == 46
    assert logits.sigmoid().mean().item() == pytest.approx(0.01, abs=0.005)  # the prior


def test_the_loss_counts_each_anchor_once_and_none_in_between():
    """By hand: three anchors, one of which is the truth, one between, one background."""
    places = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 22], [50, 50, 60, 60]]).double()
    truth = torch.tensor([[0.0, 0, 10, 10]]).double()
    assert match(box_iou(truth, places)).tolist() == [0, -2, -1]
    logits, deltas = torch.randn(1, 3, 2).double(), torch.randn(1, 3, 4).double()
    scored, placed = detection_loss(logits, deltas, places, [truth], [torch.tensor([1])])
    targets = torch.tensor([[0, 1], [0, 0]]) > 0
    wanted = focal_loss(logits[0, [0, 2]], targets).sum()
    torch.testing.assert_close(scored, wanted)
    far = deltas[0, 0].abs()
    smooth = torch.where(far < 1 / 9, far**2 * 4.5, far - 1 / 18).sum()
    torch.testing.assert_close(placed, smooth)


def test_pictures_without_truth_count_as_background_alone():
    net = small()
    none = [torch.zeros(0, 4).double()], [torch.zeros(0, dtype=torch.long)]
    scored, placed = detection_loss(*net(torch.rand(1, 3, 32, 32).double()), *none)
    assert scored > 0
    assert placed == 0
    (scored + placed).backward()


def test_what_is_found_are_the_sure_anchors_moved_each_class_by_itself():
    places = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40]]).double()
    logits = torch.full((1, 3, 2), -9.0).double()
    logits[0, 0, 1], logits[0, 1, 1], logits[0, 1, 0], logits[0, 2, 0] = 2.0, 1.0, 0.5, 3.0
    deltas = torch.zeros(1, 3, 4).double()
    deltas[0, 2, 0] = 0.1  # a tenth of its width to the right
    (found,) = detections(logits, deltas, places)
    assert found.labels.tolist() == [0, 1, 0]
    torch.testing.assert_close(found.scores, torch.tensor([3.0, 2.0, 0.5]).double().sigmoid())
    wanted = torch.tensor([[31.0, 30, 41, 40], [0, 0, 10, 10], [1, 0, 11, 10]]).double()
    torch.testing.assert_close(found.boxes, wanted)
    (nothing,) = detections(logits - 20, deltas, places)
    assert nothing.boxes.shape == (0, 4)


# ---------------------------------------------------------------- torchvision's


def ops():
    return pytest.importorskip("torchvision.ops", reason="no torchvision")


def test_torchvisions_overlaps():
    a, b = boxes(8), boxes(3)
    torch.testing.assert_close(box_iou(a, b), ops().box_iou(a, b))


def test_torchvisions_focal_loss():
    x, t = torch.randn(4, 6).double(), torch.rand(4, 6) < 0.5
    for alpha, gamma in ((0.25, 2.0), (0.6, 0.5)):
        theirs = ops().sigmoid_focal_loss(x, t.double(), alpha, gamma)
        torch.testing.assert_close(focal_loss(x, t, alpha, gamma), theirs)


def test_torchvisions_suppression():
    edges, scores = boxes(60, side=8.0), torch.rand(60).double()
    for threshold in (0.2, 0.5, 0.7):
        theirs = ops().nms(edges, scores, threshold)
        assert non_maximum_suppression(edges, scores, threshold).tolist() == theirs.tolist()


def test_torchvisions_pyramid():
    theirs = ops().FeaturePyramidNetwork([3, 5, 7], 4).double()
    ours = FeaturePyramid((3, 5, 7), 4).double()
    state = theirs.state_dict()
    for level in range(3):
        for kind in ("weight", "bias"):
            name = f"{level}.0.{kind}"
            getattr(ours.lateral[level], kind).data = state[f"inner_blocks.{name}"]
            getattr(ours.output[level], kind).data = state[f"layer_blocks.{name}"]
    sizes = ((3, 10, 14), (5, 5, 7), (7, 3, 4))
    maps = [torch.randn(2, c, h, w).double() for c, h, w in sizes]
    wanted = theirs({str(level): one for level, one in enumerate(maps)}).values()
    for mine, other in zip(ours(*maps), wanted, strict=True):
        torch.testing.assert_close(mine, other)
