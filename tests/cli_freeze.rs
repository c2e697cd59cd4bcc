//! `tfquant freeze` as a user meets it, over models that TensorFlow made; what they compute is compared in
//! `tests/tensorflow/test_freeze.py`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may stop at once

#[path = "support/program.rs"]
mod program;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Output;

use program::tfquant;
use serde_json::Value;
use tempfile::TempDir;
use tfquant::freeze::{self, FreezeOptions, checkpoint_beside, layers};
use tfquant::internals::{Graph, NodeId};
use tfquant::source;
use tfquant::{Common, Encoding, MessageKind, Model, OpenOptions, RewriteOptions, Rules, TopologyOnly, rewrite};

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Freezes a model, which must go well; returns where the result is, and the report.
    fn freeze(&self, model: &str, more: &[&str]) -> (String, Value) {
        let (output, report) = (self.path("frozen.pb"), self.path("report.json"));
        let done = tfquant(&[&["freeze", model, "-o", &output, "--report", &report], more].concat());
        assert!(done.status.success(), "{}", stderr(&done));
        (output, serde_json::from_slice(&fs::read(report).unwrap()).unwrap())
    }

    /// Freezes a model, which must fail and leave nothing behind; returns the exit code and what was said.
    fn refuse(&self, model: &str, more: &[&str]) -> (i32, String) {
        let before = fs::read_dir(self.0.path()).unwrap().count();
        let done = tfquant(&[&["freeze", model, "-o", &self.path("refused.pb")], more].concat());
        assert_eq!(fs::read_dir(self.0.path()).unwrap().count(), before, "something was left behind");
        (done.status.code().unwrap(), stderr(&done))
    }

    /// A GraphDef in text form.
    fn text(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }
}

fn open(path: &str) -> Model {
    let source = source::open(Path::new(path)).unwrap();
    Model::open_source(&source, &OpenOptions::default()).unwrap()
}

fn names(graph: &Graph) -> Vec<&str> {
    graph.ids().map(|node| graph.name(node)).collect()
}

fn ops<'a>(graph: &'a Graph, op: &str) -> Vec<&'a str> {
    graph.ids().filter(|&node| graph.op(node) == op).map(|node| graph.name(node)).collect()
}

const V1: [&str; 4] = ["--checkpoint", "testdata/freeze/v1/model.ckpt", "--outputs", "output"];

