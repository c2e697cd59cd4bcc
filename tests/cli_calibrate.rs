//! `tfquant calibrate` and constant ranges as a user meets them; what a converter makes of the result is found out in
//! `tests/tensorflow/test_calibrate.py`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may stop at once

#[path = "support/program.rs"]
mod program;

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;

use program::{at, done, text, tfquant};
use serde_json::Value;
use tempfile::TempDir;
use tfquant::interpreter::Tensor;
use tfquant::samples::{Samples, array::ArraySamples, npy};

const FROZEN: &str = "testdata/digits/frozen.pb";
const DATA: &str = "testdata/digits/calibration.npy";

fn json(path: &str) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
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
    assert_eq!(report["quantized_weights"].as_array().unwrap().len(), 5);
    assert_eq!(report["weights_left_to_converter"], serde_json::json!(["Digits/logits/MatMul"]));
    let ranges: Value = serde_json::from_slice(&done(&["ranges", &output, "--json"]).stdout).unwrap();
    let rows = ranges["ranges"].as_array().unwrap();
    assert_eq!(rows.len(), 14);
    assert!(rows.iter().all(|row| row["source"] == "constant"));
    let weights = rows.iter().filter(|row| row["node"].as_str().unwrap().ends_with("/wq"));
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
    let (code, said) = refused(&folder, &["calibrate", FROZEN, "--data", DATA, "--max-steps", "3"]);
    assert!(code == 1 && said.contains("the limit of 3 steps in node '") && said.contains("--max-steps"), "{said}");
    let (code, said) = refused(&folder, &["calibrate", FROZEN, "--data", DATA, "--memory-limit", "0"]);
    assert!(code == 1 && said.contains("the memory limit of 0 bytes") && said.contains("in node '"), "{said}");
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
    assert!(code == 2 && said.contains("9 tensors have no range: image:0, Digits/stem/Relu6:0, "), "{code}: {said}");
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

/// The digits as 8-bit pixels, and as a folder of images, by hundreds in folders of their own.
fn pixels(folder: &TempDir) -> (Tensor, String) {
    let digits = npy::read(&fs::read(DATA).unwrap()).unwrap();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // from 0 to 255
    let bytes = digits.values::<f32>().unwrap().iter().map(|&value| (value * 255.0).round() as u8);
    let pixels = Tensor::new(digits.dims(), bytes.collect()).unwrap();
    let images = at(folder, "images");
    let samples = ArraySamples::npy(&npy::write(&pixels).into()).unwrap();
    for index in 0..samples.count() {
        let parent = format!("{images}/{}", index / 32);
        fs::create_dir_all(&parent).unwrap();
        let sample = samples.sample(index).unwrap();
        let image = image::GrayImage::from_raw(8, 8, sample.values::<u8>().unwrap().to_vec()).unwrap();
        image.save(format!("{parent}/{index:02}.png")).unwrap();
    }
    (pixels, images)
}

#[test]
fn a_folder_of_digits_becomes_a_model_and_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let (_, images) = pixels(&folder);
    let (output, report) = (at(&folder, "q.pb"), at(&folder, "report.json"));
    let run = ["calibrate", FROZEN, "--data", &images, "--method", "minmax", "-o", &output, "--report", &report];
    let first = text(&done(&run).stderr);
    assert!(first.starts_with("fed image:0: 64 samples of uint8 [8, 8, 1], 0 to 255, mean 77.1"), "{first}");
    assert!(first.contains("warning: 'image:0' is fed whole numbers from 0 to 255, and nothing in the model scales"));
    assert_eq!(json(&report)["warnings"][0]["code"], "not_scaled");
    // Then with what the warning says.
    let second = text(&done(&[&run[..], &["--scale", "1/255"]].concat()).stderr);
    assert!(second.starts_with("fed image:0: 64 samples of float32 [8, 8, 1], 0 to 1, mean 0.30"), "{second}");
    assert!(!second.contains("warning"), "{second}");
    let report = json(&report);
    let fed = &report["fed"][0];
    assert_eq!((&fed["count"], &fed["min"], &fed["max"]), (&64.into(), &0.0.into(), &1.0.into()));
    let exact = at(&folder, "exact.json");
    done(&["calibrate", FROZEN, "--data", DATA, "--method", "minmax", "-o", &output, "--report", &exact, "-q"]);
    let exact = json(&exact);
    for (range, exact) in report["ranges"].as_array().unwrap().iter().zip(exact["ranges"].as_array().unwrap()) {
        assert_eq!(range["tensor"], exact["tensor"]);
        for end in ["min", "max"] {
            let (found, expected) = (range[end].as_f64().unwrap(), exact[end].as_f64().unwrap());
            assert!((found - expected).abs() <= 0.02 * expected.abs().max(1.0), "{range} instead of {exact}");
        }
    }
}

