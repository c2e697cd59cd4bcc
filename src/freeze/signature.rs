//! Between which tensors a model is frozen: those of a signature, or those that the user names.

use std::collections::BTreeMap;

use prost::Message;

use super::FreezeOptions;
use crate::container::Model;
use crate::container::endpoints::{self, Endpoint};
use crate::container::{DEFAULT_SIGNATURE, Signatures};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::name::{InputName, parse_input};
use crate::proto::tensorflow::{SignatureDef, TensorInfo, TensorShapeProto, tensor_info::Encoding};
use crate::wire;

/// A tensor that is fed or read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Wanted {
    /// What the signature calls it; without one, the node's name.
    pub key: String,
    /// The tensor's name: `node:port`.
    pub tensor: String,
    /// The element type's number, where the signature says it.
    pub data_type: Option<i32>,
    /// The dimensions, where the signature says them.
    pub shape: Option<TensorShapeProto>,
}

impl Wanted {
    /// The node and the port that the tensor's name means.
    pub(super) fn parts(&self) -> Option<(&str, u32)> {
        match parse_input(&self.tensor)? {
            InputName::Data(node, port) => Some((node, port)),
            InputName::Control(_) => None,
        }
    }
}

/// What to freeze.
#[derive(Debug, Clone, Default)]
pub(super) struct Chosen {
    /// The signature's name, if there is one.
    pub signature: Option<String>,
    pub inputs: Vec<Wanted>,
    pub outputs: Vec<Wanted>,
    /// The signature's own outputs, whatever the user named.
    pub of_signature: Vec<Wanted>,
    /// Whether the user named inputs, at which the graph is cut.
    pub cut: bool,
}

impl Chosen {
    pub(super) fn of(signature: &str, inputs: Vec<Wanted>, outputs: Vec<Wanted>) -> Self {
        let signature = Some(signature.to_owned());
        Self { signature, inputs, of_signature: outputs.clone(), outputs, cut: false }
    }
}

/// Chooses by the options: the signature asked for, or the default one, or the only one; named outputs and inputs in
/// place of its own.
///
/// # Errors
/// [`ErrorKind::Options`] if there is no such signature, or if the outputs would be a guess.
pub(super) fn choose(model: &Model, exported: Option<Chosen>, options: &FreezeOptions) -> Result<Chosen> {
    let signatures = signatures(model);
    let mut chosen = match exported {
        Some(chosen) => chosen,
        None => match pick(&signatures, options)? {
            Some((name, signature)) => {
                let [inputs, outputs] =
                    [&signature.inputs, &signature.outputs].map(|ends| ends.iter().flat_map(wanted).collect());
                Chosen::of(name, inputs, outputs)
            }
            None => Chosen::default(),
        },
    };
    if !options.outputs.is_empty() {
        chosen.outputs = named(&options.outputs, &chosen.outputs);
    } else if chosen.outputs.is_empty() {
        chosen.outputs = vec![only_output(model)?];
    }
    if !options.inputs.is_empty() {
        chosen.inputs = named(&options.inputs, &chosen.inputs);
        chosen.cut = true;
    }
    Ok(chosen)
}

/// The signatures of a model, by name, without those that only initialise.
pub(super) fn signatures(model: &Model) -> BTreeMap<String, SignatureDef> {
    const SIGNATURE_DEF: u32 = 5;
    let meta_graph = model.meta_graph().unwrap_or_default();
    let decoded = wire::messages(&meta_graph, SIGNATURE_DEF).filter_map(|entry| {
        let (key, range) = crate::collections::map_entry(entry)?;
        Some((key.to_owned(), SignatureDef::decode(&entry[range]).ok()?))
    });
    decoded.filter(|(key, _)| !["__saved_model_init_op", "__saved_model_train_op"].contains(&key.as_str())).collect()
}

fn pick<'a>(
    signatures: &'a BTreeMap<String, SignatureDef>,
    options: &FreezeOptions,
) -> Result<Option<(&'a String, &'a SignatureDef)>> {
    let list = || signatures.keys().cloned().collect::<Vec<_>>().join(", ");
    if let Some(name) = &options.signature {
        return signatures.get_key_value(name).map(Some).ok_or_else(|| {
            let error = Error::new(ErrorKind::Options, format!("the model has no signature '{name}'"));
            error.hint(if signatures.is_empty() {
                "it has none at all; name the outputs with --outputs".to_owned()
            } else {
                format!("it has: {}", list())
            })
        });
    }
    if let Some(default) = signatures.get_key_value(DEFAULT_SIGNATURE) {
        return Ok(Some(default));
    }
    match signatures.len() {
        1 => Ok(signatures.iter().next()),
        0 => Ok(None),
        _ if !options.outputs.is_empty() => Ok(None),
        _ => Err(Error::new(ErrorKind::Options, "the model has several signatures, and none is the default")
            .hint(format!("choose with --signature: {}", list()))),
    }
}

/// The tensors of one entry of a signature: a sparse one has three.
fn wanted((key, info): (&String, &TensorInfo)) -> Vec<Wanted> {
    let plain = |key: String, tensor: &String| Wanted { key, tensor: tensor.clone(), ..Wanted::default() };
    match &info.encoding {
        Some(Encoding::Name(name)) => {
            vec![Wanted { data_type: Some(info.dtype), shape: info.tensor_shape.clone(), ..plain(key.clone(), name) }]
        }
        Some(Encoding::CooSparse(sparse)) => {
            let values =
                Wanted { data_type: Some(info.dtype), ..plain(format!("{key}/values"), &sparse.values_tensor_name) };
            let indices = plain(format!("{key}/indices"), &sparse.indices_tensor_name);
            let shape = plain(format!("{key}/dense_shape"), &sparse.dense_shape_tensor_name);
            vec![values, indices, shape]
        }
        _ => Vec::new(),
    }
}

/// Names of tensors, nodes, or entries of the signature.
fn named(names: &[String], of_signature: &[Wanted]) -> Vec<Wanted> {
    let one = |name: &String| {
        let with_port = |tensor: &str| if tensor.contains(':') { tensor.to_owned() } else { format!("{tensor}:0") };
        let known =
            of_signature.iter().find(|wanted| wanted.key == *name || with_port(&wanted.tensor) == with_port(name));
        known.cloned().unwrap_or_else(|| {
            let key = name.strip_suffix(":0").unwrap_or(name).replace(':', "_");
            Wanted { key, tensor: with_port(name), ..Wanted::default() }
        })
    };
    names.iter().map(one).collect()
}

/// The one tensor that is an output beyond doubt.
fn only_output(model: &Model) -> Result<Wanted> {
    let found = endpoints::outputs(&model.graph, &Signatures::default());
    let found: Vec<Endpoint> = found.iter().collect();
    match &found[..] {
        [output] => Ok(Wanted { key: output.node.clone(), tensor: output.tensor.clone(), ..Wanted::default() }),
        [] => Err(Error::new(ErrorKind::Options, "the graph has no output that shows").hint("name it with --outputs")),
        _ => {
            let names: Vec<&str> = found.iter().take(8).map(|output| output.node.as_str()).collect();
            let more = if found.len() > names.len() { ", …" } else { "" };
            Err(Error::new(ErrorKind::Options, "there is no signature to say which tensors are the outputs")
                .hint(format!("name them with --outputs; candidates: {}{more}", names.join(", "))))
        }
    }
}
