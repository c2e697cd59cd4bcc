//! What takes the place of an op computes the same, of ops that have integer kernels.

use super::super::kernels::{Kernel, kernel};
use super::super::tests::{image, run};
use super::lower;
use crate::graph::Graph;
use crate::graph::read::parse;
use crate::graph::samples::{changes, file_of, graph_of};
use crate::proto::tensorflow::attr_value::Value;
use crate::proto::tensorflow::tensor_shape_proto::Dim;
use crate::proto::tensorflow::{AttrValue, DataType, GraphDef, NodeDef, TensorProto, TensorShapeProto};
use prost::Message;

/// Lowers the graph's `out`, whose result must stay within that part of the largest; says what changed.
fn lowered(lines: &str, within: f32) -> String {
    lowered_graph(&graph_of(&format!("x = Placeholder [1,4,4,2]\n{lines}")), within)
}

fn lowered_graph(before: &Graph, within: f32) -> String {
    let mut after = before.clone();
    assert!(lower(&mut after).unwrap() > 0);
    let x = image(2);
    let (wanted, got) = (run(before, "out", &x), run(&after, "out", &x));
    let largest = wanted.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    assert_eq!(wanted.len(), got.len());
    for (wanted, got) in wanted.iter().zip(&got) {
        assert!((wanted - got).abs() <= within * largest, "{wanted} became {got}");
    }
    let added = after.ids().skip(before.len());
    assert!(added.into_iter().all(|node| after.op(node) == "Const" || kernel(after.op(node)) != Kernel::None));
    changes(before, &after)
}

#[test]
fn activations_become_what_has_kernels() {
    for op in ["Elu", "Selu", "Softplus", "Softsign"] {
        lowered(&format!("out = {op}(x)"), 2e-6);
    }
    assert_eq!(
        lowered("out = Elu(x)", 2e-6),
        "out/unfolded = Elu(x)\n\
         out/low = Minimum(x, out/low/y)\n\
         out/exp = Exp(out/low)\n\
         out/below = Sub(out/exp, out/below/y)\n\
         out/above = Relu(x)\n\
         out = AddV2(out/above, out/below)\n"
    );
}

#[test]
fn arithmetic_becomes_products() {
    lowered("out = Neg(x)", 0.0);
    lowered("out = Square(x)", 0.0);
    lowered("two = Const 2.0\nout = Pow(x, two)", 1e-6);
    lowered("three = Const 3.0\nout = Pow(x, three)", 1e-6);
    let mut graph = graph_of("x = Placeholder [2]\nhalf = Const 0.5\nout = Pow(x, half)");
    assert_eq!(lower(&mut graph).unwrap(), 0, "other powers stay");
}

#[test]
fn roots_and_shifted_logarithms_become_plain_ones() {
    let size = |op: &str| format!("size = Abs(x)\nout = {op}(size)");
    lowered(&size("Log1p"), 1e-6);
    lowered(&size("Expm1"), 1e-6);
    let changes = lowered(&size("Sqrt"), 1e-5);
    assert!(changes.contains("out = Exp(out/half)\n"), "{changes}");
}

#[test]
fn constants_are_cast_before_they_are_moved() {
    let changes = lowered(
        "grid = Const [3,7]i
         shape = Shape(x)
         start = Const [0]i
         one = Const [1]i
         batch = Slice(shape, start, one) T=DT_INT32
         tiled = Tile(grid, batch) T=DT_INT32
         axis = Const 0i
         row = ExpandDims(tiled, axis) T=DT_INT32
         cells = Cast(row) SrcT=DT_INT32 DstT=DT_FLOAT
         out = AddV2(x, cells)",
        0.0,
    );
    assert!(changes.contains("cells/moved = Tile(cells/floats, batch)\n"), "{changes}");
    assert!(changes.contains("cells = ExpandDims(cells/moved, axis)\n"), "{changes}");
}

