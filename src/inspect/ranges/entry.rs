//! A range as a file gives it, before anything is checked, and what is said of a file that is none of ranges.

use crate::error::{Error, ErrorKind};

/// A range as a file gives it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub names: Vec<String>,
    /// Whether the name is a pattern that describes several.
    pub is_pattern: bool,
    pub ends: [f64; 2],
    pub bits: Option<i64>,
    /// The line, or the number of the entry.
    pub place: String,
}

/// The error about something that no tool wrote so.
pub(super) fn not_one(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Options, format!("not a file of ranges: {what}"))
        .hint("'tfquant ranges MODEL --format json' writes such a file, or csv, aeq or quant-stats")
}

/// In which line of a text a part of it begins, from one.
pub(super) fn line_of(text: &str, part: &str) -> usize {
    let offset = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    1 + text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count()
}
