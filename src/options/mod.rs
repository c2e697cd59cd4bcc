//! The dial: everything that a user may choose about a rewrite, each choice in one place.
//!
//! What both generations of rules know stands in [`Common`] and [`Quantize`]; what one alone knows stands in that arm of
//! [`Rules`]. The [`Generation`] that is settled on also makes the [`Builder`], so the two cannot disagree.

mod ranges;
mod selection;

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::collections::{Collections, GLOBAL_VARIABLES, MOVING_AVERAGE_VARIABLES};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::op_class::is_variable;
use crate::graph::{Graph, NodeId};
use crate::nodes::{Builder, Dialect};

pub use ranges::{ConstantRanges, GivenRange, GivenRanges, Target, Weights, is_range};
pub use selection::Selection;

/// What to do to a model.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)] // switches
pub struct RewriteOptions {
    /// What every pass asks.
    pub common: Common,
    /// Whether to fold batch norms. Folding comes first.
    pub fold: bool,
    /// Whether to fold batch norms that are constant by arithmetic first, in a GraphDef.
    pub fold_constants: bool,
    /// Whether a batch norm that stays unfolded is an error.
    pub strict_fold: bool,
    /// How to quantize, if at all.
    pub quantize: Option<Quantize>,
    /// By which rules layers and batch norms are recognised.
    pub rules: Rules,
    /// Whether a result in which nothing was quantized, or folded, is no error where the rules choose themselves.
    pub allow_nothing: bool,
    /// The name of a NoOp to add that runs all new initialisers.
    pub init_op: Option<String>,
    /// The name of a NoOp to add that runs all range updates.
    pub update_op: Option<String>,
}

impl Default for RewriteOptions {
    /// Fold and quantize, by the rules that suit the graph.
    fn default() -> Self {
        Self {
            common: Common::default(),
            fold: true,
            fold_constants: false,
            strict_fold: false,
            quantize: Some(Quantize::default()),
            rules: Rules::default(),
            allow_nothing: false,
            init_op: None,
            update_op: None,
        }
    }
}

/// What every pass asks.
#[derive(Debug, Clone, Serialize)]
pub struct Common {
    /// Whether the graph trains. In an eval graph ranges are read, not updated.
    #[serde(rename = "mode", serialize_with = "mode")]
    pub is_training: bool,
    /// Which layers to touch at all.
    #[serde(flatten)]
    pub selection: Selection,
    /// Whether to leave what the rules refuse as it is, instead of refusing the graph.
    pub skip_unmatched: bool,
    /// Whether to leave out of the graph what its outputs do not need: what trains, saves and watches.
    pub drop_training: bool,
}

