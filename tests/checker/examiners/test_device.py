"""A tensor made on a device of its own is found without another one."""

import subprocess
import sys
from operator import mul

import torch
from told import ATTENTION

from attncourse import check
from attncourse.checker.case import Case
from attncourse.checker.examiners import device
from attncourse.course import exercise
from solutions.scaled_dot_product import scaled_dot_product_attention


def test_an_answer_that_makes_its_tensors_on_the_cpu_is_caught():
    def here(q, k, v, mask=None):
        allowed = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool)
        return scaled_dot_product_attention(
            q, k, v, allowed if mask is None else mask & allowed
        )

    verdict = check(ATTENTION, here)
    assert verdict.slip == "leaves_the_device"


def test_a_range_on_the_cpu_is_caught_where_a_comparison_would_hide_it():
    def here(lengths, keys):
        return torch.arange(keys) < lengths[:, None, None]

    def there(lengths, keys):
        return torch.arange(keys).to(lengths.device) < lengths[:, None, None]

    assert check("scaled_dot_product.padding_mask", here).slip == "leaves_the_device"
    assert check("scaled_dot_product.padding_mask", there).status == "passed"


def test_single_numbers_may_lie_anywhere():
    def scaled(picture):
        return picture.mean((1, 2)) * torch.tensor(1.0, dtype=picture.dtype)

    assert check("shapes.channel_means", scaled).status == "passed"


def test_a_way_through_numpy_and_back_is_right_and_one_that_stays_there_is_remarked():
    def back(predicted, truth, classes):
        return _iou(predicted, truth, classes).to(predicted.device)

    def stays(predicted, truth, classes):
        return _iou(predicted, truth, classes)

    def _iou(predicted, truth, classes):
        p, t = predicted.cpu().numpy(), truth.cpu().numpy()
        found = []
        for k in range(classes):
            both = ((p == k) & (t == k)).sum()
            either = (((p == k) | (t == k)) & (t >= 0) & (t < classes)).sum()
            found += [both / either] if either else []
        return torch.tensor(sum(found) / len(found), dtype=torch.float32)

    assert _remarked("non_local.mean_iou", stays)
    assert not _remarked("non_local.mean_iou", back)


def test_what_goes_through_numpy_or_a_list_and_stays_on_the_cpu_is_remarked():
    def by_numpy(pictures):
        return torch.from_numpy(pictures.cpu().numpy().mean((1, 2)))

    def by_numpy_and_back(pictures):
        return by_numpy(pictures).to(pictures.device)

    assert _remarked("shapes.channel_means", by_numpy)
    assert not _remarked("shapes.channel_means", by_numpy_and_back)

    def lists(x, y):
        return torch.tensor([[sum(map(mul, a, b)) for b in y.tolist()] for a in x.tolist()])

    assert _remarked("shapes.similarity", lists)

    def lists_beside(x, y):  # what was read out may lie there, what is made beside may not
        return lists(x, y) + torch.zeros(len(x), 1) + x @ y.T

    assert _of_devices("shapes.similarity", lists_beside) == "leaves_the_device"


def test_what_is_made_beside_the_input_follows_it():
    def beside(x, y):
        return x.new_zeros(len(x), len(y)) + torch.zeros_like(x) @ y.T + x @ y.T

    def named(x, y):
        return torch.zeros(len(x), len(y), device=x.device) + x @ y.T

    def on_the_cpu(x, y):
        return torch.zeros(len(x), len(y), device="cpu") + x @ y.T

    assert _of_devices("shapes.similarity", beside) is None
    assert _of_devices("shapes.similarity", named) is None
    assert _of_devices("shapes.similarity", on_the_cpu) == "leaves_the_device"


def test_it_is_found_without_what_torch_loads_for_tensors_without_numbers():
    code = (
        "import sys, torch\n"
        "from attncourse import check\n"
        "def here(lengths, keys):\n"
        "    return torch.arange(keys) < lengths[:, None, None]\n"
        "assert check('scaled_dot_product.padding_mask', here).slip == 'leaves_the_device'\n"
        "assert 'sympy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def _of_devices(id, answer):
    """What the examiner of devices alone says."""
    found = device.examine(Case(exercise(id), answer))
    return found and found.slip


def _remarked(id, answer):
    """Whether the examiner of devices lets it pass with a remark."""
    case = Case(exercise(id), answer)
    assert device.examine(case) is None
    return case.remarks == [device.REMARK]
