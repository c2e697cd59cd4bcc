//! Numbers that keep what is masked out of a Softmax, such as -1e9: a range that held them would have no level for anything
//! else.
//!
//! # What it does
//! A number that is added where a mask is set, or chosen where it is not, becomes as small as it has to be: below the least
//! of the scores by [`DEEP`], where nothing of it is left behind the Softmax. The sum's range ends there too.
//!
//! # When it applies
//! To `softmax(scores + mask · number)`, with a mask from 0 to 1, and to `softmax(where(mask, scores, number))`.
//!
//! # What it leaves alone
//! Masks that something else reads, numbers that are no smaller, and those in the bodies of loops.

use hashbrown::HashMap;

use super::insert::Range;
use super::new_nodes::{constant, pivot_of};
use crate::error::Result;
use crate::graph::attr::Tensor as Value;
use crate::graph::op_class::canonical_op;
use crate::graph::{Graph, Input, NodeId, TensorRef};

/// So far below the least score, five hundred masked numbers weigh less than one level of a Softmax together.
const DEEP: f32 = 12.0;

/// Where a number masks scores.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mask {
    /// What is masked.
    pub scores: TensorRef,
    /// What the Softmax reads.
    pub masked: TensorRef,
    /// What is added, if the number is not chosen itself.
    pub added: Option<Added>,
    /// The number, and who reads it in which slot.
    pub number: TensorRef,
    reader: (NodeId, usize),
}

/// A product of a mask and a number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Added {
    pub product: TensorRef,
    pub mask: TensorRef,
}

impl Mask {
    /// The one in front of a Softmax.
    pub(crate) fn before(graph: &Graph, softmax: NodeId) -> Option<Self> {
        let masked = graph.data_input(softmax, 0)?;
        let node = masked.node;
        let input = |slot| graph.data_input(node, slot);
        let is_number = |tensor: TensorRef| {
            graph.const_float(tensor).is_some_and(|number| number < -DEEP) && pivot_of(graph, tensor.node).is_none()
        };
        match canonical_op(graph.op(node)) {
            "Select" | "SelectV2" => [(1, 2), (2, 1)].into_iter().find_map(|(scores, number)| {
                let (scores, slot, number) = (input(scores)?, number, input(number)?);
                is_number(number).then_some(Self { scores, masked, added: None, number, reader: (node, slot) })
            }),
            "Add" => [(0, 1), (1, 0)].into_iter().find_map(|(scores, product)| {
                let (scores, product) = (input(scores)?, input(product)?);
                if graph.op(product.node) != "Mul" || graph.consumers(product.node).any(|reader| reader != node) {
                    return None;
                }
                let [a, b] = [graph.data_input(product.node, 0)?, graph.data_input(product.node, 1)?];
                let (mask, slot, number) = if is_number(b) { (a, 1, b) } else { (b, 0, is_number(a).then_some(a)?) };
                let added = Some(Added { product, mask });
                Some(Self { scores, masked, added, number, reader: (product.node, slot) })
            }),
            _ => None,
        }
    }

    /// The same, with what hands tensors on unchanged left out.
    pub(crate) fn of_sources(self, source: &dyn Fn(TensorRef) -> TensorRef) -> Self {
        let added = self.added.map(|added| Added { mask: source(added.mask), ..added });
        Self { scores: source(self.scores), added, ..self }
    }

    /// Makes the number what the range of the scores asks for; says which ranges that leaves, and the new number.
    ///
    /// # Errors
    /// Those of inserting nodes.
    pub(crate) fn write(
        &self,
        graph: &mut Graph,
        of: &dyn Fn(TensorRef) -> Option<Range>,
    ) -> Result<Option<(HashMap<TensorRef, Range>, TensorRef)>> {
        let (Some(scores), Some(number)) = (of(self.scores), graph.const_float(self.number)) else { return Ok(None) };
        let least = scores.min - DEEP;
        let mut ranges = HashMap::new();
        let wanted = match self.added {
            None => least,
            Some(added) => {
                let is_mask = of(added.mask).is_some_and(|mask| mask.min >= 0.0 && mask.max <= 1.0);
                let wanted = least - scores.max;
                if !is_mask || number >= wanted {
                    return Ok(None);
                }
                ranges.insert(added.product, Range { min: wanted, max: 0.0 });
                wanted
            }
        };
        if number >= wanted {
            return Ok(None);
        }
        let max = of(self.masked).map_or(scores.max, |masked| masked.max);
        ranges.insert(self.masked, Range { min: least, max });
        let name = format!("{}/masking", graph.name(self.reader.0));
        let new = constant(graph, &name, &Value::Float(wanted))?;
        graph.set_input(self.reader.0, self.reader.1, Input::Data(new));
        Ok(Some((ranges, new)))
    }
}
