//! The signatures of a MetaGraphDef: under which names its tensors are fed and read.

use hashbrown::HashSet;
use prost::Message;

use crate::collections::map_entry;
use crate::graph::{Graph, TensorRef};
use crate::proto::tensorflow::{SignatureDef, TensorInfo, tensor_info::Encoding};
use crate::wire;

/// The signature that exporters write unless told otherwise.
pub(crate) const DEFAULT_SIGNATURE: &str = "serving_default";

/// The tensors that a MetaGraphDef's signatures name: which signature and key, and where.
#[derive(Debug, Default)]
pub struct Signatures {
    /// What is fed: `signature:key`, and the tensor.
    pub inputs: Vec<(String, TensorRef)>,
    /// What is read.
    pub outputs: Vec<(String, TensorRef)>,
}

impl Signatures {
    /// Reads the signatures of an encoded MetaGraphDef; tensors that the graph lacks are passed over.
    #[must_use]
    pub fn read(graph: &Graph, meta_graph: &[u8]) -> Self {
        const SIGNATURE_DEF: u32 = 5;
        let mut signatures = Self::default();
        for entry in wire::messages(meta_graph, SIGNATURE_DEF) {
            let Some((key, range)) = map_entry(entry) else { continue };
            // What a loader runs to initialise is nothing that is read.
            if key.starts_with("__saved_model_") {
                continue;
            }
            let Ok(signature) = SignatureDef::decode(&entry[range]) else { continue };
            let find = |(name, info): (&String, &TensorInfo)| Some((format!("{key}:{name}"), named_by(graph, info)?));
            signatures.inputs.extend(signature.inputs.iter().filter_map(find));
            signatures.outputs.extend(signature.outputs.iter().filter_map(find));
        }
        signatures
    }

    /// The tensors that are read, each once.
    #[must_use]
    pub fn outputs(&self) -> Vec<TensorRef> {
        let mut tensors: Vec<TensorRef> = self.outputs.iter().map(|(_, tensor)| *tensor).collect();
        let mut seen = HashSet::new();
        tensors.retain(|tensor| seen.insert(*tensor));
        tensors
    }
}

fn named_by(graph: &Graph, info: &TensorInfo) -> Option<TensorRef> {
    match info.encoding.as_ref()? {
        Encoding::Name(name) => graph.find_tensor(name),
        _ => None,
    }
}
