"""A tensor made on a device of its own is found without another one."""

import torch
from told import ATTENTION

from attncourse import check
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


def test_a_way_through_numpy_and_back_is_right_and_one_that_stays_there_is_not():
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

    assert check("non_local.mean_iou", stays).slip == "leaves_the_device"
    assert check("non_local.mean_iou", back).slip != "leaves_the_device"