#[test]
fn one_hot_rows_are_chosen_by_truths() {
    for axis in [-1, 0, 1] {
        let lines = format!(
            "axes = Const [3]i\nwords = ArgMax(x, axes) output_type=DT_INT64\ndepth = Const 3i
             on = Const 2.0\noff = Const -0.5\nout = OneHot(words, depth, on, off) axis={axis} TI=DT_INT64"
        );
        let changes = lowered(&lines, 0.0);
        assert!(changes.contains("out = SelectV2(out/is, on, off)\n"), "{changes}");
    }
    let mut graph = graph_of(
        "words = Placeholder [4] dtype=DT_UINT8\ndepth = Const 3i\non = Const 1.0\noff = Const 0.0
         out = OneHot(words, depth, on, off) TI=DT_UINT8",
    );
    let before = graph.clone();
    assert_eq!(lower(&mut graph).unwrap(), 1);
    let changes = changes(&before, &graph);
    assert!(changes.contains("out/is = OneHot(out/indices, depth, "), "{changes}");
}

#[test]
fn what_differs_is_more_or_less() {
    let changes =
        lowered("zero = Const 0.0\nsame = Relu(x)\ndiffer = NotEqual(x, same)\nout = SelectV2(differ, x, zero)", 0.0);
    assert!(changes.contains("differ = LogicalOr(differ/more, differ/less)\n"), "{changes}");
    let mut graph = graph_of("words = Placeholder [4] dtype=DT_INT32\ndiffer = NotEqual(words, words) T=DT_INT32");
    assert_eq!(lower(&mut graph).unwrap(), 0, "integers can be compared");
}

#[test]
fn a_roll_is_slices_the_other_way_round() {
    let roll = |shift: &str, axis: &str| {
        format!(
            "shift = Const {shift}i\naxis = Const {axis}i\nout = Roll(x, shift, axis) Tshift=DT_INT32 Taxis=DT_INT32"
        )
    };
    let changes = lowered(&roll("1", "2"), 0.0);
    assert!(changes.ends_with("out = ConcatV2(out/last_2, out/first_2, out/axis_2/y)\n"), "{changes}");
    lowered(&roll("[-3,6]", "[1,-2]"), 0.0);
    lowered(&roll("[1,1,9]", "[1,1,3]"), 0.0);
    let mut graph = graph_of(&format!("x = Placeholder [?,4]\n{}", roll("1", "0")));
    assert_eq!(lower(&mut graph).unwrap(), 0, "the batch's size is not known");
}

#[test]
fn patches_of_images_are_slices_or_blocks() {
    let patches = |attrs: &str| lowered(&format!("out = ExtractImagePatches(x) {attrs}"), 0.0);
    let blocks = patches("ksizes=[1,2,2,1] strides=[1,2,2,1] rates=[1,1,1,1] padding=\"VALID\"");
    assert_eq!(blocks, "out/unfolded = ExtractImagePatches(x)\nout = SpaceToDepth(x)\n");
    let slices = patches("ksizes=[1,3,2,1] strides=[1,1,2,1] rates=[1,1,1,1] padding=\"VALID\"");
    assert_eq!(slices.matches("StridedSlice").count(), 6);
    let padded = patches("ksizes=[1,3,3,1] strides=[1,2,1,1] rates=[1,1,2,1] padding=\"SAME\"");
    assert!(padded.contains("out/padded = Pad(x, out/padded/y)"), "{padded}");
    patches("ksizes=[1,3,3,1] strides=[1,3,3,1] rates=[1,1,1,1] padding=\"SAME\"");
    let whole = "x = Placeholder [1,16,16,2]\nout = ExtractImagePatches(x) ksizes=[1,9,9,1] strides=[1,1,1,1] \
                 rates=[1,1,1,1] padding=\"VALID\"";
    assert_eq!(lower(&mut graph_of(whole)).unwrap(), 0, "so many slices");
}

#[test]
fn a_quotient_without_nan_by_constants_is_a_product() {
    let changes = lowered("by = Const [2]\nout = DivNoNan(x, by)", 1e-6);
    assert!(changes.contains("out = Mul(x, out/reciprocal)\n"), "{changes}");
    lowered("by = Const 0.0\nout = DivNoNan(x, by)", 0.0);
    lowered("by = Exp(x)\nout = DivNoNan(x, by)", 1e-6);
}

