//! What is known of shapes, against TensorFlow's shape inference: one op at a time (testdata/shapes).

#![allow(clippy::unwrap_used, clippy::panic)] // a test

use std::fs;

use tfquant::internals::tensorflow::DataType;
use tfquant::internals::{Dims, Graph, ShapeCache, TensorRef, parse as parse_graph, shape_text};

/// An output of a case: its name, and what TensorFlow infers of it.
struct Expected {
    tensor: String,
    data_type: String,
    shape: Option<Dims>,
}

fn expected() -> Vec<Expected> {
    let lines = fs::read_to_string("testdata/shapes/shapes.txt").unwrap();
    let line = |line: &str| {
        let [tensor, data_type, shape] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        Expected { tensor: tensor.to_owned(), data_type: data_type.to_owned(), shape: parse(shape) }
    };
    lines.lines().map(line).collect()
}

fn parse(text: &str) -> Option<Dims> {
    let dims = text.strip_prefix('[')?.strip_suffix(']')?;
    Some(dims.split(',').filter(|dim| !dim.is_empty()).map(|dim| dim.parse().ok()).collect())
}

fn graph() -> Graph {
    parse_graph(fs::read("testdata/shapes/ops.pb").unwrap().into()).unwrap()
}

fn find(graph: &Graph, tensor: &str) -> TensorRef {
    let (node, port) = tensor.rsplit_once(':').unwrap();
    TensorRef { node: graph.find(node).unwrap(), port: port.parse().unwrap() }
}

/// Whether nothing of `known` is more than, or other than, what TensorFlow knows.
fn is_within(known: Option<&Dims>, tensorflow: Option<&Dims>) -> bool {
    let Some(known) = known else { return true };
    tensorflow.is_some_and(|dims| {
        known.len() == dims.len() && known.iter().zip(dims).all(|(known, dim)| known.is_none() || known == dim)
    })
}

/// Ops of which less is known than TensorFlow knows in some of the cases, and how.
const LESS: &[(&str, &str)] = &[
    ("Conv2D", "explicit padding"),
    ("Conv2DBackpropInput", "a batch that only the gradient tells"),
    ("Equal", "shapes that make it one answer for all"),
    ("MaxPool", "a window over channels"),
    ("NotEqual", "shapes that make it one answer for all"),
    ("Reverse", "a rank that only the list of axes tells"),
    ("Select", "dimensions that only the condition tells"),
    ("SpaceToBatchND", "other dimensions, where the blocks are unknown"),
    ("SpaceToDepth", "channels in groups"),
];

#[test]
fn nothing_is_known_that_tensorflow_does_not_infer() {
    let (graph, mut shapes) = (graph(), ShapeCache::default());
    let (mut more, mut less) = (Vec::new(), Vec::new());
    for Expected { tensor, shape, .. } in expected() {
        let known = graph.static_shape_with(find(&graph, &tensor), &mut shapes);
        let line = format!("{tensor}: {}, not {}", shape_text(known.as_ref()), shape_text(shape.as_ref()));
        let is_listed = LESS.iter().any(|(op, _)| tensor.rsplit_once('_').is_some_and(|(other, _)| other == *op));
        if !is_within(known.as_ref(), shape.as_ref()) {
            more.push(line);
        } else if known != shape && !is_listed {
            less.push(line);
        }
    }
    assert!(more.is_empty(), "more than TensorFlow knows:\n{}", more.join("\n"));
    assert!(less.is_empty(), "less than TensorFlow knows:\n{}", less.join("\n"));
}

#[test]
fn a_rank_is_that_of_the_dimensions() {
    let (graph, mut shapes) = (graph(), ShapeCache::default());
    for Expected { tensor, .. } in expected() {
        let tensor = find(&graph, &tensor);
        let dims = graph.static_shape_with(tensor, &mut shapes);
        assert_eq!(graph.rank(tensor), dims.map(|dims| dims.len()), "{}", graph.tensor_name(tensor));
    }
}

#[test]
fn element_types_are_those_of_tensorflow() {
    let graph = graph();
    for Expected { tensor, data_type, .. } in expected() {
        let known = graph.tensor_type(find(&graph, &tensor));
        let name = |known: DataType| known.as_str_name().trim_start_matches("DT_").to_lowercase();
        let known = known.map(name).map(|name| match name.as_str() {
            "float" => "float32".to_owned(),
            "double" => "float64".to_owned(),
            _ => name,
        });
        assert!(known.as_ref().is_none_or(|known| *known == data_type), "{tensor}: {known:?}, not {data_type}");
    }
}
