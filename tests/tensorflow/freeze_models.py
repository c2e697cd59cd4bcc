"""Makes TensorFlow 2 models with their bodies in functions, and what each of them computes.

    python freeze_models.py FOLDER [NAME …]

Every model is saved as FOLDER/NAME, a SavedModel, and run once: FOLDER/NAME.npz holds `in/KEY` and `out/KEY` for every
input and output of its signature. Works with TensorFlow 2.15 and the newest.
"""

import pathlib
import sys

import numpy as np
import tensorflow as tf

MODELS = {}


def model(function):
    MODELS[function.__name__] = function
    return function


def images(*shape):
    return np.random.RandomState(3).uniform(-1, 1, shape).astype(np.float32)


def weights(*shape):
    return np.random.RandomState(sum(shape)).normal(0, 0.5, shape).astype(np.float32)


def network():
    """Layers of every kind that is quantized, with batch norms that do something."""
    layers = tf.keras.layers
    built = tf.keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(4, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(6.0),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.Conv2D(4, 3, dilation_rate=2, padding="same", activation="relu"),
            layers.Dropout(0.5),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, activation="softmax"),
        ]
    )
    random = np.random.RandomState(7)
    built.set_weights([random.uniform(0.2, 1.2, value.shape) for value in built.get_weights()])
    return built


@model
def keras_saved(path):
    tf.saved_model.save(network(), path)
    return [images(2, 8, 8, 3)]


@model
def keras_save(path):
    built = network()
    if tf.__version__.startswith("2.15"):
        built.save(path, save_format="tf")
    else:  # Keras 3 saves no SavedModel by this name.
        built.export(path)
    return [images(2, 8, 8, 3)]


@model
def keras_export(path):
    network().export(path)
    return [images(2, 8, 8, 3)]


@model
def keras_recurrent(path):
    layers = tf.keras.layers
    built = tf.keras.Sequential(
        [
            layers.Input((6,), dtype="int32"),
            layers.Embedding(9, 4),
            layers.LSTM(5, return_sequences=True),
            layers.GRU(3),
            layers.Dense(2),
        ]
    )
    random = np.random.RandomState(8)
    built.set_weights([random.normal(0, 0.4, value.shape) for value in built.get_weights()])
    tf.saved_model.save(built, path)
    return [np.arange(12, dtype=np.int32).reshape(2, 6) % 9]


class Saved(tf.Module):
    """A module whose `run` becomes the default signature."""

    SPECS = [tf.TensorSpec([None, 4, 4, 2], tf.float32, name="x")]

    def save(self, path):
        tf.saved_model.save(self, path, signatures=tf.function(self.run, input_signature=self.SPECS))
        return [images(2, 4, 4, 2)]


@model
def plain_module(path):
    class Module(Saved):
        def __init__(self):
            super().__init__()
            self.kernel = tf.Variable(weights(3, 3, 2, 4))
            self.scale = tf.Variable(1.5)

        def run(self, x):
            return {"y": tf.nn.relu(tf.nn.conv2d(x, self.kernel, 1, "SAME")) * self.scale}

    return Module().save(path)


@model
def nested_functions(path):
    class Module(Saved):
        """Functions in functions, one of them called twice, which share their variables."""

        def __init__(self):
            super().__init__()
            self.kernel = tf.Variable(weights(3, 3, 2, 2), name="shared")

        @tf.function
        def conv(self, x):
            return tf.nn.conv2d(x, self.kernel, 1, "SAME")

        @tf.function
        def block(self, x):
            mean, variance = tf.nn.moments(self.conv(x), [1, 2], keepdims=True)
            return tf.nn.relu(self.conv(x) + tf.math.rsqrt(variance + 1.0) - mean)

        def run(self, x):
            first, second = tf.split(self.block(x), 2, axis=3)
            y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
                x=self.block(tf.concat([first, second], 3)),
                scale=[1.0, 2.0],
                offset=[0.0, 0.5],
                mean=[0.1, 0.2],
                variance=[1.0, 0.5],
                is_training=False,
            )
            return {"y": y, "mean": mean, "variance": variance}

    return Module().save(path)


@model
def while_loop(path):
    class Module(Saved):
        """Loops in loops, with layers, variables and a conditional inside."""

        def __init__(self):
            super().__init__()
            self.kernel = tf.Variable(weights(3, 3, 2, 2))
            self.bias = tf.Variable([0.25, -0.5])

        def run(self, x):
            def body(i, y):
                y = tf.nn.conv2d(y, self.kernel, 1, "SAME") * 0.5

                def inner(j, z):
                    return j + 1, tf.cond(j > i, lambda: z + self.bias, lambda: z * 0.5)

                _, y = tf.while_loop(lambda j, z: j < 3, inner, [0, y])
                return i + 1, y

            steps, y = tf.while_loop(lambda i, y: i < 4, body, [0, x])
            return {"steps": steps, "y": y}

    return Module().save(path)


@model
def conditional(path):
    class Module(Saved):
        """Branches with layers, of constants alone, and in branches."""

        def __init__(self):
            super().__init__()
            self.kernel = tf.Variable(weights(3, 3, 2, 2))

        def run(self, x):
            total = tf.reduce_sum(x)
            conv = tf.cond(total > 1e6, lambda: x, lambda: tf.nn.conv2d(x, self.kernel, 1, "SAME"))
            number = tf.cond(total > -1e6, lambda: tf.constant(3), lambda: tf.constant(4))
            inner = tf.cond(
                total > -1e6,
                lambda: tf.cond(total > 1e6, lambda: 1.0, lambda: tf.reduce_sum(self.kernel)),
                lambda: 2.0,
            )
            return {"conv": conv, "inner": inner, "number": number}

    return Module().save(path)


