use crate::graph::attr::Tensor;
use crate::graph::samples::Sample;
use crate::graph::{Input, NodeId, TensorRef};

#[test]
fn dimensions_follow_the_ops() {
    let mut graph = Sample::new();
    let image = graph.add("Placeholder", &[], |attrs| attrs.shape("shape", &[-1, 9, 9, 3]));
    let filter = graph.add("VariableV2", &[], |attrs| attrs.shape("shape", &[3, 3, 3, 16]));
    let read = graph.add("Identity", &[filter], |attrs| attrs);
    let conv = graph.add("Conv2D", &[image, read], |attrs| attrs.str("padding", "SAME").ints("strides", &[1, 2, 2, 1]));
    let valid =
        graph.add("Conv2D", &[image, read], |attrs| attrs.str("padding", "VALID").ints("strides", &[1, 2, 2, 1]));
    let scale = graph.add("Const", &[], |attrs| attrs.tensor("value", &Tensor::Floats(&[0.0; 16])));
    let sum = graph.add("Add", &[conv, scale], |attrs| attrs);
    let target = graph.add("Const", &[], |attrs| attrs.tensor("value", &Tensor::Int32s(&[-1, 16])));
    let flat = graph.add("Reshape", &[sum, target], |attrs| attrs);
    let vector = graph.add("Reshape", &[scale, target], |attrs| attrs);
    let mystery = graph.add("Mystery", &[flat], |attrs| attrs);
    let shape = |tensor| graph.0.static_shape(tensor);
    assert_eq!(shape(sum), Some(vec![None, Some(5), Some(5), Some(16)]));
    assert_eq!(shape(valid), Some(vec![None, Some(4), Some(4), Some(16)]));
    assert_eq!(shape(flat), Some(vec![None, Some(16)]));
    assert_eq!(shape(vector), Some(vec![Some(1), Some(16)]));
    assert_eq!(shape(mystery), None);
}

#[test]
fn gathered_slices_take_the_place_of_their_axis() {
    let mut graph = Sample::new();
    let table = graph.add("Placeholder", &[], |attrs| attrs.shape("shape", &[5, 50, 8]));
    let indices = graph.add("Placeholder", &[], |attrs| attrs.shape("shape", &[5, -1, 7]));
    let [axis, last] = [1, -1].map(|axis| graph.add("Const", &[], |attrs| attrs.tensor("value", &Tensor::Int32(axis))));
    let first = graph.add("Gather", &[table, indices], |attrs| attrs);
    let second = graph.add("GatherV2", &[table, indices, axis], |attrs| attrs);
    let by_batch = graph.add("GatherV2", &[table, indices, axis], |attrs| attrs.int("batch_dims", 1));
    let from_behind = graph.add("GatherV2", &[table, indices, last], |attrs| attrs.int("batch_dims", -2));
    let unsure = graph.add("GatherV2", &[table, indices, indices], |attrs| attrs);
    let shape = |tensor| graph.0.static_shape(tensor).unwrap();
    assert_eq!(shape(first), [Some(5), None, Some(7), Some(50), Some(8)]);
    assert_eq!(shape(second), [Some(5), Some(5), None, Some(7), Some(8)]);
    assert_eq!(shape(by_batch), [Some(5), None, Some(7), Some(8)]);
    assert_eq!(shape(from_behind), [Some(5), Some(50), None, Some(7)]);
    assert_eq!(shape(unsure), [None; 5]);
}

#[test]
fn ranks_follow_the_ops() {
    let mut graph = Sample::new();
    let unknown = graph.add("Mystery", &[], |attrs| attrs);
    let conv = graph.add("Conv2D", &[unknown, unknown], |attrs| attrs);
    let relu = graph.add("Relu", &[conv], |attrs| attrs);
    let axes = graph.add("Const", &[], |attrs| attrs.tensor("value", &Tensor::Int32s(&[1, 2])));
    let mean = graph.add("Mean", &[relu, axes], |attrs| attrs);
    let sum = graph.add("Add", &[mean, relu], |attrs| attrs);
    let unsure = graph.add("Add", &[mean, unknown], |attrs| attrs);
    let shape = graph.add("Const", &[], |attrs| attrs.tensor("value", &Tensor::Int32s(&[8, -1, 3])));
    let reshaped = graph.add("Reshape", &[unknown, shape], |attrs| attrs);
    let rank = |tensor| graph.0.rank(tensor);
    assert_eq!([rank(relu), rank(mean), rank(sum), rank(reshaped)], [Some(4), Some(2), Some(4), Some(3)]);
    assert_eq!([rank(unsure), rank(unknown)], [None, None]);
}

#[test]
fn a_recorded_shape_is_completed_by_the_op() {
    let mut graph = Sample::new();
    let image = graph.add("Placeholder", &[], |attrs| attrs.shape("shape", &[-1, 9, 9, -1]));
    let scale = graph.add("Placeholder", &[], |attrs| attrs.shape("shape", &[16]));
    let norm = graph.add("FusedBatchNormV3", &[image, scale, scale, image, image], |attrs| attrs);
    let shape = |port| graph.0.static_shape(TensorRef { port, ..norm });
    assert_eq!(shape(0), Some(vec![None, Some(9), Some(9), Some(16)]));
    assert_eq!(shape(2), Some(vec![Some(16)]));
}

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

#[test]
fn a_resource_has_the_shape_of_no_variable_but_gives_it() {
    let mut graph = Sample::new();
    let handle = graph.add("VarHandleOp", &[], |attrs| attrs.shape("shape", &[3, 4]));
    let same = graph.add("Identity", &[handle], |attrs| attrs);
    let read = graph.add("ReadVariableOp", &[same], |attrs| attrs);
    assert_eq!([handle, read].map(|tensor| graph.0.rank(tensor)), [Some(0), Some(2)]);
    assert_eq!(graph.0.static_shape(read), Some(vec![Some(3), Some(4)]));
}

#[test]
fn long_chains_and_cycles_end() {
    let mut graph = Sample::new();
    let mut last = graph.add("Placeholder", &[], |attrs| attrs.shape("shape", &[4]));
    for _ in 0..5_000 {
        last = graph.add("Relu", &[last], |attrs| attrs);
    }
    assert_eq!(graph.0.static_shape(last), Some(vec![Some(4)]));
    assert_eq!(graph.0.rank(last), Some(1));
    graph.0.set_input(NodeId(1), 0, Input::Data(last));
    assert_eq!(graph.0.static_shape(last), None);
    assert_eq!(graph.0.rank(last), None);
}

/// Vectors that are packed and joined of themselves, each level of which doubles what there is to look at.
#[test]
fn vectors_of_vectors_cost_no_more_than_their_nodes() {
    let mut graph = Sample::new();
    let image = graph.add("Placeholder", &[], |attrs| attrs.shape("shape", &[2, 3]));
    let axis = graph.add("Const", &[], |attrs| attrs.tensor("value", &Tensor::Int32s(&[0])));
    let mut vector = graph.add("Shape", &[image], |attrs| attrs);
    for _ in 0..200 {
        vector = graph.add("ConcatV2", &[vector, vector, axis], |attrs| attrs);
    }
    let filled = graph.add("Fill", &[vector, axis], |attrs| attrs);
    assert_eq!(graph.0.rank(filled), None, "no tensor has so many axes");
    let mut nested = image;
    for _ in 0..300 {
        nested = graph.add("ExpandDims", &[nested, axis], |attrs| attrs);
    }
    assert_eq!(graph.0.rank(nested), None);
}
