"""Writes recurrent models whose steps are while-loops, as SavedModels of TensorFlow 2, and samples for them.

Run by test_calibrate_loops.py in a process of its own, as what TensorFlow 2 does cannot be switched on later.
"""

import sys

import numpy as np
import tensorflow as tf

layers = tf.keras.layers
MODELS = {
    "gru": lambda: [layers.GRU(12)],
    "lstm_twice": lambda: [layers.LSTM(12, return_sequences=True), layers.LSTM(8)],
    "both_ways": lambda: [layers.Bidirectional(layers.GRU(6))],
    "simple": lambda: [layers.SimpleRNN(12)],
}


def main(folder):
    tf.keras.utils.set_random_seed(7)
    for name, build in MODELS.items():
        # The converter wants lists of tensors whose shapes are known: the batch is.
        tf.keras.Sequential([layers.Input([16, 8], 1), *build(), layers.Dense(4)]).export(f"{folder}/{name}")
    np.save(f"{folder}/samples.npy", np.random.RandomState(3).normal(size=[48, 16, 8]).astype(np.float32))


main(sys.argv[1])
