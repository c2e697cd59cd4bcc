//! The ranges of a graph's fake quantizers: what they are, and what TensorFlow makes of them when it runs.
//!
//! TensorFlow moves a range so that zero is one of its levels; scale, zero point and ends are those of its arithmetic, bit
//! for bit. The document, and the same as [`csv`], is what is read where ranges are to be given: [`read`], which takes the
//! files of two other tools as well, [`aeq`] and [`quant_stats`].

pub mod aeq;
pub mod csv;
mod entry;
mod file;
pub mod quant_stats;

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::fake_quant::{FakeQuant, Range, fake_quants};
use crate::checkpoint::{Checkpoint, Contents};
use crate::container::Model;
use crate::document::{SCHEMA_VERSION, TOOL};
use crate::error::{Error, Result};
use crate::graph::op_class::feeds;
use crate::graph::{Graph, NodeId};
use crate::interpreter::Nudged;
pub use file::read;

/// The ranges of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranges {
    /// The version of this document; see [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The program's name and version.
    pub tool: String,
    /// The model.
    pub model: String,
    /// A row for each fake quantizer, in the order of the graph.
    pub ranges: Vec<Row>,
}

/// A fake quantizer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The node.
    pub node: String,
    /// The tensor that it rounds.
    pub tensor: String,
    /// The number of levels as bits.
    pub bits: i64,
    /// Whether the lowest level stays unused.
    pub narrow_range: bool,
    /// Where the range comes from: `constant`, `checkpoint`, `variables`, `updated` or `computed`.
    pub source: &'static str,
    /// Whether nothing that is fed has a part in the tensor. Ranges of weights are made of the weights: they are told, not
    /// read.
    pub weights: bool,
    /// Whether there is a range for each channel.
    pub per_channel: bool,
    /// The ranges, where they are known: one, or one for each channel.
    pub channels: Vec<Channel>,
}

/// One range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Channel {
    /// The lower end, as it is given.
    pub min: f32,
    /// The upper end, as it is given.
    pub max: f32,
    /// The lowest level.
    pub nudged_min: f32,
    /// The highest level.
    pub nudged_max: f32,
    /// From one level to the next.
    pub scale: f32,
    /// The level of zero, the lowest of 2^bits being 0; for int8, 128 less.
    pub zero_point: i64,
}

impl Channel {
    /// What TensorFlow makes of a range.
    #[must_use]
    pub fn new(min: f32, max: f32, bits: i64, narrow_range: bool) -> Self {
        // Both are small whole numbers, which floats hold exactly.
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
        let (lowest, highest) = (f32::from(u8::from(narrow_range)), ((1i64 << bits.clamp(2, 16)) - 1) as f32);
        let Nudged { min: nudged_min, max: nudged_max, scale, zero, .. } = Nudged::new(min, max, lowest, highest);
        #[allow(clippy::cast_possible_truncation)]
        let zero_point = (zero + lowest) as i64;
        Self { min, max, nudged_min, nudged_max, scale, zero_point }
    }
}

/// Looks at every fake quantizer; ranges in variables are those of the checkpoint, if one is given.
///
/// # Errors
/// Those of the checkpoint.
pub fn ranges(model: &Model, path: &str, checkpoint: Option<&Path>) -> Result<Ranges> {
    let mut checkpoint = checkpoint.map(Checkpoint::open).transpose()?;
    let graph = &model.graph;
    let fed = graph.reached(graph.ids().filter(|&node| feeds(graph.op(node))), |node| graph.consumers(node));
    let is_fed_at_all = fed.contains(&true);
    let row = |quant: FakeQuant| {
        let (source, ends) = ends(graph, &quant.range, checkpoint.as_mut())?;
        let channel = |(&min, &max): (&f32, &f32)| Channel::new(min, max, quant.bits, quant.narrow_range);
        Ok(Row {
            node: graph.name(quant.node).to_owned(),
            tensor: graph.tensor_name(quant.input),
            bits: quant.bits,
            narrow_range: quant.narrow_range,
            source,
            weights: is_fed_at_all && !fed[quant.input.node.index()],
            per_channel: graph.op(quant.node) == "FakeQuantWithMinMaxVarsPerChannel",
            channels: ends[0].iter().zip(&ends[1]).map(channel).collect(),
        })
    };
    let ranges = fake_quants(graph).into_iter().map(row).collect::<Result<_>>()?;
    Ok(Ranges { schema_version: SCHEMA_VERSION, tool: TOOL.to_owned(), model: path.to_owned(), ranges })
}

