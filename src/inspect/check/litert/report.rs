//! What was found for each version of the converter, put into words.

use std::collections::BTreeMap;

use serde::Serialize;

use super::codes::{Code, Verdict};
use super::converter::VERSIONS;
use super::judge::{About, Judgements};
use super::names::tflite_name;
use crate::graph::{Graph, NodeId, TensorRef};
use crate::inspect::check::findings::{Finding, Severity};

/// The verdict on one op.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpVerdict {
    /// The node.
    pub node: String,
    /// The graph's op.
    pub op: String,
    /// The converter's op that it becomes, or a part of it.
    pub becomes: &'static str,
    /// The worse of what the versions make of it.
    pub verdict: Verdict,
    /// Why it is no integer op: codes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<&'static str>,
    /// What each version makes of it, where they differ; a version that has no such op is not in it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub by_version: BTreeMap<&'static str, Verdict>,
}

/// All verdicts.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verdicts {
    /// How many ops fare how.
    pub verdicts: BTreeMap<&'static str, usize>,
    /// The ops that compute with floats or their levels, in the order in which they run.
    pub ops: Vec<OpVerdict>,
}

/// An op that is told of.
pub(super) struct Told<'g> {
    pub kind: &'g str,
    /// Whether each version computes it: one may make it a part of another, or leave it out.
    pub computed: [bool; 2],
}

/// Puts into words what was found for each version.
pub(super) struct Report<'g> {
    pub graph: &'g Graph,
    pub found: [Judgements; 2],
    pub verdicts: Verdicts,
    pub findings: Vec<Finding>,
    pub full_integer: bool,
}

impl Report<'_> {
    /// Tells that there is nothing by which the converter could make integers.
    pub(super) fn tell_unquantized(&mut self, outputs: &[TensorRef]) {
        let Some(output) = outputs.first() else { return };
        let said = vec![(Code::NoFakeQuantizer, String::new())];
        self.found = [(); 2].map(|()| Judgements::from([(About::Node(output.node), said.clone())]));
        self.tell(About::Node(output.node), output.node, None);
    }

    /// Tells of one op, or of what is none.
    pub(super) fn tell(&mut self, about: About, node: NodeId, op: Option<&Told<'_>>) {
        let in_versions = op.map_or([true; 2], |op| op.computed);
        let said = [0, 1].map(|place| {
            let found = self.found[place].get(&about).filter(|_| in_versions[place]);
            found.map(Vec::as_slice).unwrap_or_default()
        });
        let mut told: Vec<(Code, &str, [bool; 2])> = Vec::new();
        for (code, detail) in said.iter().copied().flatten() {
            if !told.iter().any(|(other, ..)| other == code) {
                told.push((*code, detail, said.map(|said| said.iter().any(|(other, _)| other == code))));
            }
        }
        for (code, detail, in_versions) in &told {
            let is_float = code.verdict() == Verdict::StaysFloat;
            let severity = if is_float && !self.full_integer { Severity::Warning } else { Severity::Error };
            let about = if detail.is_empty() { String::new() } else { format!(": {detail}") };
            let which = match in_versions {
                [true, false] => format!(" (TensorFlow {})", VERSIONS[0]),
                [false, true] => format!(" (TensorFlow {})", VERSIONS[1]),
                _ => String::new(),
            };
            self.findings.push(Finding {
                severity,
                code: code.name(),
                node: self.graph.name(node).to_owned(),
                message: format!("{}: {}{about}{which}", code.verdict().name(), code.explanation()),
                hint: Some(code.hint()),
            });
        }
        let Some(&Told { kind, computed }) = op else { return };
        let by_each: Vec<(&'static str, Verdict)> = VERSIONS
            .into_iter()
            .zip(said.into_iter().zip(computed))
            .filter(|(_, (_, computed))| *computed)
            .map(|(version, (said, _))| {
                (version, said.iter().map(|(code, _)| code.verdict()).max().unwrap_or(Verdict::Integer))
            })
            .collect();
        let verdict = by_each.iter().map(|&(_, verdict)| verdict).max().unwrap_or(Verdict::Integer);
        *self.verdicts.verdicts.entry(verdict.name()).or_default() += 1;
        let differ = !matches!(by_each[..], [(_, first), (_, second)] if first == second);
        self.verdicts.ops.push(OpVerdict {
            node: self.graph.name(node).to_owned(),
            op: self.graph.op(node).to_owned(),
            becomes: tflite_name(kind),
            verdict,
            codes: told.iter().map(|(code, ..)| code.name()).collect(),
            by_version: if differ { by_each.into_iter().collect() } else { BTreeMap::new() },
        });
    }
}
