"""Float models as people had them when the rewriter was young: TensorFlow 1 graphs with TF-Slim's names."""

import numpy as np
import tensorflow.compat.v1 as tf

SIZE = 8
CLASSES = 5
LAYERS = ["Net/conv", "Net/depthwise", "Net/block/conv", "Net/fc"]


class Layers:
    """Makes layers whose nodes have TF-Slim's names, on variables of one kind."""

    def __init__(self, resource):
        self.resource = resource

    def variable(self, name, shape, stddev):
        return tf.get_variable(
            name,
            shape,
            initializer=tf.truncated_normal_initializer(stddev=stddev, seed=len(name)),
            use_resource=self.resource,
        )

    def conv(self, x, name, channels, activation=None):
        with tf.variable_scope(name):
            weights = self.variable("weights", [3, 3, x.shape[-1], channels], 0.2)
            x = tf.nn.conv2d(x, weights, strides=[1, 1, 1, 1], padding="SAME", name="Conv2D")
            return self.bias_and_activation(x, activation)

    def depthwise(self, x, name, activation=None):
        with tf.variable_scope(name):
            weights = self.variable("depthwise_weights", [3, 3, x.shape[-1], 1], 0.4)
            # The function of that name wraps its op into a scope of its own; TF-Slim's layers do not.
            x = tf.raw_ops.DepthwiseConv2dNative(
                input=x, filter=weights, strides=[1, 2, 2, 1], padding="SAME", name="depthwise"
            )
            return self.bias_and_activation(x, activation)

    def fully_connected(self, x, name, units):
        with tf.variable_scope(name):
            weights = self.variable("weights", [x.shape[-1], units], 0.2)
            return self.bias_and_activation(tf.matmul(x, weights, name="MatMul"))

    def bias_and_activation(self, x, activation=None):
        biases = self.variable("biases", [x.shape[-1]], 0.1)
        x = tf.nn.bias_add(x, biases, name="BiasAdd")
        return activation(x, name=activation.__name__.capitalize()) if activation else x


def build(training=True, resource=False):
    """A network with each kind of layer that the rewriter knows, in the default graph.

    The loss, there when training, waits for `update_barrier` as in TF-Slim.
    """
    layers = Layers(resource)
    images = tf.placeholder(tf.float32, [None, SIZE, SIZE, 3], name="images")
    with tf.variable_scope("Net"):
        x = layers.conv(images, "conv", 8, tf.nn.relu6)
        x = layers.depthwise(x, "depthwise", tf.nn.relu6)
        with tf.variable_scope("block"):
            x = tf.nn.relu(tf.add(layers.conv(x, "conv", 8), x, name="Add"), name="Relu")
        x = tf.reshape(x, [-1, SIZE // 2 * SIZE // 2 * 8], name="Flatten")
        logits = layers.fully_connected(x, "fc", CLASSES)
        tf.nn.softmax(logits, name="Predictions")
    tf.train.get_or_create_global_step()
    if training:
        labels = tf.placeholder(tf.int64, [None], name="labels")
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        with tf.control_dependencies([tf.no_op(name="update_barrier")]):
            tf.reduce_mean(losses, name="loss")
    tf.global_variables_initializer()


def batch(seed, count=16):
    """Images whose class can be learned, and the classes."""
    random = np.random.RandomState(seed)
    labels = random.randint(0, CLASSES, count)
    patterns = np.random.RandomState(0).uniform(-1, 1, [CLASSES, SIZE, SIZE, 3])
    images = patterns[labels] + random.normal(0, 0.3, [count, SIZE, SIZE, 3])
    return {"images:0": images.astype(np.float32), "labels:0": labels}


def images(seed, count=16):
    """The images of a batch alone."""
    return {"images:0": batch(seed, count)["images:0"]}
