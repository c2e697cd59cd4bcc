"""Trains the network of this folder on scikit-learn's digits, and writes each form that people keep a network in.

Run with TensorFlow 2.15 and scikit-learn in this folder; takes a minute on one core and is deterministic there. Fails
where the network has less than 97 % of the test images right, or two forms disagree about a single one.
"""

import os
import pathlib
import shutil

os.environ["TF_DETERMINISTIC_OPS"] = "1"

import numpy as np
import tensorflow as tf2
from sklearn.datasets import load_digits

tf = tf2.compat.v1
tf.disable_resource_variables()  # The graphs are those of TensorFlow 1's users; Keras makes its own resources.

FOLDER = pathlib.Path(__file__).parent
CHECKPOINT = FOLDER / "checkpoint" / "model.ckpt"
STEPS, BATCH, CALIBRATION, TEST = 4000, 64, 64, 240
MOMENTUM, EPSILON = 0.95, 1e-3


def conv(x, name, channels, size, training, activation):
    with tf.variable_scope(name):
        weights = tf.get_variable("weights", [size, size, x.shape[-1], channels], initializer=tf.variance_scaling_initializer(2.0))
        x = tf.nn.conv2d(x, weights, [1, 1, 1, 1], "SAME", name="Conv2D")
        return batch_norm(x, training, activation)


def depthwise(x, name, stride, training, activation):
    with tf.variable_scope(name):
        weights = tf.get_variable("depthwise_weights", [3, 3, x.shape[-1], 1], initializer=tf.glorot_normal_initializer())
        x = tf.nn.depthwise_conv2d_native(x, weights, [1, stride, stride, 1], "SAME", name="depthwise")
        return batch_norm(x, training, activation)


def batch_norm(x, training, activation):
    x = tf.layers.batch_normalization(x, momentum=MOMENTUM, epsilon=EPSILON, training=training, name="BatchNorm")
    return activation(x, name=activation.__name__.capitalize()) if activation else x


def network(images, training):
    """A separable block with a residual, a convolution beside its own input, a strided depthwise one, a classifier."""
    with tf.variable_scope("Digits"):
        x = conv(images, "stem", 16, 3, training, tf.nn.relu6)
        y = depthwise(x, "separable/depthwise", 1, training, tf.nn.relu6)
        y = conv(y, "separable/pointwise", 16, 1, training, None)
        x = tf.add(x, y, name="residual/add")
        x = tf.concat([x, conv(x, "growth/conv", 16, 3, training, tf.nn.relu)], 3, name="growth/concat")
        x = depthwise(x, "strided/depthwise", 2, training, tf.nn.relu)
        x = tf.reduce_mean(x, [1, 2], name="pool")
        with tf.variable_scope("logits"):
            weights = tf.get_variable("weights", [x.shape[-1], 10], initializer=tf.glorot_normal_initializer())
            biases = tf.get_variable("biases", [10], initializer=tf.zeros_initializer())
            logits = tf.nn.bias_add(tf.matmul(x, weights, name="MatMul"), biases, name="BiasAdd")
        return logits, tf.nn.softmax(logits, name="probabilities")


def keras_network():
    """The same network, of Keras' layers."""
    layers = tf2.keras.layers

    def normalized(x, name, activation):
        x = layers.BatchNormalization(momentum=MOMENTUM, epsilon=EPSILON, name=name + "_bn")(x)
        return activation(x) if activation else x

    def conv(x, name, channels, size, activation):
        x = layers.Conv2D(channels, size, padding="same", use_bias=False, name=name)(x)
        return normalized(x, name, activation)

    def depthwise(x, name, stride, activation):
        x = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False, name=name)(x)
        return normalized(x, name, activation)

    image = tf2.keras.Input([8, 8, 1], name="image")
    x = conv(image, "stem", 16, 3, layers.ReLU(6.0))
    y = conv(depthwise(x, "separable_depthwise", 1, layers.ReLU(6.0)), "separable_pointwise", 16, 1, None)
    x = layers.Add(name="residual")([x, y])
    x = layers.Concatenate(name="growth")([x, conv(x, "growth_conv", 16, 3, layers.ReLU())])
    x = depthwise(x, "strided_depthwise", 2, layers.ReLU())
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return tf2.keras.Model(image, layers.Dense(10, "softmax", name="logits")(x), name="digits")


def data():
    """Images from 0 to 1 and their classes. The last ones are for the test: they were written by other people."""
    digits = load_digits()
    images = (digits.images[..., np.newaxis] / 16).astype(np.float32)
    return images[:-TEST], digits.target[:-TEST], images[-TEST:], digits.target[-TEST:]


def shift(image, down, right):
    """The image moved by up to one pixel each way; 1 leaves it where it is."""
    return np.pad(image, [(1, 1), (1, 1), (0, 0)])[down : down + 8, right : right + 8]


