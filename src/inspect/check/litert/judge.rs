//! What becomes of each op once ranges have spread.

use hashbrown::HashMap;

use super::codes::Code;
use super::converter::Converter;
use super::patterns::GELU_BY_ERFC;
use super::program::{LayerFacts, Op, OpId, Origin, Program, ValueId};
use super::propagate::{Conversion, Types, asks_shape, kernel, spreads};
use super::quant_type::{QuantType, Scale, scales};
use crate::graph::NodeId;
use crate::graph::op_class::canonical_op;
use crate::graph::tensor::small_floats;
use crate::inspect::fake_quant::Range;
use crate::passes::integer::kernels::{Kernel, is_not_converted};
use crate::passes::integer::network::Layer;
use crate::proto::tensorflow::DataType;

/// A part of a range this large may be lost.
const CUT: f64 = 0.1;
/// Folded into weights, a number within these bounds spoils no more than a bit or two.
const FACTORS: [f64; 2] = [0.1, 1.05];
/// Weights may be so many levels off the middle before it shows.
const OFF_CENTRE: i64 = 8;
/// Constants that are looked into hold no more numbers.
const MOST_NUMBERS: usize = 1 << 16;

/// What a verdict is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum About {
    Op(OpId),
    /// What is no op: an input, a constant.
    Node(NodeId),
}

/// What was found, in words.
pub(super) type Judgements = HashMap<About, Vec<(Code, String)>>;

/// Judges every op; those in floats are told by codes too.
pub(super) fn judge(program: &Program<'_>, types: &Types, computed: &[bool], converter: Converter) -> Judgements {
    let mut judge = Judge { program, types, computed, converter, found: HashMap::new() };
    for op in (0..program.ops.len()).filter(|&op| computed[op]) {
        judge.op(op);
    }
    for value in 0..program.values.len() {
        judge.value(value);
    }
    for conversion in &types.conversions {
        judge.conversion(conversion);
    }
    for &list in &program.open_lists {
        judge.say(About::Node(list), Code::OpenList, String::new());
    }
    for &condition in &program.float_loops {
        judge.say(About::Node(condition), Code::LoopInFloats, String::new());
    }
    for borrowed in &types.borrowed {
        let what = judge.name(borrowed.value);
        let by = program.graph.name(program.ops[borrowed.op].node);
        judge.say(About::Op(borrowed.op), Code::RangeBorrowed, format!("{what}, beside others in '{by}'"));
    }
    judge.found
}

/// Whether a bound does what it did although it is cut to the range of what it bounds: nothing there reaches beyond.
fn bounds_nothing(op: &str, bound: Scale, taken: Scale) -> bool {
    let ([low, high], [taken_low, taken_high]) = (bound.ends(), taken.ends());
    match op {
        "Minimum" => low >= taken_low,
        "Maximum" => high <= taken_high,
        _ => false,
    }
}

/// By op, whether the model will compute it: the converter has not done so itself, as it does with what weights go
/// through, and it does not only ask for shapes.
pub(super) fn computed(program: &Program<'_>) -> Vec<bool> {
    let reads_only = |op: OpId, is_known: &dyn Fn(ValueId) -> bool| {
        let Op { node, kind, inputs, .. } = &program.ops[op];
        // What is taken from a table depends on what is looked up, and what is chosen on truths.
        let looks_up = matches!(*kind, "Fill" | "Gather" | "GatherV2" | "OneHot" | "Select" | "SelectV2")
            && !program.constants.contain(*node);
        !inputs.is_empty() && !looks_up && inputs.iter().all(|&input| is_known(input))
    };
    let is_constant = |input: ValueId| program.is_constant(input);
    let of_constants: Vec<bool> = (0..program.ops.len()).map(|op| reads_only(op, &is_constant)).collect();
    let is_known = |input: ValueId| is_constant(input) || program.producer(input).is_some_and(|op| of_constants[op]);
    let is_computed =
        |op: OpId| program.ops[op].alive && !reads_only(op, &is_known) && !asks_shape(program.ops[op].kind);
    (0..program.ops.len()).map(is_computed).collect()
}

struct Judge<'p, 'g> {
    program: &'p Program<'g>,
    types: &'p Types,
    computed: &'p [bool],
    converter: Converter,
    found: Judgements,
}

impl Judge<'_, '_> {
    fn say(&mut self, about: About, code: Code, detail: String) {
        let said = self.found.entry(about).or_default();
        if !said.iter().any(|(other, _)| *other == code) {
            said.push((code, detail));
        }
    }