#[test]
fn every_form_of_the_same_samples_makes_the_same_model() {
    let folder = tempfile::tempdir().unwrap();
    let (pixels, images) = pixels(&folder);
    let [array, raw, archive] = ["pixels.npy", "pixels.raw", "pixels.npz"].map(|name| at(&folder, name));
    fs::write(&array, npy::write(&pixels)).unwrap();
    fs::write(&raw, pixels.values::<u8>().unwrap()).unwrap();
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("image.npy", zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(&npy::write(&pixels)).unwrap();
    fs::write(&archive, writer.finish().unwrap().into_inner()).unwrap();

    let of = |data: &[&str]| {
        let output = at(&folder, "of.pb");
        done(&[&["calibrate", FROZEN, "-o", &output, "--mean", "127.5", "--std", "127.5", "-q"], data].concat());
        fs::read(output).unwrap()
    };
    let expected = of(&["--data", &array]);
    assert_eq!(of(&["--data", &images]), expected);
    assert_eq!(of(&["--data", &format!("image={archive}")]), expected);
    assert_eq!(of(&["--data", &raw, "--dtype", "uint8"]), expected);
    assert_eq!(of(&["--data", &raw, "--dtype", "|u1", "--shape", "8,8,1"]), expected);
    assert_eq!(of(&["--data", &images, "--resize", "8", "--layout", "nhwc", "--limit", "64"]), expected);
    assert_ne!(of(&["--data", &images, "--limit", "5"]), expected);
}

/// A network of two inputs: rows of floats, two at a time, and whole numbers.
const TWO_INPUTS: &str = r#"
    node { name: "rows" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } }
      attr { key: "shape" value { shape { dim { size: 2 } dim { size: 3 } } } } }
    node { name: "ids" op: "Placeholder" attr { key: "dtype" value { type: DT_INT32 } }
      attr { key: "shape" value { shape { dim { size: -1 } } } } }
    node { name: "w" op: "Const" attr { key: "dtype" value { type: DT_FLOAT } } attr { key: "value" value { tensor {
      dtype: DT_FLOAT tensor_shape { dim { size: 3 } dim { size: 2 } } float_val: 0.5 } } } }
    node { name: "product" op: "MatMul" input: "rows" input: "w" attr { key: "T" value { type: DT_FLOAT } } }
    node { name: "number" op: "Cast" input: "ids" attr { key: "SrcT" value { type: DT_INT32 } }
      attr { key: "DstT" value { type: DT_FLOAT } } }
    node { name: "sum" op: "AddV2" input: "product" input: "number" attr { key: "T" value { type: DT_FLOAT } } }
"#;

