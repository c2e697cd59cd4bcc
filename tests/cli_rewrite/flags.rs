//! Every flag does what the reference's argument of that name does, or what only tfquant has.

use std::collections::BTreeSet;
use std::path::Path;

use tfquant::MessageKind;

use crate::cases::{self, Outcome};
use crate::models::{decode_graph, meta_graph};
use crate::{Folder, compare, stderr};

/// The arguments for a set of the reference's options.
fn arguments(set: &cases::OptionSet) -> Vec<String> {
    let mut arguments = Vec::new();
    for (key, value) in &set.options {
        let flag = format!("--{}", key.replace('_', "-"));
        match (key.as_str(), value) {
            ("is_training", _) => arguments.extend(["--mode".to_owned(), "eval".to_owned()]),
            (_, serde_json::Value::Bool(true)) => arguments.push(flag),
            (_, serde_json::Value::String(text)) => arguments.extend([flag, text.clone()]),
            _ => arguments.extend([flag, value.to_string()]),
        }
    }
    if !set.fold {
        arguments.push("--no-fold-batch-norms".to_owned());
    }
    arguments
}

#[test]
fn every_argument_of_the_reference_has_a_flag() {
    let folder = Folder::new();
    let mut flags = BTreeSet::new();
    for case in ["conv_bn_fused_scale", "options_all"] {
        let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/names/{case}.tar.zst"));
        let case = cases::read(&archive);
        folder.write("in.meta", &case.before);
        for set in &case.sets {
            let Outcome::Rewritten(expected) = &set.outcome else { continue };
            let given = arguments(set);
            let given: Vec<&str> = given.iter().map(String::as_str).collect();
            folder.rewrite(&[&["in.meta", "-o", "out.meta"], &given[..]].concat());
            let differences = compare::differences(expected.clone(), folder.read("out.meta").into());
            assert!(differences.is_empty(), "{}/{}: {differences:?}", case.name, set.name);
            flags.extend(given.iter().filter(|given| given.starts_with("--")).map(|&flag| flag.to_owned()));
        }
    }
    let all = [
        "--activation-bits",
        "--ema-decay",
        "--mode",
        "--no-fold-batch-norms",
        "--quant-delay",
        "--quantize-folded-weights-use-ema",
        "--vars-collection",
        "--weight-bits",
        "--weight-narrow-range",
    ];
    assert_eq!(flags.iter().map(String::as_str).collect::<Vec<_>>(), all);
}

#[test]
fn defaults_are_the_reference_s() {
    let folder = Folder::with_model();
    folder.rewrite(&["in.meta", "-o", "a.meta"]);
    let spelled_out =
        ["--match=names", "--weight-bits=8", "--activation-bits=8", "--ema-decay=0.999", "--mode=training"];
    folder.rewrite(
        &[&["in.meta", "-o", "b.meta", "--vars-collection=moving_average_variables"], &spelled_out[..]].concat(),
    );
    assert!(folder.read("a.meta") == folder.read("b.meta"));
}

/// The names of the nodes the rewrite inserted.
fn inserted(folder: &Folder, before: &str, after: &str) -> BTreeSet<String> {
    let names = |file: &str| -> BTreeSet<String> {
        let graph = decode_graph(MessageKind::MetaGraphDef, &folder.read(file), 0);
        graph.node.into_iter().map(|node| node.name).collect()
    };
    names(after).difference(&names(before)).cloned().collect()
}

#[test]
fn include_and_exclude_choose_layers() {
    let folder = Folder::new();
    folder.write("in.meta", meta_graph("vgg_16"));
    let scopes = |arguments: &[&str]| -> BTreeSet<String> {
        folder.rewrite(&[&["in.meta", "-o", "out.meta"], arguments].concat());
        let nodes = inserted(&folder, "in.meta", "out.meta");
        nodes.iter().filter_map(|name| name.split_once("/weights_quant/")).map(|(scope, _)| scope.to_owned()).collect()
    };
    let all = scopes(&[]);
    assert_eq!(all.len(), 16);
    let without = scopes(&["--exclude", "/conv1/", "--exclude", "fc[67]"]);
    assert_eq!(all.difference(&without).count(), 4, "conv1_1, conv1_2, fc6, fc7");
    let only = scopes(&["--include", "/conv2/", "--exclude", "conv2_2"]);
    assert_eq!(only.into_iter().collect::<Vec<_>>(), ["vgg_16/conv2/conv2_1"]);
}

