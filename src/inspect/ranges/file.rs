//! Ranges out of a file, which a user may have edited: each is checked, and what is wrong is told with its line.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::entry::{Entry, line_of, not_one};
use super::{aeq, csv, quant_stats};
use crate::container::text::first_field_name;
use crate::error::{Error, ErrorKind, Result};
use crate::options::{GivenRange, GivenRanges, is_range};

/// Reads ranges of activations, in whichever form [`super`] writes them; the content says in which.
///
/// # Errors
/// [`ErrorKind::Options`] with the place at which it is no such file, or of a row that is no range.
pub fn read(file: &[u8]) -> Result<GivenRanges> {
    let Ok(text) = std::str::from_utf8(file) else { return checked(&quant_stats::entries(file)?, Strict::No) };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with(['{', '[']) {
        let (entries, strict) = json(text)?;
        return checked(&entries, strict);
    }
    if first_field_name(text.as_bytes()) == Some("entries") {
        return checked(&quant_stats::entries_of_text(text)?, Strict::No);
    }
    if file.starts_with(b"\x0a")
        && let Ok(entries) = quant_stats::entries(file)
    {
        return checked(&entries, Strict::No);
    }
    checked(&csv::entries(text)?, Strict::Yes)
}

/// Whether all names must be known. Files of other tools name tensors that a graph does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strict {
    Yes,
    No,
}

fn json(text: &str) -> Result<(Vec<Entry>, Strict)> {
    let top: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(not_one)?;
    if let Some(rows) = top.get("ranges") {
        return Ok((rows_of(text, rows)?, Strict::Yes));
    }
    let tensors = match top.get("model_qsvs") {
        Some(tensors) => serde_json::from_str(tensors.get()).map_err(not_one)?,
        None if top.is_empty() => return Err(not_one("it has no ranges")),
        None => top,
    };
    let tensors: Vec<(String, &RawValue)> = tensors.into_iter().collect();
    Ok((aeq::entries(text, &tensors)?, Strict::No))
}

/// A row of the document, as far as it is read.
#[derive(Debug, Deserialize)]
struct Row<'a> {
    node: Option<String>,
    tensor: Option<String>,
    bits: Option<i64>,
    #[serde(default)]
    weights: bool,
    #[serde(borrow)]
    channels: Vec<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Ends {
    min: f64,
    max: f64,
}

fn rows_of(text: &str, rows: &RawValue) -> Result<Vec<Entry>> {
    let rows: Vec<&RawValue> = serde_json::from_str(rows.get()).map_err(not_one)?;
    let mut entries = Vec::new();
    for row in rows {
        let row: Row = part(text, row)?;
        let [channel] = row.channels[..] else { continue };
        if row.weights {
            continue;
        }
        let Ends { min, max } = part(text, channel)?;
        let place = format!("line {}", line_of(text, channel.get()));
        entries.push(Entry {
            names: row.node.into_iter().chain(row.tensor).collect(),
            is_pattern: false,
            ends: [min, max],
            bits: row.bits,
            place,
        });
    }
    Ok(entries)
}

/// A part of a text that is read on its own; errors tell the line of the whole.
fn part<'a, T: Deserialize<'a>>(text: &str, raw: &'a RawValue) -> Result<T> {
    serde_json::from_str(raw.get()).map_err(|error| {
        let told = error.to_string();
        let what = told.split(" at line ").next().unwrap_or_default();
        not_one(format!("line {}: {what}", line_of(text, raw.get()) + error.line().saturating_sub(1)))
    })
}