#[test]
fn inputs_of_any_type_and_batch_are_fed() {
    let folder = tempfile::tempdir().unwrap();
    let [model, rows, ids, output, report] =
        ["two.pbtxt", "rows.npy", "ids.npy", "q.pb", "report.json"].map(|name| at(&folder, name));
    fs::write(&model, TWO_INPUTS).unwrap();
    let save = |path: &str, tensor: Tensor| fs::write(path, npy::write(&tensor)).unwrap();
    save(&rows, Tensor::new(&[7, 3], (0..21u8).map(f32::from).collect()).unwrap());
    save(&ids, Tensor::vector(vec![5i64, -9, 40]));
    let (of_rows, of_ids) = (format!("rows={rows}"), format!("ids:0={ids}"));
    let calibrate = ["calibrate", &model, "--data", &of_rows];
    let both = [&calibrate[..], &["--data", &of_ids]].concat();
    let said = text(&done(&[&both[..], &["-o", &output, "--report", &report]].concat()).stderr);
    assert!(said.contains("fed rows:0: 6 samples of float32 [3], 0 to 17, mean 8.5"), "{said}");
    assert!(said.contains("fed ids:0: 3 samples of int64 [], -9 to 40, mean 12"), "{said}");
    assert!(said.contains("warning: 1 samples of 'rows:0' do not fill a batch: 6 are used"), "{said}");
    // The third run: rows 4 and 5, and 40.
    let ranges = json(&report)["ranges"].clone();
    let sum = ranges.as_array().unwrap().iter().find(|range| range["tensor"] == "sum:0").unwrap();
    let most = 0.5 * f64::from(15 + 16 + 17) + 40.0;
    assert_eq!((sum["min"].as_f64().unwrap(), sum["max"].as_f64().unwrap()), (0.0, most));

    let (code, said) = refused(&folder, &calibrate);
    assert!(code == 2 && said.contains("no samples for the input 'ids'"), "{said}");
    save(&ids, Tensor::vector(vec![1i32, 2]));
    let (code, said) = refused(&folder, &both);
    assert!(code == 2 && said.contains("different numbers of runs: 'rows' 7 in batches of 2, 'ids' 2"), "{said}");
    save(&ids, Tensor::vector(vec![0.5f32, 1.5, 2.5]));
    assert!(refused(&folder, &both).1.contains("float32 do not fit an input of type int32"));
    save(&ids, Tensor::vector(vec![1i32, 2, 3]));
    save(&rows, Tensor::new(&[6, 3], vec![0.25f32; 18]).unwrap());
    let (code, said) = refused(&folder, &both);
    assert!(code == 2 && said.contains("all samples of the input 'rows:0' are 0.25"), "{said}");
    save(&rows, Tensor::new(&[6, 3], [vec![f32::NAN], vec![0.25f32; 17]].concat()).unwrap());
    assert!(refused(&folder, &both).1.contains("sample 0 of 'rows:0' holds a value that is infinite or not a number"));
    let of_other = format!("other={rows}");
    let odd = [&both[..], &["--data", &of_other]].concat();
    assert!(refused(&folder, &odd).1.contains("samples for 'other', which is no input"));
}

/// Of `step` only the shape matters, which is known; `rows` has the shape that old graphs gave to what may have any.
const ONLY_A_SHAPE: &str = r#"
node { name: "rows" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } attr { key: "shape" value { shape {} } } }
node { name: "step" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } }
       attr { key: "shape" value { shape { dim { size: 2 } dim { size: 2 } } } } }
node { name: "w" op: "Const" attr { key: "dtype" value { type: DT_FLOAT } }
       attr { key: "value" value { tensor { dtype: DT_FLOAT tensor_shape { dim { size: 3 } dim { size: 4 } } float_val: 0.5 } } } }
node { name: "product" op: "MatMul" input: "rows" input: "w" attr { key: "T" value { type: DT_FLOAT } } }
node { name: "shape" op: "Shape" input: "step" attr { key: "T" value { type: DT_FLOAT } }
       attr { key: "out_type" value { type: DT_INT32 } } }
node { name: "y" op: "Reshape" input: "product" input: "shape" attr { key: "T" value { type: DT_FLOAT } }
       attr { key: "Tshape" value { type: DT_INT32 } } }
versions { producer: 21 }
"#;

