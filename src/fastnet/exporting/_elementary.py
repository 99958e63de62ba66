"""Dense layers, activations, merges, and what only renames or scales numbers."""

from __future__ import annotations

from ._operations import Node, adapts

__all__: list[str] = []


@adapts("dense")
def _dense(node: Node) -> None:
    y = node.outputs[0]
    n = node.rows * y.size
    before, saved = node.activated(y.array, n)
    bias = node.parameters[1] if node.attributes["use_bias"] else None
    d_bias = node.gradients[1] if node.attributes["use_bias"] else None
    node.run("fnp_dense", kernel=node.parameters[0], bias=bias, y=before, units=y.shape[-1])
    node.activate(before, y.array, n)
    node.differentiate_activation(saved, y.gradient, n)
    if node.descends is not None:  # its parameters are updated here
        node.differentiate(
            "fnp_dense_descend", kernel=node.parameters[0], bias=bias, units=y.shape[-1], learning_rate=node.descends
        )
        return
    node.differentiate(
        "fnp_dense_backward", kernel=node.parameters[0], dkernel=node.gradients[0], dbias=d_bias, units=y.shape[-1]
    )


@adapts("sparse_dense")
def _sparse_dense(node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    n = node.rows * y.size
    before, saved = node.activated(y.array, n)
    bias = node.parameters[1] if node.attributes["use_bias"] else None
    d_bias = node.gradients[1] if node.attributes["use_bias"] else None
    common = {"kernel": node.parameters[0], "pairs": x.shape[-1] // 2}
    node.run("fnp_sparse_dense", bias=bias, y=before, **common)
    node.activate(before, y.array, n)
    node.differentiate_activation(saved, y.gradient, n)
    node.differentiate("fnp_sparse_dense_backward", dkernel=node.gradients[0], dbias=d_bias, **common)


@adapts("activation")
def _activation(node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    n = node.rows * x.size
    node.activate(x.array, y.array, n)
    from_input = node.activation() != "linear" and node.forward.library.blocks[f"fnp_{node.activation()}_backward"].from_input
    node.differentiate_activation(x.array if from_input else y.array, y.gradient, n)
    node.differentiate("fnp_add_to", x=y.gradient, y=x.gradient)


@adapts("reshape")
def _view(node: Node) -> None:
    node.view()


@adapts("in_training")
def _in_training(node: Node) -> None:
    node.view(len(node.inputs) - 1 if node.training else 0)


@adapts("affine")
def _affine(node: Node) -> None:
    if node.attributes["per_feature"]:
        scale, shift = node.parameters
        node.run("fnp_affine", scale=scale, shift=shift)
        node.differentiate("fnp_affine_backward", scale=scale)
    else:
        node.run("fnp_affine_same")
        node.differentiate("fnp_affine_same_backward")