impl Default for Common {
    fn default() -> Self {
        Self { is_training: true, selection: Selection::default(), skip_unmatched: false, drop_training: false }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's form
fn mode<S: Serializer>(is_training: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *is_training { "training" } else { "eval" })
}

/// How to quantize, whatever the rules.
#[derive(Debug, Clone, Serialize)]
pub struct Quantize {
    /// Bits for weights, 2 to 8.
    pub weight_bits: u8,
    /// Bits for activations, 2 to 8.
    pub activation_bits: u8,
    /// The decay of the moving averages of activation ranges, between 0 and 1.
    pub ema_decay: f64,
    /// The step from which activations are quantized; before it they pass as they are.
    pub quant_delay: Option<i64>,
    /// The collection that range variables enter beside the standard ones; the rules have a default.
    pub vars_collection: Option<String>,
    /// Constants in place of range variables, by the rules of topology in an eval graph.
    #[serde(flatten)]
    pub constant_ranges: Option<ConstantRanges>,
}

impl Default for Quantize {
    fn default() -> Self {
        Self {
            weight_bits: 8,
            activation_bits: 8,
            ema_decay: 0.999,
            quant_delay: None,
            vars_collection: None,
            constant_ranges: None,
        }
    }
}

impl Quantize {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// [`ErrorKind::Options`] for bits outside 2 to 8 and a decay outside 0 to 1.
    fn check(&self) -> Result<()> {
        for (what, bits) in [("weight", self.weight_bits), ("activation", self.activation_bits)] {
            if !(2..=8).contains(&bits) {
                return Err(Error::new(ErrorKind::Options, format!("{what} bits must be 2 to 8, not {bits}"))
                    .hint("fake quantization rounds to at most 256 levels; 8 bits suit most devices"));
            }
        }
        if !(0.0..=1.0).contains(&self.ema_decay) {
            let what = format!("the EMA decay must be 0 to 1, not {}", self.ema_decay);
            return Err(Error::new(ErrorKind::Options, what)
                .hint("0.999 is the usual decay; smaller values follow the batches faster"));
        }
        Ok(())
    }
}

/// By which rules layers and batch norms are recognised, with the choices that these alone have.
#[derive(Debug, Clone)]
pub enum Rules {
    /// Those of names if they accept the whole graph, else those of topology. They choose themselves.
    Auto(NamesOnly),
    /// Layers are recognised by the names of their nodes, as in October 2017, with the builders of TensorFlow 1.5.
    Names(NamesOnly),
    /// Layers are recognised by structure, as in TensorFlow 1.15, and past it.
    Topology(TopologyOnly),
}

impl Default for Rules {
    fn default() -> Self {
        Self::Auto(NamesOnly::default())
    }
}

/// A generation of rules that was settled on.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "match", rename_all = "snake_case")]
pub(crate) enum Generation<'o> {
    /// [`Rules::Names`].
    Names(&'o NamesOnly),
    /// [`Rules::Topology`].
    Topology(&'o TopologyOnly),
}

/// What only the rules of names know.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NamesOnly {
    /// Whether weights leave the lowest level unused, for symmetric arithmetic. By topology they always do.
    pub weight_narrow_range: bool,
    /// Whether folded weights, which depend on the batch, get moving averages as well.
    pub quantize_folded_weights_use_ema: bool,
}

/// What only the rules of topology know.
#[derive(Debug, Clone, Default, Serialize)]
#[allow(clippy::struct_excessive_bools)] // switches
pub struct TopologyOnly {
    /// Whether the ends of layers' ranges are kept at the same distance from zero.
    pub symmetric: bool,
    /// The name scope outside of which nothing is quantized.
    pub scope: Option<String>,
    /// Whether to do what TensorFlow does and no more: without [`crate::passes::extensions`].
    pub reference_only: bool,
    /// The step from which moving averages of folded batch norms are frozen and used instead of the batch's statistics.
    pub freeze_bn_delay: Option<i64>,
    /// Whether to go on where TensorFlow 1.15 refuses a graph because an optimizer was added to it already.
    pub allow_training_ops: bool,
    /// Whether new variables are resource variables, as under `tf.enable_resource_variables()`. Where more is done than
    /// TensorFlow does, they are that in any case if most of the model's own variables are.
    pub resource_variables: bool,
}

impl TopologyOnly {
    /// The choices in force for that graph, which may decide what is left open.
    pub(crate) fn settled_for(&self, graph: &Graph) -> Self {
        let resource_variables = self.resource_variables || !self.reference_only && mostly_resources(graph);
        Self { resource_variables, ..self.clone() }
    }
}

/// Whether more of the graph's variables are resources than are not.
fn mostly_resources(graph: &Graph) -> bool {
    let count = |is_one: fn(&str) -> bool| {
        let is_one = graph.per_op(is_one);
        graph.ids().filter(|&node| *is_one.of(graph, node)).count()
    };
    2 * count(|op| op == "VarHandleOp") > count(is_variable)
}

impl<'o> Generation<'o> {
    /// The builder of the generation, for a graph whose nodes TensorFlow imports in that order.
    pub(crate) fn builder<'g>(
        self,
        graph: &'g mut Graph,
        collections: &'g mut Collections,
        originals: Vec<NodeId>,
    ) -> Builder<'g> {
        let (dialect, resource_variables) = match self {
            Self::Names(_) => (Dialect::V1_5, false),
            Self::Topology(only) => (Dialect::V1_15, only.resource_variables),
        };
        let mut builder = Builder::with_originals(graph, collections, dialect, originals);
        builder.resource_variables = resource_variables;
        builder
    }

    /// What `--match` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Names(_) => "names",
            Self::Topology(_) => "topology",
        }
    }

    /// The collection that range variables enter beside the standard ones.
    pub(crate) fn vars_collection(self, quantize: &'o Quantize) -> &'o str {
        quantize.vars_collection.as_deref().unwrap_or(match self {
            Self::Names(_) => MOVING_AVERAGE_VARIABLES,
            Self::Topology(_) => GLOBAL_VARIABLES,
        })
    }
}

