//! Parts of a tensor of which not all are read, taken out one by one.
//!
//! # What it does
//! The converter leaves a Split, SplitV or Unpack in float if one of its outputs has no reader. Each output that has one becomes
//! a StridedSlice.
//!
//! # When it applies
//! To 32-bit floats whose shape is known along the axis, in a graph from which all that its outputs do not need was dropped.
//!
//! # What it leaves alone
//! What all parts are read of, what is in loops, and what waits for others.
//!
//! # Example
//! `gates = Split(1, x) num_split=3`, of which the second is not read, where `x` is `[1,36]`, becomes
//! `gates/part_0 = StridedSlice(x, [0,0], [0,12], [1,1])` and `gates/part_2 = StridedSlice(x, [0,24], [0,36], [1,1])`.

use super::loops::Bodies;
use super::new_nodes::{constant, take_place};
use crate::error::Result;
use crate::graph::attr::{Attrs, Tensor as Value};
use crate::graph::shape::{ShapeCache, wrapped};
use crate::graph::{Graph, Input, NewNode, NodeId, TensorRef};
use crate::proto::tensorflow::DataType;

/// The kernel of StridedSlice takes no more.
const MOST_AXES: usize = 5;

/// A node that makes parts of a tensor along an axis.
#[derive(Debug)]
struct Parted {
    node: NodeId,
    whole: TensorRef,
    rank: usize,
    axis: usize,
    /// How large each part is.
    sizes: Vec<i64>,
    /// Whether a part loses the axis.
    loses_axis: bool,
}

/// Takes the parts that are read out one by one; says of how many nodes.
///
/// # Errors
/// Those of inserting nodes; a graph that TensorFlow would not run.
pub(crate) fn write_as_slices(graph: &mut Graph, outputs: &[TensorRef]) -> Result<usize> {
    let is_parted = |&node: &NodeId| matches!(graph.op(node), "Split" | "SplitV" | "Unpack");
    let nodes: Vec<NodeId> = graph.ids().filter(is_parted).collect();
    if nodes.is_empty() {
        return Ok(0);
    }
    let bodies = Bodies::of(graph)?;
    let mut shapes = ShapeCache::default();
    let mut found = Vec::new();
    for node in nodes {
        let Some(parted) = Parted::of(graph, node, &mut shapes) else { continue };
        let read = parted.read(graph, outputs);
        if read.len() < parted.sizes.len() && !bodies.contain(graph, node) {
            found.push((parted, read));
        }
    }
    for (parted, read) in &found {
        for &part in read {
            parted.take_out(graph, part)?;
        }
    }
    Ok(found.len())
}

impl Parted {
    fn of(graph: &Graph, node: NodeId, shapes: &mut ShapeCache) -> Option<Self> {
        let op = graph.op(node);
        let whole = graph.data_input(node, usize::from(op == "Split"))?;
        let dims = graph.static_shape_with(whole, shapes).filter(|dims| dims.len() <= MOST_AXES)?;
        let axis = match op {
            "Split" => single(graph, node, 0)?,
            "SplitV" => single(graph, node, 2)?,
            _ => graph.attr_int(node, "axis").unwrap_or(0),
        };
        let axis = wrapped(axis, dims.len())?;
        let length = dims[axis]?;
        let sizes = match op {
            "Split" => {
                let count = graph.attr_int(node, "num_split").filter(|&count| count > 0 && length % count == 0)?;
                vec![length / count; count_of(count)?]
            }
            "SplitV" => {
                let sizes = graph.const_ints(graph.data_input(node, 1)?)?;
                let given: i64 =
                    sizes.iter().filter(|&&size| size >= 0).try_fold(0i64, |all, &size| all.checked_add(size))?;
                sizes.into_iter().map(|size| if size == -1 { length - given } else { size }).collect()
            }
            _ => vec![1; count_of(length)?],
        };
        let all = sizes.iter().try_fold(0i64, |all, &size| all.checked_add(size).filter(|_| size >= 0))?;
        let is_plain = graph.control_inputs(node).next().is_none()
            && graph.tensor_type(whole) == Some(DataType::DtFloat)
            && all == length;
        is_plain.then_some(Self { node, whole, rank: dims.len(), axis, sizes, loses_axis: op == "Unpack" })
    }

    /// The parts that someone reads.
    fn read(&self, graph: &Graph, outputs: &[TensorRef]) -> Vec<usize> {
        let mut is_read = vec![false; self.sizes.len()];
        let used = graph.uses(self.node).filter_map(|usage| usage.input.tensor());
        for tensor in used.chain(outputs.iter().copied().filter(|output| output.node == self.node)) {
            if let Some(is_read) = usize::try_from(tensor.port).ok().and_then(|port| is_read.get_mut(port)) {
                *is_read = true;
            }
        }
        (0..is_read.len()).filter(|&part| is_read[part]).collect()
    }

