"""What normalizations and attention do to channels."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.optimize.filters.channels import Layout, NotUnderstood
from edgekit.optimize.filters.rules import Rule, Seen, along_last, fixed


def _batch_norm(seen: Seen) -> Sequence[Layout | None]:
    walk, part, layer, ids = seen.walk, seen.part, seen.layer, seen.last()
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    if [axis if axis < 0 else axis - len(seen.shapes[0]) for axis in axes] != [-1]:
        raise NotUnderstood("it normalizes along another axis than the channels'")
    walk.cut(part, getattr(layer, "gamma", None), -1, ids, "scale")
    walk.cut(part, getattr(layer, "beta", None), -1, ids, "shift")
    walk.cut(part, layer.moving_mean, -1, ids, "mean")
    walk.cut(part, layer.moving_variance, -1, ids, "variance")
    return seen.inputs


def _layer_norm(seen: Seen) -> Sequence[Layout | None]:
    """Its mean and variance are taken over the channels: with one less all others would change."""
    layout = seen.inputs[0]
    if layout is not None:
        kind = type(seen.layer).__name__
        seen.walk.channels.freeze(
            layout.ids, f"{seen.part.path} ({kind}) takes its statistics over all channels: with one less all change"
        )
    return (layout,)


def _group_norm(seen: Seen) -> Sequence[Layout | None]:
    """Whole groups may go; one group alone is a layer normalization."""
    walk, part, layer, ids = seen.walk, seen.part, seen.layer, seen.last()
    if layer.axis not in (-1, len(seen.shapes[0]) - 1):
        raise NotUnderstood("it normalizes along another axis than the channels'")
    groups = ids.size if layer.groups == -1 else int(layer.groups)
    if groups == 1:
        return _layer_norm(seen)
    own = ids.reshape(groups, -1)
    for channels in own:
        walk.channels.unite(channels, channels[:1].repeat(channels.size))
    walk.cut(part, getattr(layer, "gamma", None), -1, ids, "scale")
    walk.cut(part, getattr(layer, "beta", None), -1, ids, "shift")
    if layer.get_config()["groups"] != -1:
        walk.edit(part, ("groups",), own[:, 0])
    return seen.inputs


def _prelu(seen: Seen) -> Sequence[Layout | None]:
    layout = seen.inputs[0]
    if layout is None:
        raise NotUnderstood("the number of its channels is open")
    alpha = seen.layer.alpha
    if int(alpha.shape[layout.axis]) == layout.ids.size:
        seen.walk.cut(seen.part, alpha, layout.axis, layout.ids, "pass")
    elif int(alpha.shape[layout.axis]) != 1:
        raise NotUnderstood("its slopes do not fit the channels")
    return (layout,)


def _attention(seen: Seen) -> Sequence[Layout | None]:
    """Whole heads may go (Michel et al. 2019, arXiv:1905.10650)."""
    walk, part, layer = seen.walk, seen.part, seen.layer
    query = seen.last(seen.argument("0", "query"))
    value = seen.last(seen.argument("1", "value"))
    key = seen.last(seen.argument("2", "key", "1", "value"))
    heads = walk.made(part, int(layer._query_dense.kernel.shape[-2]), "heads")
    for dense, ids in ((layer._query_dense, query), (layer._key_dense, key), (layer._value_dense, value)):
        walk.cut(part, dense.kernel, 0, ids, "input")
        walk.cut(part, dense.kernel, 1, heads, "filter")
        walk.cut(part, getattr(dense, "bias", None), 0, heads, "bias")
    output = layer._output_dense
    made = walk.made(part, int(output.kernel.shape[-1]), "units")
    if len(output.kernel.shape) != 3:
        raise NotUnderstood("its output has several axes")
    walk.cut(part, output.kernel, 0, heads, "input")
    walk.cut(part, output.kernel, 2, made, "filter")
    walk.cut(part, getattr(output, "bias", None), -1, made, "bias")
    walk.edit(part, ("num_heads",), heads)
    if layer.get_config().get("output_shape") is None:
        walk.channels.unite(made, query)  # it follows the query's width
    else:
        walk.channels.freeze(made, f"{part.path} is told the width of its output")
    scores = "the scores of an attention are no channels"
    return (*along_last(made), *(fixed(seen, shape, scores) for shape in seen.outputs[1:]))


def _layer_scale(seen: Seen) -> Sequence[Layout | None]:
    """The learnt factor per channel of ConvNeXt."""
    seen.walk.cut(seen.part, seen.layer.gamma, -1, seen.last(), "pass")
    seen.walk.edit(seen.part, ("projection_dim",), seen.last())
    return seen.inputs


NORM_RULES: dict[str, Rule] = {
    "BatchNormalization": _batch_norm,
    "SyncBatchNormalization": _batch_norm,
    **dict.fromkeys(("LayerNormalization", "RMSNormalization", "UnitNormalization"), _layer_norm),
    "GroupNormalization": _group_norm,
    "PReLU": _prelu,
    "LayerScale": _layer_scale,
    "MultiHeadAttention": _attention,
}
