//! What the user is told: the summary, the report, warnings.

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