#[test]
fn a_tensorflow_1_model_is_frozen_node_for_node() {
    let folder = Folder::new();
    let (frozen, report) = folder.freeze("testdata/freeze/v1/model.ckpt.meta", &V1);
    let golden = "testdata/freeze/v1/frozen.pb";
    assert_eq!(names(&open(&frozen).graph), names(&open(golden).graph), "the same nodes in the same order");
    let diff = tfquant(&["diff", &frozen, golden]);
    assert!(diff.status.success(), "{}", String::from_utf8_lossy(&diff.stdout));
    let keys: Vec<&str> =
        report["variables"].as_array().unwrap().iter().map(|variable| variable["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["conv/kernel", "conv/kernel", "conv/bias", "tail/scale"]);
    assert_eq!(report["variable_bytes"], 3 * 3 * 2 * 20 * 4 + 20 * 4 + 4);
}

#[test]
fn functions_are_put_in_place_and_nothing_of_them_is_left() {
    let folder = Folder::new();
    let (frozen, report) = folder.freeze("testdata/freeze/network", &[]);
    let graph = open(&frozen).graph;
    assert_eq!(graph.function_count(), 0);
    for op in ["StatefulPartitionedCall", "PartitionedCall", "VarHandleOp", "ReadVariableOp", "NoOp"] {
        assert_eq!(ops(&graph, op), Vec::<&str>::new());
    }
    assert_eq!((ops(&graph, "Conv2D").len(), ops(&graph, "DepthwiseConv2dNative").len()), (2, 1));
    assert!(report["outputs"][0].get("was").is_none(), "the only output keeps its name");
    let other = Folder::new();
    assert_eq!(fs::read(&frozen).unwrap(), fs::read(other.freeze("testdata/freeze/network", &[]).0).unwrap());
}

#[test]
fn passes_run_over_what_was_frozen_in_the_same_process() {
    let source = source::open(Path::new("testdata/freeze/network")).unwrap();
    let model = Model::open_source(&source, &OpenOptions::default()).unwrap();
    assert!(freeze::body_is_in_functions(&model));
    assert_eq!(layers::in_functions(&model).iter().filter(|layer| layer.op == "Conv2D").count(), 2);
    let checkpoint = checkpoint_beside(&source.location);
    let mut frozen = freeze::freeze(&model, &FreezeOptions { checkpoint, ..FreezeOptions::default() }).unwrap().model;

    let folder = Folder::new();
    let (on_disk, _) = folder.freeze("testdata/freeze/network", &[]);
    let mut read_back = open(&on_disk);
    let options = RewriteOptions {
        common: Common { is_training: false, skip_unmatched: true, ..Common::default() },
        rules: Rules::Topology(TopologyOnly::default()),
        ..RewriteOptions::default()
    };
    let (in_memory, from_disk) = (rewrite(&mut frozen, &options).unwrap(), rewrite(&mut read_back, &options).unwrap());
    assert!(in_memory.report.summary.quantized > 0);
    assert_eq!(in_memory.report.summary.quantized, from_disk.report.summary.quantized);
    let written = |model: &Model| {
        let mut bytes = Vec::new();
        model.encode().unwrap().write(Encoding::Binary, &mut bytes).unwrap();
        Model::open(bytes.into(), &OpenOptions::default()).unwrap()
    };
    let (one, other) = (written(&frozen), written(&read_back));
    assert!(tfquant::inspect::diff::diff(&one, &other, ["a", "b"], None).unwrap().is_empty());
}

#[test]
fn loops_and_conditionals_become_plain_nodes() {
    let folder = Folder::new();
    let (frozen, report) = folder.freeze("testdata/freeze/while_loop", &[]);
    let graph = open(&frozen).graph;
    assert_eq!((graph.function_count(), ops(&graph, "While").len() + ops(&graph, "If").len()), (0, 0));
    assert_eq!(ops(&graph, "LoopCond").len(), 2, "one for each loop");
    let kernel = graph.find("Variable").expect("the kernel has its variable's name");
    assert_eq!(graph.op(kernel), "Const");
    let conv = graph.ids().find(|&node| graph.op(node) == "Conv2D").unwrap();
    assert_eq!(leads_to(&graph, conv, 1), ["Identity", "Enter", "Const"], "weights stay outside of the loop");
    let renamed = report["outputs"].as_array().unwrap().iter().filter(|output| output["was"].is_string());
    assert_eq!(renamed.map(|output| output["tensor"].as_str().unwrap()).collect::<Vec<_>>(), ["y:0"]);
}

/// A conditional of two functions, which return constants of these shapes.
fn conditional(shapes: [&str; 2]) -> String {
    let function = |name: &str, shape: &str| {
        format!(
            "function {{ signature {{ name: '{name}' output_arg {{ name: 'r' type: DT_FLOAT }} }}
                node_def {{ name: 'c' op: 'Const' attr {{ key: 'dtype' value {{ type: DT_FLOAT }} }}
                    attr {{ key: 'value' value {{ tensor {{ dtype: DT_FLOAT tensor_shape {{ {shape} }} float_val: 1 }} }} }} }}
                node_def {{ name: 'i' op: 'Identity' input: 'c:output:0' attr {{ key: 'T' value {{ type: DT_FLOAT }} }} }}
                ret {{ key: 'r' value: 'i:output:0' }} }}"
        )
    };
    format!(
        "node {{ name: 'p' op: 'Placeholder' attr {{ key: 'dtype' value {{ type: DT_BOOL }} }} }}
         node {{ name: 'cond' op: 'If' input: 'p' attr {{ key: 'Tcond' value {{ type: DT_BOOL }} }}
             attr {{ key: 'then_branch' value {{ func {{ name: 't' }} }} }}
             attr {{ key: 'else_branch' value {{ func {{ name: 'e' }} }} }}
             attr {{ key: 'Tout' value {{ list {{ type: DT_FLOAT }} }} }} }}
         node {{ name: 'y' op: 'Identity' input: 'cond' attr {{ key: 'T' value {{ type: DT_FLOAT }} }} }}
         library {{ {} {} }}",
        function("t", shapes[0]),
        function("e", shapes[1])
    )
}

