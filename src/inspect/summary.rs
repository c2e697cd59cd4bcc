//! `tfquant summary`: what a graph is, for somebody who has never seen it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt::Write;

use hashbrown::HashSet;
use serde::{Serialize, Serializer};

use super::fake_quant::{FakeQuant, State, fake_quants};
use super::file_summary;
use crate::container::endpoints::{self, Endpoint, Endpoints};
use crate::container::{Model, Signatures};
use crate::document::{FileSummary, SCHEMA_VERSION, TOOL};
use crate::error::Printable;
use crate::freeze::layers::{self, FunctionLayer};
use crate::graph::op_class::{is_reference_layer, is_variable};
use crate::graph::tensor::{self, Shape, data_type_name, element_bytes};
use crate::graph::training::{Gradients, is_gradient, is_saving};
use crate::graph::{Graph, NodeId};
use crate::proto::tensorflow::DataType;
use crate::threads::both;

/// How many of the biggest tensors are told.
const BIGGEST: usize = 10;

/// Everything `tfquant summary` says.
#[derive(Debug, Clone, Serialize)]
pub struct Summary<'a> {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The name and version of the program.
    pub tool: String,
    /// `summary`.
    pub command: String,
    /// The file.
    pub model: FileSummary,
    /// The TensorFlow that wrote it, if the file says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensorflow_version: Option<String>,
    /// The tensors that are fed.
    pub inputs: Endpoints<'a>,
    /// The tensors that are read, the likeliest first.
    pub outputs: Endpoints<'a>,
    /// How many nodes there are of each op.
    pub ops: BTreeMap<String, usize>,
    /// What the graph was given or has learnt.
    pub parameters: Parameters,
    /// The variables, in graph order.
    pub variables: Tensors<'a>,
    /// How many nodes steer the control flow, by op.
    pub control_flow: BTreeMap<String, usize>,
    /// The while-loops, by the name of their frame.
    pub loops: Vec<String>,
    /// The functions of the library.
    pub functions: Vec<String>,
    /// How far it is quantized.
    pub quantization: Quantization,
    /// The biggest Consts and variables, the biggest first.
    pub biggest: Tensors<'a>,
}

/// Consts and variables in numbers, those of optimizers and Savers left out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Parameters {
    /// How many elements there are.
    pub elements: u64,
    /// How many bytes they take in memory.
    pub bytes: u64,
    /// The same by element type.
    pub by_dtype: BTreeMap<String, DtypeParameters>,
}

/// The parameters of one element type.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DtypeParameters {
    /// How many tensors.
    pub tensors: usize,
    /// How many elements.
    pub elements: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// A Const or a variable.
#[derive(Debug, Clone, Serialize)]
pub struct Tensor {
    /// The node's name.
    pub node: String,
    /// The node's op.
    pub op: String,
    /// The element type.
    pub dtype: String,
    /// The dimensions.
    pub shape: Shape,
    /// How many bytes it takes in memory; null where the shape is not known.
    pub bytes: Option<u64>,
}

/// Consts and variables. There may be as many as nodes, so that each is described when it is told.
#[derive(Debug, Clone)]
pub struct Tensors<'a> {
    graph: &'a Graph,
    nodes: Vec<NodeId>,
}

impl Tensors<'_> {
    /// Each of them.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Tensor> {
        self.nodes.iter().map(|&node| tensor(self.graph, node))
    }
}

impl Serialize for Tensors<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// How far a graph is quantized.
#[derive(Debug, Clone, Serialize)]
pub struct Quantization {
    /// The state.
    pub state: State,
    /// How many fake quantizers there are.
    pub fake_quants: usize,
    /// How many of them use how many bits.
    pub bits: BTreeMap<i64, usize>,
    /// How many Conv2D, DepthwiseConv2dNative and MatMul ops there are.
    pub layers: usize,
    /// The layers in functions, which passes see once the model is frozen.
    pub in_functions: Vec<FunctionLayer>,
}

/// Looks a model over. `path` is what the user called it.
#[must_use]
pub fn summarize<'a>(model: &'a Model, path: &str) -> Summary<'a> {
    let graph = &model.graph;
    let meta_graph = model.meta_graph().unwrap_or_default();
    let signatures = Signatures::read(graph, &meta_graph);
    let look = || (endpoints::outputs(graph, &signatures), quantization(model, &fake_quants(graph)));
    let ((outputs, quantization), tensors) = both(look, || tensors(graph));
    let variables = tensors.iter().filter(|tensor| tensor.is_variable).map(|tensor| tensor.node).collect();
    let ops = graph.op_counts();
    let owned = |(&op, &count): (&&str, &usize)| (op.to_owned(), count);
    Summary {
        schema_version: SCHEMA_VERSION,
        tool: TOOL.to_owned(),
        command: "summary".to_owned(),
        model: file_summary(model, path),
        tensorflow_version: endpoints::tensorflow_version(&meta_graph),
        inputs: endpoints::inputs(graph, &signatures),
        outputs,
        parameters: count(graph, &tensors),
        variables: Tensors { graph, nodes: variables },
        control_flow: ops.iter().filter(|(op, _)| is_control_flow(op)).map(owned).collect(),
        ops: ops.iter().map(owned).collect(),
        loops: loops(graph),
        functions: graph.functions().map(|(name, _)| name.to_owned()).collect(),
        quantization,
        biggest: Tensors { graph, nodes: biggest(&tensors) },
    }
}

