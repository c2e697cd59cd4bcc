//! Bad input: one clear error with what to do next, exit code 1, and nothing lost.

use std::fmt::Write;
use std::fs;

use tfquant::internals::{put_bytes, put_uint};

use crate::models::{graph_def, graph_of, meta_graph, saved_model};
use crate::{Folder, stderr};

/// Files that cannot be rewritten, by what is wrong with them.
fn bad_files() -> Vec<(&'static str, Vec<u8>)> {
    let meta = meta_graph("conv_relu");
    let graph = graph_def(&meta);
    let without_graph = {
        let mut meta = Vec::new();
        put_bytes(&mut meta, 1, &{
            let mut info = Vec::new();
            put_bytes(&mut info, 5, b"1.5.0");
            info
        });
        put_bytes(&mut meta, 3, b"");
        meta
    };
    let two_graphs = [&meta[..], &meta[..]].concat();
    let mut unsupported_bytes = graph_of(&[("a", "Const", &[])]);
    put_bytes(&mut unsupported_bytes, 1, &[0x0a, 0x02, 0xff, 0xfe, 0x12, 0x01, b'X']);
    let mut number_as_name = graph_of(&[("a", "Const", &[])]);
    let mut node = Vec::new();
    put_uint(&mut node, 1, 5);
    put_bytes(&mut number_as_name, 1, &node);
    vec![
        ("empty", Vec::new()),
        ("random", (0..200u32).map(|index| (index * 89 % 251) as u8 | 0x80).collect()),
        ("prose", b"Dear reader, this is no graph.\n".to_vec()),
        ("truncated.meta", meta[..meta.len() / 2].to_vec()),
        ("truncated.pb", graph[..graph.len() - 3].to_vec()),
        ("truncated_saved.pb", saved_model(&[(&["serve"], &meta)])[..2000].to_vec()),
        ("model.tflite", [b"\x1c\0\0\0TFL3", &[0; 100][..]].concat()),
        ("weights.h5", b"\x89HDF\r\n\x1a\n and so on".to_vec()),
        ("model.keras", b"PK\x03\x04__________________________metadata.json".to_vec()),
        ("model.zip", b"PK\x03\x04 and so on".to_vec()),
        ("pointer.pb", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n".to_vec()),
        ("page.pb", b"<!DOCTYPE html>\n<html></html>\n".to_vec()),
        ("picture.png", b"\x89PNG\r\n\x1a\n".to_vec()),
        ("model.ckpt-1.index", [&[0; 40][..], &0xdb47_7524_8b80_fb57_u64.to_le_bytes()].concat()),
        ("model.ckpt-1.data-00000-of-00001", vec![0xff; 64]),
        ("checkpoint", b"model_checkpoint_path: \"model.ckpt-1\"\n".to_vec()),
        ("label_map.pbtxt", b"item {\n  id: 1\n  name: 'cat'\n}\n".to_vec()),
        ("pipeline.config", b"model {\n  ssd {\n  }\n}\n".to_vec()),
        ("model.onnx", onnx()),
        ("predict_net.pb", caffe2_net()),
        ("without_graph.meta", without_graph),
        ("two_graphs.meta", two_graphs),
        ("no_graphs.pb", vec![0x08, 0x01]),
        ("duplicate.pb", graph_of(&[("a", "Const", &[]), ("a", "Neg", &[])])),
        ("dangling.pb", graph_of(&[("a", "Neg", &["b"])])),
        ("bad_port.pb", graph_of(&[("a", "Const", &[]), ("b", "Neg", &["a:one"])])),
        ("cycle.pb", graph_of(&[("a", "Neg", &["b"]), ("b", "Neg", &["a"])])),
        ("nameless.pb", [graph_of(&[("a", "Const", &[])]), graph_of(&[("", "Neg", &["a"])])].concat()),
        ("not_utf8.pb", unsupported_bytes),
        ("number_as_name.pb", number_as_name),
        ("broken.pbtxt", b"node {\n  name: \"a\"\n  op: \"Const\"\n  device 7\n}\n".to_vec()),
        ("unknown_field.pbtxt", b"node { name: \"a\" op: \"Const\" colour: \"red\" }\n".to_vec()),
        ("open.pbtxt", b"node { name: \"a\"".to_vec()),
    ]
}

fn onnx() -> Vec<u8> {
    let mut model = Vec::new();
    put_uint(&mut model, 1, 8);
    put_bytes(&mut model, 2, b"pytorch");
    put_bytes(&mut model, 7, b"\x0a\x00");
    model
}

fn caffe2_net() -> Vec<u8> {
    let (mut op, mut net) = (Vec::new(), Vec::new());
    put_bytes(&mut op, 1, b"data");
    put_bytes(&mut op, 2, b"conv1");
    put_bytes(&mut op, 4, b"Conv");
    put_bytes(&mut net, 1, b"net");
    put_bytes(&mut net, 2, &op);
    net
}

#[test]
fn every_bad_file_gets_one_clear_error() {
    let folder = Folder::new();
    fs::create_dir(folder.path("a_folder")).unwrap();
    folder.write("out", "old");
    let mut gallery = String::new();
    let mut names = vec!["missing.pb", "a_folder"];
    let files = bad_files();
    for (name, contents) in &files {
        folder.write(name, contents);
        names.push(name);
    }
    for name in names {
        let (code, said) = folder.refuse(&[name, "-o", "out"]);
        assert_eq!(code, 1, "{name}: {said}");
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines[0].starts_with("error: ") && lines[1].starts_with("hint: "), "{name}: {said}");
        assert_eq!(lines.len(), 2, "{name}: {said}");
        writeln!(gallery, "{name}\n  {}\n  {}", lines[0], lines[1]).unwrap();
    }
    insta::assert_snapshot!("bad_files", gallery);
}

