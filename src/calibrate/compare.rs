//! Two models on the same samples: how near the tensors of one are to those of the other, and which classes both see.
//!
//! # Which tensors stand against each other
//! Those of the same name, and the outputs, which the signatures' keys bring together where names do not. Where a fake
//! quantizer reads a tensor, what it makes of it stands for the tensor: that is what the readers get.
//!
//! # What is left out
//! Tensors that hold something else under the same name: what a layer computes with other weights before its scale or
//! batch norm comes, which folding has moved into the weights.

use std::fmt::Write as _;

use hashbrown::{HashMap, HashSet};
use serde::Serialize;

use super::feed::{Feed, Feeds};
use super::fidelity::{Fidelity, Pair, Side, measure};
use super::look::{Fed, look};
use super::top1::{Labels, Top1, Votes};
use crate::document::{SCHEMA_VERSION, TOOL};
use crate::error::{Error, ErrorKind, Printable, Result};
use crate::freeze::Frozen;
use crate::freeze::report::Endpoint;
use crate::graph::op_class::is_fake_quant;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::interpreter::{Limits, Plan, Tensor};
use crate::passes::integer::network::{Layer, hands_channels_on, weights};
use crate::proto::tensorflow::DataType;

/// How to compare.
#[derive(Debug, Clone)]
pub struct CompareOptions {
    /// How many threads run the graphs.
    pub threads: usize,
    /// How many samples to use at most.
    pub limit: usize,
    /// What a run may use, both graphs together.
    pub limits: Limits,
}

/// How near two models are.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Comparison {
    /// The version of this document; see [`crate::document::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The program's name and version.
    pub tool: String,
    /// `compare`.
    pub command: String,
    /// The paths of both.
    pub models: [String; 2],
    /// What was fed.
    pub fed: Vec<Fed>,
    /// The tensors, the one that differs most first.
    pub tensors: Vec<ComparedTensor>,
    /// Which classes both see, where the first output with several numbers a sample tells classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top1: Option<Top1>,
}

/// A tensor and how near the other model's is to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComparedTensor {
    /// The tensor in the first model.
    pub tensor: String,
    /// The op that makes it.
    pub op: String,
    /// What stands against it in the second model.
    pub other: String,
    /// Whether it is an output of the model.
    pub is_output: bool,
    /// How near they are.
    #[serde(flatten)]
    pub fidelity: Fidelity,
}

impl Comparison {
    /// The lowest SQNR of an output.
    #[must_use]
    pub fn worst_output(&self) -> Option<&ComparedTensor> {
        self.tensors.iter().find(|tensor| tensor.is_output)
    }
}

/// Runs both models on the samples. `fed` is told what is fed before the work begins; `done` after each run how many of
/// how many there were, and says whether to go on.
///
/// # Errors
/// [`ErrorKind::Options`] if the samples do not fit the inputs, or the labels the samples, or if the models have no output
/// in common; [`ErrorKind::Refused`] for an op that is not computed with; those of the runs.
pub fn compare(
    models: &[Frozen; 2],
    feeds: &[Vec<Feed>; 2],
    labels: Option<&Labels>,
    options: &CompareOptions,
    fed: &mut dyn FnMut(&[Fed]),
    done: &(dyn Fn(usize, usize) -> bool + Sync),
) -> Result<Comparison> {
    let [a, b] = models;
    let samples = |own: &Frozen, other: &Frozen, feeds| {
        let of_other = other.report.inputs.iter().flat_map(|input| [&input.key, &input.tensor]);
        let unread: Vec<String> =
            own.report.unread.iter().chain(&other.report.unread).chain(of_other).cloned().collect();
        Feeds::new(&own.report.inputs, &unread, feeds, options.limit)
    };
    let samples = [samples(a, b, &feeds[0])?, samples(b, a, &feeds[1])?];
    let runs = samples[0].runs;
    if samples[1].runs != runs {
        return Err(Error::new(ErrorKind::Options, "the models' inputs have different batch sizes")
            .hint("export both with the same batch size, or none"));
    }
    let mut comparison = Comparison {
        schema_version: SCHEMA_VERSION,
        tool: TOOL.to_owned(),
        command: "compare".to_owned(),
        models: [a, b].map(|frozen| frozen.report.input.path.clone()),
        fed: look(&samples[0], options.limit, options.threads)?,
        ..Comparison::default()
    };
    fed(&comparison.fed);

    let graphs = [&a.model.graph, &b.model.graph];
    let outputs = outputs(models)?;
    let fetches = [0, 1].map(|side| outputs.iter().map(|pair| pair[side]).collect::<Vec<TensorRef>>());
    let inputs = models.each_ref().map(|frozen| tensors(&frozen.model.graph, &frozen.report.inputs));
    let limits = Limits { memory: options.limits.memory / 2, ..options.limits };
    let plan = |side: usize| Plan::new(graphs[side], &inputs[side], &fetches[side], &limits);
    let plans = [plan(0)?, plan(1)?];
    let pairs = pairs(graphs, &outputs);
    let side = |side: usize| Side { plan: &plans[side], feeds: &samples[side], inputs: &inputs[side] };
    let sides = [side(0), side(1)];
    let judge = |votes: &mut Votes, index: usize, results: [&[Tensor]; 2]| votes.count(results, labels, index);
    let (fidelities, votes) = measure(&sides, &pairs, options.threads, &judge, &|finished| done(finished, runs))?;

    let is_output: HashSet<[TensorRef; 2]> = outputs.iter().copied().collect();
    comparison.tensors = pairs
        .iter()
        .zip(fidelities)
        .filter_map(|(pair, fidelity)| {
            let [tensor, other] = pair.tensors;
            Some(ComparedTensor {
                tensor: graphs[0].tensor_name(tensor),
                op: graphs[0].op(tensor.node).to_owned(),
                other: graphs[1].tensor_name(other),
                is_output: is_output.contains(&pair.tensors),
                fidelity: fidelity?,
            })
        })
        .collect();
    comparison.tensors.sort_by(|a, b| a.fidelity.sqnr.total_cmp(&b.fidelity.sqnr));
    comparison.top1 = Votes::together(votes).top1(labels.is_some(), |place| graphs[0].tensor_name(fetches[0][place]));
    Ok(comparison)
}

