//! The bodies of the fuzz targets, over real files, cut short and with bits flipped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[path = "../fuzz/bodies.rs"]
mod bodies;
#[path = "support/cases.rs"]
mod cases;
#[path = "support/models.rs"]
mod models;
#[path = "../fuzz/mutator.rs"]
mod mutator;

use std::collections::BTreeMap;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use arbitrary::Unstructured;
use tfquant::MessageKind;
use tfquant::internals::put_bytes;

/// Small real files of every kind, in binary and in text.
fn corpus() -> Vec<Vec<u8>> {
    let mut files = vec![Vec::new(), b"node { name: 'a' op: 'NoOp' }".to_vec()];
    for case in ["conv_relu", "conv_bn_fused_scale_bypass", "fc_bn_unfused_noscale", "cond_elsewhere"] {
        let meta = models::meta_graph(case);
        files.push(models::to_text(MessageKind::MetaGraphDef, &meta));
        files.push(models::graph_def(&meta));
        files.push(models::saved_model(&[(&["serve"], &meta)]));
        files.push(meta.to_vec());
    }
    // Models to freeze, and indexes of checkpoints.
    let frozen = ["network/saved_model.pb", "while_loop/saved_model.pb", "v1/model.ckpt.meta", "v1/model.ckpt.index"];
    files.extend(frozen.map(|file| std::fs::read(format!("testdata/freeze/{file}")).unwrap()));
    files
}

/// A sequence of numbers that is the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }
}

/// The file, cut short, or with some bytes changed, taken out or doubled.
fn damaged(file: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = file.to_vec();
    match numbers.below(6) {
        0 => bytes.truncate(numbers.below(file.len())),
        1 => {
            let start = numbers.below(file.len());
            let end = file.len().min(start + numbers.below(200));
            bytes.drain(start..end);
        }
        2 => {
            let start = numbers.below(file.len());
            let end = file.len().min(start + numbers.below(200));
            let part = file[start..end].to_vec();
            let at = numbers.below(bytes.len());
            bytes.splice(at..at, part);
        }
        3 => {
            for _ in 0..=numbers.below(4) {
                let at = numbers.below(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << numbers.below(8);
                }
            }
        }
        _ => {
            let choices: Vec<u8> = (0..64).map(|_| u8::try_from(numbers.below(256)).unwrap()).collect();
            bytes = mutator::mutate(&bytes, &mut Unstructured::new(&choices));
        }
    }
    bytes
}

