//! What must hold of every rewrite, whatever the graph: it stays valid, nothing is lost, the same goes in and comes out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[allow(dead_code)] // of the bodies, what they have in common is used
#[path = "../fuzz/bodies.rs"]
mod bodies;

use bytes::Bytes;
use proptest::prelude::*;
use tfquant::MessageKind;
use tfquant::internals::text;
use tfquant::internals::{Graph, Input, NodeId, check_acyclic};
use tfquant::internals::{put_bytes, put_uint};
use tfquant::report::Report;
use tfquant::{Common, NamesOnly, Quantize, RewriteOptions, Rules, TopologyOnly, rewrite};
use tfquant::{Encoding, Model, OpenOptions};

/// One step of a network that grows from its input.
#[derive(Debug, Clone)]
enum Step {
    Layer {
        op: &'static str,
        scope: String,
        bias: bool,
        batch_norm: bool,
        activation: Option<&'static str>,
    },
    /// Reads two earlier tensors.
    Other {
        name: String,
        op: &'static str,
        reads: [usize; 2],
        control: bool,
    },
    /// Adds the latest tensor to an earlier one, then a Relu.
    Bypass {
        scope: String,
        reads: usize,
    },
}

fn scope() -> impl Strategy<Value = String> {
    "(net/|net/block/|)(a|b|conv|Conv|c_1)"
}

fn step() -> impl Strategy<Value = Step> {
    let op = prop::sample::select(vec!["Conv2D", "DepthwiseConv2dNative", "MatMul"]);
    let activation = prop::option::of(prop::sample::select(vec!["Relu", "Relu6", "Identity", "Tanh"]));
    let layer = (op, scope(), any::<bool>(), any::<bool>(), activation)
        .prop_map(|(op, scope, bias, batch_norm, activation)| Step::Layer { op, scope, bias, batch_norm, activation });
    let other_op = prop::sample::select(vec!["Add", "AddV2", "Mul", "Maximum", "Identity", "MatMul"]);
    let name = "(net/|gradients/|Const_|save/|)(x|Relu|Add|add|weights/y|act_quant|act_quant/min|mul_fold)";
    let other = (name, other_op, any::<[usize; 2]>(), any::<bool>())
        .prop_map(|(name, op, reads, control)| Step::Other { name, op, reads, control });
    let bypass = (scope(), any::<usize>()).prop_map(|(scope, reads)| Step::Bypass { scope, reads });
    prop_oneof![4 => layer, 2 => other, 1 => bypass]
}

/// A network as it is made, node by node.
#[derive(Default)]
struct Network {
    encoded: Vec<u8>,
    names: Vec<String>,
    /// Tensors that later steps may read.
    tensors: Vec<String>,
    unknown_fields: bool,
}

impl Network {
    /// Adds a node under that name, or a free one like it, with the inputs it reads; returns the name.
    fn node(&mut self, name: &str, op: &str, inputs: &[&str]) -> String {
        let mut free = name.to_owned();
        let mut suffix = 0;
        while self.names.contains(&free) {
            suffix += 1;
            free = format!("{name}_{suffix}");
        }
        let mut node = Vec::new();
        put_bytes(&mut node, 1, free.as_bytes());
        put_bytes(&mut node, 2, op.as_bytes());
        for input in inputs {
            put_bytes(&mut node, 3, input.as_bytes());
        }
        if self.unknown_fields {
            put_uint(&mut node, 999, self.names.len() as u64);
        }
        let mut attribute = |key: &str, value: &[u8]| {
            let mut entry = Vec::new();
            put_bytes(&mut entry, 1, key.as_bytes());
            put_bytes(&mut entry, 2, value);
            put_bytes(&mut node, 5, &entry);
        };
        let key = if matches!(op, "VariableV2" | "Placeholder") { "dtype" } else { "T" };
        attribute(key, b"\x30\x01"); // type: DT_FLOAT
        if key == "dtype" {
            let dims = if name.contains("/BatchNorm/") || name.ends_with("/biases") { 1 } else { 4 };
            let shape = b"\x12\x02\x08\x04".repeat(dims); // axes of length 4
            attribute("shape", &[&[0x3a, u8::try_from(shape.len()).unwrap()], &shape[..]].concat());
        }
        if op == "FusedBatchNorm" {
            attribute("is_training", b"\x28\x00"); // false
        }
        put_bytes(&mut self.encoded, 1, &node);
        self.names.push(free.clone());
        free
    }

    fn variable(&mut self, name: &str) -> String {
        let variable = self.node(name, "VariableV2", &[]);
        self.node(&format!("{variable}/read"), "Identity", &[&variable])
    }

    fn latest(&self) -> String {
        self.tensors.last().unwrap().clone()
    }

    fn earlier(&self, index: usize) -> String {
        self.tensors[index % self.tensors.len()].clone()
    }

    fn push(&mut self, step: &Step) {
        let last = match step {
            Step::Layer { op, scope, bias, batch_norm, activation } => {
                let weights = self.variable(&format!("{scope}/weights"));
                let input = self.latest();
                let mut last = self.node(&format!("{scope}/{op}"), op, &[&input, &weights]);
                if *bias && !*batch_norm {
                    let biases = self.variable(&format!("{scope}/biases"));
                    last = self.node(&format!("{scope}/BiasAdd"), "BiasAdd", &[&last, &biases]);
                }
                if *batch_norm {
                    let part = |network: &mut Self, part: &str| network.variable(&format!("{scope}/BatchNorm/{part}"));
                    let parts = ["gamma", "beta", "moving_mean", "moving_variance"].map(|name| part(self, name));
                    let inputs = [&last, &parts[0], &parts[1], &parts[2], &parts[3]].map(String::as_str);
                    last = self.node(&format!("{scope}/BatchNorm/FusedBatchNorm"), "FusedBatchNorm", &inputs);
                }
                match activation {
                    Some(activation) => self.node(&format!("{scope}/{activation}"), activation, &[&last]),
                    None => last,
                }
            }
            Step::Other { name, op, reads, control } => {
                let reads = reads.map(|index| self.earlier(index));
                let control = control.then(|| format!("^{}", self.names[self.names.len() / 2]));
                let data = if *op == "Identity" { 1 } else { 2 };
                let inputs: Vec<&str> = reads[..data].iter().map(String::as_str).chain(control.as_deref()).collect();
                self.node(name, op, &inputs)
            }
            Step::Bypass { scope, reads } => {
                let (input, other) = (self.latest(), self.earlier(*reads));
                let add = self.node(&format!("{scope}/Add"), "Add", &[&input, &other]);
                self.node(&format!("{scope}/Relu"), "Relu", &[&add])
            }
        };
        self.tensors.push(last);
    }
}

/// The GraphDef of a network of those steps.
fn network(steps: &[Step], unknown_fields: bool, barrier: bool) -> Bytes {
    let mut network = Network { unknown_fields, ..Network::default() };
    let input = network.node("input", "Placeholder", &[]);
    network.tensors.push(input);
    for step in steps {
        network.push(step);
    }
    let last = network.latest();
    if barrier {
        network.node("update_barrier", "NoOp", &[]);
        network.node("output", "Identity", &[&last, "^update_barrier"]);
    } else {
        network.node("output", "Identity", &[&last]);
    }
    if unknown_fields {
        put_uint(&mut network.encoded, 777, 5);
    }
    network.encoded.into()
}

fn graph() -> impl Strategy<Value = Bytes> {
    (prop::collection::vec(step(), 0..12), any::<bool>(), any::<bool>())
        .prop_map(|(steps, unknown_fields, barrier)| network(&steps, unknown_fields, barrier))
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