impl RewriteOptions {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// [`ErrorKind::Options`] for bits, a decay or names of new ops that cannot be.
    pub fn check(&self) -> Result<()> {
        self.quantize.as_ref().map_or(Ok(()), Quantize::check)?;
        if self.quantize.as_ref().is_some_and(|quantize| quantize.constant_ranges.is_some()) {
            let is_topology = matches!(self.rules, Rules::Topology(_));
            let is_delayed = self.quantize.as_ref().is_some_and(|quantize| quantize.quant_delay.is_some());
            if self.common.is_training || !is_topology || is_delayed {
                return Err(Error::new(ErrorKind::Options, "constant ranges are those of an eval graph")
                    .hint("use --mode eval and --match topology, without --quant-delay"));
            }
        }
        [&self.init_op, &self.update_op].into_iter().flatten().try_for_each(|name| check_op_name(name))
    }

    /// The choices in force, as the report tells them.
    pub(crate) fn in_force(&self, generation: Generation<'_>) -> BTreeMap<String, serde_json::Value> {
        let mut fields = BTreeMap::new();
        let mut tell = |part: serde_json::Result<serde_json::Value>| {
            if let Ok(serde_json::Value::Object(part)) = part {
                fields.extend(part);
            }
        };
        tell(serde_json::to_value(generation));
        tell(serde_json::to_value(&self.common));
        tell(Ok(serde_json::json!({ "fold": self.fold, "strict_fold": self.strict_fold })));
        if self.fold_constants {
            tell(Ok(serde_json::json!({ "fold_constants": true })));
        }
        if let Some(quantize) = &self.quantize {
            tell(serde_json::to_value(quantize));
            tell(Ok(serde_json::json!({ "vars_collection": generation.vars_collection(quantize) })));
        }
        fields
    }
}

/// Checks the names of gathering ops, which TensorFlow must accept.
pub(crate) fn check_op_name(name: &str) -> Result<()> {
    let starts = name.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '.');
    let rest = name.chars().all(|character| character.is_ascii_alphanumeric() || "_./\\-".contains(character));
    if starts && rest {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Options, format!("'{name}' is no name for a node"))
        .hint("use letters, digits and _ . - / and begin with a letter or digit"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples::graph_of;

    #[test]
    fn new_variables_are_resources_where_most_are() {
        let settled = |graph: &str, only: &TopologyOnly| only.settled_for(&graph_of(graph)).resource_variables;
        let open = TopologyOnly::default();
        let reference = TopologyOnly { reference_only: true, ..TopologyOnly::default() };
        let asked = TopologyOnly { resource_variables: true, ..reference.clone() };
        let mostly = "a = VarHandleOp\n b = VarHandleOp\n c = VariableV2";
        let half = "a = VarHandleOp\n b = VariableV2";
        assert_eq!([mostly, half, "x = Placeholder"].map(|graph| settled(graph, &open)), [true, false, false]);
        assert_eq!([&reference, &asked].map(|only| settled(mostly, only)), [false, true]);
        assert!(settled(half, &asked));
    }
}