@model
def switch_case(path):
    class Module(Saved):
        def __init__(self):
            super().__init__()
            self.kernel = tf.Variable(weights(3, 3, 2, 2))

        def run(self, x):
            branches = [
                lambda: x,
                lambda: tf.nn.conv2d(x, self.kernel, 1, "SAME"),
                lambda: tf.zeros_like(x) + tf.reduce_sum(self.kernel),
            ]
            first = tf.cast(tf.shape(x)[0], tf.int32)
            return {f"y{i}": tf.switch_case(first - 2 + i, branches) for i in range(4)}

    return Module().save(path)


@model
def same_names(path):
    class Module(Saved):
        """Two variables of one name and shape."""

        def __init__(self):
            super().__init__()
            self.b = tf.Variable(2.0, name="v")
            self.a = tf.Variable(3.0, name="v")
            self.more = [tf.Variable(5.0, name="v")]

        def run(self, x):
            return {"y": (x + self.a) * self.b - self.more[0]}

    return Module().save(path)


@model
def bfloat16_weights(path):
    class Module(Saved):
        def __init__(self):
            super().__init__()
            self.kernel = tf.Variable(tf.cast(weights(3, 3, 2, 64), tf.bfloat16))
            self.one = tf.Variable(tf.constant(1.5, tf.bfloat16))

        def run(self, x):
            kernel = tf.cast(self.kernel * self.one, tf.float32)
            return {"y": tf.nn.conv2d(x, kernel, 1, "SAME")}

    return Module().save(path)


@model
def every_type(path):
    class Module(Saved):
        """A variable of every type, alone and in numbers."""

        TYPES = ["bool", "string", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
        TYPES += ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"]

        def __init__(self):
            super().__init__()
            self.many, self.one = {}, {}
            for name in self.TYPES:
                values = np.arange(400) % 100
                if name == "string":
                    values = np.array([b"text %d" % number for number in values])
                elif name == "bool":
                    values = values % 3 == 0
                else:
                    values = tf.cast(values, name)
                self.many[name] = tf.Variable(values)
                self.one[name] = tf.Variable(values[7])

        def run(self, x):
            found = {}
            for name in self.TYPES:
                joined = tf.concat([self.many[name], [self.one[name]]], 0)
                found[name] = tf.cast(joined, tf.float32) if name == "bfloat16" else tf.identity(joined)
            return found

    return Module().save(path)


@model
def asserting(path):
    class Module(Saved):
        """Asserts and prints, which are for those who train."""

        def __init__(self):
            super().__init__()
            self.kernel = tf.Variable(weights(3, 3, 2, 2))

        def run(self, x):
            tf.debugging.assert_less(x, 100.0)
            tf.print("x", tf.reduce_sum(x), output_stream="file:///dev/null")
            y = tf.nn.conv2d(x, self.kernel, 1, "SAME")
            with tf.control_dependencies([tf.debugging.assert_greater(y, -1e9)]):
                return {"y": tf.stop_gradient(y) * 2.0}

    return Module().save(path)


@model
def table(path):
    class Module(Saved):
        """Cannot be frozen."""

        def __init__(self):
            super().__init__()
            entries = tf.lookup.KeyValueTensorInitializer([1, 2], [3.0, 4.0])
            self.lookup = tf.lookup.StaticHashTable(entries, 0.0)

        def run(self, x):
            return {"y": x * self.lookup.lookup(tf.shape(x)[0])}

    return Module().save(path)


@model
def without_signature(path):
    """A module to build on: what it exports is a function for training and one that is not."""

    class Layer(tf.Module):
        def __init__(self, channels):
            super().__init__()
            self.kernel = tf.Variable(weights(3, 3, channels, 4), name="kernel")

    class Network(tf.Module):
        def __init__(self):
            super().__init__()
            self.layers = [Layer(2), Layer(4)]
            self.offset = tf.constant(weights(4))

        @tf.function
        def __call__(self, x, training=False):
            for layer in self.layers:
                x = tf.nn.relu(tf.nn.conv2d(x, layer.kernel, 1, "SAME"))
            x += self.offset
            return tf.nn.dropout(x, 0.5) if training else x

    network = Network()
    for training in (True, False):
        network.__call__.get_concrete_function(tf.TensorSpec([None, 6, 6, 2]), training)
    tf.saved_model.save(network, path)
    return [images(2, 6, 6, 2)]


def run(path, values):
    """The inputs and outputs of the model's default signature, by `in/KEY` and `out/KEY`."""
    loaded = tf.saved_model.load(path)
    if not loaded.signatures:
        (x,) = values
        return {"in/x": x, "out/identity": loaded(tf.constant(x)).numpy()}
    signature = loaded.signatures["serving_default"]
    keys = sorted(signature.structured_input_signature[1])
    assert len(keys) == len(values), keys
    fed = dict(zip(keys, values))
    returned = signature(**{key: tf.constant(value) for key, value in fed.items()})
    arrays = {f"in/{key}": value for key, value in fed.items()}
    for key, tensor in returned.items():
        array = tensor.numpy()
        arrays[f"out/{key}"] = array.astype(np.float32) if tensor.dtype == tf.bfloat16 else array
    return {key: value.astype("S") if value.dtype == object else value for key, value in arrays.items()}


def main():
    folder = pathlib.Path(sys.argv[1])
    for name in sys.argv[2:] or MODELS:
        tf.random.set_seed(1)
        path = str(folder / name)
        values = MODELS[name](path)
        np.savez(f"{path}.npz", **run(path, values))


if __name__ == "__main__":
    main()
