"""Saves the variables of a rewritten training graph with TensorFlow 2.15: checkpoint.py TRAIN.meta PREFIX."""

import sys

import tensorflow.compat.v1 as tf

graph = tf.Graph()
with graph.as_default(), tf.Session() as session:
    tf.train.import_meta_graph(sys.argv[1])
    session.run(tf.global_variables_initializer())
    tf.train.Saver().save(session, sys.argv[2], write_meta_graph=False, write_state=False)
