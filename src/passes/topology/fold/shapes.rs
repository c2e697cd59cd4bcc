//! What folding by TensorFlow 1.15's rules must know of shapes, and the refusals where it does not.

use crate::error::ErrorKind;
use crate::graph::shape::{Dims, ShapeCache, broadcast, compatible, shape_text};
use crate::graph::{Graph, NodeId, TensorRef};
use crate::nodes::Builder;
use crate::passes::decisions::{FoldOutcome, Refusal};

/// Shapes by tensor, with the questions that folding asks.
#[derive(Debug, Default)]
pub(super) struct FoldShapes {
    pub cache: ShapeCache,
}

impl FoldShapes {
    pub(super) fn of(&mut self, graph: &Graph, tensor: TensorRef) -> Option<Dims> {
        graph.static_shape_with(tensor, &mut self.cache)
    }

    /// All dimensions, if they are known.
    pub(super) fn complete(&mut self, graph: &Graph, tensor: TensorRef) -> Option<Vec<i64>> {
        graph.complete_shape_with(tensor, &mut self.cache)
    }

    /// The shape of a vector with one element per channel, as a constant of that shape is to be made.
    pub(super) fn constant_shape(&mut self, graph: &Graph, tensor: TensorRef, at: NodeId) -> Result<Vec<i64>, Refusal> {
        self.complete(graph, tensor)
            .ok_or_else(|| unknown(graph, at, &format!("the shape of '{}' is not known", graph.tensor_name(tensor))))
    }

    /// How a depthwise layer's scale must be laid out: its input channels, and how many outputs each has.
    pub(super) fn depthwise_scale(
        &mut self,
        graph: &Graph,
        weights: TensorRef,
        at: NodeId,
    ) -> Result<[i32; 2], Refusal> {
        let axis = |dims: &Dims, axis: usize| i32::try_from(dims.get(axis).copied().flatten()?).ok();
        let dims = self.of(graph, weights);
        let scale = dims.as_ref().and_then(|dims| Some([axis(dims, 2)?, axis(dims, 3)?]));
        scale.ok_or_else(|| {
            let dims = shape_text(dims.as_ref());
            unknown(graph, at, &format!("the depthwise weights' channels are not known: their shape is {dims}"))
        })
    }

    /// Refuses two tensors that an op could not combine element by element.
    pub(super) fn check_broadcast(
        &mut self,
        b: &Builder<'_>,
        x: TensorRef,
        y: TensorRef,
        at: NodeId,
    ) -> Result<(), Refusal> {
        let shapes = [x, y].map(|tensor| self.of(b.graph, tensor));
        if let [Some(x), Some(y)] = &shapes
            && broadcast(x, y).is_err()
        {
            return Err(mismatch(b.graph, at, &shapes));
        }
        Ok(())
    }

    /// Refuses two tensors that should have as many elements and do not.
    pub(super) fn check_elements(
        &mut self,
        graph: &Graph,
        x: TensorRef,
        y: TensorRef,
        at: NodeId,
    ) -> Result<(), Refusal> {
        let shapes = [x, y].map(|tensor| self.of(graph, tensor));
        let [x, y] = shapes.each_ref().map(|dims| {
            let dims = dims.as_ref()?.iter();
            dims.copied().try_fold(1i64, |product, dim| product.checked_mul(dim?))
        });
        if x.zip(y).is_none_or(|(x, y)| x == y) { Ok(()) } else { Err(mismatch(graph, at, &shapes)) }
    }

    /// Refuses two tensors that should have the same shape and cannot.
    pub(super) fn check_same(&mut self, graph: &Graph, x: TensorRef, y: TensorRef, at: NodeId) -> Result<(), Refusal> {
        let shapes = [x, y].map(|tensor| self.of(graph, tensor));
        let [x, y] = &shapes;
        if compatible(x.as_ref(), y.as_ref()) { Ok(()) } else { Err(mismatch(graph, at, &shapes)) }
    }
}

fn unknown(graph: &Graph, at: NodeId, what: &str) -> Refusal {
    Refusal::fatal(FoldOutcome::ShapeUnknown, graph.error(ErrorKind::Refused, what, at))
}

fn mismatch(graph: &Graph, at: NodeId, shapes: &[Option<Dims>; 2]) -> Refusal {
    let [x, y] = shapes.each_ref().map(|dims| shape_text(dims.as_ref()));
    let what = format!("folding would combine shapes that do not go together: {x} and {y}");
    Refusal::fatal(FoldOutcome::ShapeMismatch, graph.error(ErrorKind::Refused, what, at))
}
