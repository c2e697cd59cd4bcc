//! Freezing on the way to the passes: whether a model needs it, so that one command takes it to a rewritten graph.

use std::path::PathBuf;

use super::{FreezeOptions, Frozen, body_is_in_functions, checkpoint_beside, freeze, layers};
use crate::container::{Ends, Model};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::TensorRef;
use crate::source::Location;

/// What the user says of freezing on the way.
#[derive(Debug, Clone, Default)]
pub struct OnTheWay {
    /// Whether to freeze although the layers are all in the graph.
    pub asked_for: bool,
    /// The signature; the default one or the only one, if none is named.
    pub signature: Option<String>,
    /// The checkpoint that holds the variables, if it is not the one beside the model.
    pub checkpoint: Option<PathBuf>,
    /// Where the graph is fed, by name.
    pub inputs: Vec<String>,
    /// Where the graph is read, by name.
    pub outputs: Vec<String>,
}

impl OnTheWay {
    /// Whether the model is to be frozen before the passes see it.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`], naming layers, for a graph that trains and has them in functions; [`ErrorKind::Options`] if
    /// freezing is asked for and the graph shall train.
    pub fn is_needed(&self, model: &Model, is_training: bool) -> Result<bool> {
        let body_in_functions = body_is_in_functions(model);
        if !is_training {
            return Ok(self.asked_for || body_in_functions);
        }
        if body_in_functions {
            return Err(refused_for_training(model));
        }
        if self.asked_for {
            return Err(Error::new(ErrorKind::Options, "a frozen graph does not train").hint("add --mode eval"));
        }
        Ok(false)
    }

    /// Freezes the model; its ends are then those of the frozen graph.
    ///
    /// # Errors
    /// Those of [`freeze`].
    pub fn freeze(&self, model: &Model, location: &Location) -> Result<Frozen> {
        let options = FreezeOptions {
            signature: self.signature.clone(),
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
            checkpoint: self.checkpoint.clone().or_else(|| checkpoint_beside(location)),
            use_defaults: false,
            simplify: false,
        };
        let mut frozen = freeze(model, &options)?;
        let graph = &frozen.model.graph;
        let find = |ends: &[super::report::Endpoint]| -> Vec<TensorRef> {
            ends.iter().filter_map(|end| graph.find_tensor(&end.tensor)).collect()
        };
        frozen.model.ends = Ends { inputs: find(&frozen.report.inputs), outputs: find(&frozen.report.outputs) };
        frozen.model.path.clone_from(&model.path);
        Ok(frozen)
    }
}

fn refused_for_training(model: &Model) -> Error {
    let layers = layers::in_functions(model);
    let what = match layers.first() {
        Some(first) => format!(
            "{} layers are in functions, where training graphs are not rewritten; the first is '{}' ({}) of '{}'",
            layers.len(),
            first.node,
            first.op,
            first.function
        ),
        None => "the body of the graph is in functions, where training graphs are not rewritten".to_owned(),
    };
    Error::new(ErrorKind::Refused, what).hint(
        "for inference add --mode eval, which freezes it; to train, build the model in a graph of tf.compat.v1 and export \
         that with tf.compat.v1.train.export_meta_graph",
    )
}