#[cfg(unix)]
#[test]
fn an_unreadable_file_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::with_model();
    fs::set_permissions(folder.path("in.meta"), fs::Permissions::from_mode(0o0)).unwrap();
    if fs::read(folder.path("in.meta")).is_ok() {
        return; // the superuser may read anything
    }
    let (code, said) = folder.refuse(&["in.meta", "-o", "out.meta"]);
    assert_eq!(code, 1);
    assert!(said.contains("cannot read 'in.meta'"), "{said}");
}

/// A layer as the rules know it, whose attributes are nonsense.
fn layer_with(attributes: &[u8]) -> Vec<u8> {
    let nodes: &[(&str, &str, &[&str])] = &[
        ("in", "Placeholder", &[]),
        ("c/weights/read", "Const", &[]),
        ("c/Conv2D", "Conv2D", &["in", "c/weights/read"]),
        ("c/Relu", "Relu", &["c/Conv2D"]),
        ("out", "Identity", &["c/Relu"]),
    ];
    let mut graph = Vec::new();
    for node in nodes {
        let one = graph_of(std::slice::from_ref(node));
        let body = tfquant::internals::Fields::new(&one).next().unwrap().unwrap().value();
        put_bytes(&mut graph, 1, &[&one[body], attributes].concat());
    }
    graph
}

