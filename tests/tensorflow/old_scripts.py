"""Networks as old training scripts build them: TF-Slim's MobileNet, and one of Keras' layers.

Keras is the one that makes graphs for sessions, which newer TensorFlows have as a package.
"""

import sys

import numpy as np
import tensorflow.compat.v1 as tf
import tf_keras
import tf_slim as slim
from tf_keras.src.legacy_tf_layers import normalization

# Where TensorFlow looks for the layer that TF-Slim's batch norm is made of, and where the package does not have it.
sys.modules.setdefault("tf_keras.legacy_tf_layers.normalization", normalization)

SIZE = 16
CLASSES = 4


def mobilenet(images, training):
    """MobileNet v1 as TF-Slim's model library has it, narrow and short."""
    norm = {"decay": 0.9, "epsilon": 0.001, "center": True, "scale": True}
    with slim.arg_scope([slim.batch_norm], is_training=training, **norm), slim.arg_scope(
        [slim.conv2d, slim.separable_conv2d],
        activation_fn=tf.nn.relu6,
        normalizer_fn=slim.batch_norm,
        weights_initializer=tf.truncated_normal_initializer(stddev=0.09, seed=3),
    ), tf.variable_scope("MobilenetV1"):
        x = slim.conv2d(images, 8, [3, 3], stride=2, scope="Conv2d_0")
        for index, (channels, stride) in enumerate([(16, 1), (16, 2), (24, 1), (32, 2)], 1):
            x = slim.separable_conv2d(
                x, None, [3, 3], depth_multiplier=1, stride=stride, scope=f"Conv2d_{index}_depthwise"
            )
            x = slim.conv2d(x, channels, [1, 1], scope=f"Conv2d_{index}_pointwise")
        with tf.variable_scope("Logits"):
            x = slim.avg_pool2d(x, [2, 2], scope="AvgPool_1a")
            x = slim.conv2d(
                x, CLASSES, [1, 1], activation_fn=None, normalizer_fn=None, scope="Conv2d_1c_1x1"
            )
            return tf.squeeze(x, [1, 2], name="SpatialSqueeze")


def keras_network(images, training):
    """A network of Keras' layers, whose variables are resources."""
    layers = tf_keras.layers
    tf_keras.backend.set_learning_phase(int(training))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(images)
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.Conv2D(16, 1, activation="relu")(x)
    return layers.Dense(CLASSES)(layers.Flatten()(x))


NETWORKS = {"slim": mobilenet, "keras": keras_network}


def build(network, training):
    """The network in the default graph, with a loss for training; returns its logits and its loss."""
    images = tf.placeholder(tf.float32, [None, SIZE, SIZE, 3], name="images")
    logits = tf.identity(NETWORKS[network](images, training), name="logits")
    tf.nn.softmax(logits, name="classes")
    if not training:
        return logits, None
    labels = tf.placeholder(tf.int64, [None], name="labels")
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    return logits, tf.reduce_mean(losses, name="loss")


def batch(seed, count=16):
    """Images whose class can be learned, and the classes."""
    random = np.random.RandomState(seed)
    labels = random.randint(0, CLASSES, count)
    patterns = np.random.RandomState(0).uniform(-1, 1, [CLASSES, SIZE, SIZE, 3])
    images = patterns[labels] + random.normal(0, 0.3, [count, SIZE, SIZE, 3])
    return {"images:0": images.astype(np.float32), "labels:0": labels}
