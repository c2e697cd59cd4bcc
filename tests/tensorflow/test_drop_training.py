"""A graph saved while it trained, with --drop-training: it loads, restores the checkpoint, computes the same, trains again."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

import support

DATA = {"x:0": np.random.RandomState(7).normal(0, 1, [16, 4]).astype(np.float32)}


def trained(tfquant):
    """Exports a graph with an optimizer, a conditional, summaries and a Saver, and a checkpoint of it."""
    tf.disable_control_flow_v2()
    path = tfquant.folder / "trained.meta"
    with tf.Graph().as_default():
        x = tf.placeholder(tf.float32, [None, 4], name="x")
        labels = tf.placeholder_with_default(tf.zeros([16], tf.int64), [None], name="labels")
        is_training = tf.placeholder_with_default(False, [], name="is_training")
        with tf.variable_scope("net"):
            kernel = tf.get_variable("kernel", [4, 8], initializer=tf.random_normal_initializer(seed=3))
            x = tf.nn.relu(tf.matmul(x, kernel), name="relu")
            x = tf.cond(is_training, lambda: tf.nn.dropout(x, rate=0.5), lambda: tf.identity(x), name="drop")
            logits = tf.matmul(x, tf.get_variable("logits", [8, 3]), name="dense")
        tf.nn.softmax(logits, name="classes")
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits), name="loss")
        tf.summary.scalar("loss_summary", loss)
        with tf.name_scope("training"):
            optimizer = tf.train.AdamOptimizer(0.1)
            step = optimizer.apply_gradients(optimizer.compute_gradients(loss), tf.train.get_or_create_global_step())
        saver = tf.train.Saver()
        with support.session() as session:
            session.run(step, DATA)
            saver.save(session, str(tfquant.folder / "trained.ckpt"), write_meta_graph=False)
            expected = session.run("classes:0", DATA)
        tf.train.export_meta_graph(str(path), saver_def=saver.as_saver_def())
    return path, expected


@pytest.mark.parametrize("mode", ["eval", "training"])
def test_the_network_is_left_whole(tfquant, mode):
    path, expected = trained(tfquant)
    result, report = tfquant.folder / "kept.meta", tfquant.folder / "kept.json"
    options = ["--match", "topology", "--mode", mode, "--drop-training"]
    tfquant.run("fold", path, "-o", result, "--report", report, *options)
    dropped = support.read_report(report)["dropped"]
    assert dropped["saver"] and dropped["collections"]["variables"] >= 6, dropped
    meta_graph = tf.MetaGraphDef.FromString(result.read_bytes())
    ops = {node.op for node in meta_graph.graph_def.node}
    assert not ops & {"ResourceApplyAdam", "ReluGrad", "SaveV2", "RestoreV2", "ScalarSummary"}, ops
    tf.train.import_meta_graph(str(result))
    graph = tf.get_default_graph()
    kept = {variable.op.name for variable in tf.trainable_variables()}
    assert kept == {"net/kernel", "net/logits"}
    with support.session() as session:
        tf.train.Saver(tf.trainable_variables()).restore(session, str(tfquant.folder / "trained.ckpt"))
        assert np.array_equal(session.run("classes:0", DATA), expected)
        step = tf.train.GradientDescentOptimizer(0.1).minimize(graph.get_tensor_by_name("loss:0"))
        session.run(step, DATA | {"is_training:0": True})


def test_the_rewrite_that_refuses_names_the_way_out(tfquant):
    path, _ = trained(tfquant)
    with pytest.raises(AssertionError, match="--drop-training"):
        tfquant.rewrite(path, "--match", "topology")
    _, report = tfquant.rewrite(path, "--match", "topology", "--drop-training")
    assert [layer["outcome"] for layer in report["layers"]] == ["quantized"] * 2


@pytest.mark.parametrize("phase", [1, None], ids=["training", "placeholder"])
def test_what_keras_trained_is_trained_on(tfquant, phase):
    """Keras names its updates in no collection, and has conditionals where a placeholder decides whether it trains."""
    path, keras = tfquant.folder / "keras.meta", tf.keras.layers
    images = np.random.RandomState(7).normal(0, 1, [8, 8, 8, 3]).astype(np.float32)
    tf.disable_control_flow_v2()
    with tf.Graph().as_default(), tf.Session() as session:
        tf.keras.backend.set_session(session)
        if phase is not None:
            tf.keras.backend.set_learning_phase(phase)
        layers = [keras.Conv2D(4, 3, input_shape=(8, 8, 3)), keras.BatchNormalization(), keras.ReLU()]
        layers += [keras.Flatten(), keras.Dropout(0.2), keras.Dense(3, activation="softmax")]
        model = tf.keras.Sequential(layers)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.train_on_batch(images, np.zeros([8]))
        names = {"image": model.inputs[0].name, "target": model._targets[0].name}
        tf.train.export_meta_graph(str(path))
    result, report = tfquant.rewrite(path, "--drop-training", fold=True)
    told = {norm["outcome"] for norm in report["batch_norms"]} | {layer["outcome"] for layer in report["layers"]}
    assert told <= ({"folded", "quantized", "folded_twin"} if phase else {"training_mode", "quantized", "batch_norm_follows"})
    tf.train.import_meta_graph(str(result))
    assert not [op.name for op in tf.get_default_graph().get_operations() if op.type.endswith("Grad")]
    updates = [op for op in tf.get_default_graph().get_operations() if op.type == "AssignSubVariableOp"]
    assert len([op for op in updates if "AssignMovingAvg" in op.name]) >= 2
    step = tf.train.GradientDescentOptimizer(0.1).minimize(support.tensor("loss/mul:0"))
    feed = {names["image"]: images, names["target"]: np.arange(8).reshape(8, 1) % 3}
    with support.session() as session:
        first, *_, last = [session.run(["loss/mul:0", step], feed)[0] for _ in range(20)]
    assert last < first


def test_a_dataset_goes_on_feeding(tfquant):
    path = tfquant.folder / "fed.meta"
    with tf.Graph().as_default():
        dataset = tf.data.Dataset.from_tensor_slices(DATA["x:0"]).repeat().batch(4)
        x = tf.data.make_initializable_iterator(dataset).get_next()
        x = tf.matmul(x, tf.get_variable("kernel", [4, 3], use_resource=False), name="dense")
        loss = tf.reduce_mean(tf.nn.relu(x, name="relu"), name="loss")
        tf.train.AdamOptimizer(0.1).minimize(loss)
        tf.train.export_meta_graph(str(path))
    result, _ = tfquant.rewrite(path, "--drop-training", "--match", "topology")
    tf.train.import_meta_graph(str(result))
    [feeding] = [op for op in tf.get_default_graph().get_operations() if op.type == "MakeIterator"]
    with support.session() as session:
        session.run(feeding)
        assert np.isfinite(session.run("loss:0"))
