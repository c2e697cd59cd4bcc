//! What must hold of every rewrite, whatever the graph: it stays valid, nothing is lost, the same goes in and comes out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[allow(dead_code)] // of the bodies, what they have in common is used
#[path = "../fuzz/bodies.rs"]
mod bodies;

use bodies::random;
use bytes::Bytes;
use proptest::prelude::*;
use tfquant::MessageKind;
use tfquant::internals::text;
use tfquant::internals::{Graph, Input, NodeId, check_acyclic};
use tfquant::internals::{put_bytes, put_uint};
use tfquant::report::Report;
use tfquant::{Common, NamesOnly, Quantize, RewriteOptions, Rules, TopologyOnly, rewrite};
use tfquant::{Encoding, Model, OpenOptions};

fn graph() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..400).prop_map(|bytes| random::graph_def(&bytes).into())
}

/// Options that leave alone what the rules refuse, so that every graph goes through.
fn options() -> impl Strategy<Value = RewriteOptions> {
    (any::<[bool; 4]>(), prop::option::of(0..100i64)).prop_map(
        |([topology, fold, is_training, use_ema], quant_delay)| {
            let common = Common { is_training, skip_unmatched: true, ..Common::default() };
            let rules = if topology {
                Rules::Topology(TopologyOnly::default())
            } else {
                Rules::Names(NamesOnly { quantize_folded_weights_use_ema: use_ema, ..NamesOnly::default() })
            };
            let quantize = Some(Quantize { quant_delay, ..Quantize::default() });
            RewriteOptions { common, fold, quantize, rules, ..RewriteOptions::default() }
        },
    )
}

fn open(bytes: &Bytes) -> Model {
    let format = Some((MessageKind::GraphDef, Encoding::Binary));
    Model::open(bytes.clone(), &OpenOptions { format, ..OpenOptions::default() }).unwrap()
}

fn rewritten(bytes: &Bytes, options: &RewriteOptions) -> (Vec<u8>, Report) {
    let mut model = open(bytes);
    let rewritten = rewrite(&mut model, options).unwrap_or_else(|error| panic!("refused: {error}"));
    let mut out = Vec::new();
    rewritten.output.write(Encoding::Binary, &mut out).unwrap();
    assert_eq!(out.len() as u64, rewritten.report.output.bytes);
    let report = rewritten.report;
    (out, report)
}

/// What a tensor is when the inserted fake quantizers, and the switches of their delay, let everything through.
fn source(graph: &Graph, original_count: usize, mut node: NodeId) -> NodeId {
    while node.index() >= original_count && matches!(graph.op(node), "FakeQuantWithMinMaxVars" | "Merge" | "Switch") {
        node = graph.data_input(node, 0).unwrap().node;
    }
    node
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rewritten_graph_is_valid_and_has_lost_nothing(bytes in graph(), options in options()) {
        let before = open(&bytes);
        let (out, report) = rewritten(&bytes, &options);
        let after = open(&out.into());
        check_acyclic(&after.graph).unwrap();
        bodies::check_lossless(&before.graph, &after.graph, options.fold && matches!(options.rules, Rules::Topology(_)));
        let inserted = after.graph.len() - before.graph.len();
        prop_assert_eq!(report.ops_added.values().sum::<usize>(), inserted);
        prop_assert_eq!(report.summary.fake_quants, report.ops_added.get("FakeQuantWithMinMaxVars").copied().unwrap_or(0));
        let quantized = report.layers.iter().filter(|layer| !layer.fake_quants.is_empty()).count();
        prop_assert!(quantized <= report.summary.layers);
    }

    #[test]
    fn without_folding_every_input_is_what_it_was_or_that_quantized(bytes in graph(), mut options in options()) {
        options.fold = false;
        let before = open(&bytes).graph;
        let (out, report) = rewritten(&bytes, &options);
        let after = open(&out.into()).graph;
        let mut rewired = 0;
        for node in before.ids() {
            let (old, new): (Vec<Input>, Vec<Input>) = (before.inputs(node).collect(), after.inputs(node).collect());
            prop_assert!(new.len() >= old.len());
            for (old, new) in old.iter().zip(&new) {
                match (old, new) {
                    _ if old == new => {}
                    (Input::Data(old), Input::Data(new)) => {
                        rewired += 1;
                        prop_assert_eq!(source(&after, before.len(), new.node), old.node);
                    }
                    _ => prop_assert!(false, "'{}' has another control input", before.name(node)),
                }
            }
            let more = new[old.len()..].iter().all(|input| matches!(input, Input::Control(_)));
            prop_assert!(new.len() == old.len() || more && before.name(node) == "update_barrier");
        }
        prop_assert!(rewired <= report.inputs_rewired);
        prop_assert!((rewired == 0) == (report.inputs_rewired == 0));
    }

    #[test]
    fn the_same_input_gives_the_same_bytes(bytes in graph(), options in options()) {
        prop_assert!(rewritten(&bytes, &options).0 == rewritten(&bytes, &options).0);
    }

    #[test]
    fn a_refusal_names_a_node_and_leaves_no_cycle(bytes in graph(), mut options in options()) {
        options.common.skip_unmatched = false;
        let mut model = open(&bytes);
        match rewrite(&mut model, &options) {
            Ok(rewritten) => check_acyclic(&rewritten.output.model().graph).unwrap(),
            Err(refusal) => {
                let node = refusal.node_name();
                prop_assert!(node.is_some_and(|node| model.graph.find(node).is_some()), "{refusal}");
                prop_assert!(refusal.hint_text().is_some(), "{refusal}");
            }
        }
    }

    #[test]
    fn text_says_the_same_as_binary(bytes in graph()) {
        let mut printed = Vec::new();
        text::print(&bytes, MessageKind::GraphDef, &mut printed).unwrap();
        let parsed = text::parse(std::str::from_utf8(&printed).unwrap(), MessageKind::GraphDef).unwrap();
        let mut again = Vec::new();
        text::print(&parsed, MessageKind::GraphDef, &mut again).unwrap();
        prop_assert!(printed == again);
        prop_assert_eq!(open(&parsed.into()).graph.len(), open(&bytes).graph.len());
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for (_, body) in bodies::BODIES {
            body(&bytes);
        }
    }

    /// Bytes that are fields, so that readers get further than the first tag.
    #[test]
    fn random_fields_never_panic(fields in fields(4)) {
        for (_, body) in bodies::BODIES {
            body(&fields);
        }
    }
}

/// A message of random fields with small numbers, nested that deep.
fn fields(depth: u32) -> impl Strategy<Value = Vec<u8>> {
    let value =
        prop_oneof!["[a-c:^/0-9]{0,6}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..12),];
    value.prop_recursive(depth, 64, 6, |inner| {
        prop::collection::vec((1u32..10, prop::option::weighted(0.8, inner), any::<u64>()), 0..6).prop_map(|fields| {
            let mut message = Vec::new();
            for (number, inner, integer) in fields {
                match inner {
                    Some(inner) => put_bytes(&mut message, number, &inner),
                    None => put_uint(&mut message, number, integer >> (integer % 64)),
                }
            }
            message
        })
    })
}