fn is_control_flow(op: &str) -> bool {
    let op = op.strip_prefix("Ref").unwrap_or(op);
    matches!(
        op,
        "Switch"
            | "Merge"
            | "Enter"
            | "Exit"
            | "NextIteration"
            | "LoopCond"
            | "If"
            | "StatelessIf"
            | "While"
            | "StatelessWhile"
            | "Case"
            | "StatelessCase"
            | "PartitionedCall"
            | "StatefulPartitionedCall"
    )
}

fn loops(graph: &Graph) -> Vec<String> {
    let is_enter = graph.per_op(|op| matches!(op, "Enter" | "RefEnter"));
    let enters = graph.ids().filter(|&node| *is_enter.of(graph, node));
    let mut frames: Vec<String> = enters.filter_map(|node| graph.attr_str(node, "frame_name")).collect();
    frames.sort();
    frames.dedup();
    frames
}

/// A Const or variable in numbers.
struct Held {
    node: NodeId,
    is_variable: bool,
    data_type: i32,
    /// How many elements, where that is known.
    elements: Option<u64>,
    /// In memory, where that is known.
    bytes: Option<u64>,
}

/// The Consts and variables that belong to the model, in graph order.
fn tensors(graph: &Graph) -> Vec<Held> {
    let is_tensor = graph.per_op(|op| op == "Const" || is_variable(op));
    let held = |node| {
        let (data_type, shape) = type_and_shape(graph, node)?;
        let elements = shape.elements();
        let bytes = in_memory(data_type, elements);
        Some(Held { node, is_variable: is_variable(graph.op(node)), data_type, elements, bytes })
    };
    let tensors = graph.ids().filter(|&node| *is_tensor.of(graph, node));
    tensors.filter(|&node| !is_saving(graph, node) && !is_gradient(graph.name(node))).filter_map(held).collect()
}

fn type_and_shape(graph: &Graph, node: NodeId) -> Option<(i32, Shape)> {
    if graph.op(node) == "Const" {
        let header = tensor::header(graph, node)?;
        return Some((header.data_type, header.shape));
    }
    Some((graph.attr_type(node, "dtype")?, tensor::shape(graph, node.into())))
}

/// How many bytes so many elements take.
fn in_memory(data_type: i32, elements: Option<u64>) -> Option<u64> {
    elements?.checked_mul(element_bytes(data_type)?)
}

/// One of [`tensors`].
fn tensor(graph: &Graph, node: NodeId) -> Tensor {
    let (data_type, shape) = type_and_shape(graph, node).unwrap_or((0, Shape(None)));
    let (name, op) = (graph.name(node).to_owned(), graph.op(node).to_owned());
    let bytes = in_memory(data_type, shape.elements());
    Tensor { node: name, op, dtype: data_type_name(data_type), shape, bytes }
}

/// The biggest of the tensors, the biggest first, those of the same size in graph order.
fn biggest(tensors: &[Held]) -> Vec<NodeId> {
    let mut biggest: BinaryHeap<Reverse<(u64, Reverse<NodeId>)>> = BinaryHeap::with_capacity(BIGGEST + 1);
    for tensor in tensors {
        biggest.push(Reverse((tensor.bytes.unwrap_or(0), Reverse(tensor.node))));
        if biggest.len() > BIGGEST {
            biggest.pop();
        }
    }
    biggest.into_sorted_vec().into_iter().map(|Reverse((_, Reverse(node)))| node).collect()
}

/// Consts of at most so many elements are axes, shapes and factors, not parameters.
fn least(data_type: i32) -> u64 {
    if [DataType::DtInt32, DataType::DtInt64].iter().any(|&other| data_type == other as i32) { 16 } else { 1 }
}

/// Adds up what is a parameter: variables, and Consts that no variable starts from and that are more than a setting.
fn count(graph: &Graph, tensors: &[Held]) -> Parameters {
    let assigns = graph.per_op(|op| op.starts_with("Assign"));
    let initial_values: HashSet<NodeId> = graph
        .ids()
        .filter(|&node| *assigns.of(graph, node))
        .flat_map(|node| graph.data_inputs(node).skip(1))
        .map(|input| input.node)
        .collect();
    let mut parameters = Parameters::default();
    let mut by_type: BTreeMap<i32, DtypeParameters> = BTreeMap::new();
    for &Held { node, is_variable, data_type, elements, bytes } in tensors {
        let (Some(elements), Some(bytes)) = (elements, bytes) else { continue };
        let is_learnt = is_variable || (!initial_values.contains(&node) && elements > least(data_type));
        if !is_learnt {
            continue;
        }
        let part = by_type.entry(data_type).or_default();
        part.tensors += 1;
        part.elements = part.elements.saturating_add(elements);
        part.bytes = part.bytes.saturating_add(bytes);
        parameters.elements = parameters.elements.saturating_add(elements);
        parameters.bytes = parameters.bytes.saturating_add(bytes);
    }
    parameters.by_dtype = by_type.into_iter().map(|(data_type, part)| (data_type_name(data_type), part)).collect();
    parameters
}

