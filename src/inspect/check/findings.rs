//! What a check found: single findings, and the list of them, which is bounded whatever the size of the graph.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// So many findings of one code are listed; all are counted.
pub const MAX_LISTED: usize = 10_000;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A converter refuses the graph, or it cannot work.
    Error,
    /// It passes, and is probably not what was meant.
    Warning,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A stable code.
    pub code: &'static str,
    /// The node, variable or checkpoint key it is about.
    pub node: String,
    /// What is the matter.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
}

impl Finding {
    /// An error.
    #[must_use]
    pub fn error(code: &'static str, node: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, node: node.to_owned(), message: message.into(), hint: None }
    }

    /// A warning.
    #[must_use]
    pub fn warning(code: &'static str, node: &str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, node, message) }
    }
}

/// What was found: errors first, then in the order in which it was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Findings {
    /// How many are errors.
    pub errors: usize,
    /// How many are warnings.
    pub warnings: usize,
    /// Of each code the first [`MAX_LISTED`].
    #[serde(rename = "findings")]
    pub listed: Vec<Finding>,
    /// How many more there are of a code.
    #[serde(rename = "unlisted_findings", skip_serializing_if = "BTreeMap::is_empty")]
    pub unlisted: BTreeMap<&'static str, usize>,
    #[serde(skip)]
    counts: BTreeMap<&'static str, usize>,
}

impl Findings {
    /// The findings with more behind those of the same severity.
    #[must_use]
    pub fn with(mut self, more: impl IntoIterator<Item = Finding>) -> Self {
        for finding in more {
            match finding.severity {
                Severity::Error => self.errors += 1,
                Severity::Warning => self.warnings += 1,
            }
            let count = self.counts.entry(finding.code).or_default();
            *count += 1;
            if *count > MAX_LISTED {
                *self.unlisted.entry(finding.code).or_default() += 1;
            } else {
                self.listed.push(finding);
            }
        }
        self.listed.sort_by_key(|finding| finding.severity);
        self
    }

    /// The findings with one error of that code for each of `about`; those that are listed are put into words.
    #[must_use]
    pub fn with_each<T>(
        self,
        code: &'static str,
        mut about: impl Iterator<Item = T>,
        in_words: impl Fn(T) -> Finding,
    ) -> Self {
        let mut findings = self.with(about.by_ref().take(MAX_LISTED).map(in_words));
        let unlisted = about.count();
        findings.errors += unlisted;
        if unlisted > 0 {
            *findings.unlisted.entry(code).or_default() += unlisted;
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_past_the_bound_are_counted_by_their_code() {
        let many = (0..MAX_LISTED + 3).map(|index| Finding::warning("many", &index.to_string(), "it is one of many"));
        let findings = Findings::default().with(many).with([Finding::error("one", "a", "it is the only one")]);
        assert_eq!((findings.errors, findings.warnings), (1, MAX_LISTED + 3));
        assert_eq!(findings.listed.len(), MAX_LISTED + 1);
        assert_eq!((findings.listed[0].code, findings.listed[1].node.as_str()), ("one", "0"));
        assert_eq!(findings.unlisted, BTreeMap::from([("many", 3)]));
    }
}
