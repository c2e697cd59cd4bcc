//! Dense layers of more than two dimensions, which Keras writes as Einsum and a bias of several dimensions: their bias is added
//! to sums in 32 bits only where it belongs to a product of matrices.
//!
//! Left alone are those whose equation needs axes of what changes from run to run in another order, or whose rows are of more
//! than one unknown dimension.

use super::super::constants::Constants;
use super::super::parts::{END, Parts};
use crate::error::Result;
use crate::graph::einsum::Equation;
use crate::graph::op_class::canonical_op;
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, NodeId, TensorRef, only};

/// One of them: the product of rows and a matrix, and a bias.
#[derive(Debug)]
pub(super) struct Dense {
    x: TensorRef,
    /// Whether that has rows already.
    has_rows: bool,
    weights: TensorRef,
    /// What makes the weights' axes those that are summed along, then those that are made, if they are not.
    order: Option<Vec<i32>>,
    /// The rows and columns of the weights as a matrix.
    matrix: [i32; 2],
    is_matrix: bool,
    bias: Option<TensorRef>,
    /// The dimensions of the result, -1 for one that is unknown.
    dims: Vec<i32>,
}

/// The one that a node is the end of: the sum of an Einsum and a constant, or an Einsum that is in no such sum.
pub(super) fn find(graph: &Graph, constants: &Constants, node: NodeId, shapes: &mut ShapeCache) -> Option<Dense> {
    if graph.op(node) != "Einsum" {
        return biased(graph, constants, node, shapes);
    }
    let is_in_sum = only(graph.consumers(node)).is_some_and(|sum| biased(graph, constants, sum, shapes).is_some());
    if is_in_sum { None } else { dense(graph, constants, node, shapes) }
}

fn biased(graph: &Graph, constants: &Constants, node: NodeId, shapes: &mut ShapeCache) -> Option<Dense> {
    if canonical_op(graph.op(node)) != "Add" {
        return None;
    }
    let operands = [graph.data_input(node, 0)?, graph.data_input(node, 1)?];
    let slot = operands.iter().position(|operand| graph.op(operand.node) == "Einsum")?;
    let (einsum, bias) = (operands[slot], operands[1 - slot]);
    if !constants.contain(bias.node) || only(graph.consumers(einsum.node)) != Some(node) {
        return None;
    }
    let dense = dense(graph, constants, einsum.node, shapes)?;
    let dims = positive(&graph.complete_shape_with(bias, shapes)?)?;
    // One number for each that the weights make, and the same for all rows.
    let first = dims.iter().position(|&dim| dim != 1).unwrap_or(dims.len());
    let made = product(&dims)?;
    (made == dense.matrix[1] && dense.dims.ends_with(&dims[first..])).then_some(Dense { bias: Some(bias), ..dense })
}

fn dense(graph: &Graph, constants: &Constants, node: NodeId, shapes: &mut ShapeCache) -> Option<Dense> {
    let operands = [graph.data_input(node, 0)?, graph.data_input(node, 1)?];
    let of_x = operands.iter().position(|operand| !constants.contain(operand.node))?;
    let (x, weights) = (operands[of_x], operands[1 - of_x]);
    if !constants.contain(weights.node) {
        return None;
    }
    let dims_of_weights = positive(&graph.complete_shape_with(weights, shapes)?)?;
    let dims_of_x = graph.static_shape_with(x, shapes)?;
    let ranks =
        if of_x == 0 { [dims_of_x.len(), dims_of_weights.len()] } else { [dims_of_weights.len(), dims_of_x.len()] };
    let labels = Equation::parse(&graph.attr_str(node, "equation")?)?.labels(&ranks)?;
    let (of_weights, x_labels) = (&labels.inputs[1 - of_x], &labels.inputs[of_x]);

    let rows = x_labels.iter().take_while(|label| labels.output.contains(label)).count();
    let (inner, made) = (&x_labels[rows..], labels.output.strip_prefix(&x_labels[..rows])?);
    let wanted = [inner, made].concat();
    let order: Vec<usize> =
        wanted.iter().map(|label| of_weights.iter().position(|other| other == label)).collect::<Option<_>>()?;
    if order.len() != of_weights.len() || inner.is_empty() || made.is_empty() || rows == 0 {
        return None;
    }
    let sizes: Vec<i32> = order.iter().map(|&axis| dims_of_weights[axis]).collect();
    let (summed, made) = sizes.split_at(inner.len());
    let matrix = [product(summed)?, product(made)?];
    let of_rows = dims_of_x[..rows].iter().map(|dim| dim.map_or(Some(-1), |dim| i32::try_from(dim).ok()));
    let mut dims: Vec<i32> = of_rows.collect::<Option<_>>()?;
    if dims.contains(&0) || dims.iter().filter(|&&dim| dim < 0).count() > 1 {
        return None;
    }
    dims.extend(made);
    let in_order = order.is_sorted();
    Some(Dense {
        x,
        has_rows: rows == 1 && inner.len() == 1,
        weights,
        order: (!in_order).then(|| order.iter().filter_map(|&axis| i32::try_from(axis).ok()).collect()),
        matrix,
        is_matrix: of_weights.len() == 2,
        bias: None,
        dims,
    })
}

/// Dimensions none of which is zero or larger than a Reshape takes.
fn positive(dims: &[i64]) -> Option<Vec<i32>> {
    dims.iter().map(|&dim| i32::try_from(dim).ok().filter(|&dim| dim > 0)).collect()
}

fn product(dims: &[i32]) -> Option<i32> {
    dims.iter().try_fold(1i32, |all, &dim| all.checked_mul(dim))
}

impl Dense {
    pub(super) fn write(self, parts: &mut Parts<'_>) -> Result<TensorRef> {
        let Self { mut x, mut weights, matrix: [inner, made], .. } = self;
        if !self.has_rows {
            x = parts.reshape("rows", x, &[-1, inner])?;
        }
        if let Some(order) = &self.order {
            weights = parts.transpose("ordered", weights, order)?;
        }
        if !self.is_matrix {
            weights = parts.reshape("matrix", weights, &[inner, made])?;
        }
        let is_end = self.dims.len() == 2;
        let last = |is_last: bool, part: &'static str| if is_last && is_end { END } else { part };
        let mut result = parts.mat_mul(last(self.bias.is_none(), "product"), x, weights)?;
        if let Some(bias) = self.bias {
            let bias = parts.reshape("bias", bias, &[made])?;
            result = parts.binary(last(true, "biased"), "BiasAdd", result, bias)?;
        }
        if is_end { Ok(result) } else { parts.reshape(END, result, &self.dims) }
    }
}
