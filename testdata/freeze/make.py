"""Makes the models in this folder with TensorFlow 2.15.

    python testdata/freeze/make.py

`network`, `while_loop`, `same_names`, `table` and `module` are SavedModels of `tests/tensorflow/freeze_models.py`. `v1` is a
MetaGraphDef with its checkpoint, in two shards and with partitioned variables, and `frozen.pb`, what TensorFlow freezes
it to.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow.compat.v1 as tf

HERE = pathlib.Path(__file__).parent
MODELS = HERE.parent.parent / "tests" / "tensorflow" / "freeze_models.py"
SAVED_MODELS = {
    "network": "keras_export",
    "while_loop": "while_loop",
    "same_names": "same_names",
    "table": "table",
    "module": "without_signature",
}


def make_saved_models():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, str(MODELS), folder, *SAVED_MODELS.values()], check=True)
        for name, model in SAVED_MODELS.items():
            shutil.rmtree(HERE / name, ignore_errors=True)
            shutil.copytree(f"{folder}/{model}", HERE / name, ignore=shutil.ignore_patterns("fingerprint.pb", "assets"))


def make_tensorflow_1():
    folder = HERE / "v1"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tf.disable_eager_execution()
    tf.disable_control_flow_v2()
    x = tf.placeholder(tf.float32, [1, 4, 4, 2], "input")
    kernel = tf.get_variable("conv/kernel", [3, 3, 2, 20], partitioner=tf.fixed_size_partitioner(2, axis=3))
    y = tf.nn.conv2d(x, tf.convert_to_tensor(kernel), 1, "SAME", name="conv/Conv2D")
    y = tf.nn.bias_add(y, tf.get_variable("conv/bias", [20], use_resource=True))
    with tf.variable_scope("tail", use_resource=False):
        scale = tf.get_variable("scale", [], initializer=tf.ones_initializer())
        y = tf.cond(scale > 0.0, lambda: y * scale, lambda: tf.stop_gradient(y))
    tf.identity(y, "output")
    tf.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_mean(y))
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for number, variable in enumerate(tf.global_variables()):
            if variable.shape.rank:
                variable.load(np.random.RandomState(number).normal(0, 1, variable.shape.as_list()), session)
        prefix = tf.train.Saver(sharded=True).save(session, str(folder / "model.ckpt"))
        meta = tf.MetaGraphDef()
        meta.ParseFromString(pathlib.Path(f"{prefix}.meta").read_bytes())
        frozen = tf.graph_util.convert_variables_to_constants(session, meta.graph_def, ["output"])
        (folder / "frozen.pb").write_bytes(frozen.SerializeToString(deterministic=True))
    (folder / "checkpoint").unlink()


if __name__ == "__main__":
    make_saved_models()
    make_tensorflow_1()
