//! The calibration results of ai-edge-quantizer: what its `save_calibration_result` writes and its `load_model_qsvs` reads.
//!
//! A dictionary `model_qsvs` from the names of a TFLite model's tensors to `min` and `max`, which are arrays of any rank. The
//! converter calls a tensor by its op, without the output's number if that is zero; where it computes several ops as one, by
//! all of them with semicolons between.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::entry::{Entry, line_of, not_one};
use super::{Ranges, of_activations};
use crate::document::{TOOL, to_json};
use crate::error::Result;

/// The ranges of activations in that form.
#[must_use]
pub fn to_aeq(ranges: &Ranges) -> String {
    let name = |tensor: &str| tensor.strip_suffix(":0").unwrap_or(tensor).to_owned();
    let of_tensor = of_activations(ranges)
        .map(|(row, channel)| (name(&row.tensor), json!({ "min": [channel.min], "max": [channel.max] })));
    let document = json!({
        "model_qsvs": of_tensor.collect::<Map<_, _>>(),
        "metadata": { "tool": TOOL, "model": ranges.model },
    });
    to_json(&document)
}

/// What such a dictionary gives; tensors with many ranges, or none, are passed over.
pub(super) fn entries(text: &str, tensors: &[(String, &RawValue)]) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (name, statistics) in tensors {
        let place = format!("line {}", line_of(text, statistics.get()));
        let object: Map<String, Value> = serde_json::from_str(statistics.get())
            .map_err(|_| not_one(format!("{place}: '{name}' has no min and max")))?;
        let [min, max] = ["min", "max"].map(|end| object.get(end).and_then(only_number));
        let (Some(min), Some(max)) = (min, max) else { continue };
        let tensor = if name.contains(':') { name.clone() } else { format!("{name}:0") };
        entries.push(Entry { names: vec![tensor], is_pattern: false, ends: [min, max], bits: None, place });
    }
    Ok(entries)
}

/// The one number in arrays in arrays.
fn only_number(mut value: &Value) -> Option<f64> {
    while let Value::Array(inner) = value {
        let [only] = &inner[..] else { return None };
        value = only;
    }
    value.as_f64()
}
