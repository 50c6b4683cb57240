"""The same small RetinaNet on three backbones, on digits in clutter: trained, and judged by
COCO's average precision."""
