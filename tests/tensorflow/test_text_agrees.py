"""Text format as protobuf's own library writes and reads it, over messages with something random in every field."""

import pytest
import tensorflow as tf2
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2

import random_messages

tf = tf2.compat.v1
KINDS = {"graph": tf.GraphDef, "meta_graph": tf.MetaGraphDef, "saved_model": saved_model_pb2.SavedModel}
SEEDS = 25
# A message in forms that text format allows and hardly anything writes; of escapes, those that Python's library reads as
# the format says.
ODD_TEXT = r"""
# a comment
node < name: 'a' "b" "\x63\144" op: "NoOp"; attr { key: 'f' value { f: inf } }, >
node: { name: "d" op: 'NoOp' input: ["^abcd"] # one more
  attr: [ { key: "i" value: { i: -0x10 } }, { key: "l" value < list { i: [1, 0x2, 03] f: -nan b: [true, t, 1, False] } > } ]
  attr { key: "s" value { s: '\n\t\"\'\\\a\xe9\377' } }
  attr { key: "t" value { type: DT_FLOAT } } attr { key: "u" value { type: 3 } } attr { key: "n" value { f: 1.5e-3f } }
}
versions { producer: 1395 bad_consumers: 1 bad_consumers: [2, 3] }
"""


def graph_of(message):
    """The graph in a message of any kind."""
    if isinstance(message, tf.GraphDef):
        return message
    meta_graph = message if isinstance(message, tf.MetaGraphDef) else message.meta_graphs[0]
    return meta_graph.graph_def


def random_message(kind, seed):
    """One that tfquant takes: with a graph whose nodes have names of their own and nothing to read."""
    messages = random_messages.Messages(seed)
    message = kind()
    if kind is saved_model_pb2.SavedModel:
        message.saved_model_schema_version = 1
        messages.fill(message.meta_graphs.add().meta_info_def).tags.append("serve")
    if kind is tf.MetaGraphDef:
        for field in ("meta_info_def", "asset_file_def", "object_graph_def"):
            inner = getattr(message, field)
            messages.fill(inner.add() if field == "asset_file_def" else inner)
    graph = graph_of(message)
    messages.fill(graph.versions)
    for number in range(3):
        node = graph.node.add(name=f"node_{number}", op="NoOp")
        for key in random_messages.WORDS[1:]:
            messages.fill(node.attr[key])
        messages.fill(node.experimental_debug_info)
    return message


def rewritten(tfquant, written, output):
    """The file in the other form, nothing rewritten."""
    tfquant.run("rewrite", written, "-o", output, "-q", "--allow-nothing", "--match", "names")
    return output


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("kind", KINDS)
def test_each_reads_what_the_other_writes(tfquant, kind, seed):
    message = random_message(KINDS[kind], seed)
    binary, text, back = [tfquant.folder / name for name in ("a.pb", "a.pbtxt", "b.pb")]
    binary.write_bytes(message.SerializeToString())
    written = rewritten(tfquant, binary, text).read_text(encoding="utf-8")
    parsed = text_format.Parse(written, KINDS[kind]())
    same_bytes(parsed, message)
    forms = [{}, {"as_one_line": True}, {"as_utf8": True}, {"use_short_repeated_primitives": True}]
    for form in forms:
        text.write_text(text_format.MessageToString(message, **form), encoding="utf-8")
        same_bytes(KINDS[kind].FromString(rewritten(tfquant, text, back).read_bytes()), message)


def same_bytes(one, other):
    # A message with a NaN does not equal itself.
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


def test_forms_that_hardly_anything_writes(tfquant):
    text, binary = tfquant.folder / "odd.pbtxt", tfquant.folder / "odd.pb"
    text.write_text(ODD_TEXT, encoding="utf-8")
    read = tf.GraphDef.FromString(rewritten(tfquant, text, binary).read_bytes())
    same_bytes(read, text_format.Parse(ODD_TEXT, tf.GraphDef()))
