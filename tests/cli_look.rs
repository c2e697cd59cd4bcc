//! `tfquant summary`, `explain`, `diff`, `rewrite --dry-run`, `completions` and `man` on a real model.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may stop at once

#[path = "support/program.rs"]
mod program;

use assert_cmd::Command;
use program::tfquant;
use serde_json::Value;

const MODEL: &str = "testdata/mobilenet_v1.meta";

fn text(args: &[&str]) -> String {
    String::from_utf8(tfquant(args).stdout).unwrap()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_slice(&tfquant(args).stdout).expect("JSON")
}

#[test]
fn a_summary_is_the_same_from_a_file_and_from_standard_input() {
    let from_file = text(&["summary", MODEL]);
    let bytes = std::fs::read(MODEL).unwrap();
    let output = Command::cargo_bin("tfquant").unwrap().args(["summary", "-"]).write_stdin(bytes).output().unwrap();
    let from_stdin = String::from_utf8(output.stdout).unwrap();
    assert_eq!(from_file.lines().skip(1).collect::<Vec<_>>(), from_stdin.lines().skip(1).collect::<Vec<_>>());
    assert!(from_file.contains("\ninput         input float32 [?,128,128,3] (Placeholder)\n"));
    assert!(from_file.contains("\noutput        MobilenetV1/Predictions float32 [?,1001] (Softmax)\n"));
    assert_eq!(from_file.lines().filter(|line| line.starts_with("output ")).count(), 1);
}

#[test]
fn a_summary_counts_what_the_graph_holds() {
    let summary = json(&["summary", "--json", MODEL]);
    assert_eq!(summary["schema_version"], 1);
    assert_eq!(summary["quantization"]["state"], "float");
    assert_eq!(summary["quantization"]["layers"], 28);
    assert_eq!(summary["ops"]["FusedBatchNorm"], 27);
    assert_eq!(summary["variables"].as_array().unwrap().len(), 138);
    assert_eq!(summary["biggest"][0]["shape"], serde_json::json!([1, 1, 256, 1001]));
    assert_eq!(summary["inputs"][0]["shape"], serde_json::json!([null, 128, 128, 3]));
    // What the sizes of tf.global_variables() of that type add up to.
    assert_eq!(summary["parameters"]["by_dtype"]["float32"]["elements"], 475_801);
}

#[test]
fn a_saved_models_signatures_come_first() {
    // Of two inputs and two outputs, the ones that the signature names stand second in the graph.
    const SAVED_MODEL: &str = r#"
        meta_graphs {
          graph_def {
            node { name: "other" op: "Placeholder" }
            node { name: "x" op: "Placeholder" }
            node { name: "a" op: "Neg" input: "other" }
            node { name: "b" op: "Neg" input: "x" }
          }
          signature_def {
            key: "serving_default"
            value {
              inputs { key: "image" value { name: "x:0" } }
              outputs { key: "label" value { name: "b:0" } }
            }
          }
        }
    "#;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("saved_model.pbtxt"), SAVED_MODEL).unwrap();
    let summary = json(&["summary", "--json", folder.path().to_str().unwrap()]);
    assert_eq!((&summary["model"]["container"], &summary["model"]["encoding"]), (&"SavedModel".into(), &"text".into()));
    for (ends, named, signature, other) in
        [("inputs", "x", "serving_default:image", "other"), ("outputs", "b", "serving_default:label", "a")]
    {
        assert_eq!((&summary[ends][0]["node"], &summary[ends][0]["signature"]), (&named.into(), &signature.into()));
        assert_eq!((&summary[ends][1]["node"], summary[ends][1].get("signature")), (&other.into(), None));
    }
}

#[test]
fn a_plan_knows_how_large_the_output_will_be() {
    let folder = tempfile::tempdir().unwrap();
    let [output, plan, report] = ["o.meta", "plan.json", "report.json"].map(|name| folder.path().join(name));
    let [output, plan, report] = [&output, &plan, &report].map(|path| path.to_str().unwrap());
    let run = tfquant(&["rewrite", "-q", MODEL, "-o", output, "--plan", plan, "--report", report]);
    assert!(run.status.success());
    let bytes = std::fs::metadata(output).unwrap().len();
    for path in [plan, report] {
        let document: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(
            (&document["input"]["path"], &document["output"]["bytes"]),
            (&MODEL.into(), &bytes.into()),
            "{path}"
        );
    }
    assert_eq!(json(&["explain", "--json", MODEL])["plan"]["output"]["bytes"], bytes);
}

