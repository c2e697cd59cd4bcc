//! How long reading, rewriting and writing take: chains of layers at two sizes, which shows whether cost is linear, and
//! few big constants, which shows whether it is that of the nodes and not of the bytes.

#![allow(clippy::unwrap_used, missing_docs)] // a bench

#[path = "../tests/support/generate.rs"]
mod generate;

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use generate::Layer;
use prost::Message;
use tfquant::{Encoding, Model, NamesOnly, OpenOptions, Quantize, RewriteOptions, Rules, TopologyOnly, rewrite};

fn open(bytes: &Bytes) -> Model {
    Model::open(bytes.clone(), &OpenOptions::default()).unwrap()
}

fn write(model: &Model, out: &mut Vec<u8>) {
    model.encode().unwrap().write(Encoding::Binary, out).unwrap();
}

fn by_names() -> RewriteOptions {
    let quantize = Some(Quantize { quant_delay: Some(2000), ..Quantize::default() });
    RewriteOptions { quantize, rules: Rules::Names(NamesOnly::default()), ..RewriteOptions::default() }
}

fn by_topology() -> RewriteOptions {
    RewriteOptions { rules: Rules::Topology(TopologyOnly::default()), ..by_names() }
}

/// Nodes and bytes that a stage is told to go through.
fn amount(nodes: usize, bytes: usize) -> Throughput {
    Throughput::ElementsAndBytes { elements: nodes as u64, bytes: bytes as u64 }
}

/// The three stages of one input under one set of options, by nodes and bytes a second: those that are read, or those that
/// are written.
fn stages(criterion: &mut Criterion, name: &str, size: usize, bytes: &Bytes, options: &RewriteOptions) {
    let mut group = criterion.benchmark_group(name);
    let model = open(bytes);
    let mut rewritten = model.clone();
    rewrite(&mut rewritten, options).unwrap();
    let mut out = Vec::new();
    write(&rewritten, &mut out);
    group.throughput(amount(model.graph.len(), bytes.len())).sample_size(10);
    group.bench_function(BenchmarkId::new("read", size), |bencher| bencher.iter(|| open(black_box(bytes))));
    group.throughput(amount(rewritten.graph.len(), out.len()));
    group.bench_function(BenchmarkId::new("rewrite", size), |bencher| {
        let run = |mut model: Model| {
            let report = rewrite(&mut model, options).unwrap().report;
            (model, report)
        };
        bencher.iter_batched(|| model.clone(), run, BatchSize::PerIteration);
    });
    group.bench_function(BenchmarkId::new("write", size), |bencher| {
        bencher.iter(|| {
            out.clear();
            write(&rewritten, &mut out);
        });
    });
    group.finish();
}

fn chains(criterion: &mut Criterion) {
    for layers in [200, 2000] {
        let bias: Bytes = generate::chain(layers, Layer::Bias).encode_to_vec().into();
        stages(criterion, "chain/names", layers, &bias, &by_names());
        stages(criterion, "chain/topology", layers, &bias, &by_topology());
        let norms: Bytes = generate::chain(layers, Layer::BatchNorm).encode_to_vec().into();
        stages(criterion, "norms/names", layers, &norms, &by_names());
        stages(criterion, "norms/topology", layers, &norms, &by_topology());
    }
}

const FROZEN_LAYERS: usize = 50;

fn big_constants(criterion: &mut Criterion) {
    for megabytes in [1, 64] {
        let mut bytes = Vec::new();
        generate::frozen(megabytes as u64 * 1_000_000, FROZEN_LAYERS, &mut bytes).unwrap();
        stages(criterion, "frozen/names", megabytes, &bytes.into(), &by_names());
    }
}

criterion_group!(benches, chains, big_constants);
criterion_main!(benches);
