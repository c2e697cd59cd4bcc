//! Random models that are always valid: what bytes say, taken as a sequence of steps by which a network grows.
//!
//! Fuzz targets, property tests and `examples/generate.rs` share them. Every dimension is known, so a model that
//! TensorFlow refuses is a mistake here, and a rewritten one that it refuses is a mistake of the rewrite.

#![allow(dead_code)] // every test uses its part

mod branches;
#[allow(clippy::duplicate_mod)] // each of those who make graphs can be had without the others
#[path = "../builder.rs"]
pub mod builder;
mod functions;
mod layers;
mod network;

use arbitrary::Unstructured;
use prost::Message;
use tfquant::MessageKind;
use tfquant::internals::put_uint;
use tfquant::internals::tensorflow::collection_def::{AnyList, BytesList, FloatList, Int64List, Kind, NodeList};
use tfquant::internals::tensorflow::meta_graph_def::MetaInfoDef;
use tfquant::internals::tensorflow::{
    CollectionDef, FunctionDefLibrary, GraphDef, MetaGraphDef, SavedModel, VersionDef,
};

use network::Network;

/// More steps make no other kinds of graphs.
const MOST_STEPS: usize = 14;
/// A producer that has every op in use here, and today's checks.
const PRODUCER: i32 = 1087;

/// A model, encoded.
pub struct Random {
    pub kind: MessageKind,
    pub message: Vec<u8>,
}

/// The GraphDef that the bytes stand for.
pub fn graph_def(bytes: &[u8]) -> Vec<u8> {
    let mut choices = Unstructured::new(bytes);
    let has_unknown_fields = choice(&mut choices, 8) == 7;
    encoded_graph(&network(&mut choices), has_unknown_fields)
}

/// The model that the bytes stand for: a GraphDef, or one inside of a MetaGraphDef or a SavedModel.
pub fn model(bytes: &[u8]) -> Random {
    let mut choices = Unstructured::new(bytes);
    let kind = [MessageKind::GraphDef, MessageKind::MetaGraphDef, MessageKind::SavedModel][choice(&mut choices, 3)];
    let network = network(&mut choices);
    let message = match kind {
        MessageKind::GraphDef => encoded_graph(&network, false),
        MessageKind::MetaGraphDef => meta_graph(&network, &mut choices).encode_to_vec(),
        MessageKind::SavedModel => {
            let meta_graphs = vec![meta_graph(&network, &mut choices)];
            SavedModel { saved_model_schema_version: 1, meta_graphs }.encode_to_vec()
        }
    };
    Random { kind, message }
}

/// One of so many, the first where the bytes are used up.
fn choice(choices: &mut Unstructured, count: usize) -> usize {
    choices.int_in_range(0..=count - 1).unwrap_or(0)
}

/// Whether to, seldom where the bytes are used up.
fn whether(choices: &mut Unstructured) -> bool {
    choice(choices, 2) == 1
}

fn network(choices: &mut Unstructured) -> Network {
    let mut network = Network::new();
    // Most have none: training graphs with layers in functions are refused, whatever else is in them.
    let has_functions = choice(choices, 4) == 3;
    for _ in 0..MOST_STEPS {
        if choices.is_empty() {
            break;
        }
        match choice(choices, 17) {
            14 if has_functions => functions::call(&mut network, choices),
            15 if has_functions => functions::functional_if(&mut network),
            6 | 7 => layers::bypass(&mut network, choices),
            8 => layers::two_tensors(&mut network, choices),
            9 => layers::concat(&mut network),
            10 => layers::one_tensor(&mut network, choices),
            11 => layers::integers(&mut network, choices),
            12 => branches::conditional(&mut network),
            13 => branches::while_loop(&mut network, choices),
            16 => layers::constant_of_a_type(&mut network, choices),
            _ => layers::layer(&mut network, choices),
        }
    }
    network.finish(whether(choices));
    network
}

fn encoded_graph(network: &Network, has_unknown_fields: bool) -> Vec<u8> {
    let mut encoded = graph(network).encode_to_vec();
    if has_unknown_fields {
        put_uint(&mut encoded, 777, 5);
    }
    encoded
}

fn graph(network: &Network) -> GraphDef {
    let function = network.functions.clone();
    GraphDef {
        node: network.nodes.clone(),
        library: (!function.is_empty()).then(|| FunctionDefLibrary { function, ..FunctionDefLibrary::default() }),
        versions: Some(VersionDef { producer: PRODUCER, ..VersionDef::default() }),
        ..GraphDef::default()
    }
}

/// The network with collections of every kind.
fn meta_graph(network: &Network, choices: &mut Unstructured) -> MetaGraphDef {
    let value: Vec<_> = network.variables.iter().map(|variable| variable.encode_to_vec().into()).collect();
    let variables = Kind::BytesList(BytesList { value });
    let nodes = network.tensors.iter().map(|tensor| format!("{}:0", tensor.name)).collect();
    let others = [
        ("update_ops", Kind::NodeList(NodeList { value: nodes })),
        ("losses", Kind::FloatList(FloatList { value: vec![0.5, f32::INFINITY] })),
        ("steps", Kind::Int64List(Int64List { value: vec![i64::MIN, 3] })),
        ("messages", Kind::AnyList(AnyList::default())),
    ];
    let mut collections = vec![("variables", variables.clone()), ("trainable_variables", variables)];
    collections.extend(others.into_iter().filter(|_| whether(choices)));
    MetaGraphDef {
        meta_info_def: Some(MetaInfoDef { tags: vec!["serve".to_owned()], ..MetaInfoDef::default() }),
        graph_def: Some(graph(network)),
        collection_def: collections
            .into_iter()
            .map(|(key, kind)| (key.to_owned(), CollectionDef { kind: Some(kind) }))
            .collect(),
        ..MetaGraphDef::default()
    }
}
