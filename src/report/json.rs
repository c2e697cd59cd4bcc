//! The report as JSON, for scripts.

use super::Report;

/// The report as a JSON document, one field a line, ending in a line break.
#[must_use]
pub fn to_json(report: &Report) -> String {
    let mut json = serde_json::to_string_pretty(report).unwrap_or_default();
    json.push('\n');
    json
}