#[test]
fn a_conditional_between_constants_of_one_shape_is_a_select() {
    let folder = Folder::new();
    let frozen_ops = |name: &str, shapes: [&str; 2]| {
        let (frozen, _) = folder.freeze(&folder.text(name, &conditional(shapes)), &["--outputs", "y"]);
        let graph = open(&frozen).graph;
        let mut ops: Vec<String> = graph.ids().map(|node| graph.op(node).to_owned()).collect();
        ops.sort_unstable();
        ops.join(" ")
    };
    let row = "dim { size: 3 }";
    assert_eq!(frozen_ops("alike.pbtxt", [row, row]), "Const Const Identity Placeholder SelectV2");
    let apart = frozen_ops("apart.pbtxt", [row, ""]);
    assert!(apart.contains("Merge") && !apart.contains("Select"), "a Select would widen the number: {apart}");
}

/// The ops on the way back from an input of a node.
fn leads_to(graph: &Graph, node: NodeId, input: usize) -> Vec<&str> {
    let mut ops = Vec::new();
    let mut next = graph.data_input(node, input);
    while let Some(tensor) = next {
        ops.push(graph.op(tensor.node));
        next = graph.data_input(tensor.node, 0);
    }
    ops
}

#[test]
fn variables_of_one_name_keep_their_own_values() {
    let folder = Folder::new();
    let (frozen, report) = folder.freeze("testdata/freeze/same_names", &[]);
    let graph = open(&frozen).graph;
    // (x + a) * b - more[0], all called v.
    let value = |op: &str, input: usize| {
        let node = graph.ids().find(|&node| graph.op(node) == op).unwrap();
        let read = graph.data_input(node, input).unwrap();
        graph.const_value(read).unwrap().float_val[0].to_string()
    };
    assert_eq!([value("AddV2", 1), value("Mul", 1), value("Sub", 1)], ["3", "2", "5"]);
    assert_eq!(report["variables"].as_array().unwrap().len(), 3);
}

#[test]
fn a_frozen_model_becomes_a_saved_model_with_its_signature() {
    let folder = Folder::new();
    let output = folder.path("saved");
    let args = ["freeze", "testdata/freeze/network", "-o", &output, "--output-format", "saved-model"];
    let done = tfquant(&args);
    assert!(done.status.success(), "{}", stderr(&done));
    let model = open(&output);
    assert_eq!(model.kind, MessageKind::SavedModel);
    let said = tfquant(&["summary", "--json", &output]);
    let summary: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert!(summary["inputs"][0]["signature"].as_str().unwrap().starts_with("serving_default:"));
    let before = fs::read(format!("{output}/saved_model.pb")).unwrap();
    assert!(tfquant(&args).status.success(), "an older one is replaced");
    assert_eq!(fs::read(format!("{output}/saved_model.pb")).unwrap(), before);
    let over_itself = tfquant(&["freeze", &output, "-o", &output, "--output-format", "saved-model"]);
    assert_eq!(over_itself.status.code(), Some(1));
    assert!(stderr(&over_itself).contains("is the model that is read"), "{}", stderr(&over_itself));

    // What was frozen once is frozen: its SavedModel freezes to the same nodes.
    let (again, _) = folder.freeze(&output, &[]);
    assert_eq!(names(&open(&again).graph), names(&model.graph));
}