#[test]
fn an_input_that_gives_a_shape_alone_and_one_of_an_old_graph_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let [model, rows, step, output] = ["shape.pbtxt", "rows.npy", "step.npy", "q.pb"].map(|name| at(&folder, name));
    fs::write(&model, ONLY_A_SHAPE).unwrap();
    let save = |path: &str, tensor: Tensor| fs::write(path, npy::write(&tensor)).unwrap();
    save(&rows, Tensor::new(&[4, 3], (0..12u8).map(f32::from).collect()).unwrap());
    save(&step, Tensor::new(&[4, 2, 2], (0..16u8).map(f32::from).collect()).unwrap());
    let (of_rows, of_step) = (format!("rows={rows}"), format!("step={step}"));
    let calibrate = ["calibrate", &model, "--data", &of_rows, "-o", &output];
    let said = text(&done(&calibrate).stderr);
    assert!(said.contains("fed rows:0: 4 samples of float32 [3], 0 to 11") && !said.contains("step"), "{said}");
    let said = text(&done(&[&calibrate[..], &["--data", &of_step]].concat()).stderr);
    assert!(said.contains("the samples for 'step' are left out: no output needs that input"), "{said}");

    fs::write(&model, ONLY_A_SHAPE.replace("producer: 21", "producer: 22")).unwrap();
    let (code, said) = refused(&folder, &calibrate[..4]);
    assert!(code != 0 && said.contains("rows:0"), "{said}");
}

#[test]
fn ranges_go_through_every_form_and_hand_edits_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let quantized = at(&folder, "q.pb");
    done(&["calibrate", FROZEN, "--data", DATA, "-o", &quantized, "-q"]);
    let file = at(&folder, "ranges");
    let print = |format: &str| text(&done(&["ranges", &quantized, "--format", format]).stdout);
    let rewritten = |ranges: &str, name: &str| {
        fs::write(&file, ranges).unwrap();
        let output = at(&folder, name);
        done(&rewrite(&["--fold-constants", "--ranges-file", &file, "-o", &output, "-q"]));
        fs::read(output).unwrap()
    };
    let expected = rewritten(&print("json"), "json.pb");
    for format in ["csv", "aeq", "quant-stats"] {
        assert_eq!(rewritten(&print(format), "other.pb"), expected, "{format}");
    }
    assert_eq!(text(&done(&["ranges", &quantized, "--json"]).stdout), print("json"));
    // Where the graph computes what batch norms make of weights, their outputs have other names.
    fs::write(&file, print("json")).unwrap();
    done(&rewrite(&["--ranges-file", &file, "-o", &at(&folder, "other.pb"), "-q"]));

    let refuse = |ranges: String| {
        fs::write(&file, ranges).unwrap();
        let (code, said) = refused(&folder, &rewrite(&["--fold-constants", "--ranges-file", &file]));
        assert!(code == 2 && said.contains(&format!("{file}: line ")), "{code}: {said}");
        said
    };
    let csv = print("csv");
    let said = refuse(csv.replace("Digits/pool/quant,Digits/pool:0", "Digits/pol/quant,Digits/pol:0"));
    assert!(said.contains("the graph has no 'Digits/pol:0'\nhint: the nearest name is 'Digits/pool'"), "{said}");
    assert!(refuse(csv.replace("image:0,8,", "image:0,4,")).contains("a range of 4 bits for 'image:0', which gets 8"));
    assert!(refuse(csv.replace(",0,0,1,0,1,", ",0,NaN,1,0,1,")).contains("line 2: [NaN, 1] is no range"));
    assert!(refuse(csv.replace(",0,0,1,0,1,", ",0,2,1,0,1,")).contains("line 2: [2, 1] is no range"));
}

#[test]
fn every_method_says_the_same_in_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    for method in ["minmax", "moving-average", "percentile", "mse", "entropy", "best"] {
        let of = |threads: &str| {
            let output = at(&folder, "of.pb");
            let run = ["calibrate", FROZEN, "--data", DATA, "--method", method, "--threads", threads];
            done(&[&run[..], &["-o", &output, "-q"]].concat());
            fs::read(output).unwrap()
        };
        let expected = of("1");
        assert!(["2", "3"].iter().all(|threads| of(threads) == expected), "{method}");
    }
}

