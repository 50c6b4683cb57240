"""Average precision on cases that can be counted, and runs that go on where they were."""

import json
import sys

import pytest
import torch

from attncourse.errors import UserError
from attncourse.training.detection import running
from attncourse.training.detection.precision import average_precision
from attncourse.training.detection.running import Options
from solutions.capstone.boxes import box_iou
from solutions.capstone.detection import Found, detections

SMALL = Options(channels=(4, 8, 8), pictures=8, epochs=1, batch=4, test=5)
BOXES = [
    torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 40]]),
    torch.tensor([[5.0, 5, 15, 25]]),
]
LABELS = [torch.tensor([1, 2]), torch.tensor([1])]


@pytest.fixture
def pycocotools():
    pytest.importorskip("pycocotools", reason="counted by pycocotools: EXTRAS=detection")


def found(boxes, scores, labels):
    return Found(boxes, torch.tensor(scores), torch.tensor(labels))


def test_who_finds_all_has_1(pycocotools):
    all_ = [
        found(box, [0.9] * len(box), label.tolist())
        for box, label in zip(BOXES, LABELS, strict=True)
    ]
    assert average_precision(all_, BOXES, LABELS) == pytest.approx(
        {"AP": 1, "AP50": 1, "AP75": 1}
    )


def test_who_finds_nothing_has_0(pycocotools):
    nothing = [Found(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long())] * 2
    assert set(average_precision(nothing, BOXES, LABELS).values()) == {0.0}


def test_one_class_of_two_is_half(pycocotools):
    """Class 2 is missed: its precision is 0 at every recall."""
    some = [found(BOXES[0][:1], [0.9], [1]), found(BOXES[1], [0.8], [1])]
    assert average_precision(some, BOXES, LABELS)["AP"] == pytest.approx(0.5)


def test_a_box_that_is_half_right_counts_up_to_its_overlap(pycocotools):
    """IoU 10 / 16: found at 0.5, 0.55 and 0.6, three of the ten overlaps."""
    truth, label = [torch.tensor([[0.0, 0, 10, 10]])], [torch.tensor([0])]
    wide = [found(torch.tensor([[0.0, 0, 16, 10]]), [0.9], [0])]
    judged = average_precision(wide, truth, label)
    assert judged["AP"] == pytest.approx(0.3)
    assert judged["AP50"] == pytest.approx(1)
    assert judged["AP75"] == 0


def test_a_false_alarm_before_the_truth_halves_the_precision(pycocotools):
    truth, label = [torch.tensor([[0.0, 0, 10, 10]])], [torch.tensor([0])]
    both = torch.tensor([[50.0, 50, 60, 60], [0, 0, 10, 10]])
    judged = average_precision([found(both, [0.9, 0.8], [0, 0])], truth, label)
    assert judged["AP"] == pytest.approx(0.5)


def test_a_run_is_written_once_and_read_afterwards(pycocotools, tmp_path, monkeypatch):
    first = running.run("none", 0, SMALL, tmp_path)
    monkeypatch.setattr(running, "fit", lambda *_: pytest.fail("trained twice"))
    assert running.run("none", 0, SMALL, tmp_path) == first
    assert {"AP", "AP50", "AP75", "seed", "backbone"} <= first.keys()


def test_the_seed_decides_the_weights():
    def weights(seed):
        torch.manual_seed(seed)
        network = running.detector("none", SMALL)
        running.fit(network, seed, SMALL)
        return torch.cat([p.flatten() for p in network.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_training_finds_the_digits_of_one_picture():
    """150 steps on four pictures: a box with an IoU over 1/2 for most digits."""
    options = Options(channels=(8, 16, 32), pictures=4, epochs=150, batch=4, rate=1e-2)
    torch.manual_seed(0)
    network = running.detector("none", options)
    running.fit(network, 0, options)
    seen = running.pictures_for(0, options)
    with torch.no_grad():
        network.train()  # statistics of these pictures
        logits, deltas, anchors = network(seen.image)
    hit = total = 0
    for one, boxes, labels in zip(
        detections(logits, deltas, anchors), seen.boxes, seen.labels, strict=True
    ):
        for box, label in zip(boxes, labels, strict=True):
            right = one.labels == label
            near = box_iou(box[None], one.boxes[right])
            hit, total = hit + int((near > 0.5).any()), total + 1
    assert hit >= 0.75 * total


def test_a_folder_of_other_settings_is_refused(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "settings.json").write_text(json.dumps({"rate": 7}))
    with pytest.raises(UserError, match="other settings"):
        running.compare(tmp_path, options=SMALL)


def test_without_the_library_it_says_how_to_add_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(UserError, match="pycocotools"):
        average_precision([], [], [])


def test_costs_are_those_of_the_networks():
    costs = running.costs(SMALL, ("none", "cbam"))
    assert costs["none"]["parameters"] < costs["cbam"]["parameters"]
    extra = [c["parameters"] - c["backbone_parameters"] for c in costs.values()]
    assert extra[0] == extra[1]
    extra = [c["multiply_adds"] - c["backbone_multiply_adds"] for c in costs.values()]
    assert extra[0] == extra[1]
