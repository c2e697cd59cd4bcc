//! The statistics that TensorFlow's converter imports (`tf_tfl_translate --quant-stats`): a `QuantizationInfo`, as text or
//! binary, with an entry for each tensor.

use prost::Message;

use super::entry::{Entry, not_one};
use super::{Ranges, of_activations};
use crate::container::text::{parse_message, print_message};
use crate::error::Result;
use crate::proto::descriptor;
use crate::proto::quant::QuantizationInfo;
use crate::proto::quant::quantization_info::per_axis_params::ParamsOneof;
use crate::proto::quant::quantization_info::quant_params::NameOneof;
use crate::proto::quant::quantization_info::{Metadata, MinMax, PerAxisParams, QuantParams};

const MESSAGE: &str = "mlir.quant.QuantizationInfo";

/// The ranges of activations in text form.
#[must_use]
pub fn to_quant_stats(ranges: &Ranges) -> String {
    let entries = of_activations(ranges).map(|(row, channel)| {
        let ends = MinMax { min: channel.min, max: channel.max };
        QuantParams {
            name_oneof: Some(NameOneof::Name(row.tensor.clone())),
            params: vec![PerAxisParams { params_oneof: Some(ParamsOneof::MinMax(ends)) }],
            meta: Some(Metadata { num_bits: i32::try_from(row.bits).unwrap_or_default(), ..Metadata::default() }),
        }
    });
    let message = QuantizationInfo { entries: entries.collect() }.encode_to_vec();
    let mut text = Vec::new();
    // Nothing that is written to memory fails.
    drop(print_message(&message, &descriptor(MESSAGE), &mut text));
    String::from_utf8(text).unwrap_or_default()
}

/// What such a message in text form gives.
pub(super) fn entries_of_text(text: &str) -> Result<Vec<Entry>> {
    let binary = parse_message(text, &descriptor(MESSAGE)).map_err(not_one)?;
    entries(&binary)
}

/// What such a message gives. Where there is a range for each channel, the one that holds all: an activation has one.
pub(super) fn entries(binary: &[u8]) -> Result<Vec<Entry>> {
    let message = QuantizationInfo::decode(binary).map_err(not_one)?;
    let mut entries = Vec::new();
    for (index, params) in message.entries.into_iter().enumerate() {
        let place = format!("entry {}", index + 1);
        let (name, is_pattern) = match params.name_oneof {
            Some(NameOneof::Name(name)) => (name, false),
            Some(NameOneof::NameRegex(pattern)) => (pattern, true),
            None => return Err(not_one(format!("{place} names no tensor"))),
        };
        let mut whole: Option<[f64; 2]> = None;
        for channel in &params.params {
            match &channel.params_oneof {
                Some(ParamsOneof::MinMax(ends)) => {
                    let [min, max] = [ends.min, ends.max].map(f64::from);
                    // What is no number stays to be told of.
                    let union = |whole: [f64; 2]| {
                        if min.is_nan() || max.is_nan() { [min, max] } else { [whole[0].min(min), whole[1].max(max)] }
                    };
                    whole = Some(whole.map_or([min, max], union));
                }
                Some(ParamsOneof::AffineParams(_)) => {
                    return Err(not_one(format!("{place}: '{name}' has a scale instead of min and max")));
                }
                None => {}
            }
        }
        let Some(ends) = whole else { continue };
        // Without a number, the name stands for the op's outputs.
        let tensor = if is_pattern || name.contains(':') { name } else { format!("{name}:0") };
        let bits = params.meta.map(|meta| i64::from(meta.num_bits)).filter(|&bits| bits != 0);
        entries.push(Entry { names: vec![tensor], is_pattern, ends, bits, place });
    }
    Ok(entries)
}
