//! A GraphDef as a SavedModel of its own, with one signature and no variables: what TensorFlow 2, its TFLite converter and
//! other converters load by folder.

use std::collections::BTreeMap;

use prost::Message;

use super::report::Endpoint;
use crate::container::DEFAULT_SIGNATURE;
use crate::container::{MessageKind, Model};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::tensor::{Shape, data_type_name};
use crate::graph::{NodeId, TensorRef};
use crate::proto::tensorflow::{
    SignatureDef, TensorInfo, TensorShapeProto, meta_graph_def::MetaInfoDef, tensor_info::Encoding,
    tensor_shape_proto::Dim,
};
use crate::wire::put_bytes;

/// Field numbers of MetaGraphDef.
mod field {
    pub(super) const META_INFO_DEF: u32 = 1;
    pub(super) const SIGNATURE_DEF: u32 = 5;
}

/// The method that servers know such a signature by.
const METHOD: &str = "tensorflow/serving/predict";
/// The loader wants to know which TensorFlow wrote the file; this is the one whose ops are written.
const TENSORFLOW_VERSION: &str = "2.15.0";

/// Makes a GraphDef the graph of a new SavedModel, tagged `serve`, with the signature `serving_default` between these
/// inputs and outputs.
///
/// # Errors
/// [`ErrorKind::Container`] if the model is something else already; [`ErrorKind::Refused`] if the graph has lost one of
/// the tensors.
pub fn enclose(model: &mut Model, inputs: &[Endpoint], outputs: &[Endpoint]) -> Result<()> {
    if model.kind != MessageKind::GraphDef {
        return Err(Error::new(
            ErrorKind::Container,
            format!("a {} cannot become a new SavedModel", model.kind.name()),
        )
        .hint("freeze it first"));
    }
    for endpoint in inputs.iter().chain(outputs) {
        if model.graph.find_tensor(&endpoint.tensor).is_none() {
            return Err(Error::new(ErrorKind::Refused, format!("the graph has no '{}' any more", endpoint.tensor))
                .hint("write it as a GraphDef"));
        }
    }
    let meta_info = MetaInfoDef {
        tags: vec!["serve".to_owned()],
        tensorflow_version: TENSORFLOW_VERSION.to_owned(),
        stripped_default_attrs: true,
        ..MetaInfoDef::default()
    };
    let mut before = Vec::new();
    put_bytes(&mut before, field::META_INFO_DEF, &meta_info.encode_to_vec());
    let signature = SignatureDef {
        inputs: infos(inputs),
        outputs: infos(outputs),
        method_name: METHOD.to_owned(),
        ..SignatureDef::default()
    };
    let mut entry = Vec::new();
    put_bytes(&mut entry, 1, DEFAULT_SIGNATURE.as_bytes());
    put_bytes(&mut entry, 2, &signature.encode_to_vec());
    let mut behind = Vec::new();
    put_bytes(&mut behind, field::SIGNATURE_DEF, &entry);
    model.enclose(before, behind);
    Ok(())
}

fn infos(endpoints: &[Endpoint]) -> BTreeMap<String, TensorInfo> {
    let info = |endpoint: &Endpoint| {
        let dims = endpoint.shape.0.as_ref();
        let dim = |&size: &i64| Dim { size, name: String::new() };
        let shape = TensorShapeProto {
            dim: dims.map(|dims| dims.iter().map(dim).collect()).unwrap_or_default(),
            unknown_rank: dims.is_none(),
        };
        TensorInfo {
            dtype: endpoint.data_type,
            tensor_shape: Some(shape),
            encoding: Some(Encoding::Name(endpoint.tensor.clone())),
        }
    };
    endpoints.iter().map(|endpoint| (endpoint.key.clone(), info(endpoint))).collect()
}

/// Makes a GraphDef the graph of a new SavedModel, as [`enclose`] does: between the ends that were named, or that show.
///
/// # Errors
/// Those of [`enclose`].
pub fn enclose_between_its_ends(model: &mut Model) -> Result<()> {
    let graph = &model.graph;
    let endpoint = |tensor: TensorRef| {
        let data_type = graph.tensor_type(tensor).map_or(0, |data_type| data_type as i32);
        Endpoint {
            key: graph.name(tensor.node).to_owned(),
            tensor: graph.tensor_name(tensor),
            was: None,
            data_type,
            dtype: data_type_name(data_type),
            shape: Shape(graph.static_shape(tensor).map(|dims| dims.iter().map(|dim| dim.unwrap_or(-1)).collect())),
        }
    };
    let placeholder = |node: &NodeId| graph.op(*node) == "Placeholder";
    let inputs: Vec<Endpoint> = if model.ends.inputs.is_empty() {
        graph.ids().filter(placeholder).map(|node| endpoint(node.into())).collect()
    } else {
        model.ends.inputs.iter().map(|&tensor| endpoint(tensor)).collect()
    };
    let outputs: Vec<Endpoint> = model.outputs().into_iter().map(endpoint).collect();
    enclose(model, &inputs, &outputs)
}
