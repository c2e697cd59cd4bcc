"""Writes recurrent models whose steps are while-loops, as SavedModels of TensorFlow 2, and samples for them.

Run by test_calibrate_loops.py in a process of its own, as what TensorFlow 2 does cannot be switched on later.
"""

import sys

import numpy as np
import tensorflow as tf

layers = tf.keras.layers
# What is fed, the batch first, and the layers.
MODELS = {
    "gru": ([1, 16, 8], lambda: [layers.GRU(12)]),
    "lstm_twice": ([None, 16, 8], lambda: [layers.LSTM(12, return_sequences=True), layers.LSTM(8)]),
    "both_ways": ([None, 16, 8], lambda: [layers.Bidirectional(layers.GRU(6))]),
    "simple": ([None, 16, 8], lambda: [layers.SimpleRNN(12)]),
    "long": ([None, 130, 8], lambda: [layers.GRU(12)]),
    "words": ([None, 20], lambda: [layers.Embedding(50, 8, tf.keras.initializers.RandomNormal(stddev=1)), layers.GRU(12)]),
}


def main(folder):
    tf.keras.utils.set_random_seed(7)
    random = np.random.RandomState(3)
    for name, ((batch, *shape), build) in MODELS.items():
        tf.keras.Sequential([layers.Input(shape, batch), *build(), layers.Dense(4)]).export(f"{folder}/{name}")
        words, steps = random.randint(0, 50, [48, 20]), random.normal(size=[48, *shape])
        np.save(f"{folder}/{name}.npy", (words if name == "words" else steps).astype(np.float32))


main(sys.argv[1])
