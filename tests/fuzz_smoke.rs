//! The bodies of the fuzz targets, over real files, cut short and with bits flipped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[path = "../fuzz/bodies.rs"]
mod bodies;
#[path = "support/cases.rs"]
mod cases;
#[path = "support/models.rs"]
mod models;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use tfquant::container::text::MessageKind;

/// Small real files of every kind, in binary and in text.
fn corpus() -> Vec<Vec<u8>> {
    let mut files = vec![Vec::new(), b"node { name: 'a' op: 'NoOp' }".to_vec()];
    for case in ["conv_relu", "conv_bn_fused_scale_bypass", "fc_bn_unfused_noscale", "cond_elsewhere"] {
        let meta = models::meta_graph(case);
        files.push(models::to_text(MessageKind::MetaGraphDef, &meta));
        files.push(models::graph_def(&meta));
        files.push(models::saved_model(&[(&["serve"], &meta)]));
        files.push(meta.to_vec());
    }
    files
}

/// A sequence of numbers that is the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }
}

/// The file, cut short, or with some bytes changed, taken out or doubled.
fn damaged(file: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = file.to_vec();
    match numbers.below(4) {
        0 => bytes.truncate(numbers.below(file.len())),
        1 => {
            let start = numbers.below(file.len());
            let end = file.len().min(start + numbers.below(200));
            bytes.drain(start..end);
        }
        2 => {
            let start = numbers.below(file.len());
            let end = file.len().min(start + numbers.below(200));
            let part = file[start..end].to_vec();
            let at = numbers.below(bytes.len());
            bytes.splice(at..at, part);
        }
        _ => {
            for _ in 0..=numbers.below(4) {
                let at = numbers.below(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << numbers.below(8);
                }
            }
        }
    }
    bytes
}

/// Damaged copies of each file that each body gets.
const COPIES: usize = 40;

#[test]
fn no_body_minds_damaged_files() {
    let corpus = corpus();
    let run = |(seed, &(name, body)): (usize, &(&str, bodies::Body))| {
        let mut numbers = Numbers(seed as u64);
        for (index, file) in corpus.iter().enumerate() {
            for copy in 0..=COPIES {
                let bytes = if copy == 0 { file.clone() } else { damaged(file, &mut numbers) };
                // The rewriting body takes its options from the first byte.
                let choice = u8::try_from(numbers.below(256)).unwrap();
                let bytes = if name == "rewrite" { [&[choice], &bytes[..]].concat() } else { bytes };
                if catch_unwind(AssertUnwindSafe(|| body(&bytes))).is_err() {
                    let saved = std::env::temp_dir().join(format!("tfquant-{name}-{index}-{copy}"));
                    std::fs::write(&saved, &bytes).unwrap();
                    panic!("{name} panicked on file {index}, copy {copy}, kept as {}", saved.display());
                }
            }
        }
    };
    thread::scope(|scope| {
        for job in bodies::BODIES.iter().enumerate() {
            let run = &run;
            scope.spawn(move || run(job));
        }
    });
}
