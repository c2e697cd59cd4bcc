//! Whole numbers that are the same in every run but for their shape, such as the grid of cells that a detector adds to its boxes,
//! repeated for each image of a batch: they are floats from the start, and no Cast, which has no integer kernel, is left.

use super::super::constants::Constants;
use super::super::parts::{END, Parts};
use crate::error::Result;
use crate::graph::attr::Attrs;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// A Cast to floats behind what moves a constant.
#[derive(Debug)]
pub(super) struct CastConstant {
    constant: TensorRef,
    from: DataType,
    /// What moves it, first to last.
    moves: Vec<NodeId>,
}

/// So many moves are followed.
const MOST_MOVES: usize = 8;

pub(super) fn find(graph: &Graph, constants: &Constants, node: NodeId) -> Option<CastConstant> {
    let mut constant = graph.data_input(node, 0)?;
    let from = graph.tensor_type(constant).filter(|from| matches!(from, DataType::DtInt32 | DataType::DtInt64))?;
    let mut moves = Vec::new();
    while !constants.contain(constant.node) {
        let moves_on = matches!(
            graph.op(constant.node),
            "Tile" | "Reshape" | "ExpandDims" | "Squeeze" | "Identity" | "BroadcastTo" | "Transpose"
        );
        if !moves_on || graph.control_inputs(constant.node).next().is_some() || moves.len() == MOST_MOVES {
            return None;
        }
        moves.push(constant.node);
        constant = graph.data_input(constant.node, 0)?;
    }
    moves.reverse();
    (!moves.is_empty()).then_some(CastConstant { constant, from, moves })
}

impl CastConstant {
    pub(super) fn write(self, parts: &mut Parts<'_>) -> Result<TensorRef> {
        let mut attrs = Attrs::default();
        attrs.data_type("SrcT", self.from).data_type("DstT", DataType::DtFloat);
        let mut moved = parts.insert("floats", "Cast", &[self.constant], &attrs)?;
        for (place, &node) in self.moves.iter().enumerate() {
            let part = if place + 1 == self.moves.len() { END } else { "moved" };
            moved = parts.copy(part, node, moved)?;
        }
        Ok(moved)
    }
}
