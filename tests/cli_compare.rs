//! `tfquant compare`, and what `calibrate` repairs and measures, as a user meets them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may stop at once

#[path = "support/program.rs"]
mod program;

use std::fs;

use program::{at, done, text, tfquant};
use serde_json::Value;
use tempfile::TempDir;

const FROZEN: &str = "testdata/digits/frozen.pb";
const DATA: &str = "testdata/digits/test.npy";
const LABELS: &str = "testdata/digits/labels.npy";
const CALIBRATION: &str = "testdata/digits/calibration.npy";

fn calibrated(folder: &TempDir, name: &str, options: &[&str]) -> String {
    let output = at(folder, name);
    done(&[&["calibrate", FROZEN, "--data", CALIBRATION, "-o", &output, "-q"], options].concat());
    output
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_model_is_the_same_as_itself_in_another_form() {
    let folder = tempfile::tempdir().unwrap();
    let told = json(&done(&["compare", FROZEN, FROZEN, "--data", DATA, "--json"]).stdout);
    let tensors = told["tensors"].as_array().unwrap();
    assert!(tensors.len() > 20 && tensors.iter().all(|tensor| tensor["sqnr"] == 200.0), "{told}");
    assert_eq!((&told["top1"]["count"], &told["top1"]["same"]), (&240.into(), &240.into()));
    assert!(told["top1"]["right"].is_null(), "no labels");

    let plain = at(&folder, "plain.pb");
    done(&["fold", FROZEN, "--fold-constants", "-o", &plain, "-q"]);
    let told = json(&done(&["compare", FROZEN, &plain, "--data", DATA, "--json"]).stdout);
    for tensor in told["tensors"].as_array().unwrap() {
        assert!(tensor["sqnr"].as_f64().unwrap() > 100.0, "the same but for rounding: {tensor}");
    }
}

#[test]
fn tells_what_quantizing_costs_the_worst_first() {
    let folder = tempfile::tempdir().unwrap();
    let quantized = calibrated(&folder, "q.pb", &[]);
    let compare = ["compare", FROZEN, &quantized, "--data", DATA, "--labels", LABELS];
    let run = done(&compare);
    let said = text(&run.stdout);
    let decibels: Vec<f64> = said
        .lines()
        .filter(|line| line.starts_with("tensor "))
        .map(|line| line.split("sqnr ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(decibels.len() > 8 && decibels.is_sorted() && decibels[0] > 15.0, "{said}");
    assert!(said.contains("\noutput Digits/probabilities:0 Softmax sqnr "), "{said}");
    let top1 = said.lines().last().unwrap();
    assert!(top1.starts_with("top-1 97.50 % and 9") && top1.contains("of 240 in"), "{top1}");
    assert!(text(&run.stderr).starts_with("fed image:0: 240 samples"));

    let threads = |count: &str| done(&[&compare[..], &["--json", "--threads", count]].concat()).stdout;
    assert_eq!(threads("1"), threads("2"), "the result depends on threads");
    let told = json(&threads("2"));
    let relu = told["tensors"].as_array().unwrap().iter().find(|tensor| tensor["op"] == "Relu").unwrap();
    assert!(relu["other"].as_str().unwrap().ends_with("/quant:0"), "what readers get: {relu}");
    let few = json(&done(&[&compare[..], &["--json", "--limit", "10"]].concat()).stdout);
    assert_eq!(few["top1"]["count"], 10);
}

#[test]
fn a_wanted_sqnr_is_a_matter_of_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let quantized = calibrated(&folder, "q.pb", &["--weight-bits", "4"]);
    let code = |least: &str| {
        let run = tfquant(&["compare", FROZEN, &quantized, "--data", DATA, "--min-sqnr", least]);
        (run.status.code().unwrap(), text(&run.stderr))
    };
    assert_eq!(code("-10").0, 0);
    let (code, said) = code("60");
    assert!(code == 1 && said.contains("the output 'Digits/probabilities:0' sqnr "), "{code}: {said}");
    let wrong = tfquant(&["compare", FROZEN, &quantized, "--data", CALIBRATION, "--labels", LABELS]);
    assert!(wrong.status.code() == Some(2) && text(&wrong.stderr).contains("240 labels for 64 samples"));
    let other = tfquant(&["compare", FROZEN, "testdata/check/fc.pb", "--data", DATA]);
    assert!(!other.status.success());
}

#[test]
fn the_report_tells_of_each_layer_and_of_what_was_repaired() {
    let folder = tempfile::tempdir().unwrap();
    let report = at(&folder, "report.json");
    let repaired = ["--weights", "symmetric", "--equalize", "--correct-bias", "--report", &report];
    let first = calibrated(&folder, "first.pb", &[&repaired[..], &["--threads", "1"]].concat());
    let told = json(&fs::read(&report).unwrap());
    let measured = told["measured"].as_array().unwrap();
    assert!(measured.iter().all(|tensor| tensor["sqnr"].as_f64().unwrap() > 10.0), "{told:#}");
    assert!(measured.iter().filter(|tensor| tensor["layer"].is_string()).count() >= 6, "{told:#}");
    let pairs = told["equalized"].as_array().unwrap();
    assert!(pairs.iter().any(|pair| pair["next"].is_string()), "{told:#}");
    assert!(pairs.iter().all(|pair| pair["next"].is_string() != pair["skipped"].is_string()), "{told:#}");
    let biases = told["corrected_biases"].as_array().unwrap();
    assert!(biases.iter().all(|bias| bias["largest"].is_f64()), "every layer has a bias: {told:#}");
    assert_eq!(told["without_repairs"].as_array().unwrap().len(), 1);
    let second = calibrated(&folder, "second.pb", &[&repaired[..], &["--threads", "2"]].concat());
    assert_eq!(fs::read(first).unwrap(), fs::read(second).unwrap(), "the result depends on threads");
}

#[test]
fn what_was_corrected_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, output) = (at(&folder, "plain.pb"), at(&folder, "q.pb"));
    let model = "testdata/digits/saved_model";
    let calibrate = |output: &str, options: &[&str]| {
        done(&[&["calibrate", model, "--data", CALIBRATION, "-o", output, "-q"], options].concat());
    };
    calibrate(&plain, &[]);
    calibrate(&output, &["--correct-bias"]);
    let nodes = |path: &str| {
        let summary = json(&done(&["summary", path, "--json"]).stdout);
        summary["model"]["nodes"].as_u64().unwrap_or_else(|| panic!("{summary:#}"))
    };
    assert!(nodes(&output) <= nodes(&plain), "every layer has a bias: nothing is added, and the old ones are gone");
    let told = json(&done(&["compare", model, &output, "--data", DATA, "--labels", LABELS, "--json"]).stdout);
    assert!(told["top1"]["right"][1].as_u64().unwrap() >= 232, "{told}");
}

#[test]
fn the_page_holds_ranges_with_their_values() {
    let folder = tempfile::tempdir().unwrap();
    let page = at(&folder, "page.html");
    calibrated(&folder, "q.pb", &["--html", &page, "--method", "percentile", "--percentile", "99"]);
    let html = fs::read_to_string(&page).unwrap();
    let data = html.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data = json(data.as_bytes());
    let values: Vec<&Value> =
        data["quants"].as_array().unwrap().iter().map(|quant| &quant[1]["values"]).filter(|it| !it.is_null()).collect();
    assert!(values.len() >= 14, "9 activations, and weights");
    let clipped = |values: &&&Value| values["clipped"].as_f64().unwrap() > 0.0;
    assert!(values.iter().filter(clipped).count() >= 5, "percentiles cut off");
    assert!(data["marks"].as_array().unwrap().iter().filter(|mark| mark[1]["layer"] == true).count() >= 6);
    let both = tfquant(&["calibrate", FROZEN, "--data", CALIBRATION, "-o", &page, "--html", &page]);
    assert!(both.status.code() == Some(2) && text(&both.stderr).contains("go to the same place"));
}
