//! Numbers that keep what is masked out of a Softmax, such as -1e9: a range that held them would have no level for anything
//! else.
//!
//! # What it does
//! A number that is added where a mask is set, or chosen where it is not, becomes as small as it has to be: below the least
//! of the scores by [`DEEP`], where nothing of it is left behind the Softmax. The sum's range ends there too.
//!
//! # When it applies
//! To `softmax(scores + mask · number)`, with a mask from 0 to 1, to `softmax(where(mask, scores, number))`, and to
//! `softmax(scores + mask)` with a constant mask that holds such numbers.
//!
//! # What it leaves alone
//! Products that something else reads, numbers that are no smaller, and those in the bodies of loops.

use hashbrown::HashMap;

use super::constants::{Constants, evaluate};
use super::insert::Range;
use super::new_nodes::{constant, dims_of, pivot_of};
use crate::error::Result;
use crate::graph::attr::Tensor as Value;
use crate::graph::op_class::canonical_op;
use crate::graph::{Graph, Input, NodeId, TensorRef};
use crate::interpreter::{Limits, Tensor};

/// So far below the least score, five hundred masked numbers weigh less than one level of a Softmax together.
const DEEP: f32 = 12.0;

/// Where a number masks scores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mask {
    /// What is masked.
    pub scores: TensorRef,
    /// What the Softmax reads.
    pub masked: TensorRef,
    pub by: By,
    /// The number, or a constant that holds it, and who reads it in which slot.
    pub number: TensorRef,
    reader: (NodeId, usize),
}

/// How it does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By {
    /// It is chosen where the scores are not.
    Choice,
    /// It is multiplied with a mask, and the product added.
    Product { product: TensorRef, mask: TensorRef },
    /// A constant that holds it is added.
    Sum,
}

impl Mask {
    /// The one in front of a Softmax.
    pub(crate) fn before(graph: &Graph, constants: &Constants, softmax: NodeId) -> Option<Self> {
        let masked = graph.data_input(softmax, 0)?;
        let node = masked.node;
        let input = |slot| graph.data_input(node, slot);
        let is_number = |tensor: TensorRef| {
            graph.const_float(tensor).is_some_and(|number| number < -DEEP) && pivot_of(graph, tensor.node).is_none()
        };
        match canonical_op(graph.op(node)) {
            "Select" | "SelectV2" => [(1, 2), (2, 1)].into_iter().find_map(|(scores, number)| {
                let (scores, slot, number) = (input(scores)?, number, input(number)?);
                is_number(number).then_some(Self { scores, masked, by: By::Choice, number, reader: (node, slot) })
            }),
            "Add" => [(0, 1), (1, 0)].into_iter().find_map(|(scores, added)| {
                let (scores, slot, added) = (input(scores)?, added, input(added)?);
                if constants.contain(added.node) {
                    let is_plain = pivot_of(graph, added.node).is_none();
                    let (by, reader) = (By::Sum, (node, slot));
                    return is_plain.then_some(Self { scores, masked, by, number: added, reader });
                }
                (graph.op(added.node) == "Mul").then_some(())?;
                let [a, b] = [graph.data_input(added.node, 0)?, graph.data_input(added.node, 1)?];
                let (mask, slot, number) = if is_number(b) { (a, 1, b) } else { (b, 0, is_number(a).then_some(a)?) };
                let by = By::Product { product: added, mask };
                Some(Self { scores, masked, by, number, reader: (added.node, slot) })
            }),
            _ => None,
        }
    }

    /// The same, with what hands tensors on unchanged left out.
    pub(crate) fn of_sources(self, source: &dyn Fn(TensorRef) -> TensorRef) -> Self {
        let by = match self.by {
            By::Product { product, mask } => By::Product { product, mask: source(mask) },
            by => by,
        };
        Self { scores: source(self.scores), by, ..self }
    }

    /// The number that the range of the scores asks for, and the range of what is masked by it; none if the `number` is no
    /// smaller.
    fn wanted(&self, number: f32, of: &dyn Fn(TensorRef) -> Option<Range>) -> Option<(f32, Range)> {
        let scores = of(self.scores)?;
        let least = scores.min - DEEP;
        let wanted = match self.by {
            By::Choice => least,
            By::Sum => least - scores.max,
            By::Product { mask, .. } => {
                of(mask).filter(|mask| mask.min >= 0.0 && mask.max <= 1.0)?;
                least - scores.max
            }
        };
        let max = of(self.masked).map_or(scores.max, |masked| masked.max);
        (number < wanted).then_some((wanted, Range { min: least, max }))
    }
}

/// What is left when numbers are what they have to be.
#[derive(Debug, Default)]
pub(crate) struct Masked {
    /// The ranges of what is masked and of what is added to it.
    pub ranges: HashMap<TensorRef, Range>,
    /// The numbers that are chosen instead of scores, with their groups.
    pub numbers: Vec<(TensorRef, usize)>,
}

/// Makes all numbers what the ranges of the scores ask for. A product that masks several scores suits them all.
///
/// # Errors
/// Those of inserting nodes.
pub(crate) fn write(
    graph: &mut Graph,
    masks: &[(Mask, usize)],
    of: &dyn Fn(TensorRef) -> Option<Range>,
    limits: &Limits,
) -> Result<Masked> {
    let mut masked = Masked::default();
    let values = evaluate(graph, masks.iter().map(|(mask, _)| mask.number), limits)?;
    let numbers = |mask: &Mask| values.get(&mask.number).and_then(Tensor::values::<f32>).unwrap_or_default();
    let least = |mask: &Mask| numbers(mask).iter().copied().fold(f32::INFINITY, f32::min);
    let mut by_reader: HashMap<(NodeId, usize), Vec<(Mask, usize)>> = HashMap::new();
    for &(mask, group) in masks {
        by_reader.entry(mask.reader).or_default().push((mask, group));
    }
    // In an order that is always the same.
    for &(first, group) in masks {
        let Some(alike) = by_reader.remove(&first.reader) else { continue };
        let wanted: Option<Vec<(f32, Range)>> = alike.iter().map(|(mask, _)| mask.wanted(least(mask), of)).collect();
        let is_read_by_these = match first.by {
            By::Product { product, .. } => graph.consumers(product.node).count() == alike.len(),
            By::Choice | By::Sum => true,
        };
        let Some(wanted) = wanted.filter(|_| is_read_by_these) else { continue };
        let number = wanted.iter().fold(f32::INFINITY, |least, &(number, _)| least.min(number));
        let (reader, slot) = first.reader;
        let name = format!("{}/masking", graph.name(reader));
        let new = match (first.by, values.get(&first.number)) {
            (By::Sum, Some(value)) => {
                let shallow: Vec<f32> = numbers(&first).iter().map(|&value| value.max(number)).collect();
                constant(graph, &name, &Value::Shaped(&shallow, &dims_of(value)))?
            }
            _ => constant(graph, &name, &Value::Float(number))?,
        };
        graph.set_input(reader, slot, Input::Data(new));
        masked.ranges.extend(alike.iter().zip(&wanted).map(|((mask, _), &(_, range))| (mask.masked, range)));
        match first.by {
            By::Product { product, .. } => {
                masked.ranges.insert(product, Range { min: number, max: 0.0 });
            }
            By::Choice => masked.numbers.push((new, group)),
            By::Sum => {}
        }
    }
    Ok(masked)
}