#[test]
fn the_best_method_is_the_one_with_the_nearest_outputs() {
    let folder = tempfile::tempdir().unwrap();
    let (output, report) = (at(&folder, "q.pb"), at(&folder, "report.json"));
    let calibrate = |method: &str| {
        done(&["calibrate", FROZEN, "--data", DATA, "--method", method, "-o", &output, "--report", &report]);
        (json(&report), fs::read(&output).unwrap())
    };
    let (best, made) = calibrate("best");
    let tried: Vec<(&str, f64)> = best["tried"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tried| (tried["method"].as_str().unwrap(), tried["sqnr"].as_f64().unwrap()))
        .collect();
    assert!(tried.is_sorted_by(|(_, a), (_, b)| a >= b), "{tried:?}");
    assert_eq!(best["method"], tried[0].0);
    let logits = |report: &Value| {
        let measured = report["measured"].as_array().unwrap();
        measured.iter().find(|measured| measured["tensor"] == "Digits/logits/BiasAdd:0").unwrap()["sqnr"].as_f64()
    };
    for (method, _) in tried {
        let (alone, of_method) = calibrate(method.split(' ').next().unwrap());
        assert_eq!(of_method == made, best["method"] == method);
        assert!(logits(&alone) <= logits(&best), "{method}");
        assert!(alone.get("tried").is_none());
    }
}

#[test]
fn ranges_are_made_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let (output, report) = (at(&folder, "q.pb"), at(&folder, "report.json"));
    // A hundred times the data of training: what is bounded is at its bound.
    done(&["calibrate", FROZEN, "--data", DATA, "--scale", "100", "-o", &output, "--report", &report, "-q"]);
    let report = json(&report);
    let ranges = report["ranges"].as_array().unwrap();
    let ends = |range: &Value| ["min", "max"].map(|end| range[end].as_f64().unwrap());
    assert!(ranges.iter().map(ends).all(|[min, max]| min <= 0.0 && max >= 0.0 && min < max));
    let of_relu6: Vec<_> = ranges.iter().filter(|range| range["op"] == "Relu6").map(ends).collect();
    assert_eq!(of_relu6, [[0.0, 6.0]; 2]);
    let of = |tensor: &str| {
        let range = ranges.iter().find(|range| range["tensor"] == tensor).unwrap();
        ["min", "max", "shared"].map(|field| &range[field])
    };
    assert_eq!(of("Digits/residual/add:0"), of("Digits/growth/conv/Relu:0"), "both are concatenated");
}

#[test]
fn only_the_model_may_be_written_over_what_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let [model, data, report] = ["model.pb", "data.npy", "report.json"].map(|name| at(&folder, name));
    for verb in ["calibrate", "freeze", "fold"] {
        fs::copy(FROZEN, &model).unwrap();
        fs::copy(DATA, &data).unwrap();
        let options: &[&str] = if verb == "calibrate" { &["--data", &data] } else { &[] };
        let run = |output: &str, report: &str| {
            tfquant(&[&[verb, &model, "-o", output, "--report", report, "-q"], options].concat())
        };
        let refuse = |output: &str, report: &str, why: &str| {
            let refused = run(output, report);
            let said = text(&refused.stderr);
            assert!(refused.status.code() == Some(2) && said.contains(why), "{verb}: {said}");
            assert_eq!(fs::read(&model).unwrap(), fs::read(FROZEN).unwrap());
            assert_eq!(fs::read(&data).unwrap(), fs::read(DATA).unwrap());
        };
        refuse(&report, &model, "--report would replace the model that is read");
        refuse(&report, &report, "--output and --report go to the same place");
        if verb == "calibrate" {
            refuse(&data, &report, "data.npy', which is read");
            refuse(&report, &data, "data.npy', which is read");
        }
        let replaced = run(&model, &report);
        assert!(replaced.status.success(), "{verb}: {}", text(&replaced.stderr));
    }
}

