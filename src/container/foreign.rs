//! Files that people pass by mistake: what they are, and what to do with them.
//!
//! Told by the first bytes, by the fields of protobuf messages of other tools, and by the first word of text messages.
//! [`super::detect`](super::detect::detect) asks before it takes a file for a graph.

use super::text;
use crate::error::{Error, ErrorKind};
use crate::wire::{Fields, WireType, last_bytes};

/// A kind of file that holds no graph.
type Kind = (&'static str, &'static str);

const GRAPH_INSTEAD: &str = "pass the GraphDef (.pb), MetaGraphDef (.meta) or SavedModel it was made from";
const UNPACK: &str = "unpack it, and pass the graph file or SavedModel folder inside";
const DOWNLOAD: &str = "download the file itself; on GitHub, by 'Download raw file'";
const FROM_KERAS: &str =
    "load it in Keras and save it for TensorFlow: model.export('folder'), or tf.saved_model.save(model, 'folder')";
const LFS_PULL: &str = "fetch the file that it stands for: git lfs pull";
const CHECKPOINT: &str = "a checkpoint holds values alone: pass the .meta file beside it, or the SavedModel or GraphDef of the \
                          model; `check --checkpoint PREFIX` compares the two";
const MODEL_FILE: &str = "pass the model's own file: the frozen graph (.pb), the .meta or the SavedModel";

/// An error that says what the file is, if it is one of those.
#[must_use]
pub(super) fn recognise(bytes: &[u8]) -> Option<Error> {
    let (what, hint) = by_magic(bytes).or_else(|| by_text(bytes)).or_else(|| by_fields(bytes))?;
    Some(error(what, hint))
}

/// The same of files that only their names tell.
#[must_use]
pub(super) fn recognise_name(path: &str) -> Option<Error> {
    let (_, shards) = path.rsplit_once(".data-")?;
    let numbers = shards.split_once("-of-")?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(numbers.0) && is_number(numbers.1)).then(|| error("the data of a checkpoint", CHECKPOINT))
}

fn error(what: &str, hint: &'static str) -> Error {
    Error::new(ErrorKind::Container, format!("this is {what}, not a TensorFlow graph file")).hint(hint)
}

fn by_magic(bytes: &[u8]) -> Option<Kind> {
    const MAGICS: [(&[u8], Kind); 24] = [
        (b"version https://git-lfs.github.com/spec/", ("a Git LFS pointer", LFS_PULL)),
        (b"\x89HDF", ("an HDF5 file (Keras weights or model)", FROM_KERAS)),
        (b"\x1f\x8b", ("a gzip file", UNPACK)),
        (b"BZh", ("a bzip2 file", UNPACK)),
        (b"\xfd7zXZ", ("an xz file", UNPACK)),
        (b"\x28\xb5\x2f\xfd", ("a zstd file", UNPACK)),
        (b"7z\xbc\xaf\x27\x1c", ("a 7z archive", UNPACK)),
        (b"Rar!", ("a RAR archive", UNPACK)),
        (b"\x89PNG", ("a PNG image", MODEL_FILE)),
        (b"\xff\xd8\xff", ("a JPEG image", MODEL_FILE)),
        (b"GIF8", ("a GIF image", MODEL_FILE)),
        (b"RIFF", ("a RIFF file (sound or image)", MODEL_FILE)),
        (b"%PDF-", ("a PDF document", MODEL_FILE)),
        (b"\x93NUMPY", ("a NumPy array", GRAPH_INSTEAD)),
        (b"\x7fELF", ("a program", MODEL_FILE)),
        (b"MZ\x90\0", ("a program", MODEL_FILE)),
        (b"\x80\x02", ("a Python pickle (perhaps of PyTorch)", GRAPH_INSTEAD)),
        (b"\x80\x03", ("a Python pickle (perhaps of PyTorch)", GRAPH_INSTEAD)),
        (b"\x80\x04", ("a Python pickle (perhaps of PyTorch)", GRAPH_INSTEAD)),
        (b"\x80\x05", ("a Python pickle (perhaps of PyTorch)", GRAPH_INSTEAD)),
        (b"PK\x05\x06", ("an empty zip archive", MODEL_FILE)),
        (b"<?xml", ("an XML document", MODEL_FILE)),
        (b"#!", ("a script", MODEL_FILE)),
        (b"SIMPLE  =", ("a FITS file", MODEL_FILE)),
    ];
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    if bytes.get(4..8) == Some(b"TFL3") {
        return Some(("a TFLite model", GRAPH_INSTEAD));
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return Some(zip(head));
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Some(("a tar archive", UNPACK));
    }
    if bytes.ends_with(&0xdb47_7524_8b80_fb57_u64.to_le_bytes()) {
        return Some(("the index of a checkpoint", CHECKPOINT));
    }
    if contains(&head[..head.len().min(64)], b"brain.Event:") {
        return Some(("a log for TensorBoard", MODEL_FILE));
    }
    if is_html(head) {
        return Some(("an HTML page", DOWNLOAD));
    }
    MAGICS.iter().find(|(magic, _)| bytes.starts_with(magic)).map(|&(_, kind)| kind)
}

