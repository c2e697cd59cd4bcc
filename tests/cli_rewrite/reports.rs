//! What the user is told: the summary, the report, warnings.

use std::path::Path;

use serde_json::Value;

use crate::Folder;
use crate::models::meta_graph;

#[test]
fn the_summary_is_a_short_table() {
    let folder = Folder::with_model();
    let said = folder.rewrite(&["in.meta", "-o", "out.meta", "-v"]);
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("time")).collect();
    insta::assert_snapshot!("summary", lines.join("\n"));
}

#[test]
fn the_report_has_a_versioned_schema() {
    let folder = Folder::with_model();
    folder.rewrite(&["in.meta", "-o", "out.meta", "--report", "report.json"]);
    let mut report: Value = serde_json::from_slice(&folder.read("report.json")).unwrap();
    assert!(report["tool"].as_str().unwrap().starts_with("tfquant "));
    report["tool"] = "tfquant".into();
    for (_, seconds) in report["seconds"].as_object_mut().unwrap() {
        assert!(seconds.is_f64());
        *seconds = 0.into();
    }
    insta::assert_snapshot!("report", serde_json::to_string_pretty(&report).unwrap());
}

#[test]
fn users_are_warned_of_what_will_surprise_them() {
    let folder = Folder::new();
    let warnings = |case: &str, arguments: &[&str]| -> Vec<String> {
        folder.write("in.meta", meta_graph(case));
        let report = ["in.meta", "-o", "out.meta", "--report", "r.json", "--skip-unmatched"];
        let said = folder.rewrite(&[&report, arguments].concat());
        let report: Value = serde_json::from_slice(&folder.read("r.json")).unwrap();
        let warnings = report["warnings"].as_array().unwrap();
        assert!(warnings.iter().all(|warning| said.contains(warning["message"].as_str().unwrap())), "{said}");
        warnings.iter().map(|warning| warning["code"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(warnings("conv_relu", &[]), [""; 0]);
    assert_eq!(warnings("training_rmsprop", &[]), ["gradients_present"]);
    assert_eq!(warnings("no_bias_no_act", &["--match", "names"]), ["nothing_quantized"]);
    assert_eq!(warnings("inception_v3", &["--mode", "eval", "--include", "Logits"]), [""; 0]);
}

#[test]
fn a_second_rewrite_is_told_apart() {
    let folder = Folder::with_model();
    folder.rewrite(&["in.meta", "-o", "once.meta", "--mode", "eval"]);
    let (code, said) = folder.refuse(&["once.meta", "-o", "twice.meta"]);
    assert_eq!(code, 1);
    assert!(said.contains("quantized already"), "{said}");
    let said = folder.rewrite(&["once.meta", "-o", "twice.meta", "--allow-nothing"]);
    assert!(said.contains("warning: the graph is quantized already"), "{said}");
}

#[test]
fn a_created_global_step_is_told() {
    let folder = Folder::new();
    folder.write("in.meta", meta_graph("gs_created"));
    let said = folder.rewrite(&["in.meta", "-o", "out.meta", "--quant-delay", "10"]);
    assert!(said.contains("created 'global_step'"), "{said}");
}

#[test]
fn new_variables_are_told_with_how_they_come_to_their_values() {
    let folder = Folder::with_model();
    folder.write("in.pb", crate::models::graph_def(&folder.read("in.meta")));
    let told = |arguments: &[&str]| {
        let said = folder.rewrite(arguments);
        said.lines().find_map(|line| line.strip_prefix("variables")).map(|line| line.trim().to_owned())
    };
    let cases = [
        (&["in.meta", "-o", "out.meta"][..], "8 new: leave them out where a float checkpoint is restored"),
        (&["in.pb", "-o", "out.pb"], "8 new: a GraphDef has no collections: --init-op NAME"),
        (&["in.pb", "-o", "out.pb", "--init-op", "init_new"], "8 new: run 'init_new' once"),
        (&["in.pb", "-o", "out.pb", "--mode", "eval"], "4 new: their values are in a checkpoint"),
    ];
    for (arguments, expected) in cases {
        let told = told(arguments).unwrap_or_default();
        assert!(told.starts_with(expected), "{arguments:?}: {told}");
    }
}

#[test]
fn the_gradient_that_a_folded_batch_norm_asks_for_comes_with_its_python() {
    let folder = Folder::new();
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/topology/resource_variables_slim_bn.tar.zst");
    folder.write("in.meta", crate::cases::read(&archive).before);
    let remedies = |arguments: &[&str]| -> Vec<String> {
        let report = ["in.meta", "-o", "out.meta", "--match", "topology", "--report", "r.json"];
        let said = folder.rewrite(&[&report, arguments].concat());
        let report: Value = serde_json::from_slice(&folder.read("r.json")).unwrap();
        let warnings = report["warnings"].as_array().unwrap();
        let is_it = |warning: &&Value| warning["code"] == "gradient_to_register";
        let python = warnings.iter().filter(is_it).map(|warning| warning["python"].as_str().unwrap().to_owned());
        python.inspect(|python| assert!(said.contains(python), "{said}")).collect()
    };
    let [python] = &remedies(&[])[..] else { panic!("one warning") };
    assert_eq!(python.lines().count(), 6);
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    assert!(readme.contains(python), "the README shows other lines");
    assert_eq!(remedies(&["--no-fold-batch-norms"]), [""; 0]);
    assert_eq!(remedies(&["--mode", "eval"]), [""; 0]);
}
