//! `tfquant check` for TensorFlow's converter of today, judged by what that made of the same graphs, op by op.
//!
//! `tests/tensorflow/check_agrees.py` compares in the same way, with TensorFlow at hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may stop at once

use std::collections::BTreeMap;
use std::io::Read;

use bytes::Bytes;
use serde_json::Value;
use tfquant::freeze::{FreezeOptions, freeze};
use tfquant::inspect::check::{self, Check, Options, Target, litert};
use tfquant::{Model, OpenOptions};

/// Further off than so many levels of the output is wrong.
const WRONG: f64 = 8.0;

/// How often each of the converter's ops is there, in floats and in integers.
type Ops = BTreeMap<(String, bool), usize>;

#[test]
fn says_what_the_converter_does_with_every_graph_of_the_corpus() {
    let known: BTreeMap<String, BTreeMap<String, Value>> =
        serde_json::from_str(&std::fs::read_to_string("testdata/converter/verdicts.json").unwrap()).unwrap();
    let graphs = graphs();
    assert!(graphs.len() > 700);
    let mut differ = Vec::new();
    for (name, graph) in &graphs {
        let found = checked(graph);
        for (version, verdicts) in &known {
            let verdict = match verdicts[name].get("as") {
                Some(older) => &known[older.as_str().unwrap()][name],
                None => &verdicts[name],
            };
            let (said, done) = (said(&found, version), done(verdict));
            let is_same = said.0 == done.0 && (done.0 == "will_not_run" || said.1 == done.1);
            if !is_same {
                differ.push(format!("{name} in {version}: said {said:?}, is {done:?}"));
            }
        }
    }
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
}

fn graphs() -> BTreeMap<String, Bytes> {
    let file = std::fs::File::open("testdata/converter/graphs.tar.zst").unwrap();
    let mut unpacked = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(file).unwrap().read_to_end(&mut unpacked).unwrap();
    let mut archive = tar::Archive::new(unpacked.as_slice());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().trim_end_matches(".pb").to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (name, Bytes::from(bytes))
    });
    entries.collect()
}

fn checked(graph: &Bytes) -> Check {
    let mut model = Model::open(graph.clone(), &OpenOptions::default()).unwrap();
    // Loops that are functions are checked once they are frozen, as `check` says.
    if model.graph.function_count() > 0 {
        model =
            freeze(&model, &FreezeOptions { outputs: vec!["output0".to_owned()], ..Default::default() }).unwrap().model;
    }
    check::check(&model, "graph.pb", &Options { target: Some(Target::LitertInt8), full_integer: false })
}

fn count(ops: &mut Ops, name: &str, is_float: bool) {
    // A product with constant weights is either, so is a change of shape; and the converter moves values as it likes.
    let name = match name {
        "BATCH_MATMUL" => "FULLY_CONNECTED",
        "EXPAND_DIMS" | "SQUEEZE" => "RESHAPE",
        name => name,
    };
    let moves = matches!(name, "RESHAPE" | "TRANSPOSE" | "PAD" | "FILL");
    // What a loop carries is in floats, whatever it computes.
    if !matches!(name, "QUANTIZE" | "DEQUANTIZE" | "SHAPE" | "WHILE") && (is_float || !moves) {
        *ops.entry((name.to_owned(), is_float)).or_default() += 1;
    }
}

fn said(check: &Check, version: &str) -> (&'static str, Ops) {
    let version = version.rsplit_once('.').unwrap().0;
    let (mut ops, mut state) = (Ops::new(), "fine");
    for op in &check.ops.as_ref().unwrap().ops {
        let of_version = op.by_version.get(version).or((op.by_version.is_empty()).then_some(&op.verdict));
        let Some(verdict) = of_version.map(|verdict| verdict.name()) else { continue };
        // What is wrong may be in float as well.
        let is_float =
            verdict == "stays_float" || verdict == "will_be_wrong" && op.codes.contains(&"no_integer_kernel");
        count(&mut ops, op.becomes, is_float);
    }
    let elsewhere =
        |message: &str| message.ends_with(')') && message.contains("(TensorFlow ") && !message.contains(version);
    for finding in check.findings.listed.iter().filter(|finding| !elsewhere(&finding.message)) {
        if finding.message.starts_with("will_not_run") {
            state = "will_not_run";
        } else if finding.message.starts_with("will_be_wrong") && state == "fine" {
            state = "will_be_wrong";
        }
    }
    (state, ops)
}

fn done(verdict: &Value) -> (&'static str, Ops) {
    let mut ops = Ops::new();
    for op in verdict["ops"].as_array().into_iter().flatten() {
        let (name, types) = op.as_str().unwrap().split_once(' ').unwrap();
        let types: Vec<&str> = types.split([',', '>']).collect();
        if ["float32", "int8", "int4", "int16"].iter().any(|kind| types.contains(kind)) {
            count(&mut ops, name, types.contains(&"float32"));
        }
    }
    let is_off = verdict["off"].as_f64().is_some_and(|off| off > WRONG) && verdict["nearer"].is_null();
    let state = if verdict["runs"] != Value::Bool(true) {
        "will_not_run"
    } else if is_off {
        "will_be_wrong"
    } else {
        "fine"
    };
    (state, ops)
}

#[test]
fn every_code_is_explained_to_users() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    for code in litert::CODES {
        let row = format!("| `{}` | {} | {} |", code.name(), code.verdict().name(), code.explanation());
        assert!(readme.contains(&row), "README.md lacks the line {row}");
        assert!(!code.hint().is_empty());
    }
}
