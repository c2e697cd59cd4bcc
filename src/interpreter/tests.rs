//! Plans and runs of small graphs, and of hostile ones.

use super::{DType, Limits, Plan, Session, Tensor};
use crate::error::{ErrorKind, Result};
use crate::graph::attr::{Attrs, Tensor as Literal};
use crate::graph::samples::graph_of;
use crate::graph::{Graph, Input, NewNode, NodeId, TensorRef, read};
use crate::proto::tensorflow::DataType;
use crate::wire::put_bytes;
use bytes::Bytes;

const LIMITS: Limits = Limits { memory: 1 << 20, steps: 1000 };

/// A graph of inserted nodes.
struct Sample(Graph);

impl Sample {
    fn new() -> Self {
        Self(read::parse(Bytes::new()).unwrap())
    }

    /// Adds a node, whatever its name; returns its first output.
    fn add(&mut self, op: &str, inputs: &[TensorRef], attrs: impl FnOnce(&mut Attrs) -> &mut Attrs) -> TensorRef {
        let mut encoded = Attrs::default();
        attrs(&mut encoded);
        let name = format!("n{}", self.0.len());
        let inputs: Vec<Input> = inputs.iter().copied().map(Input::Data).collect();
        let new = NewNode { name: &name, op, device: "", inputs: &inputs, attrs: encoded.as_bytes() };
        self.0.insert(new).unwrap().into()
    }
}

fn constant(sample: &mut Sample, value: &Literal<'_>) -> TensorRef {
    sample.add("Const", &[], |attrs| attrs.data_type("dtype", value.data_type()).tensor("value", value))
}

fn none(attrs: &mut Attrs) -> &mut Attrs {
    attrs
}

/// Runs with one feed; the result as floats, and the names of what was seen.
fn run(graph: &Graph, feed: TensorRef, value: Tensor, fetch: TensorRef) -> Result<(Vec<f32>, Vec<String>)> {
    let plan = Plan::new(graph, &[feed], &[fetch], &LIMITS)?;
    let mut seen = Vec::new();
    let results = Session::new(&plan).run(&[value], &mut |at, _| {
        seen.push(graph.tensor_name(at));
        Ok(())
    })?;
    Ok((results[0].values::<f32>().unwrap_or_default().to_vec(), seen))
}

#[test]
fn computes_what_is_needed_and_folds_what_is_constant() {
    let mut sample = Sample::new();
    let x = sample.add("Placeholder", &[], none);
    let two = constant(&mut sample, &Literal::Floats(&[2.0, 3.0]));
    let squared = sample.add("Square", &[two], none);
    let unused = sample.add("NoSuchOp", &[x], none);
    let product = sample.add("Mul", &[x, squared], none);
    let relu = sample.add("Relu", &[product], none);
    let sum = sample.add("AddV2", &[product, relu], none);
    let (values, seen) = run(&sample.0, x, Tensor::vector(vec![1.0f32, -1.0]), sum).unwrap();
    assert_eq!(values, [8.0, -9.0], "the product is still there when the sum reads it");
    assert_eq!(seen, ["n4:0", "n5:0", "n6:0"], "constants are not computed again");
    assert!(run(&sample.0, x, Tensor::scalar(1.0f32), unused).is_err());
    // A tensor in the middle can be fed.
    let (values, _) = run(&sample.0, product, Tensor::scalar(5.0f32), sum).unwrap();
    assert_eq!(values, [10.0]);
}

#[test]
fn threads_share_a_plan() {
    let mut sample = Sample::new();
    let x = sample.add("Placeholder", &[], none);
    let weights = constant(&mut sample, &Literal::Filled(0.5, &[64, 64]));
    let y = sample.add("MatMul", &[x, weights], none);
    let plan = Plan::new(&sample.0, &[x], &[y], &LIMITS).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..3u8 {
            let plan = &plan;
            scope.spawn(move || {
                let mut session = Session::new(plan);
                for _ in 0..3 {
                    let x = Tensor::new(&[2, 64], vec![f32::from(thread); 128]).unwrap();
                    let results = session.run(&[x], &mut |_, _| Ok(())).unwrap();
                    assert!(results[0].values::<f32>().unwrap().iter().all(|&y| y == 32.0 * f32::from(thread)));
                }
            });
        }
    });
    assert!(plan.peak_memory() < LIMITS.memory);
}