fn ends(graph: &Graph, range: &Range, checkpoint: Option<&mut Checkpoint>) -> Result<(&'static str, [Vec<f32>; 2])> {
    Ok(match range {
        Range::Constant { min, max } => ("constant", [min.clone(), max.clone()]),
        Range::Computed => ("computed", Default::default()),
        Range::Variables(_) | Range::Updated(_) => {
            let source = if matches!(range, Range::Variables(_)) { "variables" } else { "updated" };
            match (checkpoint, &range.variables()[..]) {
                (Some(checkpoint), &[min, max]) => {
                    ("checkpoint", [floats(graph, checkpoint, min)?, floats(graph, checkpoint, max)?])
                }
                _ => (source, Default::default()),
            }
        }
    })
}

/// The floats of a variable in the checkpoint.
fn floats(graph: &Graph, checkpoint: &mut Checkpoint, variable: NodeId) -> Result<Vec<f32>> {
    let shared = graph.attr_str(variable, "shared_name").filter(|name| !name.is_empty());
    let key = shared.unwrap_or_else(|| graph.name(variable).to_owned());
    let mut bytes = Vec::new();
    if let Contents::Numbers(parts) = checkpoint.tensor(&key, None)?.contents {
        let read = parts.iter().try_for_each(|part| part.read_to(&mut bytes));
        read.map_err(|error| Error::io("cannot read the checkpoint", error).hint("check the disk"))?;
    }
    Ok(bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
}

/// The rows of activations with one range that is known: what other tools have a place for.
fn of_activations(ranges: &Ranges) -> impl Iterator<Item = (&Row, Channel)> {
    ranges.ranges.iter().filter(|row| !row.weights).filter_map(|row| match row.channels[..] {
        [channel] => Some((row, channel)),
        _ => None,
    })
}

/// The ranges for people and grep: a fake quantizer a line; one of many ranges tells the widest.
#[must_use]
pub fn to_text(ranges: &Ranges) -> String {
    let mut text = String::new();
    for row in &ranges.ranges {
        let _ = write!(text, "range {} of {}: {} bits", row.node, row.tensor, row.bits);
        if row.narrow_range {
            text.push_str(" narrow");
        }
        let widest = row.channels.iter().max_by(|a, b| a.scale.total_cmp(&b.scale));
        let _ = match (widest, row.channels.len()) {
            (None, _) => writeln!(text, ", range in {}", row.source),
            (Some(one), 1) => writeln!(
                text,
                " [{}, {}], levels [{}, {}] scale {} zero point {}",
                one.min, one.max, one.nudged_min, one.nudged_max, one.scale, one.zero_point
            ),
            (Some(one), many) => writeln!(
                text,
                " in {many} channels, the widest [{}, {}] scale {} zero point {}",
                one.min, one.max, one.scale, one.zero_point
            ),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nudges_as_tensorflow_does() {
        let even = Channel::new(-1.0, 1.0, 8, true);
        assert_eq!((even.nudged_min, even.nudged_max, even.zero_point), (-1.0, 1.0, 128));
        assert_eq!(even.scale.to_bits(), (2.0f32 / 254.0).to_bits());
        let odd = Channel::new(-0.3, 1.0, 8, false);
        assert_eq!((odd.zero_point, odd.scale), (59, 1.3 / 255.0));
        assert_eq!(odd.nudged_min.to_bits(), ((0.0 - 59.0) * (1.3f32 / 255.0)).to_bits());
        let outside = Channel::new(1.0, 3.0, 8, false);
        assert_eq!((outside.zero_point, outside.nudged_min), (0, 0.0));
    }
}
