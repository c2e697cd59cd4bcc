//! The graphs that tfquant makes are the graphs that TensorFlow's own rewriter made, and it refuses what that refused.
//!
//! The cases are in `testdata/names` (TensorFlow 1.5.0 with the rewriter of October 2017) and `testdata/topology`
//! (TensorFlow 1.15.5), each rewritten with batch norms folded first and without.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[path = "support/cases.rs"]
mod cases;
#[path = "support/compare.rs"]
mod compare;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use cases::{Case, OptionSet, Outcome};
use serde_json::Value;
use tfquant::{Encoding, Model, OpenOptions};
use tfquant::{Error, Result};
use tfquant::{NamesOnly, RewriteOptions, Rules, TopologyOnly, rewrite};

#[test]
fn layers_found_by_name_are_quantized_as_tensorflow_does() {
    check("names", 840, |set| (!set.fold).then(|| by_names(set)));
}

#[test]
fn batch_norms_found_by_name_are_folded_as_tensorflow_does() {
    check("names", 830, |set| set.fold.then(|| by_names(set)));
}

#[test]
fn layers_found_by_structure_are_folded_and_quantized_as_tensorflow_does() {
    check("topology", 1025, |set| Some(by_topology(set)));
}

/// Runs every set of every case that is given options; these must be at least `least` many.
fn check(folder: &str, least: usize, options: fn(&OptionSet) -> Option<RewriteOptions>) {
    let archives = cases::archives(folder);
    let (next, sets, failures) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let take = || archives.get(next.fetch_add(1, Ordering::Relaxed));
    let work = || {
        while let Some(archive) = take() {
            let case: Case = cases::read(archive);
            for (set, options) in case.sets.iter().filter_map(|set| Some((set, options(set)?))) {
                sets.fetch_add(1, Ordering::Relaxed);
                if let Err(failure) = check_set(&case, set, &options) {
                    failures.lock().unwrap().push(format!("{folder}/{}/{}: {failure}", case.name, set.name));
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    assert!(failures.is_empty(), "{} sets differ:\n{}", failures.len(), failures.join("\n"));
    let sets = sets.into_inner();
    assert!(sets >= least, "{sets} sets were checked instead of {least}: cases are missing");
}

fn check_set(case: &Case, set: &OptionSet, options: &RewriteOptions) -> Result<(), String> {
    match (run(&case.before, options), &set.outcome) {
        (Ok(actual), Outcome::Rewritten(expected)) => {
            let differences = compare::differences(expected.clone(), actual);
            let shown: Vec<&str> = differences.iter().take(5).map(String::as_str).collect();
            if shown.is_empty() {
                return Ok(());
            }
            Err(format!("{} differences\n    {}", differences.len(), shown.join("\n    ")))
        }
        (Err(refusal), Outcome::Refused { ops, .. }) if ops.is_empty() || ops.iter().any(|op| names(&refusal, op)) => {
            Ok(())
        }
        (Err(refusal), Outcome::Refused { error, ops }) => {
            Err(format!("refused, but names none of {ops:?}: {refusal}\n    TensorFlow: {error}"))
        }
        (Err(refusal), Outcome::Rewritten(_)) => Err(format!("refused: {refusal}")),
        (Ok(_), Outcome::Refused { error, .. }) => Err(format!("went through; TensorFlow: {error}")),
    }
}

/// Whether the message gives that name, whole.
fn names(refusal: &Error, op: &str) -> bool {
    let text = refusal.to_string();
    text.match_indices(op).any(|(start, _)| {
        let continues = |next: Option<char>| next.is_some_and(|next| next.is_alphanumeric() || "_/.-".contains(next));
        !continues(text[..start].chars().next_back()) && !continues(text[start + op.len()..].chars().next())
    })
}

fn run(before: &Bytes, options: &RewriteOptions) -> Result<Bytes> {
    let mut model = Model::open(before.clone(), &OpenOptions::default())?;
    let rewritten = rewrite(&mut model, options)?;
    let mut output = Vec::new();
    rewritten.output.write(Encoding::Binary, &mut output)?;
    assert_eq!(rewritten.report.output.bytes, output.len() as u64, "the length that was told beforehand");
    Ok(output.into())
}

fn bits(value: &Value) -> u8 {
    u8::try_from(value.as_u64().unwrap()).unwrap()
}

/// Sets the option if both rules know it; says whether they do.
fn set_shared(options: &mut RewriteOptions, key: &str, value: &Value) -> bool {
    let quantize = options.quantize.get_or_insert_default();
    match key {
        "weight_bits" => quantize.weight_bits = bits(value),
        "activation_bits" => quantize.activation_bits = bits(value),
        "ema_decay" => quantize.ema_decay = value.as_f64().unwrap(),
        "quant_delay" => quantize.quant_delay = value.as_i64(),
        "vars_collection" => quantize.vars_collection = value.as_str().map(str::to_owned),
        "is_training" => options.common.is_training = value.as_bool().unwrap(),
        _ => return false,
    }
    true
}

fn by_names(set: &OptionSet) -> RewriteOptions {
    let mut options = RewriteOptions { fold: set.fold, ..RewriteOptions::default() };
    let mut names = NamesOnly::default();
    for (key, value) in set.options.iter().filter(|(key, value)| !set_shared(&mut options, key, value)) {
        match key.as_str() {
            "weight_narrow_range" => names.weight_narrow_range = value.as_bool().unwrap(),
            "quantize_folded_weights_use_ema" => names.quantize_folded_weights_use_ema = value.as_bool().unwrap(),
            other => panic!("no option '{other}'"),
        }
    }
    RewriteOptions { rules: Rules::Names(names), ..options }
}

fn by_topology(set: &OptionSet) -> RewriteOptions {
    let mut options = RewriteOptions { fold: set.fold, ..RewriteOptions::default() };
    let mut topology = TopologyOnly { reference_only: true, ..TopologyOnly::default() };
    for (key, value) in set.options.iter().filter(|(key, value)| !set_shared(&mut options, key, value)) {
        match key.as_str() {
            "symmetric" => topology.symmetric = value.as_bool().unwrap(),
            "scope" => topology.scope = value.as_str().map(str::to_owned),
            "allow_training_ops" => topology.allow_training_ops = value.as_bool().unwrap(),
            "resource_variables" => topology.resource_variables = value.as_bool().unwrap(),
            "freeze_bn_delay" => topology.freeze_bn_delay = value.as_i64(),
            other => panic!("no option '{other}'"),
        }
    }
    RewriteOptions { rules: Rules::Topology(topology), ..options }
}
