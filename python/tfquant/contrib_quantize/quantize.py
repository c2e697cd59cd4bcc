"""Quantizing alone, under the name that it had inside ``tf.contrib.quantize``."""

from __future__ import annotations

import tensorflow.compat.v1 as tf

from ._live import rewrite


def Quantize(  # noqa: N802
    graph: tf.Graph,
    is_training: bool,
    weight_bits: int = 8,
    activation_bits: int = 8,
    symmetric: bool = False,
    ema_decay: float = 0.999,
    quant_delay: int | None = None,
    vars_collection: str = tf.GraphKeys.GLOBAL_VARIABLES,
    scope: str | None = None,
) -> None:
    """Inserts fake quantizers around the layers of a graph, in place.

    Args:
        graph: The graph.
        is_training: Whether it trains.
        weight_bits: Bits for weights, 2 to 8.
        activation_bits: Bits for activations, 2 to 8.
        symmetric: Whether to keep the ends of ranges at the same distance from zero.
        ema_decay: Decay of the moving averages of activations' ranges.
        quant_delay: The number of steps after which weights and activations are quantized.
        vars_collection: The collection that range variables enter beside the global ones.
        scope: The scope inside which layers are quantized; everywhere, if None.

    Raises:
        ValueError: A layer is refused. The graph is as it was.
    """
    rewrite(
        graph,
        is_training,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        symmetric=symmetric,
        ema_decay=ema_decay,
        quant_delay=quant_delay,
        vars_collection=vars_collection,
        scope=scope,
        no_fold_batch_norms=True,
        allow_training_ops=True,
    )