#[test]
fn names_all_that_it_cannot_run_and_where_to_cut() {
    let mut sample = Sample::new();
    let x = sample.add("Placeholder", &[], none);
    let relu = sample.add("Relu", &[x], none);
    let kept = sample.add("Neg", &[relu], none);
    let first = sample.add("NoSuchOp", &[kept], none);
    let second = sample.add("NorThisOne", &[first], none);
    let error = Plan::new(&sample.0, &[x], &[second], &LIMITS).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let text = error.to_string();
    assert!(
        text.contains("2 nodes") && text.contains("'n4' (NorThisOne)") && text.contains("'n3' (NoSuchOp)"),
        "{text}"
    );
    assert_eq!(error.hint_text(), Some("compute only what is before them: --outputs n2:0"));

    let mut sample = Sample::new();
    let x = sample.add("Placeholder", &[], none);
    let decoded = sample.add("DecodeJpeg", &[x], none);
    let mut last = decoded;
    for _ in 0..5 {
        last = sample.add("Relu", &[last], none);
    }
    let error = Plan::new(&sample.0, &[x], &[last], &LIMITS).err().unwrap();
    assert_eq!(error.hint_text(), Some("feed what is behind them: --inputs n1:0"));
    let error = Plan::new(&sample.0, &[], &[x], &LIMITS).err().unwrap();
    assert!(error.to_string().contains("an input that was not fed"), "{error}");
}

#[test]
fn memory_and_shapes_have_bounds() {
    let mut sample = Sample::new();
    let x = sample.add("Placeholder", &[], none);
    let one = constant(&mut sample, &Literal::Float(1.0));
    let filled = sample.add("Fill", &[x, one], none);
    for dims in [vec![1 << 20], vec![1 << 40, 1 << 40], vec![i64::MAX, 0], vec![-1]] {
        let error = run(&sample.0, x, Tensor::vector(dims.clone()), filled).unwrap_err();
        assert_eq!(error.node_name(), Some("n2"), "{dims:?}: {error}");
    }
    assert_eq!(run(&sample.0, x, Tensor::vector(vec![2i64]), filled).unwrap().0, [1.0, 1.0]);
}

