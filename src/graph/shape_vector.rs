//! Vectors of dimensions that a graph computes from shapes: the targets of its Reshapes.
//!
//! A flattened image is reshaped to what Pack makes of a dimension that StridedSlice takes from Shape. TensorFlow's shape
//! inference follows such vectors as far as the shapes are known, and so does [`super::static_shape`] by this module.

use super::static_shape::{Dims, ShapeCache};
use super::{Graph, TensorRef};

/// Computations of shapes are followed this deep.
const MAX_DEPTH: usize = 8;

impl Graph {
    /// The tensors whose shapes the vector is computed from.
    pub(super) fn shape_sources(&self, vector: TensorRef) -> Vec<TensorRef> {
        let mut sources = Vec::new();
        self.collect_sources(vector, MAX_DEPTH, &mut sources);
        sources
    }

    fn collect_sources(&self, vector: TensorRef, depth: usize, sources: &mut Vec<TensorRef>) {
        let Some(depth) = depth.checked_sub(1) else { return };
        match self.op(vector.node) {
            "Shape" => sources.extend(self.data_input(vector.node, 0)),
            "Identity" | "Cast" | "StridedSlice" => {
                if let Some(input) = self.data_input(vector.node, 0) {
                    self.collect_sources(input, depth, sources);
                }
            }
            "Pack" | "ConcatV2" => {
                for input in self.data_inputs(vector.node) {
                    self.collect_sources(input, depth, sources);
                }
            }
            _ => {}
        }
    }

    /// The vector's elements as far as they are known; one that is negative stands for what is left.
    pub(super) fn shape_vector(&self, vector: TensorRef, cache: &ShapeCache) -> Option<Dims> {
        self.vector_at(vector, cache, MAX_DEPTH)
    }

    fn vector_at(&self, vector: TensorRef, cache: &ShapeCache, depth: usize) -> Option<Dims> {
        let depth = depth.checked_sub(1)?;
        let node = vector.node;
        let input = |index| self.vector_at(self.data_input(node, index)?, cache, depth);
        match self.op(node) {
            "Const" => Some(self.const_ints(vector)?.into_iter().map(|dim| (dim >= 0).then_some(dim)).collect()),
            "Shape" => cache.known(self.data_input(node, 0)?),
            "Identity" | "Cast" => input(0),
            "Pack" => {
                let elements = self.data_inputs(node).map(|element| match self.vector_at(element, cache, depth) {
                    Some(known) if known.len() == 1 => known[0],
                    _ => None,
                });
                Some(elements.collect())
            }
            "ConcatV2" => {
                let parts = self.data_inputs(node).count().checked_sub(1)?;
                let parts: Option<Vec<Dims>> = (0..parts).map(input).collect();
                Some(parts?.concat())
            }
            "StridedSlice" => self.sliced(node, &input(0)?),
            _ => None,
        }
    }

    /// One element, or elements in a row, of a vector.
    fn sliced(&self, node: super::NodeId, vector: &[Option<i64>]) -> Option<Dims> {
        let bound = |index: usize| match self.const_ints(self.data_input(node, index)?)?.as_slice() {
            &[number] => Some(number),
            _ => None,
        };
        let mask = |name: &str| self.attr_int(node, name).unwrap_or(0) & 1 == 1;
        let length = i64::try_from(vector.len()).ok()?;
        let place = |number: i64| if number < 0 { number.saturating_add(length).max(0) } else { number.min(length) };
        if bound(3)? != 1 || mask("ellipsis_mask") || mask("new_axis_mask") {
            return None;
        }
        let begin = usize::try_from(if mask("begin_mask") { 0 } else { place(bound(1)?) }).ok()?;
        if mask("shrink_axis_mask") {
            return Some(vec![*vector.get(begin)?]);
        }
        let end = usize::try_from(if mask("end_mask") { length } else { place(bound(2)?) }).ok()?;
        Some(vector.get(begin..end.max(begin))?.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use crate::graph::attr::Tensor;
    use crate::graph::samples::Sample;

    #[test]
    fn a_flattened_image_keeps_its_batch() {
        let mut graph = Sample::new();
        let image = graph.add("Placeholder", &[], |attrs| attrs.shape("shape", &[2, 4, 4, 3]));
        let [zero, one, rest] =
            [0, 1, -1].map(|number| graph.add("Const", &[], |attrs| attrs.tensor("value", &Tensor::Int32s(&[number]))));
        let shape = graph.add("Shape", &[image], |attrs| attrs);
        let batch = graph.add("StridedSlice", &[shape, zero, one, one], |attrs| attrs.int("shrink_axis_mask", 1));
        let target = graph.add("Pack", &[batch, rest], |attrs| attrs);
        let flat = graph.add("Reshape", &[image, target], |attrs| attrs);
        assert_eq!(graph.0.static_shape(flat), Some(vec![Some(2), Some(48)]));
    }
}
