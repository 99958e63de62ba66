"""Changes of images at random, which predictions do without."""

from __future__ import annotations

import numpy as np

from ._operations import Node, adapts

__all__: list[str] = []


@adapts("random_affine", "random_brightness", "random_contrast", "random_erasing")
def _augmentation(node: Node) -> None:
    if not node.training:
        node.view()
        return
    height, width, channels = node.inputs[0].shape
    attributes = node.attributes
    names = node.stream()
    if node.op == "random_affine":
        flags = [int(attributes[name]) for name in ("horizontal", "vertical", "same_zoom", "fill", "bilinear")]
        names["shape"] = node.constant(np.array([height, width, channels, *flags]), "shape", "fnp_map_shape")
        amounts = ["rotation", "down", "right", "zoom_rows", "zoom_columns"]
    else:
        amounts = ["factor", "scale"]
    if node.op == "random_erasing":
        names |= {"height": height, "width": width, "channels": channels}
    if node.op in ("random_affine", "random_erasing"):
        ranges = [attributes[f"{amount}_{end}"] for amount in amounts for end in ("low", "high")]
        names["ranges"] = node.constant(np.array(ranges), "ranges")
    node.run(f"fnp_{node.op}", **names)
    node.differentiate(f"fnp_{node.op}_backward", **names)