def session(graph):
    return tf.Session(graph=graph, config=tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1))


def train(images, labels):
    """Trains, and writes the training graph and its checkpoint."""
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(1)
        image = tf.placeholder(tf.float32, [None, 8, 8, 1], name="image")
        label = tf.placeholder(tf.int64, [None], name="label")
        rate = tf.placeholder_with_default(0.0, [], name="learning_rate")
        logits, _ = network(image, training=True)
        loss = tf.losses.sparse_softmax_cross_entropy(label, logits)
        global_step = tf.train.get_or_create_global_step()
        # A rewriter for training comes before the gradients, so this graph is kept without them.
        tf.train.Saver().export_meta_graph(str(FOLDER / "train.meta"), clear_devices=True, strip_default_attrs=True)
        with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
            step = tf.train.MomentumOptimizer(rate, 0.9).minimize(loss, global_step)
        saver = tf.train.Saver(save_relative_paths=True)
        random = np.random.RandomState(1)
        with session(graph) as running:
            running.run(tf.global_variables_initializer())
            for number in range(STEPS):
                chosen = random.choice(len(images), BATCH, replace=False)
                shifted = np.stack([shift(image, *random.randint(3, size=2)) for image in images[chosen]])
                learning_rate = 0.05 * (1 + np.cos(np.pi * number / STEPS)) / 2
                running.run(step, {image: shifted, label: labels[chosen], rate: learning_rate})
            saver.save(running, str(CHECKPOINT), write_meta_graph=False)


def write_inference_forms():
    """Writes the inference graph and the frozen one; returns the values of all variables, by name."""
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(1)
        network(tf.placeholder(tf.float32, [None, 8, 8, 1], name="image"), training=False)
        saver = tf.train.Saver()
        saver.export_meta_graph(str(FOLDER / "eval.meta"), clear_devices=True, strip_default_attrs=True)
        with session(graph) as running:
            saver.restore(running, str(CHECKPOINT))
            frozen = tf.graph_util.convert_variables_to_constants(running, graph.as_graph_def(), ["Digits/probabilities"])
            (FOLDER / "frozen.pb").write_bytes(frozen.SerializeToString(deterministic=True))
            return {variable.op.name: running.run(variable) for variable in tf.global_variables()}


def write_saved_model(values):
    """Writes the network of Keras' layers as Keras exports it for serving, with the trained values."""
    kinds = {"kernel": "weights", "depthwise_kernel": "depthwise_weights", "bias": "biases"}
    tf2.random.set_seed(1)
    model = keras_network()
    for weight in model.weights:
        layer, kind = weight.name.removesuffix(":0").split("/")
        scope = layer.removesuffix("_bn").replace("_", "/") + ("/BatchNorm" if layer.endswith("_bn") else "")
        weight.assign(values[f"Digits/{scope}/{kinds.get(kind, kind)}"])
    shutil.rmtree(FOLDER / "saved_model", ignore_errors=True)
    model.export(str(FOLDER / "saved_model"))
    (FOLDER / "saved_model" / "fingerprint.pb").unlink()


def run_graph(load, images):
    """What the graph that `load` imports makes of the images."""
    with tf.Graph().as_default() as graph, session(graph) as running:
        load(running)
        return running.run("Digits/probabilities:0", {"image:0": images})


def load_meta_graph(running):
    tf.train.import_meta_graph(str(FOLDER / "eval.meta")).restore(running, str(CHECKPOINT))


def load_frozen(_):
    tf.import_graph_def(tf.GraphDef.FromString((FOLDER / "frozen.pb").read_bytes()), name="")


def check(images, labels):
    """All forms compute the same, and that is right for at least 97 % of the images."""
    served = tf2.saved_model.load(str(FOLDER / "saved_model")).signatures["serving_default"]
    (probabilities,) = served(tf2.constant(images)).values()
    forms = [run_graph(load_meta_graph, images), run_graph(load_frozen, images), probabilities.numpy()]
    accuracies = [np.mean(form.argmax(1) == labels) for form in forms]
    apart = max(np.abs(form - forms[0]).max() for form in forms)
    print(f"accuracy {accuracies[0]:.4f}, forms at most {apart:.1e} apart")
    assert min(accuracies) >= 0.97 and apart < 1e-5 and len(set(accuracies)) == 1


def main():
    images, labels, test_images, test_labels = data()
    train(images, labels)
    write_saved_model(write_inference_forms())
    np.save(FOLDER / "calibration.npy", images[:CALIBRATION])
    np.save(FOLDER / "test.npy", test_images)
    np.save(FOLDER / "labels.npy", test_labels.astype(np.uint8))
    check(test_images, test_labels)


if __name__ == "__main__":
    main()
