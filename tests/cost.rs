//! What a verb costs for each node of a graph, whatever machine it runs on: no allocation, as the rewrite.
//!
//! Files of millions of nodes are common, and an allocation a node is what makes a verb slow and big.

#![allow(clippy::unwrap_used)] // a test

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tfquant::inspect::{check, diff, explain, summary};
use tfquant::internals::put_bytes;
use tfquant::{Common, Model, NamesOnly, OpenOptions, RewriteOptions, Rules, TopologyOnly, rewrite};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations that a graph of any size may cost: those of buffers that double.
const MOST: usize = 100;
/// Bytes that stay in use a node, at most: so much the graph itself takes.
const MOST_BYTES: usize = 100;

/// So many nodes of a name and an op; each reads the one before, or none reads any.
fn model(nodes: usize, is_chain: bool) -> Model {
    let mut graph = Vec::new();
    for index in 0..nodes {
        let mut node = Vec::new();
        put_bytes(&mut node, 1, format!("n{index}").as_bytes());
        put_bytes(&mut node, 2, b"Relu");
        if is_chain && index > 0 {
            put_bytes(&mut node, 3, format!("n{}", index - 1).as_bytes());
        }
        put_bytes(&mut graph, 1, &node);
    }
    Model::open(graph.into(), &OpenOptions::default()).unwrap()
}

fn options() -> [RewriteOptions; 3] {
    let names = Rules::Names(NamesOnly::default());
    let topology = Rules::Topology(TopologyOnly::default());
    [Rules::default(), names, topology].map(|rules| RewriteOptions {
        common: Common { skip_unmatched: true, ..Common::default() },
        rules,
        ..RewriteOptions::default()
    })
}

/// How many allocations each verb makes for a graph, and how many bytes its result takes.
fn costs(model: &Model) -> Vec<(&'static str, usize, usize)> {
    let mut costs = Vec::new();
    let mut run = |verb: &'static str, run: &dyn Fn() -> Box<dyn std::any::Any>| {
        let region = Region::new(ALLOCATOR);
        let result = run();
        let change = region.change();
        let kept = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
        drop(result);
        costs.push((verb, change.allocations + change.reallocations, kept));
    };
    for options in &options() {
        run("rewrite", &|| {
            let mut model = model.clone();
            let report = rewrite(&mut model, options).unwrap().report;
            Box::new((model, report))
        });
        run("explain", &|| {
            let mut model = model.clone();
            let report = explain::plan(&mut model, options).unwrap();
            model.reset().unwrap();
            let explanation = explain::explain(&model, "a", report, None).unwrap();
            let text = explain::to_text(&explanation, true);
            Box::new((model, explanation, text))
        });
    }
    run("summary", &|| Box::new(summary::to_text(&summary::summarize(model, "a"), Some(5))));
    run("check", &|| Box::new(check::to_text(&check::check(model, "a", &check::Options::default()), false)));
    run("diff", &|| {
        let same = diff::diff(model, model, ["a", "a"], None).unwrap();
        Box::new(diff::to_text(&same))
    });
    costs
}

#[test]
fn no_verb_allocates_for_each_node() {
    // More than are listed of what is wrong.
    const NODES: usize = 20_000;
    for is_chain in [false, true] {
        let few = costs(&model(NODES, is_chain));
        let many = costs(&model(2 * NODES, is_chain));
        for ((verb, few, few_kept), (_, many, many_kept)) in few.into_iter().zip(many) {
            let (more, kept) = (many.saturating_sub(few), many_kept.saturating_sub(few_kept) / NODES);
            assert!(more < MOST, "{verb}: {more} more allocations for {NODES} more nodes");
            assert!(kept < MOST_BYTES, "{verb}: {kept} bytes a node");
        }
    }
}
