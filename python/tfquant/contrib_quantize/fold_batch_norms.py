"""Folding alone, under the name that it had inside ``tf.contrib.quantize``."""

from __future__ import annotations

import tensorflow.compat.v1 as tf

from ._live import fold


def FoldBatchNorms(graph: tf.Graph, is_training: bool, freeze_batch_norm_delay: int | None = None) -> None:  # noqa: N802, N803
    """Folds batch norms into the layers before them, in place.

    Args:
        graph: The graph.
        is_training: Whether it trains.
        freeze_batch_norm_delay: The number of steps after which moving means and variances are frozen.

    Raises:
        ValueError: A layer is refused. The graph is as it was.
    """
    fold(graph, is_training, freeze_bn_delay=freeze_batch_norm_delay)