#[test]
fn a_function_is_called_where_there_is_no_signature() {
    let folder = Folder::new();
    let (frozen, report) = folder.freeze("testdata/freeze/module", &[]);
    let graph = open(&frozen).graph;
    let ops: Vec<&str> =
        graph.ids().map(|node| graph.op(node)).filter(|op| !matches!(*op, "Const" | "Identity")).collect();
    assert_eq!(ops, ["Placeholder", "Conv2D", "Relu", "Conv2D", "Relu", "AddV2"], "that which does not train");
    assert_eq!(report["inputs"][0]["key"], "x");
    assert_eq!(report["inputs"][0]["shape"], serde_json::json!([null, 6, 6, 2]));
    let name = report["signature"].as_str().unwrap();
    let (again, _) = folder.freeze("testdata/freeze/module", &["--signature", name]);
    assert_eq!(fs::read(frozen).unwrap(), fs::read(again).unwrap());
    let (_, said) = folder.refuse("testdata/freeze/module", &["--signature", "serve"]);
    assert!(said.contains("no signature 'serve'"), "{said}");
}

#[test]
fn what_cannot_be_frozen_is_named() {
    let folder = Folder::new();
    let (code, said) = folder.refuse("testdata/freeze/table", &[]);
    assert_eq!(code, 1);
    assert!(said.contains("a hash table cannot become a constant") && said.contains("(HashTableV2)"), "{said}");

    let meta = "testdata/freeze/v1/model.ckpt.meta";
    let (code, said) = folder.refuse(meta, &["--outputs", "output"]);
    assert_eq!(code, 2);
    assert!(said.contains("--checkpoint PREFIX"), "{said}");
    let (code, said) = folder.refuse(meta, &["--outputs", "outptu", V1[0], V1[1]]);
    assert_eq!(code, 2);
    assert!(said.contains("the model has no tensor 'outptu"), "{said}");
    let (_, said) = folder.refuse(meta, &["--signature", "serve"]);
    assert!(said.contains("no signature 'serve'"), "{said}");
    let other = "testdata/freeze/while_loop/variables/variables";
    let (code, said) = folder.refuse(meta, &["--outputs", "output", "--checkpoint", other]);
    assert_eq!(code, 1);
    assert!(said.contains("no 'conv/kernel'") && said.contains("the nearest key is"), "{said}");
}

#[test]
fn damaged_and_missing_data_is_refused() {
    let folder = Folder::new();
    let copy = |name: &str| {
        fs::copy(format!("testdata/freeze/v1/{name}"), folder.path(name)).unwrap();
        folder.path(name)
    };
    copy("model.ckpt.index");
    let data = copy("model.ckpt.data-00000-of-00001");
    let options = ["--outputs", "output", "--checkpoint", &folder.path("model.ckpt")];
    let meta = "testdata/freeze/v1/model.ckpt.meta";
    let mut bytes = fs::read(&data).unwrap();
    bytes[40] ^= 1;
    fs::write(&data, &bytes).unwrap();
    assert!(folder.refuse(meta, &options).1.contains("checksum"));
    fs::write(&data, &bytes[..100]).unwrap();
    assert!(folder.refuse(meta, &options).1.contains("past the end of its data file"));
    fs::remove_file(&data).unwrap();
    let (code, said) = folder.refuse(meta, &options);
    assert_eq!(code, 1);
    assert!(said.contains("model.ckpt.data-00000-of-00001") && said.contains(".data files"), "{said}");
}