/// How far into a file is looked.
const HEAD_BYTES: usize = 4096;

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn is_html(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head).trim_start().to_ascii_lowercase();
    text.starts_with("<!doctype html") || text.starts_with("<html")
}

/// A zip archive, by the name of its first entry.
fn zip(head: &[u8]) -> Kind {
    let is_entry = |name: &[u8]| head.get(30..).is_some_and(|rest| rest.starts_with(name));
    if is_entry(b"metadata.json") || is_entry(b"config.json") || is_entry(b"model.weights.h5") {
        ("a Keras model (.keras)", FROM_KERAS)
    } else if head.get(30..).is_some_and(|rest| contains(&rest[..rest.len().min(64)], b"data.pkl")) {
        ("a PyTorch model", GRAPH_INSTEAD)
    } else {
        ("a zip archive", UNPACK)
    }
}

/// Whether it begins as an object of JSON: a GraphDef whose first node is 123 bytes long begins with `{` too.
fn is_json(head: &[u8]) -> bool {
    let Some(inside) = head.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start) else { return false };
    let is_key = |rest: &[u8]| {
        let length = rest.iter().position(|&byte| byte == b'"' || byte < b' ');
        length.is_some_and(|length| {
            rest[length..].strip_prefix(b"\"").is_some_and(|rest| rest.trim_ascii_start().starts_with(b":"))
        })
    };
    inside.starts_with(b"}") || inside.strip_prefix(b"\"").is_some_and(is_key)
}

/// Text messages of other tools, by their first field, and JSON.
fn by_text(bytes: &[u8]) -> Option<Kind> {
    let head = &bytes[..bytes.len().min(HEAD_BYTES)];
    let has = |part: &str| contains(head, part.as_bytes());
    if is_json(head) {
        let is_tfjs = has("\"modelTopology\"") || has("\"weightsManifest\"");
        return Some(if is_tfjs { ("a TensorFlow.js model", GRAPH_INSTEAD) } else { ("a JSON document", MODEL_FILE) });
    }
    match text::first_field_name(bytes)? {
        "item" if has("id") => Some(("a label map", MODEL_FILE)),
        "model" | "train_config" | "train_input_reader" if has("{") => Some(("a pipeline config", MODEL_FILE)),
        "model_checkpoint_path" => Some(("the list of checkpoints in a folder", CHECKPOINT)),
        "name" | "op" if has("op {") || has("op{") => Some(("a Caffe2 net", GRAPH_INSTEAD)),
        "name" | "layer" | "layers" | "input" if has("layer") => Some(("a Caffe net", GRAPH_INSTEAD)),
        "name" | "platform" | "backend" if has("max_batch_size") => Some(("a Triton model config", MODEL_FILE)),
        "ir_version" => Some(("an ONNX model", GRAPH_INSTEAD)),
        _ => None,
    }
}

/// Binary messages of other tools, by fields that TensorFlow's messages lack. Only the outermost fields are walked, and
/// none further than what tells.
fn by_fields(bytes: &[u8]) -> Option<Kind> {
    let mut fields = Fields::new(bytes).map_while(Result::ok);
    let first = fields.next()?;
    let rest = fields.take(MAX_FIELDS);
    match (first.number, first.wire_type) {
        (1, WireType::Varint) => {
            let later: Vec<(u32, WireType)> = rest.map(|field| (field.number, field.wire_type)).collect();
            let has = |number| later.contains(&(number, WireType::Length));
            if has(7) || has(8) {
                Some(("an ONNX model", GRAPH_INSTEAD))
            } else if later.first() == Some(&(2, WireType::Varint)) {
                Some(("the fingerprint of a SavedModel", "pass the SavedModel's folder"))
            } else {
                None
            }
        }
        (1, WireType::Length) => {
            let value = &bytes[first.value()];
            let ops: Vec<&[u8]> = rest
                .filter(|field| field.number == 2 || field.number == 100)
                .map(|field| &bytes[field.value()])
                .collect();
            if contains(&value[..value.len().min(HEAD_BYTES)], b"_tf_keras_") {
                Some(("Keras' metadata of a SavedModel", "pass the SavedModel's folder"))
            } else if !is_text(value) {
                None
            } else if ops.iter().any(|op| last_bytes(op, 4).is_some_and(|kind| is_text(&op[kind]))) {
                Some(("a Caffe2 net", GRAPH_INSTEAD))
            } else if ops.iter().any(|op| last_bytes(op, 2).is_some_and(|kind| is_text(&op[kind]))) {
                Some(("a Caffe net", GRAPH_INSTEAD))
            } else {
                None
            }
        }
        _ => None,
    }
}

