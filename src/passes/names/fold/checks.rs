//! Whether a layer may be folded: what TensorFlow checks while it inserts is checked here before anything is inserted.

use crate::error::ErrorKind;
use crate::graph::shape::{Dims, ShapeCache, broadcast, compatible, shape_text};
use crate::graph::{Graph, NodeId, TensorRef};
use crate::passes::decisions::{FoldOutcome, Refusal};
use crate::proto::tensorflow::DataType;

/// The graph and what is known of its shapes, while a batch norm of one layer is looked at.
pub(super) struct Checks<'a> {
    pub graph: &'a Graph,
    pub shapes: &'a mut ShapeCache,
    /// The layer's op.
    pub layer: NodeId,
}

impl Checks<'_> {
    pub(super) fn shape(&mut self, tensor: TensorRef) -> Option<Dims> {
        self.graph.static_shape_with(tensor, self.shapes)
    }

    /// A reason to refuse the graph, found at the layer's op.
    pub(super) fn refuse(&self, outcome: FoldOutcome, what: impl Into<String>) -> Refusal {
        Refusal::fatal(outcome, self.graph.error(ErrorKind::Refused, what, self.layer))
    }

    fn leave(&self, outcome: FoldOutcome, what: impl Into<String>) -> Refusal {
        Refusal::leave(outcome, self.graph.error(ErrorKind::Refused, what, self.layer))
    }

    /// How a depthwise layer's scale is laid out: input channels by channels made of each.
    pub(super) fn depthwise_scale(&mut self, weights: TensorRef) -> Result<[i32; 2], Refusal> {
        let dims = self.shape(weights);
        let axis = |axis: usize| i32::try_from(dims.as_ref()?.get(axis).copied().flatten()?).ok();
        axis(2).zip(axis(3)).map(|(inputs, each)| [inputs, each]).ok_or_else(|| {
            let name = self.graph.name(weights.node);
            let shape = shape_text(dims.as_ref());
            self.refuse(
                FoldOutcome::ShapeUnknown,
                format!("the channels of the weights '{name}' are not known: {shape}"),
            )
        })
    }

    /// The shape of the new node `name`, an `op` of tensors of these shapes.
    pub(super) fn elementwise(&self, name: &str, x: Option<&Dims>, y: Option<&Dims>) -> Result<Option<Dims>, Refusal> {
        let (Some(x), Some(y)) = (x, y) else { return Ok(None) };
        broadcast(x, y).map(Some).map_err(|_| {
            let (x, y) = (shape_text(Some(x)), shape_text(Some(y)));
            self.refuse(FoldOutcome::ShapeMismatch, format!("'{name}' would combine the shapes {x} and {y}"))
        })
    }

    /// Checks that what replaces a tensor may have its shape.
    pub(super) fn same_shape(&self, what: &str, from: Option<&Dims>, to: Option<&Dims>) -> Result<(), Refusal> {
        if compatible(from, to) {
            return Ok(());
        }
        let (from, to) = (shape_text(from), shape_text(to));
        Err(self.refuse(FoldOutcome::ShapeMismatch, format!("{what} would have the shape {to}, not {from}")))
    }

    /// Checks for the layers that TensorFlow folds, but into something that computes other values.
    pub(super) fn computes_the_same(&self) -> Result<(), Refusal> {
        let (graph, layer) = (self.graph, self.layer);
        if graph.attr_ints(layer, "dilations").is_some_and(|dilations| dilations.iter().any(|&dilation| dilation > 1)) {
            return Err(self.leave(FoldOutcome::Atrous, "the layer is dilated, which folding does not carry over"));
        }
        if graph.attr_str(layer, "data_format").is_some_and(|format| format.starts_with("NC")) {
            return Err(self.leave(FoldOutcome::DataFormat, "the layer is NCHW: its channels are not on the last axis"));
        }
        if graph.op(layer) == "MatMul" && graph.attr_bool(layer, "transpose_b") == Some(true) {
            return Err(self.leave(FoldOutcome::Transposed, "the layer's weights are transposed as they are read"));
        }
        Ok(())
    }

    /// Checks that the layer computes in 32-bit floats, which the inserted nodes do.
    pub(super) fn float(&self) -> Result<(), Refusal> {
        match self.graph.attr_type(self.layer, "T") {
            None => Ok(()),
            Some(number) if number == DataType::DtFloat as i32 => Ok(()),
            Some(_) => Err(self.leave(FoldOutcome::NotFloat, "the layer does not compute in float32")),
        }
    }
}