    fn name(&self, value: ValueId) -> String {
        let tensor = self.program.values[value].tensor;
        let graph = self.program.graph;
        format!("'{}' ({})", graph.tensor_name(tensor), graph.op(tensor.node))
    }

    fn op(&mut self, op: OpId) {
        let program = self.program;
        let of_op = &program.ops[op];
        if let Some((code, detail)) = self.why_float(of_op, op) {
            self.say(About::Op(op), code, detail);
        } else if let Some(layer) = &of_op.layer {
            self.integer_layer(op, layer);
        } else if of_op.kind == "ReverseV2" {
            self.copies(op);
        } else if let Some(reshape) = self.equal_reshapes(op) {
            self.say(About::Op(op), Code::EqualReshapes, self.name(reshape));
        }
        if let Some(layer) = &of_op.layer {
            self.weights(op, layer);
        }
    }

    fn why_float(&self, of_op: &Op<'_>, op: OpId) -> Option<(Code, String)> {
        let program = self.program;
        if let Some(layer) = &of_op.layer {
            if let Some(node) = layer.scaled_by {
                return Some((Code::WeightsScaled, format!("'{}'", program.graph.name(node))));
            }
            if layer.bias_ranged {
                let bias = layer.biases.iter().find(|&&bias| program.quant(bias).is_some());
                return Some((Code::BiasRanged, bias.map(|&bias| self.name(bias)).unwrap_or_default()));
            }
        }
        let is_newer = matches!(of_op.kind, "Softsign" | GELU_BY_ERFC) && self.converter == Converter::Tf215;
        if is_not_converted(of_op.kind) || is_newer || self.makes_no_one_hot(of_op) {
            return Some((Code::NotConverted, String::new()));
        }
        if matches!(kernel(program, op, self.converter), Kernel::None | Kernel::Unknown) {
            return Some((Code::NoIntegerKernel, String::new()));
        }
        for &input in &of_op.inputs {
            if !self.is_quantized(input) {
                let folded = program.producer(input).is_some_and(|maker| !self.computed[maker]);
                let code = if folded { Code::WeightsComputed } else { Code::InputUnranged };
                return Some((code, self.name(input)));
            }
        }
        let bare = of_op.outputs.iter().copied().find(|&output| {
            let unread = matches!(of_op.kind, "Split" | "SplitV" | "Unpack") && program.is_unread(output);
            // Whether what nobody reads gets a type differs from one run of the converter to the next.
            self.types.of(output).is_none() || unread
        })?;
        let value = &program.values[bare];
        let code = match value.ranged.len() {
            0 => Code::OutputUnranged,
            _ if program.readers(bare).next().is_some() => Code::ReadUnranged,
            1 => Code::OutputUnranged,
            _ => Code::SeveralRanges,
        };
        Some((code, self.name(bare)))
    }

    /// Whether it is a one-hot row that the converter gives up over: of indices of another type, or of levels.
    fn makes_no_one_hot(&self, of_op: &Op<'_>) -> bool {
        let graph = self.program.graph;
        let indices = graph.data_input(of_op.node, 0).and_then(|indices| graph.tensor_type(indices));
        let takes = matches!(indices, None | Some(DataType::DtInt32 | DataType::DtInt64));
        let makes_levels = of_op.outputs.iter().any(|&output| self.types.of(output).is_some());
        of_op.kind == "OneHot" && (!takes || makes_levels)
    }

    fn is_quantized(&self, value: ValueId) -> bool {
        let registered = self
            .program
            .producer(value)
            .is_none_or(|maker| spreads(kernel(self.program, maker, self.converter), self.program.ops[maker].kind));
        registered && self.types.of(value).is_some()
    }

    /// The types of a layer's weights, if they have a fake quantizer.
    fn weight_scales(&self, layer: &LayerFacts) -> Option<(usize, Vec<Scale>)> {
        let quant = self.program.quant(layer.weights).filter(|_| self.program.is_constant(layer.weights))?;
        Some((quant, scales(&self.program.quants[quant])))
    }

