//! Vectors of dimensions that a graph computes from shapes: the targets of its Reshapes.
//!
//! A flattened image is reshaped to what Pack makes of a dimension that StridedSlice takes from Shape. TensorFlow's shape
//! inference follows such vectors as far as the shapes are known, and so do these rules.

use super::dims::of_rank;
use super::{Aspect, Dims, Inference, MAX_AXES, Question};

impl Inference<'_> {
    /// The vector's elements as far as they are known; one that is negative stands for what is left. A number counts as
    /// a vector of one.
    pub(super) fn vector(&mut self) -> Option<Dims> {
        let elements = match self.op() {
            "Const" | "Identity" => {
                let numbers = self.graph.const_ints(self.question.tensor);
                numbers.map(|numbers| numbers.into_iter().map(|dim| (dim >= 0).then_some(dim)).collect())
            }
            "Shape" | "ShapeN" => self.dims(self.port()),
            "Cast" => self.elements(0),
            "Pack" => {
                let element = |element: Option<Dims>| match element.as_deref() {
                    Some(&[known]) => known,
                    _ => None,
                };
                let parts = self.inputs(0..MAX_AXES + 1);
                Some(parts.into_iter().map(element).collect())
            }
            "ConcatV2" => {
                let parts = self.graph.data_inputs(self.node()).count().checked_sub(1)?;
                self.inputs(0..parts).into_iter().try_fold(Vec::new(), |mut vector: Dims, part| {
                    vector.extend(part?);
                    (vector.len() <= MAX_AXES).then_some(vector)
                })
            }
            "StridedSlice" => self.elements(0).and_then(|vector| self.sliced(&vector)),
            _ => None,
        };
        elements.or_else(|| self.unknown_elements())
    }

    /// As many unknown elements as the vector has.
    fn unknown_elements(&mut self) -> Option<Dims> {
        match self.look_up(Question { about: Aspect::Dims, ..self.question })?.as_slice() {
            &[Some(length)] => usize::try_from(length).ok().filter(|&length| length <= MAX_AXES).map(of_rank),
            _ => None,
        }
    }

    /// One element, or elements in a row, of a vector.
    fn sliced(&self, vector: &[Option<i64>]) -> Option<Dims> {
        let mask = |name: &str| self.int(name).unwrap_or(0) & 1 == 1;
        let length = i64::try_from(vector.len()).ok()?;
        let place = |number: i64| if number < 0 { number.saturating_add(length).max(0) } else { number.min(length) };
        if self.constant_scalar(3)? != 1 || mask("ellipsis_mask") || mask("new_axis_mask") {
            return None;
        }
        let start = |number| if mask("begin_mask") { 0 } else { place(number) };
        let begin = usize::try_from(start(self.constant_scalar(1)?)).ok()?;
        if mask("shrink_axis_mask") {
            return Some(vec![*vector.get(begin)?]);
        }
        let end = usize::try_from(if mask("end_mask") { length } else { place(self.constant_scalar(2)?) }).ok()?;
        Some(vector.get(begin..end.max(begin))?.to_vec())
    }
}