/// A graph that calls `f0`; of `count` functions, each has `own` nodes and then calls the next one `calls` times.
fn library(count: usize, own: usize, calls: usize, last_calls: Option<usize>) -> String {
    let mut text = String::from(
        "node { name: 'x' op: 'Placeholder' attr { key: 'dtype' value { type: DT_FLOAT } } }
         node { name: 'y' op: 'StatefulPartitionedCall' input: 'x' attr { key: 'f' value { func { name: 'f0' } } }
                attr { key: 'Tout' value { list { type: DT_FLOAT } } } }
         library {",
    );
    for number in 0..count {
        let _ = write!(
            text,
            "function {{ signature {{ name: 'f{number}' input_arg {{ name: 'a' type: DT_FLOAT }}
                output_arg {{ name: 'r' type: DT_FLOAT }} }}"
        );
        let mut last = "a".to_owned();
        for node in 0..own {
            let _ = write!(text, "node_def {{ name: 'n{node}' op: 'Neg' input: '{last}' }}");
            last = format!("n{node}:y:0");
        }
        let callee = if number + 1 < count { Some(number + 1) } else { last_calls };
        for (callee, call) in callee.into_iter().flat_map(|callee| (0..calls).map(move |call| (callee, call))) {
            let _ = write!(
                text,
                "node_def {{ name: 'PartitionedCall_{call}' op: 'PartitionedCall' input: '{last}'
                    attr {{ key: 'f' value {{ func {{ name: 'f{callee}' }} }} }} }}"
            );
            last = format!("PartitionedCall_{call}:output:0");
        }
        let _ = write!(text, "ret {{ key: 'r' value: '{last}' }} }}");
    }
    text.push('}');
    text
}

#[test]
fn deep_nesting_is_no_obstacle_and_endless_nesting_is_refused() {
    let folder = Folder::new();
    let called_as_by_tensorflow = library(2000, 10, 1, None).replace("name: 'f", "name: '__inference_f");
    let deep = folder.text("deep.pbtxt", &called_as_by_tensorflow);
    let (frozen, report) = folder.freeze(&deep, &["--outputs", "y"]);
    let graph = open(&frozen).graph;
    assert_eq!(graph.len(), 2 + 2000 * 10, "the placeholder, the bodies, the output's Identity");
    assert!(graph.ids().all(|node| graph.name(node).starts_with(|first: char| first.is_ascii_alphanumeric())));
    assert_eq!(report["calls_inlined"], 2000);

    let recursive = folder.text("recursive.pbtxt", &library(5, 1, 1, Some(2)));
    let (code, said) = folder.refuse(&recursive, &["--outputs", "y"]);
    assert_eq!(code, 1);
    assert!(said.contains("calls itself"), "{said}");
    let exponential = folder.text("exponential.pbtxt", &library(64, 1, 2, None));
    let (code, said) = folder.refuse(&exponential, &["--outputs", "y"]);
    assert_eq!(code, 1);
    assert!(said.contains("unfold to more than"), "{said}");
}

#[test]
fn a_call_that_returns_its_own_result_is_refused() {
    let folder = Folder::new();
    let cycle = folder.text(
        "cycle.pbtxt",
        "node { name: 'a' op: 'f' input: 'x' } node { name: 'x' op: 'Placeholder' }
         library { function {
             signature { name: 'f' input_arg { name: 'i' type: DT_FLOAT } output_arg { name: 'r' type: DT_FLOAT } }
             node_def { name: 'b' op: 'g' input: 'b:r:0' } ret { key: 'r' value: 'b:r:0' } }
           function {
             signature { name: 'g' input_arg { name: 'i' type: DT_FLOAT } output_arg { name: 'r' type: DT_FLOAT } }
             ret { key: 'r' value: 'i' } } }",
    );
    let (code, said) = folder.refuse(&cycle, &["--outputs", "a"]);
    assert_eq!(code, 1);
    assert!(said.contains("cycle of calls") || said.contains("passes on its own result"), "{said}");
}

#[test]
fn generic_functions_get_their_types_and_ops_may_be_functions() {
    let folder = Folder::new();
    let generic = folder.text(
        "generic.pbtxt",
        "node { name: 'x' op: 'Placeholder' attr { key: 'dtype' value { type: DT_HALF } } }
         node { name: 'scope/y' op: 'Double' input: 'x' attr { key: 'T' value { type: DT_HALF } } }
         node { name: 'z' op: 'Identity' input: 'scope/y' attr { key: 'T' value { type: DT_HALF } } }
         library { function {
             signature { name: 'Double' attr { name: 'T' type: 'type' }
                 input_arg { name: 'i' type_attr: 'T' } output_arg { name: 'r' type_attr: 'T' } }
             node_def { name: 'add' op: 'Add' input: 'i' input: 'i' attr { key: 'T' value { placeholder: 'T' } } }
             ret { key: 'r' value: 'add:z:0' } } }",
    );
    let (frozen, _) = folder.freeze(&generic, &["--outputs", "z"]);
    let graph = open(&frozen).graph;
    assert_eq!(names(&graph), ["x", "scope/y/add", "z"]);
    assert_eq!(graph.attr_type(graph.find("scope/y/add").unwrap(), "T"), Some(19));
}