#[test]
fn hostile_shapes_are_errors_that_name_the_node() {
    const HUGE: i64 = 1 << 40;
    let numbers = |values: &[i64]| Tensor::vector(values.to_vec());
    let floats = |dims: &[usize]| Tensor::new(dims, vec![0.5f32; dims.iter().product()]).unwrap();
    let scalar = Tensor::scalar::<i64>;
    let none_of = |dims: &[usize]| Tensor::new(dims, Vec::<i32>::new()).unwrap();
    let cases: Vec<(&str, Vec<Tensor>)> = vec![
        ("ScatterNd", vec![Tensor::new(&[1, 1], vec![0i64]).unwrap(), floats(&[1]), numbers(&[HUGE])]),
        ("ScatterNd", vec![Tensor::new(&[1, 1], vec![7i64]).unwrap(), floats(&[1]), numbers(&[3])]),
        ("ScatterNd", vec![Tensor::new(&[1, 1], vec![-1i64]).unwrap(), floats(&[1]), numbers(&[3])]),
        ("TensorScatterAdd", vec![floats(&[3]), Tensor::new(&[1, 2], vec![0i64, 0]).unwrap(), floats(&[1])]),
        ("SparseToDense", vec![scalar(0), numbers(&[HUGE]), floats(&[]), floats(&[])]),
        ("DynamicStitch", vec![numbers(&[HUGE]), floats(&[1, 4])]),
        ("UnsortedSegmentSum", vec![floats(&[2]), numbers(&[0, 1]), scalar(HUGE)]),
        ("UnsortedSegmentSum", vec![floats(&[2]), numbers(&[0, 1]), scalar(-1)]),
        ("SegmentSum", vec![floats(&[2]), numbers(&[0, i64::MAX])]),
        ("SegmentSum", vec![floats(&[2]), numbers(&[1, 0])]),
        ("LinSpace", vec![floats(&[]), floats(&[]), scalar(HUGE)]),
        ("LinSpace", vec![floats(&[]), floats(&[]), scalar(0)]),
        ("MatrixDiag", vec![floats(&[2000])]),
        ("MatrixDiagV2", vec![floats(&[2]), scalar(0), scalar(HUGE), scalar(2), floats(&[])]),
        ("MatrixDiagV2", vec![floats(&[2]), scalar(i64::MIN), scalar(-1), scalar(-1), floats(&[])]),
        ("MatrixDiagPartV2", vec![floats(&[2, 2]), numbers(&[i64::MIN, i64::MAX]), floats(&[])]),
        ("MatrixSetDiag", vec![floats(&[2, 2]), floats(&[3])]),
        ("MatrixBandPart", vec![floats(&[2, 2]), scalar(9), scalar(0)]),
        ("Diag", vec![floats(&[2000])]),
        ("ResizeBicubic", vec![floats(&[1, 2, 2, 1]), numbers(&[HUGE, HUGE])]),
        ("ResizeBicubic", vec![floats(&[1, 2, 2, 1]), numbers(&[1 << 17, 1])]),
        ("ResizeArea", vec![floats(&[1, 2, 2, 1]), numbers(&[1 << 17, 1])]),
        ("CropAndResize", vec![floats(&[1, 2, 2, 1]), floats(&[1, 4]), numbers(&[0]), numbers(&[HUGE, HUGE])]),
        ("CropAndResize", vec![floats(&[1, 2, 2, 1]), floats(&[1, 4]), numbers(&[3]), numbers(&[2, 2])]),
        ("NonMaxSuppressionV3", vec![floats(&[2, 4]), floats(&[3]), scalar(1), floats(&[]), floats(&[])]),
        ("NonMaxSuppressionV3", vec![floats(&[2, 4]), floats(&[2]), scalar(-1), floats(&[]), floats(&[])]),
        (
            "CombinedNonMaxSuppression",
            vec![floats(&[1, 2, 1, 4]), floats(&[1, 2, 3]), scalar(HUGE), scalar(HUGE), floats(&[]), floats(&[])],
        ),
        ("Conv3D", vec![floats(&[1, 2, 2, 2, 3]), floats(&[1, 1, 1, 2, 4])]),
        ("Conv3D", vec![floats(&[1, 2, 2, 2]), floats(&[1, 1, 1, 2])]),
        ("MaxPool3D", vec![floats(&[1, 2, 2, 2])]),
        (
            "Conv3DBackpropInputV2",
            vec![numbers(&[1, HUGE, 1, 1, 2]), floats(&[1, 1, 1, 2, 4]), floats(&[1, 1, 1, 1, 4])],
        ),
        ("LSTMBlockCell", vec![floats(&[1, 2]); 8]),
        ("BlockLSTM", vec![scalar(9), floats(&[1, 1, 2]), floats(&[1, 2]), floats(&[1, 2])]),
        ("GRUBlockCell", vec![floats(&[1, 2]); 6]),
        ("MaxPoolV2", vec![floats(&[1, 2, 2, 1]), numbers(&[1, 0, 1, 1]), numbers(&[1, 1, 1, 1])]),
        ("Unique", vec![none_of(&[0, 2])]),
        ("BatchNormWithGlobalNormalization", vec![floats(&[1, 1, 2, 1]); 5]),
        (
            "BatchNormWithGlobalNormalization",
            vec![floats(&[]), none_of(&[0]), none_of(&[0]), none_of(&[0]), none_of(&[0])],
        ),
    ];
    for (op, arrays) in cases {
        let mut sample = Sample::new();
        let feeds: Vec<TensorRef> = arrays.iter().map(|_| sample.add("Placeholder", &[], none)).collect();
        let node = sample.add(op, &feeds, none);
        let plan = Plan::new(&sample.0, &feeds, &[node], &LIMITS).unwrap();
        let error = Session::new(&plan).run(&arrays, &mut |_, _| Ok(())).unwrap_err();
        assert_eq!(error.node_name(), Some(sample.0.name(node.node)), "{op} {arrays:?}: {error}");
        assert!(plan.peak_memory() <= LIMITS.memory);
    }
}

