"""Functions of several arrays of one shape."""

from __future__ import annotations

from ._operations import Node, adapts

__all__: list[str] = []


@adapts("add", "average")
def _add(node: Node) -> None:
    first, *others = node.inputs
    y = node.outputs[0]
    share = 1.0 / len(node.inputs) if node.op == "average" else 1.0
    if not others:
        node.view()
        return
    node.run("fnp_add", x=first.array, x_1=others[0].array)
    for value in others[1:]:
        node.run("fnp_add_to", x=value.array)
    if share != 1:
        node.run("fnp_affine_same", x=y.array, y=y.array, scale=share, shift=0.0)
    for value in node.inputs:
        if value.gradient is not None:
            node.differentiate("fnp_add_scaled", x=y.gradient, y=value.gradient, factor=share)


@adapts("subtract")
def _subtract(node: Node) -> None:
    node.run("fnp_subtract")
    for value, factor in zip(node.inputs, (1.0, -1.0)):
        if value.gradient is not None:
            node.differentiate("fnp_add_scaled", x=node.outputs[0].gradient, y=value.gradient, factor=factor)


@adapts("multiply")
def _multiply(node: Node) -> None:
    first, *others = node.inputs
    y = node.outputs[0]
    if not others:
        node.view()
        return
    node.run("fnp_multiply")
    for value in others[1:]:
        node.run("fnp_multiply", x=y.array, x_1=value.array)
    for i, value in enumerate(node.inputs):
        if value.gradient is None or not node.differentiates:
            continue
        product = y.gradient
        *middle, last = (other.array for j, other in enumerate(node.inputs) if j != i)
        for array in middle:
            made = node.buffer(y.gradient.size, "product") if product is y.gradient else product
            node.differentiate("fnp_multiply", x=product, x_1=array, y=made)
            product = made
        node.differentiate("fnp_add_product", x=product, x_1=last, y=value.gradient)


@adapts("maximum", "minimum")
def _extremum(node: Node) -> None:
    first, *others = node.inputs
    y = node.outputs[0]
    if not others:
        node.view()
        return
    node.run(f"fnp_{node.op}")
    for value in others[1:]:
        node.run(f"fnp_{node.op}", x=y.array, x_1=value.array)
    for value in node.inputs:
        node.differentiate("fnp_extremum_backward", x=value.array, dx=value.gradient)


@adapts("select")
def _select(node: Node) -> None:
    mask, *inputs = node.inputs
    arrays = [value.array for value in inputs] + [None]
    gradients = [value.gradient for value in inputs] + [None]
    positions = node.rows * mask.size
    names = {"mask": mask.array, "positions": positions, "width": inputs[0].size // mask.size}
    node.run("fnp_select", x=arrays[0], x_1=arrays[1], **names)
    if gradients[0] is not None or gradients[1] is not None:
        node.differentiate("fnp_select_backward", dx=gradients[0], dx_1=gradients[1], **names)