#[test]
fn nothing_is_written_over_ranges_checkpoints_and_images() {
    let folder = tempfile::tempdir().unwrap();
    let (ranges, report, images) = (at(&folder, "ranges.json"), at(&folder, "report.json"), at(&folder, "images"));
    let refuse = |args: &[&str], kept: &str| {
        let before = fs::read(kept).unwrap();
        let refused = tfquant(args);
        let said = text(&refused.stderr);
        assert!(refused.status.code() == Some(2) && said.contains("which is read"), "{args:?}: {said}");
        assert_eq!(fs::read(kept).unwrap(), before, "{args:?}");
    };
    let calibrated = at(&folder, "q.pb");
    done(&["calibrate", FROZEN, "--data", DATA, "-o", &calibrated, "-q"]);
    fs::write(&ranges, done(&["ranges", &calibrated, "--json"]).stdout).unwrap();
    let rewrite = ["rewrite", FROZEN, "--mode", "eval", "--target", "litert-int8", "--ranges-file", &ranges];
    refuse(&[&rewrite[..], &["-o", &ranges]].concat(), &ranges);
    refuse(&[&rewrite[..], &["-o", &calibrated, "--report", &ranges]].concat(), &ranges);

    for file in ["model.ckpt.index", "model.ckpt.data-00000-of-00001", "model.ckpt.meta"] {
        fs::copy(format!("testdata/freeze/v1/{file}"), folder.path().join(file)).unwrap();
    }
    let [meta, prefix] = ["model.ckpt.meta", "model.ckpt"].map(|name| at(&folder, name));
    let freeze = ["freeze", &meta, "--checkpoint", &prefix, "--outputs", "output"];
    for part in ["index", "data-00000-of-00001"].map(|part| format!("{prefix}.{part}")) {
        refuse(&[&freeze[..], &["-o", &part]].concat(), &part);
        refuse(&[&freeze[..], &["-o", &report, "--report", &part]].concat(), &part);
    }

    fs::create_dir_all(format!("{images}/deeper")).unwrap();
    let image = format!("{images}/deeper/a.png");
    image::GrayImage::from_fn(8, 8, |x, y| image::Luma([u8::try_from(x * 20 + y).unwrap()])).save(&image).unwrap();
    let calibrate = ["calibrate", FROZEN, "--data", &images, "--scale", "1/255", "-q"];
    refuse(&[&calibrate[..], &["-o", &image]].concat(), &image);
    refuse(&[&calibrate[..], &["-o", &report, "--report", &image]].concat(), &image);
    done(&[&calibrate[..], &["-o", &format!("{images}/q.pb")]].concat());
}

/// Whoever runs the tests may have had them ignore what is sent here.
#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_leaves_nothing_behind() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let folder = tempfile::tempdir().unwrap();
    let data = at(&folder, "data.npy");
    let digits = npy::read(&fs::read(DATA).unwrap()).unwrap();
    let many = digits.values::<f32>().unwrap().repeat(2000);
    fs::write(&data, npy::write(&Tensor::new(&[many.len() / 64, 8, 8, 1], many).unwrap())).unwrap();
    // As by hand, as whoever runs it ends it, and so behind nohup and in the background of a shell.
    for (signal, format, ignored) in [
        ("INT", "binary", None),
        ("TERM", "saved-model", None),
        ("INT", "binary", Some("HUP")),
        ("TERM", "binary", Some("INT")),
    ] {
        let outputs = tempfile::tempdir().unwrap();
        let mut running = Command::new("env")
            .arg("--default-signal")
            .args(ignored.map(|signal| format!("--ignore-signal={signal}")))
            .args([env!("CARGO_BIN_EXE_tfquant"), "calibrate", FROZEN, "--data", &data])
            .args(["--method", "entropy", "--output-format", format, "-o", &at(&outputs, "q")])
            .args(["--report", &at(&outputs, "report.json")])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(running.stderr.take().unwrap()).read_line(&mut said).unwrap();
        assert!(said.starts_with("fed image:0: 128000 samples"), "{said}");
        assert_eq!(fs::read_dir(outputs.path()).unwrap().count(), 2, "nothing is being written");
        Command::new("kill").args(["-s", signal, &running.id().to_string()]).status().unwrap();
        assert_eq!(running.wait().unwrap().code(), Some(130), "it came to its end");
        assert_eq!(fs::read_dir(outputs.path()).unwrap().count(), 0, "something was left behind");
    }
}
