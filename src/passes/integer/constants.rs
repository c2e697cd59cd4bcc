//! Which tensors of a frozen graph are the same in every run, and what they are.

use hashbrown::HashMap;

use crate::error::Result;
use crate::graph::shape::ShapeCache;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::interpreter::{Limits, Plan, Session, Tensor, constant, stored_constants};
use crate::proto::tensorflow::DataType;

/// Ops that make of constants a constant. Those that hold back or draw values are not among them.
pub(super) fn computes(op: &str) -> bool {
    matches!(
        op,
        "Identity"
            | "StopGradient"
            | "Reshape"
            | "ExpandDims"
            | "Squeeze"
            | "Transpose"
            | "Cast"
            | "Mul"
            | "Add"
            | "AddV2"
            | "BiasAdd"
            | "Sub"
            | "RealDiv"
            | "DivNoNan"
            | "Maximum"
            | "Minimum"
            | "Neg"
            | "Square"
            | "Sqrt"
            | "Rsqrt"
            | "Reciprocal"
            | "Exp"
            | "Abs"
            | "Log"
            | "Pow"
            | "SquaredDifference"
            | "Relu"
            | "Relu6"
            | "Sigmoid"
            | "Tanh"
            | "Softplus"
            | "Softmax"
            | "Mean"
            | "Sum"
            | "Prod"
            | "Max"
            | "Min"
            | "Range"
            | "Cumsum"
            | "OnesLike"
            | "ZerosLike"
            | "MatrixBandPart"
            | "Equal"
            | "NotEqual"
            | "Less"
            | "LessEqual"
            | "Greater"
            | "GreaterEqual"
            | "LogicalAnd"
            | "LogicalOr"
            | "LogicalNot"
            | "All"
            | "Any"
            | "SelectV2"
            | "Pack"
            | "Unpack"
            | "Split"
            | "SplitV"
            | "ConcatV2"
            | "Gather"
            | "GatherV2"
            | "Slice"
            | "StridedSlice"
            | "Tile"
            | "Pad"
            | "Fill"
            | "FakeQuantWithMinMaxVars"
            | "FakeQuantWithMinMaxArgs"
            | "FakeQuantWithMinMaxVarsPerChannel"
    )
}

/// The nodes whose outputs are the same in every run.
#[derive(Debug)]
pub(crate) struct Constants(Vec<bool>);

impl Constants {
    /// Looks at each node once, in an order in which they can run.
    pub(crate) fn of(graph: &Graph, order: &[NodeId]) -> Self {
        Self::through(graph, order, computes)
    }

    /// The same, where these ops make of constants a constant.
    pub(super) fn through(graph: &Graph, order: &[NodeId], computes: impl Fn(&str) -> bool) -> Self {
        let mut is_constant = vec![false; graph.len()];
        for &node in order {
            is_constant[node.index()] = match graph.op(node) {
                "Const" => true,
                op if computes(op) => {
                    let mut inputs = graph.inputs(node);
                    // What is computed in a loop's body of constants there is none: it takes the loop to compute it.
                    inputs.len() > 0
                        && inputs.all(|input| {
                            input.tensor().is_some_and(|input| is_constant[input.node.index()] && !waits(graph, input))
                        })
                }
                _ => false,
            };
        }
        Self(is_constant)
    }

    /// Whether the node's outputs are; nodes inserted since are none.
    pub(crate) fn contain(&self, node: NodeId) -> bool {
        self.0.get(node.index()).copied().unwrap_or_default()
    }
}

/// The values of constant tensors, each once however often it is asked for.
///
/// # Errors
/// Those of [`Plan::new`] and [`Session::run`].
pub(crate) fn evaluate(
    graph: &Graph,
    tensors: impl IntoIterator<Item = TensorRef>,
    limits: &Limits,
) -> Result<HashMap<TensorRef, Tensor>> {
    let mut wanted: Vec<TensorRef> = tensors.into_iter().collect();
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let (in_loops, computed): (Vec<TensorRef>, Vec<TensorRef>) =
        wanted.into_iter().partition(|&tensor| waits(graph, tensor));
    let mut values: HashMap<TensorRef, Tensor> = HashMap::new();
    for tensor in in_loops {
        values.insert(tensor, constant(graph, tensor.node, limits)?);
    }
    if !computed.is_empty() {
        let plan = Plan::new(graph, &[], &computed, limits)?;
        values.extend(computed.iter().copied().zip(Session::new(&plan).run(&[], &mut |_, _| Ok(()))?));
    }
    Ok(values)
}

/// As [`evaluate`], but what a Const holds, also behind Identity, is as it lies in the file: nothing is copied to be looked at.
///
/// # Errors
/// Those of [`evaluate`].
pub(crate) fn evaluate_as_stored(
    graph: &Graph,
    tensors: impl IntoIterator<Item = TensorRef>,
    limits: &Limits,
) -> Result<HashMap<TensorRef, Tensor>> {
    let (mut stored, mut computed) = (Vec::new(), Vec::new());
    for tensor in tensors {
        match graph.const_node(tensor) {
            Some(constant) => stored.push((tensor, constant)),
            None => computed.push(tensor),
        }
    }
    let mut values = evaluate(graph, computed, limits)?;
    let constants = stored_constants(graph, stored.iter().map(|&(_, constant)| constant), limits)?;
    values.extend(stored.into_iter().map(|(tensor, _)| tensor).zip(constants));
    Ok(values)
}

/// Whether it is a tensor of 32-bit floats of known shape, and no larger than what a cell of a recurrent network keeps.
pub(super) fn is_small_float(graph: &Graph, tensor: TensorRef, shapes: &mut ShapeCache) -> bool {
    const MOST: i64 = 1 << 16;
    let dims =
        graph.complete_shape_with(tensor, shapes).filter(|_| graph.tensor_type(tensor) == Some(DataType::DtFloat));
    dims.is_some_and(|dims| dims.iter().try_fold(1i64, |all, &dim| all.checked_mul(dim)).is_some_and(|all| all <= MOST))
}

/// Whether it is a constant that waits for another node, as those in the bodies of loops do.
fn waits(graph: &Graph, tensor: TensorRef) -> bool {
    graph.op(tensor.node) == "Const" && graph.control_inputs(tensor.node).next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::graph_of;

    #[test]
    fn what_is_computed_of_constants_is_constant() {
        let graph = graph_of(
            "x = Placeholder [2]
             a = Const 3.0
             b = Const [2]
             product = Mul(a, b)
             hidden = Identity(product)
             late = Identity(product, ^x)
             biases = Unpack(product) num=2 axis=0
             second = Identity(biases:1)
             mixed = Add(hidden, x)",
        );
        let constants = Constants::of(&graph, &graph.run_order());
        let of = |name: &str| constants.contain(graph.find(name).unwrap());
        assert_eq!(["hidden", "second", "late", "mixed", "x"].map(of), [true, true, false, false, false]);
        let [hidden, second] = ["hidden", "second"].map(|name| graph.find(name).unwrap().into());
        let values = evaluate(&graph, [hidden, second, hidden], &Limits::default()).unwrap();
        assert_eq!(values[&hidden].values::<f32>().unwrap(), [3.0, 3.0]);
        assert_eq!(values[&second].values::<f32>().unwrap(), [3.0]);
    }
}