#[test]
fn a_pattern_that_matches_no_layer_is_an_error_with_the_nearest_name() {
    let folder = Folder::with_model();
    for flag in ["--include", "--exclude"] {
        let (code, said) = folder.refuse(&["in.meta", "-o", "out.meta", flag, "tets/Conv2D"]);
        assert_eq!(code, 2);
        assert!(said.contains("'tets/Conv2D' matches no layer") && said.contains("test/Conv2D"), "{said}");
        let (code, said) = folder.refuse(&["in.meta", "-o", "out.meta", flag, "test/("]);
        assert_eq!(code, 2);
        assert!(said.contains("no regular expression"), "{said}");
    }
}

#[test]
fn skip_unmatched_leaves_refused_layers_alone() {
    let folder = Folder::new();
    folder.write("in.meta", meta_graph("no_bias_no_act"));
    let (code, said) = folder.refuse(&["in.meta", "-o", "out.meta", "--match", "names"]);
    assert_eq!(code, 1);
    assert!(said.contains("(Conv2D)"), "the layer is named: {said}");
    let skip = ["in.meta", "-o", "out.meta", "--match", "names", "--skip-unmatched", "--report", "report.json"];
    folder.rewrite(&skip);
    let report: serde_json::Value = serde_json::from_slice(&folder.read("report.json")).unwrap();
    let skipped = report["layers"].as_array().unwrap().iter().find(|layer| layer["outcome"] == "no_activation");
    assert!(skipped.is_some_and(|layer| layer["detail"].is_string()), "{report:#}");
}

#[test]
fn init_op_and_update_op_gather_what_was_made() {
    let folder = Folder::with_model();
    folder.rewrite(&[
        "in.meta",
        "-o",
        "out.meta",
        "--init-op",
        "quant/init",
        "--update-op",
        "quant/update",
        "--report",
        "r.json",
    ]);
    let graph = decode_graph(MessageKind::MetaGraphDef, &folder.read("out.meta"), 0);
    let report: serde_json::Value = serde_json::from_slice(&folder.read("r.json")).unwrap();
    for (name, key) in [("quant/init", "initializers"), ("quant/update", "update_ops")] {
        let op = graph.node.iter().find(|node| node.name == name).unwrap();
        let gathered: Vec<String> =
            report[key].as_array().unwrap().iter().map(|name| format!("^{}", name.as_str().unwrap())).collect();
        assert!(!gathered.is_empty());
        assert_eq!((op.op.as_str(), &op.input), ("NoOp", &gathered));
    }
    let initializers = report["initializers"].as_array().unwrap();
    assert_eq!(initializers.len(), report["variables"].as_array().unwrap().len());
    assert!(initializers.iter().all(|name| {
        let assign = graph.node.iter().find(|node| node.name == name.as_str().unwrap()).unwrap();
        assign.op == "Assign"
    }));
}

#[test]
fn the_name_of_a_gathering_op_must_be_a_name_and_free() {
    let folder = Folder::with_model();
    for flag in ["--init-op", "--update-op"] {
        for name in ["test/Conv2D", "a b", "", "^a", "a:0"] {
            let (code, said) = folder.refuse(&["in.meta", "-o", "out.meta", flag, name]);
            assert_eq!(code, 2, "{flag} {name:?}: {said}");
        }
    }
    let (code, _) = folder.refuse(&["in.meta", "-o", "out.meta", "--init-op", "same", "--update-op", "same"]);
    assert!(code > 0);
}

#[test]
fn nonsense_is_wrong_usage() {
    let folder = Folder::with_model();
    let wrong: &[&[&str]] = &[
        &[],
        &["in.meta"],
        &["in.meta", "-o", "out.meta", "--weight-bits", "1"],
        &["in.meta", "-o", "out.meta", "--weight-bits", "9"],
        &["in.meta", "-o", "out.meta", "--activation-bits", "0"],
        &["in.meta", "-o", "out.meta", "--activation-bits", "eight"],
        &["in.meta", "-o", "out.meta", "--ema-decay", "1.5"],
        &["in.meta", "-o", "out.meta", "--ema-decay=-0.1"],
        &["in.meta", "-o", "out.meta", "--ema-decay", "nan"],
        &["in.meta", "-o", "out.meta", "--quant-delay", "soon"],
        &["in.meta", "-o", "out.meta", "--quant-delay", "9223372036854775808"],
        &["in.meta", "-o", "out.meta", "--mode", "test"],
        &["in.meta", "-o", "out.meta", "--match", "luck"],
        &["in.meta", "-o", "out.meta", "--output-format", "json"],
        &["in.meta", "-o", "out.meta", "--input-format", "onnx"],
        &["in.meta", "-o", "out.meta", "-q", "-v"],
        &["in.meta", "-o", "out.meta", "--match", "names", "--reference-only"],
        &["in.meta", "-o", "out.meta", "--reference-only", "--quantize-folded-weights-use-ema"],
        &["in.meta", "-o", "out.meta", "--match", "topology", "--quantize-folded-weights-use-ema"],
        &["in.meta", "-o", "out.meta", "--no-such-flag"],
        &["in.meta", "-o", "out.meta", "another.meta"],
    ];
    for arguments in wrong {
        let (code, said) = folder.refuse(arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.starts_with("error: "), "{arguments:?}: {said}");
    }
}

