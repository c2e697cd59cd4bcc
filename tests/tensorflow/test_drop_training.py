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