fn tensors(graph: &Graph, ends: &[Endpoint]) -> Vec<TensorRef> {
    ends.iter().filter_map(|end| graph.find_tensor(&end.tensor)).collect()
}

/// The outputs that both models have: by key, by tensor, or as the only one.
fn outputs(models: &[Frozen; 2]) -> Result<Vec<[TensorRef; 2]>> {
    let [a, b] = models;
    let others = &b.report.outputs;
    let mut found = Vec::new();
    for output in &a.report.outputs {
        let names = |other: &&Endpoint| other.tensor == output.tensor || other.was.as_ref() == Some(&output.tensor);
        let other = match (&a.report.outputs[..], &others[..]) {
            ([_], [other]) => Some(other),
            _ => others.iter().find(names).or_else(|| others.iter().find(|other| other.key == output.key)),
        };
        let tensor = a.model.graph.find_tensor(&output.tensor);
        let other = other.and_then(|other| b.model.graph.find_tensor(&other.tensor));
        found.extend(tensor.zip(other).map(|(tensor, other)| [tensor, other]));
    }
    if found.is_empty() {
        let names = |frozen: &Frozen| {
            frozen.report.outputs.iter().map(|output| output.tensor.as_str()).collect::<Vec<_>>().join(", ")
        };
        let what = format!("the models have no output in common: {} and {}", names(a), names(b));
        return Err(Error::new(ErrorKind::Options, what).hint("name one that both have with --outputs"));
    }
    Ok(found)
}

/// What is compared, in the order of the first graph.
fn pairs(graphs: [&Graph; 2], outputs: &[[TensorRef; 2]]) -> Vec<Pair> {
    let [a, b] = graphs;
    let mut taken: [HashSet<TensorRef>; 2] = outputs.iter().fold(Default::default(), |mut taken, pair| {
        taken.iter_mut().zip(pair).for_each(|(taken, &tensor)| {
            taken.insert(tensor);
        });
        taken
    });
    let mut found: Vec<[TensorRef; 2]> = outputs.to_vec();
    let mut is_other: HashMap<NodeId, bool> = HashMap::new();
    for node in a.run_order() {
        let op = a.op(node);
        if op == "Const" || is_fake_quant(op) {
            continue;
        }
        let Some(other) = b.find(a.name(node)) else { continue };
        let holds_other = match Layer::of(a, node) {
            Some(_) => origin(a, node) != origin(b, other),
            None => {
                hands_channels_on(op)
                    && a.data_input(node, 0).is_some_and(|input| is_other.get(&input.node) == Some(&true))
            }
        };
        is_other.insert(node, holds_other);
        if holds_other {
            continue;
        }
        let mut ports: Vec<u32> = a.uses(node).filter_map(|usage| Some(usage.input.tensor()?.port)).collect();
        ports.sort_unstable();
        ports.dedup();
        for port in ports {
            let pair =
                [seen_by_readers(a, TensorRef { node, port }), seen_by_readers(b, TensorRef { node: other, port })];
            let is_float = a.tensor_type(TensorRef { node, port }).is_none_or(|kind| kind == DataType::DtFloat);
            if is_float && !pair.iter().zip(&taken).any(|(tensor, taken)| taken.contains(tensor)) {
                taken.iter_mut().zip(pair).for_each(|(taken, tensor)| {
                    taken.insert(tensor);
                });
                found.push(pair);
            }
        }
    }
    found.into_iter().map(|tensors| Pair { tensors, range: None }).collect()
}

