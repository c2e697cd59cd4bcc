//! A GraphDef as a SavedModel of its own, with one signature and no variables: what TensorFlow 2, its TFLite converter and
//! other converters load by folder.

use std::collections::BTreeMap;

use prost::Message;

use super::report::{Endpoint, FreezeReport};
use super::signature::DEFAULT;
use crate::container::{MessageKind, Model};
use crate::error::{Error, ErrorKind, Result};
use crate::proto::tensorflow::{
    SignatureDef, TensorInfo, TensorShapeProto, meta_graph_def::MetaInfoDef, tensor_info::Encoding,
    tensor_shape_proto::Dim,
};
use crate::wire::put_bytes;

/// Field numbers of MetaGraphDef.
mod field {
    pub const META_INFO_DEF: u32 = 1;
    pub const SIGNATURE_DEF: u32 = 5;
}

/// The method that servers know such a signature by.
const METHOD: &str = "tensorflow/serving/predict";
/// The loader wants to know which TensorFlow wrote the file; this is the one whose ops are written.
const TENSORFLOW_VERSION: &str = "2.15.0";

/// Makes a GraphDef the graph of a new SavedModel, tagged `serve`, with the signature `serving_default` between the
/// report's inputs and outputs.
///
/// # Errors
/// [`ErrorKind::Container`] if the model is something else already; [`ErrorKind::Refused`] if the graph has lost one of
/// the tensors.
pub fn enclose(model: &mut Model, report: &FreezeReport) -> Result<()> {
    if model.kind != MessageKind::GraphDef {
        return Err(Error::new(
            ErrorKind::Container,
            format!("a {} cannot become a new SavedModel", model.kind.name()),
        )
        .hint("freeze it first"));
    }
    for endpoint in report.inputs.iter().chain(&report.outputs) {
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
        inputs: infos(&report.inputs),
        outputs: infos(&report.outputs),
        method_name: METHOD.to_owned(),
        ..SignatureDef::default()
    };
    let mut entry = Vec::new();
    put_bytes(&mut entry, 1, DEFAULT.as_bytes());
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