#[test]
fn no_body_minds_what_fuzzing_kept() {
    let packed = std::fs::File::open("fuzz/corpus.tar.zst").unwrap();
    let mut unpacked = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(packed).unwrap().read_to_end(&mut unpacked).unwrap();
    let mut inputs: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for entry in tar::Archive::new(&unpacked[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let target = entry.path().unwrap().parent().unwrap().to_str().unwrap().to_owned();
        let mut input = Vec::new();
        entry.read_to_end(&mut input).unwrap();
        inputs.entry(target).or_default().push(input);
    }
    thread::scope(|scope| {
        for (name, body) in bodies::BODIES {
            let inputs = inputs.remove(name).unwrap_or_else(|| panic!("fuzz/run.py keeps no inputs of '{name}'"));
            scope.spawn(move || inputs.iter().for_each(|input| body(input)));
        }
    });
}

/// Damaged copies of each file that each body gets.
const COPIES: usize = 40;

#[test]
fn no_body_minds_damaged_files() {
    let corpus = corpus();
    let run = |(seed, &(name, body)): (usize, &(&str, bodies::Body))| {
        let mut numbers = Numbers(seed as u64);
        for (index, file) in corpus.iter().enumerate() {
            for copy in 0..=COPIES {
                let bytes = if copy == 0 { file.clone() } else { damaged(file, &mut numbers) };
                // The rewriting body takes its options from the first byte.
                let choice = u8::try_from(numbers.below(256)).unwrap();
                let bytes = if name == "rewrite" { [&[choice], &bytes[..]].concat() } else { bytes };
                if catch_unwind(AssertUnwindSafe(|| body(&bytes))).is_err() {
                    let saved = std::env::temp_dir().join(format!("tfquant-{name}-{index}-{copy}"));
                    std::fs::write(&saved, &bytes).unwrap();
                    panic!("{name} panicked on file {index}, copy {copy}, kept as {}", saved.display());
                }
            }
        }
    };
    thread::scope(|scope| {
        for job in bodies::BODIES.iter().enumerate() {
            let run = &run;
            scope.spawn(move || run(job));
        }
    });
}

#[test]
fn no_op_minds_hostile_inputs() {
    let mut numbers = Numbers(7);
    for _ in 0..6000 {
        let length = 40 + numbers.below(60);
        let bytes: Vec<u8> = (0..length).map(|_| u8::try_from(numbers.below(256)).unwrap()).collect();
        let run = catch_unwind(AssertUnwindSafe(|| bodies::interpreter(&bytes)));
        assert!(run.is_ok(), "the interpreter panicked on {bytes:?}");
    }
}

/// A network whose nodes are all floats.
struct Network(Vec<u8>);

impl Network {
    fn node(&mut self, name: &str, op: &str, inputs: &[&str]) {
        let mut node = Vec::new();
        put_bytes(&mut node, 1, name.as_bytes());
        put_bytes(&mut node, 2, op.as_bytes());
        for input in inputs {
            put_bytes(&mut node, 3, input.as_bytes());
        }
        for key in ["T", "dtype"] {
            let mut entry = Vec::new();
            put_bytes(&mut entry, 1, key.as_bytes());
            put_bytes(&mut entry, 2, b"\x30\x01"); // type: DT_FLOAT
            put_bytes(&mut node, 5, &entry);
        }
        put_bytes(&mut self.0, 1, &node);
    }

    fn layer(&mut self, scope: &str, input: &str) {
        let name = |leaf: &str| format!("{scope}/{leaf}");
        self.node(&name("weights"), "VariableV2", &[]);
        self.node(&name("weights/read"), "Identity", &[&name("weights")]);
        self.node(&name("Conv2D"), "Conv2D", &[input, &name("weights/read")]);
        self.node(&name("Relu"), "Relu", &[&name("Conv2D")]);
    }
}

/// `length` nodes in a row between two layers, none of which tells its shape.
fn deep(op: &str, length: usize) -> Vec<u8> {
    let mut network = Network(Vec::new());
    network.node("in", "Placeholder", &[]);
    let mut last = "in".to_owned();
    for index in 0..length {
        let name = format!("x{index}");
        network.node(&name, op, &[&last, &last]);
        last = name;
    }
    network.layer("a", &last);
    network.layer("b", "a/Relu");
    network.node("out", "Add", &["b/Relu", &last]);
    network.0
}

/// `width` layers that share their weights, and an activation that as many nodes read.
fn wide(width: usize) -> Vec<u8> {
    let mut network = Network(Vec::new());
    network.node("in", "Placeholder", &[]);
    network.node("net/w/weights/read", "Identity", &["in"]);
    for index in 0..width {
        network.node(&format!("net/a{index}/Conv2D"), "Conv2D", &["in", "net/w/weights/read"]);
    }
    network.node("net/Relu", "Relu", &["net/a0/Conv2D"]);
    for index in 0..width {
        network.node(&format!("out{index}"), "Neg", &["net/Relu"]);
    }
    network.0
}

/// A walk that calls itself for every node needs more than this.
const STACK_BYTES: usize = 512 << 10;

#[test]
fn deep_and_wide_graphs_are_like_any_other() {
    let mut graphs: Vec<Vec<u8>> = ["Relu", "Add", "Identity", "Reshape", "ConcatV2"].map(|op| deep(op, 20_000)).into();
    graphs.push(wide(5000));
    thread::scope(|scope| {
        for graph in &graphs {
            let run = move || {
                bodies::graph(graph);
                bodies::inspect(graph);
                for choice in [0b100, 0b101] {
                    bodies::rewrite(&[&[choice], &graph[..]].concat());
                }
            };
            thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, run).unwrap();
        }
    });
}