/// The constant or variable that a layer's weights come from.
fn origin(graph: &Graph, layer: NodeId) -> Option<&str> {
    const MAX_STEPS: usize = 16;
    let mut node = weights(graph, layer)?.node;
    for _ in 0..MAX_STEPS {
        if !is_fake_quant(graph.op(node)) && !matches!(graph.op(node), "Reshape" | "Identity") {
            break;
        }
        node = graph.data_input(node, 0)?.node;
    }
    Some(graph.name(node))
}

fn seen_by_readers(graph: &Graph, tensor: TensorRef) -> TensorRef {
    let quantizes = |&node: &NodeId| is_fake_quant(graph.op(node)) && graph.data_input(node, 0) == Some(tensor);
    graph.tensor_consumers(tensor).find(quantizes).map_or(tensor, TensorRef::from)
}

/// How many tensors the text tells of, unless all are asked for.
const MOST_TOLD: usize = 20;

/// The comparison for people and grep: a tensor a line, the one that differs most first; outputs are always told.
#[must_use]
pub fn to_text(comparison: &Comparison, all: bool) -> String {
    let mut text = String::new();
    let most = if all { usize::MAX } else { MOST_TOLD };
    let (outputs, others): (Vec<_>, Vec<_>) = comparison.tensors.iter().partition(|tensor| tensor.is_output);
    for (word, told) in [("tensor", others.iter().take(most)), ("output", outputs.iter().take(usize::MAX))] {
        for ComparedTensor { tensor, op, fidelity, .. } in told {
            let _ = writeln!(text, "{word} {} {op} {}", Printable(tensor), in_words(fidelity));
        }
        if word == "tensor" && others.len() > most {
            let _ = writeln!(text, "tensor and {} more (--all tells them)", others.len() - most);
        }
    }
    if let Some(top1) = &comparison.top1 {
        let _ = writeln!(text, "{top1}");
    }
    text
}

/// SQNR and cosine, as they are printed.
#[must_use]
pub fn in_words(fidelity: &Fidelity) -> String {
    if fidelity.sqnr >= Fidelity::EXACT {
        return "is the same".to_owned();
    }
    if fidelity.sqnr <= -Fidelity::EXACT {
        return "has nothing in common".to_owned();
    }
    format!("sqnr {:.2} dB, cosine {:.6}", fidelity.sqnr, fidelity.cosine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::graph_of;

    fn told(a: &str, b: &str, output: &str) -> Vec<String> {
        let graphs = [&graph_of(a), &graph_of(b)];
        let outputs = [graphs.map(|graph| graph.find_tensor(output).unwrap())];
        let pairs = pairs(graphs, &outputs);
        let name = |side: usize, pair: &Pair| graphs[side].name(pair.tensors[side].node).to_owned();
        pairs.iter().map(|pair| format!("{} {}", name(0, pair), name(1, pair))).collect()
    }

    #[test]
    fn quantizers_stand_for_what_they_read_and_folded_layers_for_nothing() {
        let a = "
            x = Placeholder [?,4,4,2]
            w = Const [3,3,2,2]
            gamma = Const [2]
            conv = Conv2D(x, w)
            squeezed = Squeeze(conv)
            norm = Mul(squeezed, gamma)
            relu = Relu(norm)
            again = Conv2D(relu, w)
            out = Relu(again)
        ";
        let b = "
            x = Placeholder [?,4,4,2]
            w = Const [3,3,2,2]
            folded = Const [3,3,2,2]
            bias = Const [2]
            low = Const -1.0
            high = Const 1.0
            x/quant = FakeQuantWithMinMaxVars(x, low, high)
            conv = Conv2D(x/quant, folded)
            squeezed = Squeeze(conv)
            norm = BiasAdd(squeezed, bias)
            relu = Relu(norm)
            relu/quant = FakeQuantWithMinMaxVars(relu, low, high)
            weights = FakeQuantWithMinMaxVars(w, low, high)
            again = Conv2D(relu/quant, weights)
            out/unquantized = Relu(again)
            quant = FakeQuantWithMinMaxVars(out/unquantized, low, high)
            out = Identity(quant)
        ";
        assert_eq!(told(a, b, "out"), ["out out", "x x/quant", "norm norm", "relu relu/quant", "again again"]);
    }
}
