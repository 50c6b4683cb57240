"""COCO's average precision, by its own library."""

import contextlib
import io
from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor

from attncourse import places
from attncourse.errors import UserError
from solutions.capstone.detection import Found

MEASURES = ("AP", "AP50", "AP75")  # mean over overlaps of 0.5 to 0.95, at 0.5, at 0.75


def average_precision(
    found: Sequence[Found],
    boxes: Sequence[Float[Tensor, "n 4"]],
    labels: Sequence[Int[Tensor, " n"]],
    classes: int = 10,
) -> dict[str, float]:
    """AP, AP50 and AP75 of what was found, from 0 to 1, as pycocotools counts them.

    boxes, labels  the truths of each picture
    Raises UserError where the library is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise UserError(
            f"no pycocotools, which counts average precision: {places.extra('detection')}"
        ) from None
    truths = [
        {
            "image_id": picture,
            "category_id": int(label),
            "bbox": _corner_and_size(box),
            "area": float((box[2] - box[0]) * (box[3] - box[1])),
            "iscrowd": 0,
        }
        for picture, (edges, classes_) in enumerate(zip(boxes, labels, strict=True))
        for box, label in zip(edges, classes_, strict=True)
    ]
    for number, truth in enumerate(truths, 1):
        truth["id"] = number
    guesses = [
        {
            "image_id": picture,
            "category_id": int(label),
            "bbox": _corner_and_size(box),
            "score": float(score),
        }
        for picture, one in enumerate(found)
        for box, score, label in zip(*one, strict=True)
    ]
    if not guesses:
        return dict.fromkeys(MEASURES, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "images": [{"id": picture} for picture in range(len(boxes))],
            "annotations": truths,
            "categories": [{"id": label} for label in range(classes)],
        }
        known.createIndex()
        known.info = None
        judged = COCOeval(known, _loaded(known, guesses), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return {name: float(judged.stats[place]) for place, name in enumerate(MEASURES)}


def _loaded(known, guesses):
    known.dataset.setdefault("info", {})
    return known.loadRes(guesses)


def _corner_and_size(box: Tensor) -> list[float]:
    left, top, right, bottom = box.tolist()
    return [left, top, right - left, bottom - top]