/// `while i < limit { i = i + step }`, as TensorFlow 1 writes it.
fn counting(limit: f32, step: f32) -> (Graph, TensorRef, TensorRef) {
    let mut sample = Sample::new();
    let x = sample.add("Placeholder", &[], none);
    let limit = constant(&mut sample, &Literal::Float(limit));
    let step = constant(&mut sample, &Literal::Float(step));
    let enter =
        |sample: &mut Sample, from: TensorRef| sample.add("Enter", &[from], |attrs| attrs.str("frame_name", "loop"));
    let [i, limit, step] = [x, limit, step].map(|from| enter(&mut sample, from));
    let merge = sample.add("Merge", &[i, i], none);
    let less = sample.add("Less", &[merge, limit], none);
    let condition = sample.add("LoopCond", &[less], none);
    let switch = sample.add("Switch", &[merge, condition], none);
    let exit = sample.add("Exit", &[switch], none);
    let body = sample.add("AddV2", &[TensorRef { node: switch.node, port: 1 }, step], none);
    let next = sample.add("NextIteration", &[body], none);
    sample.0.set_input(merge.node, 1, crate::graph::Input::Data(next));
    let result = sample.add("Neg", &[exit], none);
    (sample.0, x, result)
}

#[test]
fn loops_run_and_end() {
    let (graph, x, result) = counting(3.0, 1.0);
    assert_eq!(run(&graph, x, Tensor::scalar(0.5f32), result).unwrap().0, [-3.5]);
    assert_eq!(run(&graph, x, Tensor::scalar(7.0f32), result).unwrap().0, [-7.0]);
    let (graph, x, result) = counting(3.0, 0.0);
    let error = run(&graph, x, Tensor::scalar(0.5f32), result).unwrap_err();
    assert!(error.to_string().contains("the limit of 1000 steps"), "{error}");
    assert!(error.node_name().is_some() && error.hint_text().unwrap().contains("--max-steps"));
}

#[test]
fn a_branch_that_is_not_taken_is_not_computed() {
    let mut sample = Sample::new();
    let x = sample.add("Placeholder", &[], none);
    let yes = constant(&mut sample, &Literal::Bool(true));
    let switch = sample.add("Switch", &[x, yes], none);
    let untaken = sample.add("Neg", &[switch], none);
    let taken = sample.add("Square", &[TensorRef { node: switch.node, port: 1 }], none);
    let merge = sample.add("Merge", &[untaken, taken], none);
    let (values, seen) = run(&sample.0, x, Tensor::scalar(3.0f32), merge).unwrap();
    assert_eq!(values, [9.0]);
    assert!(!seen.contains(&sample.0.tensor_name(untaken)) && seen.contains(&sample.0.tensor_name(taken)));
    let error = run(&sample.0, x, Tensor::scalar(3.0f32), untaken).unwrap_err();
    assert!(error.to_string().contains("not taken"), "{error}");
}