#[test]
fn what_reads_a_lowered_op_reads_what_took_its_place() {
    let changes = lowered("negated = Neg(x)\nelu = Elu(negated)\nout = Square(elu)", 2e-6);
    assert!(changes.contains("out = Mul(elu, elu)") && changes.contains("elu/low = Minimum(negated, "), "{changes}");
}

#[test]
fn a_quotient_by_what_is_positive_is_a_product() {
    let by_root = lowered(
        "one = Const 1.0\nsquare = Square(x)\nsum = AddV2(square, one)\nroot = Sqrt(sum)\nout = RealDiv(x, root)",
        1e-6,
    );
    assert!(by_root.contains("out/root = Rsqrt(sum)") && by_root.contains("out = Mul(x, out/root)"), "{by_root}");
    let by_exponentials =
        lowered("axis = Const [3]i\nexp = Exp(x)\nsum = Sum(exp, axis) keep_dims=true\nout = RealDiv(exp, sum)", 1e-6);
    assert!(by_exponentials.contains("out = Softmax(x)"), "{by_exponentials}");
    let by_sum = lowered("one = Const 1.0\nsize = Abs(x)\nsum = AddV2(size, one)\nout = RealDiv(x, sum)", 2e-6);
    assert!(by_sum.contains("out/log = Log(sum)"), "{by_sum}");
    let mut graph = graph_of("x = Placeholder [2]\none = Const 1.0\nsum = AddV2(x, one)\nout = RealDiv(one, sum)");
    assert_eq!(lower(&mut graph).unwrap(), 0, "a divisor of any sign stays");
}

#[test]
fn a_batch_norm_in_training_mode_is_normalized_in_parts() {
    let changes = lowered(
        "dims = Const [1]i
         one = Const 1.0
         zero = Const 0.0
         ones = Fill(dims, one)
         zeros = Fill(dims, zero)
         none = Const [0]
         scale = Const [2]
         out = FusedBatchNormV3(x, scale, scale, none, none) is_training=true epsilon=0.01",
        2e-6,
    );
    assert!(changes.contains("out/squares = SquaredDifference(x, out/mean)"), "{changes}");
    assert!(changes.contains("out/scaled = Mul(out/normal, scale)"), "{changes}");
    let read = "x = Placeholder [1,4,4,2]
        scale = Const [2]
        none = Const [0]
        norm = FusedBatchNormV3(x, scale, scale, none, none) is_training=true
        out = Identity(norm:1)";
    assert_eq!(lower(&mut graph_of(read)).unwrap(), 0, "one whose means are read stays");
}

#[test]
fn truths_become_numbers_by_choice() {
    let changes =
        lowered("zero = Const 0.0\nis_set = Greater(x, zero)\nout = Cast(is_set) SrcT=DT_BOOL DstT=DT_FLOAT", 0.0);
    assert!(changes.contains("out = SelectV2(is_set, out/one/y, out/zero/y)"), "{changes}");
}

#[test]
fn a_dense_layer_of_more_dimensions_is_a_product_of_matrices() {
    let several = lowered(
        "w = Const [2,3,5]\nb = Const [3,5]\nproduct = Einsum(x, w) equation=\"abcd,def->abcef\"\nout = AddV2(product, b)",
        2e-6,
    );
    assert_eq!(
        several,
        "out/unfolded = AddV2(product, b)\n\
         out/rows = Reshape(x, out/rows/y)\n\
         out/matrix = Reshape(w, out/matrix/y)\n\
         out/product = MatMul(out/rows, out/matrix)\n\
         out/bias = Reshape(b, out/bias/y)\n\
         out/biased = BiasAdd(out/product, out/bias)\n\
         out = Reshape(out/biased, out/y)\n"
    );
    let summed = lowered("w = Const [5,2,4]\nout = Einsum(w, x) equation=\"edc,abcd->abe\"", 2e-6);
    assert!(summed.contains("out/ordered = Transpose(w, out/ordered/y)"), "{summed}");
    for left in [
        "w = Const [2,3]\nout = Einsum(x, w) equation=\"abcd,de->eabc\"",
        "out = Einsum(x, x) equation=\"abcd,abcd->abc\"",
    ] {
        let mut graph = graph_of(&format!("x = Placeholder [1,4,4,2]\n{left}"));
        assert_eq!(lower(&mut graph).unwrap(), 0, "{left}");
    }
}