/// More outer fields than this are not looked at.
const MAX_FIELDS: usize = 1000;

/// Whether the bytes are a name, and so no message: a message starts with a tag, which is a control character here.
fn is_text(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{put_bytes, put_uint};

    fn told(bytes: &[u8]) -> String {
        recognise(bytes).map_or_else(|| "nothing".to_owned(), |error| error.to_string())
    }

    #[track_caller]
    fn check(bytes: &[u8], what: &str) {
        assert_eq!(told(bytes), format!("this is {what}, not a TensorFlow graph file"));
    }

    fn message(fields: &[(u32, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, value) in fields {
            put_bytes(&mut out, *number, value);
        }
        out
    }

    #[test]
    fn a_graph_is_nothing_else_however_long_its_first_node_is() {
        for name in 1..120 {
            for op in 1..120 {
                let node = message(&[(1, &vec![b'n'; name]), (2, &vec![b'o'; op])]);
                assert_eq!(told(&message(&[(1, &node)])), "nothing", "a name of {name} letters, an op of {op}");
            }
        }
    }

    #[test]
    fn files_are_known_by_their_first_bytes() {
        check(b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n", "a Git LFS pointer");
        check(b"\n <!DOCTYPE HTML>\n<title>", "an HTML page");
        check(b"PK\x03\x04__________________________metadata.json", "a Keras model (.keras)");
        check(b"PK\x03\x04__________________________archive/data.pkl", "a PyTorch model");
        check(b"PK\x03\x04__________________________graph.pb", "a zip archive");
        check(b"\x89PNG\r\n", "a PNG image");
        check(b"\xff\xd8\xff\xe0", "a JPEG image");
        check(b"\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22\x09\0\0\0\x1a\x0dbrain.Event:2", "a log for TensorBoard");
        check(
            &[b"anything".as_slice(), &0xdb47_7524_8b80_fb57_u64.to_le_bytes()].concat(),
            "the index of a checkpoint",
        );
    }

    #[test]
    fn text_messages_of_others_are_known_by_their_first_field() {
        check(b"item {\n  id: 1\n  name: 'cat'\n}\n", "a label map");
        check(b"# SSD\nmodel {\n  ssd {\n  }\n}\n", "a pipeline config");
        check(b"model_checkpoint_path: \"model.ckpt-7\"\n", "the list of checkpoints in a folder");
        check(b"name: \"net\"\nop {\n  type: \"Conv\"\n}\n", "a Caffe2 net");
        check(b"name: \"net\"\nlayer {\n  type: \"Convolution\"\n}\n", "a Caffe net");
        check(b"{\"format\": \"graph-model\", \"modelTopology\": {}}", "a TensorFlow.js model");
        assert_eq!(told(b"node { name: 'a' op: 'b' }"), "nothing");
    }

    #[test]
    fn messages_of_others_are_known_by_their_fields() {
        let mut onnx = Vec::new();
        put_uint(&mut onnx, 1, 7);
        put_bytes(&mut onnx, 2, b"pytorch");
        put_bytes(&mut onnx, 7, &message(&[(1, b"...")]));
        check(&onnx, "an ONNX model");
        let op = message(&[(1, b"data"), (2, b"conv1"), (4, b"Conv")]);
        check(&message(&[(1, b"net"), (2, &op)]), "a Caffe2 net");
        let node = message(&[(1, b"node"), (2, b"Const")]);
        assert_eq!(told(&message(&[(1, &node)])), "nothing");
        let mut saved = Vec::new();
        put_uint(&mut saved, 1, 1);
        put_bytes(&mut saved, 2, &message(&[(2, &message(&[(1, &node)]))]));
        assert_eq!(told(&saved), "nothing");
    }

    #[test]
    fn shards_are_known_by_their_names() {
        assert!(recognise_name("a/model.ckpt-1.data-00000-of-00002").is_some());
        assert!(recognise_name("a/model.data-x-of-y").is_none() && recognise_name("a/model.pb").is_none());
    }
}