#[test]
fn nonsense_in_attributes_is_refused_or_carried_along() {
    let attribute = |key: &[u8], value: &[u8]| {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, key);
        put_bytes(&mut entry, 2, value);
        let mut field = Vec::new();
        put_bytes(&mut field, 5, &entry);
        field
    };
    let shape_of = |dims: &[u8]| [&[0x3a, u8::try_from(dims.len()).unwrap()], dims].concat();
    let nonsense = [
        Vec::new(),
        attribute(b"dtype", b"\x30\x01"),
        attribute(b"dtype", b"\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        attribute(b"T", b"\x30\xe7\x07"),
        attribute(b"T", b"no message"),
        attribute(b"\xff\xfe", b"\x30\x01"),
        attribute(b"dtype", b""),
        attribute(b"shape", &shape_of(&[0x12, 0x0b, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01])),
        attribute(b"value", b"\x42\x04\x08\x01\x12\x00"),
        attribute(b"value", b"\x42\x7f"),
        attribute(b"_class", b"\x0a\x06\x12\x04loc:"),
        attribute(b"_output_shapes", b"\x0a\x02\x3a\x00"),
        vec![0x2a, 0x00],
        vec![0x2a, 0x03, 0x0a, 0x01, b'x'],
        vec![0x2a, 0x02, 0xff, 0xff],
    ];
    let folder = Folder::new();
    for attributes in nonsense {
        folder.write("in.pb", layer_with(&attributes));
        let output = folder.run(&["rewrite", "in.pb", "-o", "out.pb", "--quant-delay", "5"]);
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 1)), "{attributes:?}: {code:?} {}", stderr(&output));
        assert!(code == Some(0) || stderr(&output).starts_with("error: "), "{attributes:?}: {}", stderr(&output));
    }
}

/// What would move a cursor, clear a screen, or hide and reorder text.
const HOSTILE: &str = "a\u{1b}[2J\u{7}\u{8}\r\u{9b}31m\u{202e}\u{200b}b";

#[test]
fn names_never_command_the_terminal() {
    let layer = format!("{HOSTILE}/Conv2D");
    let weights = format!("{HOSTILE}/weights/read");
    let relu = format!("{HOSTILE}/Relu");
    let op = format!("Op{HOSTILE}");
    let float = [&[0x2a, 0x0b, 0x0a, 0x05][..], b"dtype", &[0x12, 0x02, 0x30, 0x01]].concat();
    let good: &[(&str, &str, &[&str])] = &[
        ("in", "Placeholder", &[]),
        (&weights, "Const", &[]),
        (&layer, "Conv2D", &["in", &weights]),
        (&relu, "Relu", &[&layer]),
        ("out", &op, &[&relu]),
    ];
    let mut quantizable = Vec::new();
    for node in good {
        let one = graph_of(std::slice::from_ref(node));
        let body = tfquant::internals::Fields::new(&one).next().unwrap().unwrap().value();
        put_bytes(&mut quantizable, 1, &[&one[body], &float[..]].concat());
    }
    let files = [
        ("good", quantizable),
        ("dangling", graph_of(&[(&layer, &op, &[&weights])])),
        ("duplicate", graph_of(&[(&layer, &op, &[]), (&layer, &op, &[])])),
        ("cycle", graph_of(&[(&layer, &op, &[&relu]), (&relu, &op, &[&layer])])),
        ("refused", graph_of(&[("in", "Placeholder", &[]), (&layer, "Conv2D", &["in"])])),
        ("gradients", graph_of(&[(&format!("gradients/{HOSTILE}"), "NoOp", &[])])),
        ("text", format!("node {{ name: 'a' op: '{HOSTILE}' {HOSTILE} }}").into_bytes()),
    ];
    let folder = Folder::new();
    for (name, contents) in files {
        folder.write(name, contents);
        let arguments: &[&[&str]] = &[
            &["rewrite", name, "-o", "out", "-v"],
            &["rewrite", name, "--dry-run", "-v"],
            &["rewrite", name, "-o", "out", "--skip-unmatched", "-v"],
            &["rewrite", name, "-o", "out", "--include", "nothing like it"],
        ];
        for arguments in arguments {
            let output = folder.run(arguments);
            assert!(output.status.code().is_some(), "{arguments:?}");
            let said = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
            let bad = said.chars().find(|&character| {
                character.is_control() && character != '\n' || "\u{202e}\u{200b}".contains(character)
            });
            assert_eq!(bad, None, "{arguments:?}: {said:?}");
        }
    }
}

#[test]
fn names_of_files_never_command_the_terminal() {
    let folder = Folder::new();
    let output = folder.run(&["rewrite", HOSTILE, "-o", "out"]);
    assert!(!stderr(&output).contains('\u{1b}') && !stderr(&output).contains('\u{202e}'), "{:?}", stderr(&output));
}