fn quantization(model: &Model, quants: &[FakeQuant]) -> Quantization {
    let graph = &model.graph;
    let mut bits: BTreeMap<i64, usize> = BTreeMap::new();
    for quant in quants {
        *bits.entry(quant.bits).or_default() += 1;
    }
    let is_layer = graph.per_op(is_reference_layer);
    let gradients = Gradients::find(graph);
    let layers = graph.ids().filter(|&node| *is_layer.of(graph, node) && !gradients.contain(node)).count();
    let in_functions = layers::in_functions(model);
    Quantization { state: State::of(quants), fake_quants: quants.len(), bits, layers, in_functions }
}

/// The summary for people and grep: a fact a line, its kind first. Outputs, ops and variables past the first `most` are
/// counted instead of told, if there is a limit.
#[must_use]
pub fn to_text(summary: &Summary<'_>, most: Option<usize>) -> String {
    let mut text = Lines::default();
    let model = &summary.model;
    let version = summary.tensorflow_version.as_ref().map(|version| format!(", TensorFlow {version}"));
    text.line(
        "file",
        &format!("{} ({}, {}{})", model.path, model.container, model.encoding, version.unwrap_or_default()),
    );
    text.line("nodes", &format!("{} in {} bytes", model.nodes, model.bytes));
    text.list("input", summary.inputs.iter().map(describe_endpoint), None);
    text.list("output", summary.outputs.iter().map(describe_endpoint), most);
    let quantization = &summary.quantization;
    text.line("quantization", quantization.state.describe());
    if quantization.fake_quants > 0 {
        let bits = quantization.bits.iter().map(|(bits, count)| format!("{count} of {bits} bits"));
        text.line("fake quants", &bits.collect::<Vec<_>>().join(", "));
    }
    text.line("layers", &format!("{} Conv2D, DepthwiseConv2dNative and MatMul", quantization.layers));
    let in_functions = &quantization.in_functions;
    if !in_functions.is_empty() {
        text.line(
            "layers",
            &format!("{} in functions: they are seen in a frozen graph (tfquant freeze)", in_functions.len()),
        );
        text.list(
            "in function",
            in_functions.iter().map(|layer| format!("{} {} ({})", layer.function, layer.node, layer.op)),
            most,
        );
    }
    let parameters = &summary.parameters;
    text.line("parameters", &format!("{} elements, {} bytes", parameters.elements, parameters.bytes));
    for (dtype, part) in &parameters.by_dtype {
        text.line(
            "parameters",
            &format!("{dtype}: {} elements, {} bytes, {} tensors", part.elements, part.bytes, part.tensors),
        );
    }
    let mut ops: Vec<(&String, &usize)> = summary.ops.iter().collect();
    ops.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    text.list("op", ops.into_iter().map(|(op, count)| format!("{count} {op}")), most);
    text.list("variable", summary.variables.iter().map(describe_tensor), most);
    text.list("control flow", summary.control_flow.iter().map(|(op, count)| format!("{count} {op}")), None);
    text.list("loop", summary.loops.iter().cloned(), None);
    text.list("function", summary.functions.iter().cloned(), most);
    text.list("biggest", summary.biggest.iter().map(describe_tensor), None);
    text.0
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, kind: &str, fact: &str) {
        let _ = writeln!(self.0, "{kind:<14}{}", Printable(fact));
    }

    fn list(&mut self, kind: &str, facts: impl ExactSizeIterator<Item = String>, most: Option<usize>) {
        let count = facts.len();
        let told = most.unwrap_or(count).min(count);
        facts.take(told).for_each(|fact| self.line(kind, &fact));
        if told < count {
            self.line(kind, &format!("and {} more (--all tells them)", count - told));
        }
    }
}

fn describe_endpoint(endpoint: Endpoint) -> String {
    let Endpoint { node, tensor, op, dtype, shape, signature } = endpoint;
    let name = if tensor.ends_with(":0") { node } else { tensor };
    let signature = signature.as_ref().map(|signature| format!(", signature {signature}"));
    format!("{name} {dtype} {shape} ({op}{})", signature.unwrap_or_default())
}

fn describe_tensor(tensor: Tensor) -> String {
    let Tensor { node, op, dtype, shape, bytes } = tensor;
    let bytes = bytes.map(|bytes| format!(", {bytes} bytes"));
    format!("{node} {dtype} {shape} ({op}{})", bytes.unwrap_or_default())
}
