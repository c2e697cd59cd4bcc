"""Writes models with functions and loops as TensorFlow 2 freezes them: as functions, and lowered to single nodes.

Run by test_interpreter.py in a process of its own, as what TensorFlow 2 does cannot be switched on later.
"""

import sys

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

layers = tf.keras.layers
random = np.random.RandomState(3)


def recurrent(*following):
    return tf.keras.Sequential([layers.Input([6, 4], 2), *following])


MODELS = [
    recurrent(layers.LSTM(5, return_sequences=True)),
    recurrent(layers.GRU(5)),
    recurrent(layers.LSTM(5, unroll=True)),
    recurrent(layers.Bidirectional(layers.SimpleRNN(3))),
    recurrent(layers.Conv1D(8, 3, padding="causal", activation="relu"), layers.MaxPool1D(2), layers.SeparableConv1D(4, 1),
              layers.GlobalAveragePooling1D()),
    recurrent(layers.Dense(7, activation="gelu")),
]


@tf.function
def twice(x):
    return x * 2.0


def collatz(n):
    steps = tf.constant(0)
    while n > 1:
        if n % 2 == 0:
            n = n // 2
        else:
            n = 3 * n + 1
        steps += 1
    return steps


def listed(x):
    total = tf.TensorArray(tf.float32, size=0, dynamic_size=True)
    for i in tf.range(4):
        total = total.write(i, twice(x[i]))
    return total.stack()


def switched(x):
    return tf.switch_case(tf.cast(x[0], tf.int32), [lambda: x, lambda: x * 3.0])


def save(function, array, path):
    concrete = tf.function(function).get_concrete_function(tf.TensorSpec(array.shape, array.dtype))
    expected = [tensor.numpy() for tensor in tf.nest.flatten(concrete(tf.constant(array)))]
    for lower in [True, False]:
        frozen = convert_variables_to_constants_v2(concrete, lower_control_flow=lower)
        name = f"{path}_{'lowered' if lower else 'functions'}"
        with open(name + ".pb", "wb") as file:
            file.write(frozen.graph.as_graph_def().SerializeToString())
        np.savez(name + ".npz", names=[tensor.name for tensor in frozen.inputs],
                 outputs=[tensor.name for tensor in frozen.outputs], in0=array,
                 **{f"out{index}": array for index, array in enumerate(expected)})


def main(folder):
    samples = np.array(random.normal(size=[2, 6, 4]), np.float32)
    for index, model in enumerate(MODELS):
        save(lambda x, model=model: model(x, training=False), samples, f"{folder}/model{index}")
    save(collatz, np.array(27, np.int32), f"{folder}/model_collatz")
    save(listed, samples[0], f"{folder}/model_listed")
    save(switched, np.array([1, 2], np.float32), f"{folder}/model_switched")


main(sys.argv[1])
