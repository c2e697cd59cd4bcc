"""The four functions, with the signatures of TensorFlow 1.15."""

from __future__ import annotations

from typing import Any

import tensorflow.compat.v1 as tf

from ._live import rewrite

# Ops that train. A graph that holds one has gradients already, which would not see the quantizers.
_TRAINING_OPS = frozenset(
    [
        *(f"Apply{name}" for name in ("AdagradDA", "AddSign", "FtrlV2", "PowerSign")),
        *(f"ResourceApply{name}" for name in ("Adadelta", "AdagradDA", "AddSign", "FtrlV2", "PowerSign")),
        *(
            f"{kind}Apply{name}"
            for kind in ("", "Resource")
            for name in (
                "Adagrad",
                "Adam",
                "CenteredRMSProp",
                "Ftrl",
                "GradientDescent",
                "Momentum",
                "ProximalAdagrad",
                "ProximalGradientDescent",
                "RMSProp",
            )
        ),
        *(
            f"{kind}SparseApply{name}"
            for kind in ("", "Resource")
            for name in (
                "Adadelta",
                "Adagrad",
                "AdagradDA",
                "CenteredRMSProp",
                "Ftrl",
                "FtrlV2",
                "Momentum",
                "ProximalAdagrad",
                "ProximalGradientDescent",
                "RMSProp",
            )
        ),
    ]
)


def create_training_graph(input_graph: tf.Graph | None = None, quant_delay: int | None = 0) -> None:
    """Rewrites a training graph in place for simulated quantization.

    To be called before gradients are made, so that they see the quantizers. The new variables are among the global ones.

    Args:
        input_graph: The graph; the default graph, if None.
        quant_delay: The number of steps after which weights and activations are quantized. The default suits finetuning of
            a float model that is trained; to train from scratch, give the number of steps until that has converged.

    Raises:
        ValueError: The graph holds training ops, or layers that are refused. It is as it was.
    """
    _create_graph(input_graph, is_training=True, quant_delay=quant_delay)


def create_eval_graph(input_graph: tf.Graph | None = None) -> None:
    """Rewrites an eval graph in place for simulated quantization.

    Args:
        input_graph: The graph; the default graph, if None.

    Raises:
        ValueError: The graph holds training ops, or layers that are refused. It is as it was.
    """
    _create_graph(input_graph, is_training=False)


def experimental_create_training_graph(
    input_graph: tf.Graph | None = None,
    weight_bits: int = 8,
    activation_bits: int = 8,
    symmetric: bool = False,
    quant_delay: int | None = 0,
    freeze_bn_delay: int | None = None,
    scope: str | None = None,
) -> None:
    """Rewrites a training graph in place for simulated quantization.

    Args:
        input_graph: The graph; the default graph, if None.
        weight_bits: Bits for weights, 2 to 8.
        activation_bits: Bits for activations, 2 to 8.
        symmetric: Whether to keep the ends of ranges at the same distance from zero.
        quant_delay: The number of steps after which weights and activations are quantized.
        freeze_bn_delay: The number of steps after which moving means and variances are frozen, and used instead of the
            batch's.
        scope: The scope inside which layers are quantized; everywhere, if None.

    Raises:
        ValueError: The graph holds training ops, or layers that are refused. It is as it was.
    """
    _create_graph(
        input_graph,
        is_training=True,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        symmetric=symmetric,
        quant_delay=quant_delay,
        freeze_bn_delay=freeze_bn_delay,
        scope=scope,
    )


def experimental_create_eval_graph(
    input_graph: tf.Graph | None = None,
    weight_bits: int = 8,
    activation_bits: int = 8,
    symmetric: bool = False,
    quant_delay: int | None = None,
    scope: str | None = None,
) -> None:
    """Rewrites an eval graph in place for simulated quantization.

    Args:
        input_graph: The graph; the default graph, if None.
        weight_bits: Bits for weights, 2 to 8.
        activation_bits: Bits for activations, 2 to 8.
        symmetric: Whether to keep the ends of ranges at the same distance from zero.
        quant_delay: The number of steps after which weights and activations are quantized.
        scope: The scope inside which layers are quantized; everywhere, if None.

    Raises:
        ValueError: The graph holds training ops, or layers that are refused. It is as it was.
    """
    _create_graph(
        input_graph,
        is_training=False,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        symmetric=symmetric,
        quant_delay=quant_delay,
        scope=scope,
    )


def _create_graph(input_graph: tf.Graph | None, is_training: bool, **options: Any) -> None:
    graph = tf.get_default_graph() if input_graph is None else input_graph
    training_ops = {op.type for op in graph.get_operations()} & _TRAINING_OPS
    if training_ops:
        raise ValueError(f"Training op found in graph, exiting {training_ops}")
    rewrite(graph, is_training, **options)
