//! `tfquant check`, judged by what TensorFlow's converter before today's said of the same graphs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may stop at once

#[path = "support/program.rs"]
mod program;

use std::collections::BTreeMap;

use program::tfquant;
use serde_json::Value;

fn check(args: &[&str]) -> (Option<i32>, Value) {
    let output = tfquant(&[&["check", "--json"], args].concat());
    (output.status.code(), serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// The nodes of the findings with that code.
fn nodes(result: &Value, code: &str) -> Vec<String> {
    let findings = result["findings"].as_array().unwrap().iter().filter(|finding| finding["code"] == code);
    findings.map(|finding| finding["node"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn refuses_what_the_converter_refuses_and_nothing_else() {
    let said: BTreeMap<String, Option<String>> =
        serde_json::from_str(&std::fs::read_to_string("testdata/check/converter.json").unwrap()).unwrap();
    assert!(said.len() > 70);
    for (case, refused) in &said {
        let (_, result) = check(&[&format!("testdata/check/{case}.pb"), "--target", "toco-uint8"]);
        let lacking = nodes(&result, "lacking_range");
        match refused.as_deref() {
            None => assert!(lacking.is_empty(), "{case}: the converter takes it, and {lacking:?} is said to lack"),
            // The converter names a node that it made itself when it took the batch norm apart.
            Some("bn_mul_0") => assert_eq!(lacking, ["bn"], "{case}"),
            Some(array) => assert!(lacking.iter().any(|node| node == array), "{case}: {array} is not in {lacking:?}"),
        }
    }
}

#[test]
fn every_lacking_tensor_is_told_in_one_run() {
    let (code, result) = check(&["testdata/check/concat_none.pb", "--target", "toco-uint8"]);
    assert_eq!(code, Some(1));
    assert_eq!(nodes(&result, "lacking_range"), ["a/act", "c/act"]);
    assert_eq!(result["schema_version"], 1);
    let (_, only_one) = check(&["testdata/check/concat_none.pb", "--target", "toco-uint8", "--outputs", "a/act"]);
    assert_eq!(nodes(&only_one, "lacking_range"), ["a/act"]);
}

#[test]
fn an_eval_rewrite_passes_and_a_training_rewrite_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (train, eval, other) = (path("train.meta"), path("eval.meta"), path("other.meta"));
    let rewrite = |model: &str, more: &[&str], output: &str| {
        assert!(tfquant(&[&["rewrite", "-q", model, "-o", output], more].concat()).status.success());
    };
    rewrite("testdata/mobilenet_v1.meta", &[], &train);
    rewrite("testdata/mobilenet_v1_eval.meta", &["--mode", "eval"], &eval);
    rewrite("testdata/mobilenet_v1_eval.meta", &["--mode", "eval", "--exclude", "Conv2d_3_pointwise"], &other);

    let checkpoint = "testdata/check/mobilenet_v1.ckpt";
    let (code, result) = check(&[&eval, "--against", &train, "--checkpoint", checkpoint]);
    assert_eq!((code, &result["errors"], &result["state"]), (Some(0), &0.into(), &"eval".into()));
    assert_eq!(result["checkpoint"]["has"].as_array().unwrap().len(), 250);
    let extra = result["checkpoint"]["extra"].as_array().unwrap();
    assert!(extra.iter().all(|key| key.as_str().unwrap().contains("_quant/")), "zero-debias variables of training");

    let (code, result) = check(&[&train]);
    assert_eq!(code, Some(1));
    assert_eq!(nodes(&result, "training_rewrite").len(), 1);

    let (code, result) = check(&[&other, "--against", &train]);
    assert_eq!(code, Some(1));
    assert_eq!(nodes(&result, "range_not_read").len(), 4);
    assert_eq!(nodes(&result, "lacking_range"), ["MobilenetV1/Conv2d_3_pointwise/Relu6"]);
    let (_, result) = check(&[&train, "--against", &other]);
    assert_eq!(nodes(&result, "range_not_trained").len(), 4);
}

#[test]
fn a_delayed_fake_quantizer_is_one_as_well() {
    let folder = tempfile::tempdir().unwrap();
    for rules in ["names", "topology"] {
        let findings = |delay: &str| {
            let path = folder.path().join(format!("{rules}_{delay}.meta")).to_str().unwrap().to_owned();
            let options = ["--match", rules, "--quant-delay", delay, "-o", &path];
            let rewritten = tfquant(&[&["rewrite", "-q", "testdata/mobilenet_v1.meta"], &options[..]].concat());
            assert!(rewritten.status.success());
            check(&[&path]).1["findings"].take()
        };
        assert_eq!(findings("2000"), findings("0"), "{rules}");
    }
}

#[test]
fn a_checkpoint_lacks_keys_or_has_them_under_other_names() {
    let folder = tempfile::tempdir().unwrap();
    let node = |name: &str, shape: &[u32]| {
        let dims: Vec<String> = shape.iter().map(|size| format!("dim {{ size: {size} }}")).collect();
        let dims = dims.join(" ");
        format!(
            "node {{ name: '{name}' op: 'VariableV2' attr {{ key: 'dtype' value {{ type: DT_FLOAT }} }} \
             attr {{ key: 'shape' value {{ shape {{ {dims} }} }} }} }}\n"
        )
    };
    let model = folder.path().join("model.pbtxt");
    let text = [
        node("MobilenetV1/Conv2d_0/weights", &[3, 3, 3, 8]),
        node("tower/MobilenetV1/Conv2d_0/weights_quant/min", &[]),
        node("MobilenetV1/Conv2d_1_pointwise/weights", &[1, 1, 8, 99]),
        node("unheard_of/thing", &[2]),
    ];
    std::fs::write(&model, text.concat()).unwrap();
    let (code, result) = check(&[model.to_str().unwrap(), "--checkpoint", "testdata/check/mobilenet_v1.ckpt.index"]);
    assert_eq!(code, Some(1));
    let renamed = &result["checkpoint"]["renamed"][0];
    assert_eq!(renamed["variable"], "tower/MobilenetV1/Conv2d_0/weights_quant/min");
    assert_eq!(renamed["key"], "MobilenetV1/Conv2d_0/weights_quant/min");
    assert_eq!(nodes(&result, "checkpoint_lacks"), ["unheard_of/thing"]);
    assert_eq!(nodes(&result, "checkpoint_shape_differs"), ["MobilenetV1/Conv2d_1_pointwise/weights"]);

    let no_index = tfquant(&["check", model.to_str().unwrap(), "--checkpoint", "testdata/check/none"]);
    assert_eq!(no_index.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&no_index.stderr).contains("none.index"));
    let no_prefix = tfquant(&["check", model.to_str().unwrap(), "--checkpoint", "testdata/check/quant.pb"]);
    assert!(String::from_utf8_lossy(&no_prefix.stderr).contains("cannot read"));
}

#[test]
fn lints_name_what_looks_wrong() {
    let lint = |case: &str, target: &str| {
        let (_, result) = check(&[&format!("testdata/check/{case}.pb"), "--target", target]);
        let findings = result["findings"].as_array().unwrap();
        findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(lint("min_above_max", "any"), ["min_above_max"]);
    assert_eq!(lint("no_zero", "any"), ["range_without_zero"]);
    assert_eq!(lint("bits4", "tflite-uint8"), ["bits_ignored"], "the name that it had");
    assert!(lint("bits4", "any").is_empty());
    assert_eq!(lint("concat_q", "any"), ["concat_ranges_differ"]);
    assert_eq!(lint("weights_noq", "any"), ["relu6_range_wide", "weights_without_range"]);
}

#[test]
fn todays_converter_is_asked_where_all_ranges_are_numbers() {
    let (code, result) = check(&["testdata/check/two.pb"]);
    assert_eq!(
        (code, &result["target"], &result["verdicts"]["stays_float"]),
        (Some(0), &"litert-int8".into(), &2.into())
    );
    assert_eq!(nodes(&result, "input_unranged"), ["a/Conv2D", "b/Conv2D"]);
    let op = &result["ops"][1];
    let facts = ["node", "op", "becomes", "verdict"].map(|key| op[key].as_str().unwrap());
    assert_eq!(facts, ["b/Conv2D", "Conv2D", "CONV_2D", "stays_float"]);
    assert!(result["findings"][0]["hint"].as_str().unwrap().contains("--input-range"));

    let (code, result) = check(&["testdata/check/two.pb", "--full-integer"]);
    assert_eq!((code, &result["errors"]), (Some(1), &2.into()));
    let (code, result) = check(&["testdata/check/bits4.pb", "--target", "litert-uint8"]);
    assert_eq!((code, nodes(&result, "activation_bits")), (Some(1), vec!["a/Conv2D".to_owned()]));
    let (_, result) = check(&["testdata/check/two.pb", "--target", "openvino"]);
    assert_eq!((&result["errors"], result.get("ops")), (&0.into(), None));
    // Ranges in variables are for the converter before it.
    let (_, result) = check(&["testdata/mobilenet_v1_eval.meta"]);
    assert_eq!(result["target"], "toco-uint8");

    let output = tfquant(&["check", "testdata/check/two.pb", "--ops"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\nop b/Conv2D (Conv2D, CONV_2D): stays_float (input_unranged)\n"), "{text}");
    assert_eq!(text.matches("\nhint input_unranged: ").count(), 1, "{text}");
}

#[test]
fn text_is_one_fact_a_line_without_control_characters() {
    let output = tfquant(&["check", "testdata/check/two.pb", "--target", "toco-uint8"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text,
        "error lacking_range a/act: Relu6 lacks min/max data and is read by b/Conv2D (Conv2D)\n\
         outputs: q:0\n\
         state: frozen: ranges are constants\n\
         result: 1 errors, 0 warnings\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let evil = folder.path().join("evil.pbtxt");
    std::fs::write(
        &evil,
        "node { name: 'a\\033[2Jb' op: 'Placeholder' } node { name: 'c\\nd' op: 'Foo' input: 'a\\033[2Jb' }",
    )
    .unwrap();
    let output = tfquant(&["check", evil.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().next().unwrap().starts_with("error lacking_range c\\u{a}d: "), "{text}");
    assert!(!text.chars().any(|character| character.is_control() && character != '\n'));
    let missing = tfquant(&["check", "testdata/check/two.pb", "--outputs", "a/actt"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("the nearest name is 'a/act'"));
}