/// A graph that was trained: gradients of a second optimizer, and a Saver of one of two variables.
const TRAINED: &str = r#"
    node {
      name: "w" op: "VariableV2" attr { key: "dtype" value { type: DT_FLOAT } }
      attr { key: "shape" value { shape { dim { size: 2 } dim { size: 2 } } } }
    }
    node { name: "v" op: "VariableV2" attr { key: "dtype" value { type: DT_FLOAT } } }
    node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } }
    node { name: "c/weights/read" op: "Identity" input: "w" attr { key: "T" value { type: DT_FLOAT } } }
    node { name: "c/MatMul" op: "MatMul" input: "x" input: "c/weights/read" attr { key: "T" value { type: DT_FLOAT } } }
    node { name: "c/Relu" op: "Relu" input: "c/MatMul" attr { key: "T" value { type: DT_FLOAT } } }
    node { name: "out" op: "Identity" input: "c/Relu" attr { key: "T" value { type: DT_FLOAT } } }
    node { name: "gradients_1/c/MatMul" op: "MatMul" input: "c/Relu" input: "x" }
    node { name: "save/Const" op: "Const" }
    node {
      name: "save/names" op: "Const"
      attr { key: "value" value { tensor { dtype: DT_STRING tensor_shape { dim { size: 1 } } string_val: "w" } } }
    }
    node { name: "save/SaveV2" op: "SaveV2" input: "save/Const" input: "save/names" input: "save/Const" input: "w" }
"#;

