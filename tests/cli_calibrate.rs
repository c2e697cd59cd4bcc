//! `tfquant calibrate` and constant ranges as a user meets them; what a converter makes of the result is found out in
//! `tests/tensorflow/test_calibrate.py`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may stop at once

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

const FROZEN: &str = "testdata/digits/frozen.pb";
const DATA: &str = "testdata/digits/calibration.npy";

fn tfquant(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tfquant")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json(path: &str) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A path in the folder.
fn at(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

fn done(args: &[&str]) -> Output {
    let done = tfquant(args);
    assert!(done.status.success(), "{}", text(&done.stderr));
    done
}

/// What a run that must fail and leave nothing behind says.
fn refused(folder: &TempDir, args: &[&str]) -> (i32, String) {
    let output = at(folder, "refused.pb");
    let failed = tfquant(&[args, &["-o", &output]].concat());
    assert!(!Path::new(&output).exists(), "something was written");
    (failed.status.code().unwrap(), text(&failed.stderr))
}

#[test]
fn says_what_was_fed_and_sets_every_range() {
    let folder = tempfile::tempdir().unwrap();
    let (output, report) = (at(&folder, "q.pb"), at(&folder, "report.json"));
    let run = done(&["calibrate", FROZEN, "--data", DATA, "-o", &output, "--report", &report, "--threads", "1"]);
    assert!(text(&run.stderr).starts_with("fed image:0: 64 samples of float32 [8, 8, 1], 0 to 1, mean 0.30"));
    let report = json(&report);
    assert_eq!(report["ranges"].as_array().unwrap().len(), 9);
    assert_eq!(report["quantized_weights"].as_array().unwrap().len(), 6);
    let ranges: Value = serde_json::from_slice(&done(&["ranges", &output, "--json"]).stdout).unwrap();
    let rows = ranges["ranges"].as_array().unwrap();
    assert_eq!(rows.len(), 15);
    assert!(rows.iter().all(|row| row["source"] == "constant"));
    let weights = rows.iter().filter(|row| row["node"].as_str().unwrap().ends_with("weights_quant"));
    assert!(weights.flat_map(|row| row["channels"].as_array().unwrap()).all(|range| range["zero_point"] == 128));

    let again = at(&folder, "again.pb");
    done(&["calibrate", FROZEN, "--data", DATA, "-o", &again, "--threads", "2", "-q"]);
    assert_eq!(fs::read(output).unwrap(), fs::read(again).unwrap(), "the result depends on threads");
}

#[test]
fn refuses_what_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let labels = "testdata/digits/labels.npy";
    let (code, said) = refused(&folder, &["calibrate", FROZEN, "--data", labels]);
    assert!(code == 2 && said.contains("do not fit the input 'image:0' of the shape [?,8,8,1]"), "{code}: {said}");
    let asymmetric = ["calibrate", FROZEN, "--data", DATA, "--weights", "asymmetric"];
    assert!(refused(&folder, &asymmetric).1.contains("int8 kernels do not take asymmetric weights"));
    let three = ["calibrate", FROZEN, "--data", DATA, "--weight-bits", "3"];
    assert!(refused(&folder, &three).1.contains("3-bit weights do not come through"));
    let output = at(&folder, "q.pb");
    done(&["calibrate", FROZEN, "--data", DATA, "-o", &output, "-q"]);
    assert!(refused(&folder, &["calibrate", &output, "--data", DATA]).1.contains("quantized already"));
}

fn rewrite<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["rewrite", FROZEN, "--mode", "eval", "--target", "litert-int8"], more].concat()
}

#[test]
fn ranges_of_one_graph_are_those_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = refused(&folder, &rewrite(&[]));
    assert!(code == 2 && said.contains("8 tensors have no range: Digits/stem/Relu6:0, "), "{code}: {said}");
    let (first, second) = (at(&folder, "first.pb"), at(&folder, "second.pb"));
    done(&rewrite(&["--default-range=-3,3", "--input-range", "0,1", "-o", &first, "-q"]));
    let ranges = done(&["ranges", &first, "--json"]).stdout;
    let file = at(&folder, "ranges.json");
    fs::write(&file, &ranges).unwrap();
    done(&rewrite(&["--ranges-file", &file, "-o", &second, "-q"]));
    assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());
    let other: Value = serde_json::from_slice(&ranges).unwrap();
    let kinds = other["ranges"].as_array().unwrap().iter().filter(|row| row["per_channel"] == true).count();
    assert_eq!(kinds, 5, "convolutions have a range for each channel");
    fs::write(&file, "{}").unwrap();
    assert!(refused(&folder, &rewrite(&["--ranges-file", &file])).1.contains("not a file of ranges"));
}

#[test]
fn constant_batch_norms_make_the_file_smaller() {
    let folder = tempfile::tempdir().unwrap();
    let output = at(&folder, "folded.pb");
    let run = done(&["fold", FROZEN, "--fold-constants", "-o", &output]);
    assert!(text(&run.stderr).contains("5 batch norms and scales computed into weights and biases"));
    let smaller = fs::read(&output).unwrap();
    assert!(smaller.len() < fs::read(FROZEN).unwrap().len());
}