    fn take_out(&self, graph: &mut Graph, index: usize) -> Result<()> {
        let first: i64 = self.sizes[..index].iter().sum();
        let at_axis = |value: i64| -> Vec<i32> {
            let mut all = vec![0; self.rank];
            all[self.axis] = i32::try_from(value).unwrap_or(i32::MAX);
            all
        };
        let name = graph.free_name(&format!("{}/part_{index}", graph.name(self.node)));
        let device = graph.device(self.node).to_owned();
        let begin = constant(graph, &format!("{name}/begin"), &Value::Int32s(&at_axis(first)))?;
        let end = constant(graph, &format!("{name}/end"), &Value::Int32s(&at_axis(first + self.sizes[index])))?;
        let steps = constant(graph, &format!("{name}/steps"), &Value::Int32s(&vec![1; self.rank]))?;
        // All of the other axes.
        let others = ((1i64 << self.rank) - 1) & !(1 << self.axis);
        let mut attrs = Attrs::default();
        attrs.data_type("Index", DataType::DtInt32).data_type("T", DataType::DtFloat);
        attrs.int("begin_mask", others).int("ellipsis_mask", 0).int("end_mask", others).int("new_axis_mask", 0);
        attrs.int("shrink_axis_mask", if self.loses_axis { 1 << self.axis } else { 0 });
        let inputs = [self.whole, begin, end, steps].map(Input::Data);
        let slice = graph.insert(NewNode {
            name: &name,
            op: "StridedSlice",
            device: &device,
            inputs: &inputs,
            attrs: attrs.as_bytes(),
        })?;
        let port = u32::try_from(index).unwrap_or(u32::MAX);
        take_place(graph, TensorRef { node: self.node, port }, slice.into());
        Ok(())
    }
}

/// The single number that an input is.
fn single(graph: &Graph, node: NodeId, input: usize) -> Option<i64> {
    let [number] = graph.const_ints(graph.data_input(node, input)?)?[..] else { return None };
    Some(number)
}

/// No more parts than that are looked at.
fn count_of(count: i64) -> Option<usize> {
    const MOST: usize = 4096;
    usize::try_from(count).ok().filter(|&count| count <= MOST)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{image, run};
    use super::*;
    use crate::graph::samples::{changes, graph_of};

    /// What becomes of a graph whose `out` must stay what it is.
    fn sliced(lines: &str) -> String {
        let before = graph_of(&format!("x = Placeholder [1,4,4,6]\n{lines}"));
        let mut after = before.clone();
        let outputs = [after.find_tensor("out").unwrap()];
        write_as_slices(&mut after, &outputs).unwrap();
        let x = image(6);
        assert_eq!(run(&before, "out", &x), run(&after, "out", &x), "{lines}");
        changes(&before, &after)
    }

    #[test]
    fn parts_that_are_read_are_taken_out() {
        let split = "axis = Const [3]i\nparts = Split(axis, x) num_split=3\nout = AddV2(parts:1, parts:2)";
        let changed = sliced(split);
        assert!(changed.contains("out = AddV2(parts/part_1, parts/part_2)"), "{changed}");
        let of_sizes = "sizes = Const [1,2,3]i\naxis = Const [-1]i\nparts = SplitV(x, sizes, axis) num_split=3\nout = Relu(parts:2)";
        assert!(sliced(of_sizes).contains("out = Relu(parts/part_2)"));
        let unpacked = "parts = Unpack(x) axis=1 num=4\nout = Mul(parts:3, parts:1)";
        assert!(sliced(unpacked).contains("out = Mul(parts/part_3, parts/part_1)"));
    }

    #[test]
    fn a_size_may_be_what_is_left() {
        let rest = "sizes = Const [2,4,-1]i\naxis = Const [3]i\nparts = SplitV(x, sizes, axis) num_split=3\nout = Relu(parts:1)";
        assert!(sliced(rest).contains("out = Relu(parts/part_1)"));
    }

    #[test]
    fn what_is_read_as_a_whole_stays() {
        assert_eq!(sliced("axis = Const [3]i\nparts = Split(axis, x) num_split=2\nout = AddV2(parts, parts:1)"), "");
        assert_eq!(
            sliced("axis = Const [9]i\nother = Relu(x)\nparts = Split(axis, other) num_split=2\nout = Relu(x)"),
            ""
        );
    }
}