#[test]
fn rewrite_and_check_warn_of_gradients_and_savers_by_the_same_rule() {
    let folder = tempfile::tempdir().unwrap();
    let [model, output, report] = ["m.pbtxt", "o.pb", "report.json"].map(|name| folder.path().join(name));
    let [model, output, report] = [&model, &output, &report].map(|path| path.to_str().unwrap());
    std::fs::write(model, TRAINED).unwrap();
    let run =
        tfquant(&["rewrite", "--match", "topology", "-q", "--mode", "eval", model, "-o", output, "--report", report]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let said: Vec<&str> =
        report["warnings"].as_array().unwrap().iter().map(|warning| warning["code"].as_str().unwrap()).collect();
    assert_eq!(said, ["gradients_present", "saver_misses_variables"]);
    let findings = json(&["check", "--json", "--target", "any", output])["findings"].clone();
    let found = |code: &str| findings.as_array().unwrap().iter().find(|finding| finding["code"] == code).cloned();
    assert_eq!(found("gradients_present").unwrap()["node"], "gradients_1/c/MatMul");
    let missed = found("saver_misses_variables").unwrap();
    assert_eq!(missed["node"], "save/SaveV2");
    let by_rewrite = &report["warnings"][1]["message"];
    assert_eq!(&missed["message"], by_rewrite, "both count the variable 'v' that was unsaved before");
}

#[test]
fn an_explanation_says_why_a_layer_is_left() {
    let left = text(&[
        "explain",
        MODEL,
        "MobilenetV1/Conv2d_5_pointwise/Conv2D",
        "--exclude",
        "Conv2d_5_pointwise",
        "--no-fold-batch-norms",
    ]);
    assert!(left.contains(
        "layer MobilenetV1/Conv2d_5_pointwise/Conv2D (Conv2D): not_selected: left out by --include, --exclude or --inputs\n"
    ));
    assert!(left.contains("input 1 is MobilenetV1/Conv2d_5_pointwise/weights/read (Identity) from MobilenetV1/Conv2d_5_pointwise/weights (VariableV2)"));
    assert!(left.contains("nearest activation is MobilenetV1/Conv2d_5_pointwise/Relu6 (Relu6), 2 steps on"));

    let part = text(&["explain", MODEL, "MobilenetV1/Conv2d_5_pointwise/Relu6", "--no-fold-batch-norms"]);
    assert!(part.contains("(Relu6): its output is quantized for MobilenetV1/Conv2d_5_pointwise/Conv2D\n"), "{part}");
    assert!(part.contains("insert MobilenetV1/Conv2d_5_pointwise/act_quant/FakeQuantWithMinMaxVars"));

    let unknown = tfquant(&["explain", MODEL, "MobilenetV1/Conv2d_5_pointwise/Relu"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&unknown.stderr).contains("nearest name is 'MobilenetV1/Conv2d_5_pointwise/Relu6'")
    );
}

/// What `explain` says about a graph of nodes, each a name, an op and inputs.
fn explained(nodes: &[(&str, &str, &[&str])], args: &[&str]) -> String {
    let node = |(name, op, inputs): &(&str, &str, &[&str])| {
        let inputs: Vec<String> = inputs.iter().map(|input| format!(" input: '{input}'")).collect();
        let inputs = inputs.concat();
        format!("node {{ name: '{name}' op: '{op}'{inputs} }}\n")
    };
    let graph: String = nodes.iter().map(node).collect();
    let args = [&["explain", "-"], args].concat();
    let output = Command::cargo_bin("tfquant").unwrap().args(args).write_stdin(graph).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn steps(explained: &str) -> Vec<&str> {
    explained.lines().filter(|line| line.starts_with("step ") || line.starts_with("pattern ")).collect()
}

#[test]
fn the_steps_of_the_rules_are_told() {
    let layer: &[(&str, &str, &[&str])] = &[
        ("x", "Placeholder", &[]),
        ("net/conv/weights", "VariableV2", &[]),
        ("net/conv/weights/read", "Identity", &["net/conv/weights"]),
        ("net/conv/Conv2D", "Conv2D", &["x", "net/conv/weights/read"]),
    ];
    let alone = explained(layer, &["--match", "names"]);
    let expected = [
        "step net/conv/Conv2D: weights_by_name found net/conv/weights/read",
        "step net/conv/Conv2D: activation_in_scope found nothing",
        "step net/conv/Conv2D: activation_above found nothing",
        "step net/conv/Conv2D: single_bias_add found nothing",
    ];
    assert_eq!(steps(&alone), expected, "{alone}");
    let by_structure = explained(layer, &["--match", "topology", "--reference-only"]);
    let expected = [
        "step net/conv/Conv2D: weights found net/conv/weights/read",
        "step net/conv/Conv2D: bias found nothing",
        "step net/conv/Conv2D: activation found nothing",
    ];
    assert_eq!(steps(&by_structure), expected, "{by_structure}");

    let with_bypass = [layer, &[("net/add", "Add", &["net/conv/Conv2D", "x"]), ("net/Relu", "Relu", &["net/add"])]];
    let told = explained(&with_bypass.concat(), &["--match", "names", "--all"]);
    let expected = [
        "pattern net/conv/Conv2D: weights_by_name + activation_above + bypass",
        "step net/conv/Conv2D: weights_by_name found net/conv/weights/read",
        "step net/conv/Conv2D: activation_in_scope found nothing",
        "step net/conv/Conv2D: activation_above found net/Relu",
        "step net/conv/Conv2D: bypass found net/add",
        "pattern net/add: add_of_scope",
        "step net/add: add_of_scope found net/add",
    ];
    assert_eq!(steps(&told), expected, "{told}");

    let keras: &[(&str, &str, &[&str])] =
        &[("x", "Placeholder", &[]), ("k", "Const", &[]), ("net/conv/Conv2D", "Conv2D", &["x", "k"])];
    assert_eq!(
        steps(&explained(keras, &["--match", "names"])),
        ["step net/conv/Conv2D: weights_by_name found nothing"]
    );
    let extended = explained(keras, &["--match", "topology", "--all"]);
    assert!(extended.contains("pattern net/conv/Conv2D: weights + activation\n"), "{extended}");
    assert!(extended.contains("extension net/conv/Conv2D: const_weights\n"), "{extended}");
}

#[test]
fn a_folded_layer_leads_to_its_twin() {
    let told = text(&["explain", MODEL, "MobilenetV1/Conv2d_0/Conv2D"]);
    assert!(told.starts_with(
        "node MobilenetV1/Conv2d_0/Conv2D (Conv2D): its folded twin is MobilenetV1/Conv2d_0/Conv2D_Fold\n"
    ));
    assert!(
        told.contains("pattern MobilenetV1/Conv2d_0/Conv2D_Fold: folded_weights + activation_in_scope\n"),
        "{told}"
    );
}

#[test]
fn a_layer_that_the_rules_refuse_is_explained_not_refused() {
    let explained = tfquant(&["explain", "testdata/check/quant.pb"]);
    assert!(explained.status.success());
    let refused = tfquant(&["explain", "--match", "names", "testdata/check/fc.pb"]);
    assert!(refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stdout).contains("\nlayer mm (MatMul): no_scope: "));
}

#[test]
fn a_plan_is_what_the_rewrite_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (plan, output) = (path("plan.json"), path("out.meta"));
    let printed = text(&["rewrite", MODEL, "--dry-run", "--plan", &plan]);
    let explained = text(&["explain", "--all", MODEL]);
    let inserts =
        |text: &str| text.lines().filter(|line| line.starts_with("insert ")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(inserts(&printed), inserts(&explained));
    assert_eq!(inserts(&printed).len(), 56);

    assert!(tfquant(&["rewrite", "-q", MODEL, "-o", &output]).status.success());
    let added = text(&["diff", MODEL, &output]);
    for line in inserts(&printed) {
        let node = line.split(' ').nth(1).unwrap();
        assert!(added.contains(&format!("+ {node} (FakeQuantWithMinMaxVars)\n")));
    }
    let plan: Value = serde_json::from_str(&std::fs::read_to_string(&plan).unwrap()).unwrap();
    assert_eq!((&plan["dry_run"], &plan["summary"]["fake_quants"]), (&true.into(), &56.into()));
    assert_eq!(plan["seconds"], serde_json::json!({}), "a plan is the same each time");
}

#[test]
fn a_difference_has_a_direction_a_scope_and_an_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.meta").to_str().unwrap().to_owned();
    assert!(
        tfquant(&["rewrite", "-q", "--mode", "eval", "--no-fold-batch-norms", MODEL, "-o", &output]).status.success()
    );
    assert_eq!(tfquant(&["diff", MODEL, MODEL]).status.code(), Some(0));
    let there = tfquant(&["diff", MODEL, &output, "--scope", "MobilenetV1/Conv2d_3_pointwise"]);
    assert_eq!(there.status.code(), Some(1));
    let there = String::from_utf8(there.stdout).unwrap();
    let weights = "MobilenetV1/Conv2d_3_pointwise/weights";
    assert!(there.contains(&format!(
        "~ MobilenetV1/Conv2d_3_pointwise/Conv2D input 1: {weights}/read -> {weights}_quant/FakeQuantWithMinMaxVars\n"
    )));
    assert!(there.ends_with("nodes: 18 added, 0 removed, 1 changed, 40 the same\n"), "{there}");
    let back = json(&["diff", &output, MODEL, "--json", "--scope", "MobilenetV1/Conv2d_3_pointwise/"]);
    assert_eq!((&back["removed"], &back["added"]), (&18.into(), &0.into()));

    // Between the ends that are named: the first layer alone, and nothing at all.
    let first = json(&["diff", MODEL, &output, "--json", "--outputs", "MobilenetV1/Conv2d_0/Relu6:0"]);
    let changed: Vec<&Value> = (first["nodes"].as_array().unwrap().iter())
        .filter(|node| node["kind"] == "changed")
        .map(|node| &node["node"])
        .collect();
    assert_eq!(changed, ["MobilenetV1/Conv2d_0/Conv2D"]);
    assert_eq!(tfquant(&["diff", MODEL, &output, "--outputs", "MobilenetV1/Conv2d_0/weights"]).status.code(), Some(0));
}

#[test]
fn the_same_graph_in_another_encoding_does_not_differ() {
    let output = tfquant(&["diff", "testdata/text/conv_relu.pb", "testdata/text/conv_relu.pbtxt"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn shells_and_man_get_their_text() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(text(&["completions", shell]).contains("dry-run"), "{shell}");
    }
    let page = text(&["man"]);
    assert!(page.starts_with(".ie") || page.starts_with(".TH"));
    for verb in ["rewrite", "summary", "check", "explain", "diff"] {
        assert!(page.contains(&format!(".SH VERB \"{verb}\"")), "{verb}");
    }
}

#[test]
fn whoever_reads_the_output_may_leave_early() {
    use std::process::Stdio;
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("tfquant"))
        .args(["explain", "--all", MODEL])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
