//! How ranges spread from the tensors that have fake quantizers to those that have none, as the converter spreads them.
//!
//! The last op comes first. Ops that hand values on give their range to all they read and make; constants get that of their
//! elements; some ops make a result of a range that the kernel knows. A tensor that has got a range keeps it: what wants
//! another is converted.

use hashbrown::HashMap;

use super::converter::Converter;
use super::lower_loops::SLICE_OF_LIST;
use super::patterns::GELU_BY_ERFC;
use super::program::{OpId, Origin, Program, ValueId};
use super::quant_type::{self, QuantType};
use crate::passes::integer::kernels::Kernel;

/// A tensor that is converted from one type to another, for an op or behind it.
#[derive(Debug, Clone)]
pub(super) struct Conversion {
    pub value: ValueId,
    pub op: OpId,
    pub from: QuantType,
    pub to: QuantType,
    /// Whether it is done to what the op makes, not to what it reads.
    pub behind: bool,
    /// Whether a fake quantizer says what it was converted from.
    pub from_quantizer: bool,
    /// Whether a fake quantizer behind the op says what it is converted to.
    pub to_result: bool,
}

/// A range that a computed tensor got from one that stands beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Borrowed {
    pub value: ValueId,
    pub op: OpId,
}

/// A slot, the type of what it reads, and whether a fake quantizer says it.
type Operand = (usize, (QuantType, bool));

/// What came of it.
#[derive(Debug)]
pub(super) struct Types {
    states: Vec<Option<QuantType>>,
    of_value: Vec<usize>,
    pub conversions: Vec<Conversion>,
    pub borrowed: Vec<Borrowed>,
}

impl Types {
    /// The type that the tensor has for its readers.
    pub(super) fn of(&self, value: ValueId) -> Option<&QuantType> {
        self.states[self.of_value[value]].as_ref()
    }
}

/// The kernel of an op in the program.
pub(super) fn kernel(program: &Program<'_>, op: OpId, converter: Converter) -> Kernel {
    let of_op = &program.ops[op];
    match of_op.kind {
        "HardSwish" | "Gelu" | "Prelu" => Kernel::Computes,
        "L2Normalization" => Kernel::Fixed,
        SLICE_OF_LIST => Kernel::HandsOn,
        kind if asks_shape(kind) => Kernel::Computes,
        "RealDiv" | "Div" | "Sqrt" | GELU_BY_ERFC if converter == Converter::Newest => Kernel::Computes,
        // The newest lets it hand its range on, unless it has one of its own.
        "Mean" if converter == Converter::Newest => {
            let own = of_op.outputs.iter().any(|&output| program.only_range(output).is_some());
            if own { Kernel::Computes } else { Kernel::HandsOn }
        }
        // There is one, but the converter gives it floats.
        "NotEqual" if !of_op.inputs.is_empty() => Kernel::None,
        kind => crate::passes::integer::kernels::kernel(kind),
    }
}

/// Spreads them.
pub(super) fn propagate(program: &Program<'_>, converter: Converter) -> Types {
    let mut driver = Driver::new(program, converter);
    driver.run();
    driver.types
}

struct Driver<'p, 'g> {
    program: &'p Program<'g>,
    converter: Converter,
    types: Types,
    fixed: Vec<bool>,
    waiting: Vec<OpId>,
    done: Vec<bool>,
    /// The ops that make or read a state's tensor.
    around: HashMap<usize, Vec<OpId>>,
}

/// Whether ranges get to what the op reads and makes.
pub(super) fn spreads(kernel: Kernel, kind: &str) -> bool {
    let by_kernel = !matches!(kernel, Kernel::None | Kernel::Unknown);
    by_kernel || kind == "AddN"
}

/// Whether the op reads no numbers.
pub(super) fn asks_shape(kind: &str) -> bool {
    matches!(kind, "Shape" | "ShapeN" | "Rank" | "Size")
}

fn same_scale(kernel: Kernel, kind: &str) -> bool {
    matches!(kernel, Kernel::HandsOn | Kernel::Joins) || kind == "AddN"
}

impl<'p, 'g> Driver<'p, 'g> {
    fn new(program: &'p Program<'g>, converter: Converter) -> Self {
        let count = program.values.len();
        let mut of_value: Vec<usize> = (0..count).collect();
        let mut states: Vec<Option<QuantType>> = vec![None; count];
        let mut fixed = vec![false; count];
        for (value, of) in program.values.iter().enumerate() {
            if let Some(ranged) = program.only_range(value) {
                of_value[value] = ranged;
            }
            if let Origin::Ranged { quant, .. } = of.origin {
                let scales = quant_type::scales(&program.quants[quant]);
                states[value] = match scales[..] {
                    [scale] => Some(QuantType::Tensor(scale)),
                    [] => None,
                    _ => Some(QuantType::Channels(quant)),
                };
                fixed[value] = states[value].is_some();
            }
        }
        let types = Types { states, of_value, conversions: Vec::new(), borrowed: Vec::new() };
        let mut driver = Self {
            program,
            converter,
            types,
            fixed,
            waiting: Vec::new(),
            done: vec![false; program.ops.len()],
            around: HashMap::new(),
        };
        for (op, of_op) in program.ops.iter().enumerate().filter(|(_, op)| op.alive) {
            let kernel = driver.kernel(op);
            if !spreads(kernel, of_op.kind) {
                driver.done[op] = true;
                continue;
            }
            driver.waiting.push(op);
            for &value in of_op.inputs.iter().chain(&of_op.outputs) {
                let state = driver.types.of_value[value];
                driver.around.entry(state).or_default().push(op);
            }
            // Constants that are not handed on say their range themselves.
            if !same_scale(kernel, of_op.kind) {
                for &value in of_op.inputs.iter().filter(|&&value| program.values[value].origin == Origin::Constant) {
                    driver.types.states[value].get_or_insert(QuantType::OfElements);
                }
            }
        }
        driver
    }