#[allow(clippy::cast_possible_truncation)] // ends are floats, whatever digits a file spends on them
fn checked(entries: &[Entry], strict: Strict) -> Result<GivenRanges> {
    let wrong =
        |place: &str, what: String, hint| Err(Error::new(ErrorKind::Options, format!("{place}: {what}")).hint(hint));
    let (mut given, mut first): (_, HashMap<String, String>) = (GivenRanges::default(), HashMap::new());
    for Entry { names, is_pattern, ends: [min, max], bits, place } in entries {
        let Some(name) = names.first() else {
            return wrong(place, "a range for nothing".to_owned(), "name a fake quantizer (node) or a tensor");
        };
        let mut ends = [*min as f32, *max as f32];
        if strict == Strict::No && min <= max {
            // Other tools keep what they saw, and put zero inside when they use it.
            ends = [ends[0].min(0.0), ends[1].max(0.0)];
            if ends[0] >= ends[1] {
                continue;
            }
        }
        if !is_range(ends) {
            let what = format!("[{min}, {max}] is no range of '{name}'");
            return wrong(place, what, "zero must lie in it: min ≤ 0 ≤ max, min < max");
        }
        if let Some(bits) = bits.filter(|bits| !(2..=16).contains(bits)) {
            return wrong(place, format!("{bits} bits for '{name}'"), "fake quantizers have 2 to 16");
        }
        if let Some(before) = first.insert(name.clone(), place.clone()) {
            return wrong(place, format!("'{name}' has a range already ({before})"), "give it one");
        }
        let (names, place, must_fit) = (names.clone(), place.clone(), strict == Strict::Yes);
        let range = GivenRange { names, ends, bits: *bits, place, must_fit };
        match range.names.first() {
            Some(pattern) if *is_pattern => given.add_for_all(&pattern.clone(), range)?,
            _ => given.add(range),
        }
    }
    // Where ops were computed as one, the tensor is the last one's, which comes first or last.
    for Entry { names, .. } in entries {
        for name in names.iter().filter(|name| name.contains(';')) {
            let parts = name.trim_end_matches(":0").split(';').map(|part| format!("{part}:0"));
            given.also_call(name, parts);
        }
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::super::{Channel, Ranges, Row, to_text};
    use super::*;
    use crate::document::to_json;

    fn ranges() -> Ranges {
        let row = |tensor: &str, weights: bool, ends: [f32; 2]| Row {
            node: format!("{tensor}/quant"),
            tensor: format!("{tensor}:0"),
            bits: 8,
            narrow_range: false,
            source: "constant",
            weights,
            per_channel: false,
            channels: vec![Channel::new(ends[0], ends[1], 8, false)],
        };
        let rows = vec![row("a,\"b\"", false, [-0.1, 6.0]), row("w", true, [-1.0, 1.0]), row("é", false, [0.0, 1e-9])];
        Ranges { schema_version: 1, tool: String::new(), model: "m".to_owned(), ranges: rows }
    }

    fn ends(given: &GivenRanges, tensor: &str) -> Option<[f32; 2]> {
        given.find(&[tensor]).map(|given| given.ends)
    }

    #[test]
    fn every_form_is_read_back() {
        let ranges = ranges();
        let forms =
            [to_json(&ranges), csv::to_csv(&ranges), aeq::to_aeq(&ranges), quant_stats::to_quant_stats(&ranges)];
        for form in forms {
            let given = read(form.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{form}"));
            assert_eq!(ends(&given, "a,\"b\":0"), Some([-0.1, 6.0]), "{form}");
            assert_eq!(ends(&given, "é:0"), Some([0.0, 1e-9]), "{form}");
            assert_eq!((ends(&given, "w:0"), given.iter().count()), (None, 2), "{form}");
        }
        assert!(read(to_text(&ranges).as_bytes()).is_err());
    }

    #[test]
    fn reads_what_other_tools_write() {
        let text = r#"{"model_qsvs": {"image": {"min": [[[[-1.0]]]], "max": [[[[1.0]]]]}, "net/Relu6;net/conv;net/Conv2D":
            {"min": 0, "max": 6.0}, "net/Conv2D": {"min": [[-2.0], [1.0]], "max": [[1.0], [2.0]]}, "empty": {},
            "positive": {"min": [0.25], "max": [2]}, "zeros": {"min": 0, "max": 0}},
            "metadata": {"num_samples_calibrated": 3}}"#;
        let given = read(text.as_bytes()).unwrap();
        assert_eq!(ends(&given, "image:0"), Some([-1.0, 1.0]));
        assert_eq!(ends(&given, "net/Relu6:0"), Some([0.0, 6.0]));
        assert_eq!((ends(&given, "positive:0"), ends(&given, "zeros:0")), (Some([0.0, 2.0]), None));
        assert!(given.iter().all(|given| !given.must_fit));
        let flat = read(br#"{"serving_default_x:0": {"min": -10, "max": 8}}"#).unwrap();
        assert_eq!(ends(&flat, "serving_default_x:0"), Some([-10.0, 8.0]));
        let text = "# statistics\nentries { name: \"op\" params { min_max { min: -1 max: 1 } } }\n\
                    entries { name: 'op_0:1' params { min_max { min: -2 max: 2 } } meta { num_bits: 8 } }";
        let given = read(text.as_bytes()).unwrap();
        assert_eq!((ends(&given, "op:0"), ends(&given, "op_0:1")), (Some([-1.0, 1.0]), Some([-2.0, 2.0])));
        let binary = b"\x0a\x12\x0a\x02op\x1a\x0c\x0a\x0a\x0d\0\0\x80\xbf\x15\0\0\x80\x3f";
        assert_eq!(ends(&read(binary).unwrap(), "op:0"), Some([-1.0, 1.0]));
    }

    #[test]
    fn patterns_and_channels_of_statistics_are_read() {
        let text = "entries { name_regex: 'net/.*' params { min_max { min: -1 max: 1 } } }
            entries { name: 'net/own' params { min_max { min: -2 max: 2 } } }
            entries { name_regex: 'net/later' params { min_max { min: -9 max: 9 } } }
            entries { name: 'channels' params { min_max { min: -3 max: 1 } } params { min_max { min: 0.5 max: 4 } } }";
        let given = read(text.as_bytes()).unwrap();
        assert_eq!((ends(&given, "net/a:0"), ends(&given, "net/later:0")), (Some([-1.0, 1.0]), Some([-1.0, 1.0])));
        assert_eq!((ends(&given, "net/own:0"), ends(&given, "my/net/a:0")), (Some([-2.0, 2.0]), None));
        assert_eq!(ends(&given, "channels:0"), Some([-3.0, 4.0]), "one range holds all");
        let error = said("entries { name_regex: 'net/(' params { min_max { min: -1 max: 1 } } }");
        assert!(error.starts_with("entry 1: 'net/(' is no pattern: "), "{error}");
    }

    fn said(file: &str) -> String {
        read(file.as_bytes()).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn hand_edits_are_told_with_their_line() {
        let row = |min: &str, max: &str, bits: &str| {
            format!(
                "{{\"ranges\": [\n  {{\"tensor\": \"x:0\", \"bits\": {bits},\n   \"channels\": [\n    {{\"min\": {min},\n     \
                 \"max\": {max}}}]}}]}}"
            )
        };
        assert_eq!(ends(&read(row("-0.1", "6", "8").as_bytes()).unwrap(), "x:0"), Some([-0.1, 6.0]));
        for (min, max) in [("1", "2"), ("0", "0"), ("2", "-2"), ("-1e99", "1")] {
            assert!(said(&row(min, max, "8")).starts_with("line 4: ["), "[{min}, {max}]");
        }
        assert!(said(&row("NaN", "1", "8")).contains("at line 4"));
        assert!(said(&row("\"0\"", "1", "8")).starts_with("not a file of ranges: line 4: invalid type"));
        assert_eq!(said(&row("0", "1", "1")), "line 4: 1 bits for 'x:0'");
        let table = |line: &str| format!("tensor,min,max,bits\nx:0,0,1,8\n{line}\n");
        assert_eq!(said(&table("y:0,NaN,1,8")), "line 3: [NaN, 1] is no range of 'y:0'");
        assert_eq!(said(&table("y:0,3,1,8")), "line 3: [3, 1] is no range of 'y:0'");
        assert!(said(&table("y:0,one,1,8")).ends_with("line 3: 'one' is no number"));
        assert!(said(&table("y:0,0,1,many")).ends_with("line 3: 'many' bits"));
        assert!(said(&table("y:0,0,1")).contains("line: 3"));
        assert_eq!(said(&table("x:0,0,1,8")), "line 3: 'x:0' has a range already (line 2)");
        assert_eq!(said(&table(",0,1,8")), "line 3: a range for nothing");
        for other in ["", "[]", "{}", "{", "a,b\n1,2\n", "entries { nme: 'x' }", "entries { params { } }"] {
            assert!(said(other).starts_with("not a file of ranges"), "{other}: {}", said(other));
        }
    }
}
