//! Ranges as a table for spreadsheets: a line for each range, with the names of its columns first.

use csv::{ReaderBuilder, StringRecord, Trim, WriterBuilder};

use super::entry::{Entry, not_one};
use super::{Channel, Ranges, Row};
use crate::error::Result;

const COLUMNS: [&str; 14] = [
    "node",
    "tensor",
    "bits",
    "narrow_range",
    "source",
    "weights",
    "per_channel",
    "channel",
    "min",
    "max",
    "nudged_min",
    "nudged_max",
    "scale",
    "zero_point",
];

/// The ranges as such a table; a range that is not known has empty cells.
#[must_use]
pub fn to_csv(ranges: &Ranges) -> String {
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    // Nothing that is written to memory fails.
    let mut write = |cells: &[String]| drop(writer.write_record(cells));
    write(&COLUMNS.map(str::to_owned));
    for row in &ranges.ranges {
        if row.channels.is_empty() {
            write(&cells(row, 0, None));
        }
        for (index, &channel) in row.channels.iter().enumerate() {
            write(&cells(row, index, Some(channel)));
        }
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

fn cells(row: &Row, index: usize, channel: Option<Channel>) -> [String; COLUMNS.len()] {
    let number = |of: fn(Channel) -> f32| channel.map(|channel| of(channel).to_string()).unwrap_or_default();
    [
        row.node.clone(),
        row.tensor.clone(),
        row.bits.to_string(),
        row.narrow_range.to_string(),
        row.source.to_owned(),
        row.weights.to_string(),
        row.per_channel.to_string(),
        index.to_string(),
        number(|channel| channel.min),
        number(|channel| channel.max),
        number(|channel| channel.nudged_min),
        number(|channel| channel.nudged_max),
        number(|channel| channel.scale),
        channel.map(|channel| channel.zero_point.to_string()).unwrap_or_default(),
    ]
}

/// What a table gives. Of the columns it needs `min`, `max` and one of `node` and `tensor`.
pub(super) fn entries(text: &str) -> Result<Vec<Entry>> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(text.as_bytes());
    let header = reader.headers().map_err(not_one)?.clone();
    let column = |name: &str| header.iter().position(|column| column == name);
    let [node, tensor, bits, weights, per_channel] = ["node", "tensor", "bits", "weights", "per_channel"].map(column);
    let (Some(min), Some(max), true) = (column("min"), column("max"), node.is_some() || tensor.is_some()) else {
        return Err(not_one("its first line has no columns min, max and node or tensor"));
    };
    let mut entries = Vec::new();
    for record in reader.records() {
        let record = record.map_err(not_one)?;
        let cell = |column: Option<usize>| column.and_then(|at| record.get(at)).filter(|cell| !cell.is_empty());
        let is_true = |column| cell(column) == Some("true");
        if is_true(weights) || is_true(per_channel) || (cell(Some(min)), cell(Some(max))) == (None, None) {
            continue;
        }
        let line = record.position().map_or(0, csv::Position::line);
        let place = format!("line {line}");
        entries.push(Entry {
            names: [node, tensor].into_iter().filter_map(cell).map(str::to_owned).collect(),
            is_pattern: false,
            ends: [number(&record, min, &place)?, number(&record, max, &place)?],
            bits: cell(bits)
                .map(|bits| bits.parse().map_err(|_| not_one(format!("{place}: '{bits}' bits"))))
                .transpose()?,
            place,
        });
    }
    Ok(entries)
}

fn number(record: &StringRecord, column: usize, place: &str) -> Result<f64> {
    let cell = record.get(column).unwrap_or_default();
    cell.parse().map_err(|_| not_one(format!("{place}: '{cell}' is no number")))
}