    /// What the weights' fake quantizer asks for that there is not.
    fn weights(&mut self, op: OpId, layer: &LayerFacts) {
        let Some((quant, scales)) = self.weight_scales(layer) else { return };
        let quant = &self.program.quants[quant];
        let what = self.name(layer.weights);
        let is_transposed = layer.layer == Layer::Transposed;
        if quant.bits > 8 || is_transposed && quant.bits <= 4 {
            self.say(About::Op(op), Code::WeightBits, format!("{what} has {}", quant.bits));
        } else if quant.bits == 3 {
            self.say(About::Op(op), Code::ThreeBits, what.clone());
        }
        let is_moved = self.program.moved.contains(&layer.weights);
        if scales.len() > 1 && is_transposed
            || scales.len() > 1 && matches!(layer.layer, Layer::MatMul { .. }) && !is_moved
        {
            self.say(About::Op(op), Code::PerChannel, what);
        } else if scales.len() > 1 && is_moved {
            let code = if self.converter == Converter::Tf215 { Code::ChannelAxis } else { Code::PerChannel };
            self.say(About::Op(op), code, what);
        }
    }

    fn integer_layer(&mut self, op: OpId, layer: &LayerFacts) {
        let what = self.name(layer.weights);
        let ranged = self.weight_scales(layer);
        let zero = ranged.iter().flat_map(|(_, scales)| scales).map(|scale| scale.zero.abs()).max().unwrap_or(0);
        match layer.layer {
            Layer::Convolution if zero > 0 => {
                self.say(About::Op(op), Code::WeightsNotSymmetric, format!("{what}: it is {zero} away"));
            }
            Layer::Depthwise | Layer::Transposed if zero > OFF_CENTRE => {
                self.say(About::Op(op), Code::WeightsOffCentre, format!("{what}: it is {zero} away"));
            }
            _ => {}
        }
        if let Some((factor, node)) = layer.factor
            && ranged.is_some()
            && !(FACTORS[0]..=FACTORS[1]).contains(&factor.abs())
        {
            let name = self.program.graph.name(node);
            self.say(About::Op(op), Code::ScaleInFront, format!("'{name}' by {factor}"));
        }
        let differ = match &ranged {
            Some((_, scales)) => scales.windows(2).any(|pair| pair[0] != pair[1]),
            None => match layer.layer {
                Layer::MatMul { .. } => self.converter == Converter::Newest,
                _ => true,
            },
        };
        if differ && self.program.is_constant(layer.weights) && self.adds_one_number(layer) {
            let bias = layer.biases.first().map(|&bias| self.name(bias)).unwrap_or_default();
            self.say(About::Op(op), Code::BiasOfOneNumber, bias);
        }
    }

    /// The first of two Reshapes to constant shapes that are alike; 2.21 minds them only where nobody else reads them.
    fn equal_reshapes(&self, op: OpId) -> Option<ValueId> {
        let program = self.program;
        let of_op = &program.ops[op];
        let &[first, second] = of_op.inputs.as_slice() else { return None };
        let [first, second] = [first, second].map(|operand| program.values[operand].root);
        let whole = |root: ValueId| {
            let maker = program.producer(root).filter(|&maker| program.ops[maker].kind == "Reshape")?;
            let shape = program.graph.data_input(program.ops[maker].node, 1)?;
            program.read(maker).filter(|_| program.constants.contain(shape.node))
        };
        let (of_first, of_second) = (whole(first)?, whole(second)?);
        let shape = |value: ValueId| program.shape(program.values[value].tensor);
        let are_alike = of_first == of_second
            || self.types.of(of_first).is_some_and(|quant| self.types.of(of_second) == Some(quant))
                && shape(of_first).is_some_and(|dims| shape(of_second) == Some(dims));
        let read_by_others = |root: ValueId| {
            let of_root = &program.values[root];
            let behind = of_root.ranged.iter().flat_map(|&ranged| program.readers(ranged));
            of_root.is_output || behind.chain(program.readers(root)).any(|reader| reader != op)
        };
        let is_moved = are_alike
            && matches!(canonical_op(of_op.kind), "Add" | "Sub" | "Mul")
            && (self.converter == Converter::Tf215 || !read_by_others(first) && !read_by_others(second));
        is_moved.then_some(first)
    }

    /// Whether the layer's bias is one number for several channels, and not zero.
    fn adds_one_number(&self, layer: &LayerFacts) -> bool {
        let dims = self.program.plain(layer.weights).and_then(|plain| {
            let tensor = self.program.values[plain].tensor;
            self.program.shape(tensor)
        });
        let dims: Option<Vec<usize>> =
            dims.and_then(|dims| dims.iter().map(|dim| usize::try_from((*dim)?).ok()).collect());
        let channels = dims.and_then(|dims| layer.layer.channels(&dims)).map_or(2, |(channels, _)| channels);
        if channels < 2 || layer.biases_differ || layer.biases.is_empty() {
            return false;
        }
        let mut sum = 0.0;
        for &bias in &layer.biases {
            let Some(numbers) = small_floats(self.program.graph, self.program.values[bias].tensor, MOST_NUMBERS) else {
                return false;
            };
            let Some((first, others)) = numbers.split_first() else { return false };
            if others.iter().any(|other| other.to_bits() != first.to_bits()) {
                return false;
            }
            sum += f64::from(*first);
        }
        sum != 0.0
    }

