//! Long lists of names, as a report has them: in one text each.

use serde::{Serialize, Serializer};

use crate::graph::{Graph, NodeId};

/// Names in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    text: String,
    /// Where in the text each name ends.
    ends: Vec<usize>,
}

impl Names {
    /// The names of these nodes.
    pub(crate) fn of(graph: &Graph, nodes: &[NodeId]) -> Self {
        let mut text = Vec::new();
        let mut ends = Vec::with_capacity(nodes.len());
        for &node in nodes {
            graph.put_name(node, &mut text);
            ends.push(text.len());
        }
        Self { text: String::from_utf8(text).unwrap_or_default(), ends }
    }

    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.text[start..end])
    }
}

impl<'n> FromIterator<&'n str> for Names {
    fn from_iter<T: IntoIterator<Item = &'n str>>(names: T) -> Self {
        let mut all = Self::default();
        for name in names {
            all.text.push_str(name);
            all.ends.push(all.text.len());
        }
        all
    }
}

impl Serialize for Names {
    /// As a sequence of strings.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_a_list_of_strings() {
        let names: Names = ["a", "", "b/c"].into_iter().collect();
        assert_eq!(serde_json::to_string(&names).unwrap(), r#"["a","","b/c"]"#);
        assert_eq!(Names::default().iter().count(), 0);
    }
}