/// A convolution of blocks of that size, around which so many zeros lie, of which so many are cut off.
fn of_blocks(size: [i32; 2], around: [i32; 4], cut: [i32; 4]) -> Graph {
    let pairs = |name: &str, numbers: [i32; 4]| {
        let shape = TensorShapeProto { dim: vec![Dim { size: 2, ..Dim::default() }; 2], ..TensorShapeProto::default() };
        let value = TensorProto {
            dtype: DataType::DtInt32.into(),
            tensor_shape: Some(shape),
            int_val: numbers.to_vec(),
            ..TensorProto::default()
        };
        let value = AttrValue { value: Some(Value::Tensor(value)) };
        let attr = [("value".to_owned(), value)].into_iter().collect();
        let node = NodeDef { name: name.to_owned(), op: "Const".to_owned(), attr, ..NodeDef::default() };
        GraphDef { node: vec![node], ..GraphDef::default() }.encode_to_vec()
    };
    let [high, wide] = size;
    let lines = file_of(&format!(
        "x = Placeholder [1,4,4,2]
         size = Const [{high},{wide}]i
         blocks = SpaceToBatchND(x, size, around)
         w = Const [3,3,2,5]
         conv = Conv2D(blocks, w) padding=\"VALID\"
         out = BatchToSpaceND(conv, size, cut)"
    ));
    parse([&lines[..], &pairs("around", around), &pairs("cut", cut)].concat().into()).unwrap()
}

#[test]
fn a_convolution_of_blocks_is_a_dilated_one() {
    let changes = lowered_graph(&of_blocks([2, 2], [2, 2, 2, 2], [0; 4]), 1e-6);
    assert_eq!(changes, "out/unfolded = BatchToSpaceND(conv, size, cut)\nout = Conv2D(x, w)\n");
    lowered_graph(&of_blocks([3, 1], [3, 5, 1, 1], [0, 2, 0, 0]), 1e-6);
    lowered_graph(&of_blocks([1, 1], [0; 4], [0; 4]), 1e-6);
    for (around, cut) in [([2, 2, 2, 0], [0; 4]), ([2, 2, 2, 2], [2, 0, 0, 0]), ([0, 2, 2, 2], [2, 0, 0, 0])] {
        assert_eq!(lower(&mut of_blocks([2, 2], around, cut)).unwrap(), 0, "{around:?}");
    }
}

/// A depthwise convolution taken apart; `{}` stands for the strides of its second part.
fn apart(second: &str) -> String {
    format!(
        "last = Const [3]i
         numbers = Const [3,3,1,4]
         grown = Cumsum(numbers, zero) Tidx=DT_INT32
         zero = Const [0]i
         three = Const [3]i
         turned = Cumsum(grown, three) Tidx=DT_INT32
         kernels = Split(last, turned) num_split=2
         parts = Split(last, x) num_split=2
         first = Conv2D(parts, kernels) strides=[1,2,2,1]
         second = Conv2D(parts:1, kernels:1) strides={second}
         out = ConcatV2(first, second, last) N=2 Tidx=DT_INT32"
    )
}

#[test]
fn convolutions_of_a_channel_each_are_a_depthwise_one() {
    let together = lowered(&apart("[1,2,2,1]"), 2e-6);
    assert!(together.contains("out/kernel = Reshape(turned, out/kernel/y)"), "{together}");
    assert!(together.contains("out = DepthwiseConv2dNative(x, out/kernel)"), "{together}");
    let mut graph = graph_of(&format!("x = Placeholder [1,4,4,2]\n{}", apart("[1,1,1,1]")));
    assert_eq!(lower(&mut graph).unwrap(), 0, "they move in different ways");
}