    /// A kernel that copies levels, between tensors of two types.
    fn copies(&mut self, op: OpId) {
        let of_op = &self.program.ops[op];
        let types = (of_op.inputs.first(), of_op.outputs.first());
        if let (Some(&input), Some(&output)) = types
            && let (Some(QuantType::Tensor(from)), Some(QuantType::Tensor(to))) =
                (self.types.of(input), self.types.of(output))
            && !from.reads_as(*to)
        {
            self.say(About::Op(op), Code::RangeReread, self.name(output));
        }
    }

    fn value(&mut self, value: ValueId) {
        let program = self.program;
        let of_value = &program.values[value];
        if of_value.origin == Origin::Input {
            self.input(value);
        }
        let Origin::Ranged { of, quant } = of_value.origin else { return };
        if program.is_unread(value) {
            return;
        }
        let about = self.maker(of);
        let quant = &program.quants[quant];
        if let Range::Constant { min, max } = &quant.range
            && min.iter().zip(max).any(|(min, max)| min >= max || !min.is_finite() || !max.is_finite())
        {
            self.say(about, Code::RangeEmpty, self.name(value));
        }
        let is_of_weights = program.is_constant(value)
            && program
                .readers(value)
                .all(|op| program.ops[op].layer.as_ref().is_some_and(|layer| layer.weights == value));
        if !is_of_weights && (quant.bits <= 4 || quant.bits > 8) {
            self.say(about, Code::ActivationBits, format!("{} has {}", self.name(value), quant.bits));
        }
        // Of two behind an op the second is dropped; an input's levels 2.15 takes for the second's.
        if let Origin::Ranged { of: inner, quant: first } = program.values[of].origin
            && program.values[inner].origin == Origin::Input
            && self.converter == Converter::Tf215
            && let ([first], [second]) = (&scales(&program.quants[first])[..], &scales(quant)[..])
            && !first.reads_as(*second)
        {
            self.say(about, Code::RangeReread, self.name(value));
        }
    }

    /// The node that makes a value behind fake quantizers.
    fn maker(&self, value: ValueId) -> About {
        let root = &self.program.values[self.program.values[value].root];
        match root.origin {
            Origin::Result(op) => About::Op(op),
            _ => About::Node(root.tensor.node),
        }
    }

    /// An input that is quantized for some of its readers only.
    fn input(&mut self, value: ValueId) {
        let of_value = &self.program.values[value];
        let is_raw = self.program.readers(value).next().is_some() || of_value.is_output;
        let is_bare = self.types.of(value).is_none();
        if is_bare && (of_value.ranged.len() > 1 || is_raw && !of_value.ranged.is_empty()) {
            self.say(About::Node(of_value.tensor.node), Code::InputReadUnranged, self.name(value));
        }
    }

    fn conversion(&mut self, conversion: &Conversion) {
        let (QuantType::Tensor(from), QuantType::Tensor(to)) = (&conversion.from, &conversion.to) else { return };
        let program = self.program;
        let op = &program.ops[conversion.op];
        let kernel = kernel(program, conversion.op, self.converter);
        // What a fake quantizer behind the op cuts off, it cuts off in the graph as well.
        if conversion.from_quantizer && (conversion.behind || conversion.to_result) {
            if matches!(op.kind, "Reshape" | "Transpose") && !from.reads_as(*to) {
                self.say(About::Op(conversion.op), Code::RangeReread, self.name(conversion.value));
            }
            return;
        }
        // What an op hands on is of the type of what it reads, until another takes it for its own.
        let [own, taken] = if conversion.behind { [to, from] } else { [from, to] };
        if !conversion.behind && program.is_constant(conversion.value) && bounds_nothing(op.kind, *own, *taken) {
            return;
        }
        if own.cut_off_by(*taken) > CUT && (kernel == Kernel::HandsOn || !conversion.behind) {
            let [low, high] = taken.ends();
            let detail = format!("{} is cut to [{low:.4}, {high:.4}]", self.name(conversion.value));
            self.say(self.maker(conversion.value), Code::RangeReplaced, detail);
        }
    }
}