#[test]
fn fold_takes_the_flags_that_concern_folding() {
    let folder = Folder::with_model();
    let by_structure = ["fold", "in.meta", "-o", "out.meta", "--match", "topology", "--reference-only"];
    assert!(folder.run(&by_structure).status.success());
    let output = folder.run(&["fold", "in.meta", "-o", "out.meta", "--match", "names", "--freeze-bn-delay", "10"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("--freeze-bn-delay goes with --match topology"));
}

#[test]
fn help_and_version_go_to_standard_output() {
    let folder = Folder::new();
    for arguments in [&["--version"][..], &["--help"], &["rewrite", "--help"]] {
        let output = folder.run(arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}");
    }
    let output = folder.run(&[]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn quiet_and_verbose() {
    let folder = Folder::with_model();
    assert_eq!(folder.rewrite(&["in.meta", "-o", "out.meta", "-q"]), "");
    let plain = folder.rewrite(&["in.meta", "-o", "out.meta"]);
    let verbose = folder.rewrite(&["in.meta", "-o", "out.meta", "-v"]);
    assert!(!plain.contains("test/Conv2D") && verbose.contains("+ test/Conv2D (Conv2D): quantized"), "{verbose}");
}

#[test]
fn colour_is_for_terminals_unless_asked_for() {
    let folder = Folder::new();
    let said = |arguments: &[&str]| stderr(&folder.run(&[&["rewrite", "none", "-o", "out"], arguments].concat()));
    assert!(!said(&[]).contains('\u{1b}'), "this is no terminal");
    assert!(!said(&["--color", "never"]).contains('\u{1b}'));
    assert!(said(&["--color", "always"]).contains("\u{1b}["));
}

#[test]
fn rules_choose_themselves_and_say_why() {
    let folder = Folder::new();
    let rules = |case: &str, arguments: &[&str]| -> (String, String) {
        folder.write("in.meta", meta_graph(case));
        let said = folder.rewrite(&[&["in.meta", "-o", "out.meta", "--report", "r.json"], arguments].concat());
        let report: serde_json::Value = serde_json::from_slice(&folder.read("r.json")).unwrap();
        let text = |field: &str| report["rules"][field].as_str().unwrap().to_owned();
        assert!(said.contains(&format!("rules           {}: {}\n", text("match"), text("reason"))), "{said}");
        assert_eq!(report["options"]["match"], report["rules"]["match"]);
        (text("match"), text("reason"))
    };
    let owned = |rules: &str, reason: &str| (rules.to_owned(), reason.to_owned());
    assert_eq!(rules("conv_relu", &[]), owned("names", "they accept the whole graph"));
    assert_eq!(rules("conv_relu", &["--match", "topology"]), owned("topology", "asked for"));
    assert_eq!(rules("conv_relu", &["--symmetric"]), owned("topology", "asked for"), "a choice of these rules alone");
    assert_eq!(rules("bn_after_bias", &[]), owned("topology", "by names, 1 batch norms stay unfolded"));
    let (chosen, reason) = rules("sep_relu", &[]);
    assert_eq!(chosen, "topology");
    assert!(reason.starts_with("by names, ") && reason.contains(" in node '"), "{reason}");
}

#[test]
fn where_nothing_is_done_nothing_is_written_unless_that_is_allowed() {
    let folder = Folder::new();
    let product = "node { name: 'x' op: 'Placeholder' } node { name: 'y' op: 'Placeholder' }
                   node { name: 'product' op: 'MatMul' input: 'x' input: 'y' }";
    folder.write("in.pbtxt", product);
    let (code, said) = folder.refuse(&["in.pbtxt", "-o", "out.pbtxt"]);
    assert_eq!(code, 1);
    assert!(said.starts_with("error: nothing was quantized: 1 weights_unknown ("), "{said}");
    assert!(said.contains("--allow-nothing"), "{said}");
    folder.rewrite(&["in.pbtxt", "-o", "out.pbtxt", "--allow-nothing"]);
    assert!(!String::from_utf8(folder.read("out.pbtxt")).unwrap().contains("Fake"));

    folder.write("no_layer.pbtxt", "node { name: 'x' op: 'Placeholder' }");
    let said = folder.rewrite(&["no_layer.pbtxt", "-o", "out.meta"]);
    assert!(said.contains("warning: no layer was quantized"), "{said}");
}