/// A graph whose node 'out' calls the function 'again', spelled by hand: a signature (1) with name, input and output, its
/// node 'call' of that op (3), and what it returns (4).
fn calling(op: &str, result: &str) -> Graph {
    let argument = |name: &str| [vec![0x0a, name.len() as u8], name.as_bytes().to_vec()].concat();
    let mut signature = argument("again");
    put_bytes(&mut signature, 2, &argument("x"));
    put_bytes(&mut signature, 3, &argument("y"));
    let mut node = argument("call");
    put_bytes(&mut node, 2, op.as_bytes());
    put_bytes(&mut node, 3, b"x");
    let mut returned = argument("y");
    put_bytes(&mut returned, 2, result.as_bytes());
    let mut function = Vec::new();
    put_bytes(&mut function, 1, &signature);
    put_bytes(&mut function, 3, &node);
    put_bytes(&mut function, 4, &returned);
    let mut library = Vec::new();
    put_bytes(&mut library, 1, &function);
    let mut file = Vec::new();
    for (name, op, input) in [("x", "Placeholder", ""), ("out", "again", "x")] {
        let mut node = argument(name);
        put_bytes(&mut node, 2, op.as_bytes());
        if !input.is_empty() {
            put_bytes(&mut node, 3, input.as_bytes());
        }
        put_bytes(&mut file, 1, &node);
    }
    put_bytes(&mut file, 2, &library);
    read::parse(file.into()).unwrap()
}

#[test]
fn recursion_ends_with_an_error() {
    let graph = calling("again", "call:y:0");
    let error = run(&graph, NodeId(0).into(), Tensor::scalar(1.0f32), NodeId(1).into()).unwrap_err();
    assert!(error.to_string().contains("call each other"), "{error}");
}

#[test]
fn a_function_names_its_tensors_by_outputs_of_ops() {
    let run = |op: &str, result: &str| {
        run(&calling(op, result), NodeId(0).into(), Tensor::vector(vec![3.0f32, 1.0, 3.0]), NodeId(1).into())
    };
    assert_eq!(run("Neg", "call:y:0").unwrap().0, [-3.0, -1.0, -3.0]);
    assert_eq!(
        run("ZipDataset", "call:handle:0").unwrap_err().kind(),
        ErrorKind::Refused,
        "the op, not its output, is unknown"
    );
    for result in ["call:no_such_output:0", "call:a:b:c", "nothing:y:0", ""] {
        let error = run("Unique", result).unwrap_err();
        assert_eq!((error.kind(), error.node_name()), (ErrorKind::InvalidGraph, Some("again")), "{result}: {error}");
    }
}

#[test]
fn half_precision_is_rounded_after_every_op() {
    let mut sample = Sample::new();
    let half = |attrs: &mut Attrs, name: &str| {
        attrs.data_type(name, DataType::DtHalf);
    };
    let x = sample.add("Placeholder", &[], none);
    let cast = sample.add("Cast", &[x], |attrs| {
        half(attrs, "DstT");
        attrs
    });
    let sum = sample.add("AddV2", &[cast, cast], |attrs| {
        half(attrs, "T");
        attrs
    });
    let plan = Plan::new(&sample.0, &[x], &[sum], &LIMITS).unwrap();
    let result = Session::new(&plan).run(&[Tensor::vector(vec![0.1f32])], &mut |_, _| Ok(())).unwrap();
    assert_eq!((result[0].dtype(), result[0].values::<f32>().unwrap()), (DType::F16, &[0.199_951_17][..]));
}

#[test]
fn cycles_and_missing_inputs_are_errors() {
    let cycle = graph_of("a = Neg(b)\nb = Neg(a)");
    assert!(Plan::new(&cycle, &[], &[NodeId(0).into()], &LIMITS).is_err());
    let short = graph_of("x = Placeholder\na = AddV2(x)");
    let error = run(&short, NodeId(0).into(), Tensor::scalar(1.0f32), NodeId(1).into()).unwrap_err();
    assert_eq!(error.to_string(), "input 1 is missing in node 'a' (AddV2)");
    let port = graph_of("x = Placeholder\na = Neg(x)\nb = Neg(a:7)");
    let error = run(&port, NodeId(0).into(), Tensor::scalar(1.0f32), NodeId(2).into()).unwrap_err();
    assert!(error.to_string().contains("output 7"), "{error}");
}