    fn kernel(&self, op: OpId) -> Kernel {
        kernel(self.program, op, self.converter)
    }

    fn run(&mut self) {
        while let Some(op) = self.waiting.pop() {
            if std::mem::replace(&mut self.done[op], true) {
                continue;
            }
            let kernel = self.kernel(op);
            let kind = self.program.ops[op].kind;
            if same_scale(kernel, kind) {
                match self.shared_type(op) {
                    Some((shared, from_operand)) => self.share(op, &shared, from_operand, kernel),
                    None => self.done[op] = false,
                }
            }
            if kernel == Kernel::Fixed
                && let Some(own) = quant_type::fixed(kind)
            {
                for &output in &self.program.ops[op].outputs {
                    self.set(op, output, &own, true, false);
                }
            }
        }
    }

    /// The type that the op gives to all it reads and makes, and which of the tensors it reads had it.
    fn shared_type(&self, op: OpId) -> Option<(QuantType, Option<usize>)> {
        let of_op = &self.program.ops[op];
        let state = |value: ValueId| {
            let state = self.types.of_value[value];
            self.types.states[state].clone().map(|of_state| (of_state, self.fixed[state]))
        };
        let operands: Vec<Operand> =
            of_op.inputs.iter().enumerate().filter_map(|(slot, &value)| Some((slot, state(value)?))).collect();
        let results: Vec<_> = of_op.outputs.iter().filter_map(|&value| state(value)).collect();
        // Integers that say how count as operands as well.
        let is_only_operand = self.program.graph.data_inputs(of_op.node).count() == 1 || is_unary(of_op.kind);
        let fixed_operand = operands.iter().find(|(_, (_, fixed))| *fixed);
        let fixed_result = results.iter().find(|(_, fixed)| *fixed);
        let operand = |&(slot, (ref of_state, _)): &Operand| (of_state.clone(), Some(slot));
        let result = |(of_state, _): &(QuantType, bool)| (of_state.clone(), None);
        if is_only_operand && let Some(found) = fixed_operand {
            return Some(operand(found));
        }
        if of_op.outputs.len() == 1
            && let Some(found) = fixed_result
        {
            return Some(result(found));
        }
        if let Some(found) = self.widest(of_op.kind, &operands).or(fixed_operand) {
            return Some(operand(found));
        }
        if let Some(found) = fixed_result {
            return Some(result(found));
        }
        if is_only_operand && let Some(found) = operands.first() {
            return Some(operand(found));
        }
        if of_op.outputs.len() == 1
            && let Some(found) = results.first()
        {
            return Some(result(found));
        }
        operands.first().map(operand).or_else(|| results.first().map(result))
    }

    /// Of what a concatenation reads, that of the widest range, which the newest converter gives to all.
    fn widest<'a>(&self, kind: &str, operands: &'a [Operand]) -> Option<&'a Operand> {
        let width = |operand: &Operand| match operand.1.0 {
            QuantType::Tensor(scale) => scale.step,
            _ => 0.0,
        };
        if self.converter != Converter::Newest || !matches!(kind, "Concat" | "ConcatV2") {
            return None;
        }
        operands.iter().filter(|(_, (_, fixed))| *fixed).max_by(|a, b| width(a).total_cmp(&width(b)))
    }

    fn share(&mut self, op: OpId, shared: &QuantType, from_operand: Option<usize>, kernel: Kernel) {
        let of_op = &self.program.ops[op];
        let joins = kernel == Kernel::Joins || of_op.kind == "AddN";
        for (slot, &value) in of_op.inputs.iter().enumerate() {
            let maker = self.program.producer(value);
            let is_computed = maker.is_some_and(|maker| self.kernel(maker) == Kernel::Computes);
            let was_free = self.types.of(value).is_none();
            if was_free && is_computed && joins && from_operand.is_some_and(|from| from != slot) {
                self.types.borrowed.push(Borrowed { value, op });
            }
            self.set(op, value, shared, false, from_operand.is_none());
        }
        for &value in &of_op.outputs {
            if self.types.of(value).is_none() && of_op.kind == "AddN" && from_operand.is_some() {
                self.types.borrowed.push(Borrowed { value, op });
            }
            self.set(op, value, shared, true, from_operand.is_none());
        }
    }

    fn set(&mut self, op: OpId, value: ValueId, to: &QuantType, behind: bool, to_result: bool) {
        let state = self.types.of_value[value];
        match &self.types.states[state] {
            Some(known) if known == to => {}
            Some(known) => {
                let from_quantizer = self.fixed[state];
                let conversion =
                    Conversion { value, op, from: known.clone(), to: to.clone(), behind, from_quantizer, to_result };
                self.types.conversions.push(conversion);
            }
            None => {
                self.types.states[state] = Some(to.clone());
                if let Some(around) = self.around.get(&state) {
                    self.waiting.extend(around.iter().filter(|&&other| other != op && !self.done[other]));
                }
            }
        }
    }
}

/// Ops with one operand in the converter's form, whatever the graph's.
fn is_unary(kind: &str) -> bool {
    matches!(kind, "MaxPool" | "AvgPool" | "DepthToSpace" | "SpaceToDepth" | "Unpack")
}