#[test]
fn one_command_takes_a_model_in_functions_to_a_rewritten_graph() {
    let folder = Folder::new();
    let (output, report) = (folder.path("q.pb"), folder.path("r.json"));
    let run = |more: &[&str]| tfquant(&[&["rewrite", "testdata/freeze/network", "--report", &report], more].concat());
    let done = run(&["--mode", "eval", "-o", &output]);
    assert!(done.status.success(), "{}", stderr(&done));
    let said = stderr(&done);
    assert!(said.starts_with("frozen          11 variables (1348 bytes), 2 calls put in place: "), "{said}");
    let report: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!((&report["summary"]["quantized"], &report["summary"]["layers"]), (&4.into(), &4.into()));
    assert_eq!(report["outputs"][0]["before"], report["outputs"][0]["after"]);
    let frozen = folder.freeze("testdata/freeze/network", &[]).0;
    let by_hand = folder.path("by_hand.pb");
    assert!(tfquant(&["rewrite", "-q", &frozen, "-o", &by_hand, "--mode", "eval"]).status.success());
    assert!(fs::read(&output).unwrap() == fs::read(&by_hand).unwrap(), "freezing by hand and rewriting gives the same");
}

#[test]
fn a_graph_that_trains_is_not_frozen_and_says_why() {
    let folder = Folder::new();
    let output = folder.path("q.pb");
    let refused = tfquant(&["rewrite", "testdata/freeze/network", "-o", &output]);
    assert_eq!(refused.status.code(), Some(1));
    let said = stderr(&refused);
    assert!(
        said.contains(" layers are in functions, where training graphs are not rewritten; the first is '"),
        "{said}"
    );
    assert!(said.contains("--mode eval") && said.contains("export_meta_graph"), "{said}");
    assert!(!Path::new(&output).exists());
}

#[test]
fn a_rewritten_graph_becomes_a_saved_model_of_its_own() {
    let folder = Folder::new();
    let output = folder.path("model_q");
    let flags = ["--mode", "eval", "--output-format", "saved-model"];
    let done = tfquant(&[&["rewrite", "-q", "testdata/freeze/network", "-o", &output][..], &flags].concat());
    assert!(done.status.success(), "{}", stderr(&done));
    let summary = tfquant(&["summary", &output]);
    let told = String::from_utf8(summary.stdout).unwrap();
    assert!(told.contains("(Placeholder, signature serving_default:"), "{told}");
    assert!(
        told.contains("(Identity, signature serving_default:"),
        "the quantized tensor bears the output's name: {told}"
    );
    let again = tfquant(&[&["rewrite", "-q", "testdata/freeze/network", "-o", &output][..], &flags].concat());
    assert!(again.status.success(), "{}", stderr(&again));
}

#[test]
fn layers_in_functions_are_counted_listed_and_named() {
    let summary: Value =
        serde_json::from_slice(&tfquant(&["summary", "--json", "testdata/freeze/network"]).stdout).unwrap();
    let layers = summary["quantization"]["in_functions"].as_array().unwrap();
    assert!(layers.iter().any(|layer| layer["op"] == "Conv2D" && layer["function"].is_string()), "{layers:?}");
    let check = tfquant(&["check", "testdata/freeze/network"]);
    let told = String::from_utf8(check.stdout).unwrap();
    assert_eq!(check.status.code(), Some(1));
    assert!(told.starts_with("error body_in_functions ") && !told.contains("NoOp"), "{told}");
    let explained = tfquant(&["explain", "testdata/freeze/network", "--mode", "eval"]);
    assert!(String::from_utf8(explained.stdout).unwrap().contains("4 layers: 4 quantized"));
}
