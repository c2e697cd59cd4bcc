//! Long lists of names, as a report has them: in one text each, without what they have in common.

use serde::{Serialize, Serializer};

use crate::graph::{Graph, NodeId};

/// Names in order. Each says only where it departs from the one before: names of neighbours begin alike, and a report
/// of a large graph has millions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// What follows the common beginnings.
    rests: Vec<u8>,
    names: Vec<Name>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Name {
    /// How many bytes it has in common with the beginning of the name before.
    shared: u32,
    /// How many are its own.
    own: u32,
}

impl Names {
    /// The names of these nodes.
    pub(crate) fn of(graph: &Graph, nodes: &[NodeId]) -> Self {
        let mut names = Self { rests: Vec::new(), names: Vec::with_capacity(nodes.len()) };
        let (mut before, mut name) = (Vec::new(), Vec::new());
        for &node in nodes {
            name.clear();
            graph.put_name(node, &mut name);
            names.push(&before, &name);
            std::mem::swap(&mut before, &mut name);
        }
        names
    }

    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = String> {
        let mut name = Vec::new();
        let mut rests = &*self.rests;
        self.names.iter().map(move |&Name { shared, own }| {
            let (own, behind) = rests.split_at(own as usize);
            rests = behind;
            name.truncate(shared as usize);
            name.extend_from_slice(own);
            String::from_utf8(name.clone()).unwrap_or_default()
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    #[allow(clippy::cast_possible_truncation)] // names are parts of files below 4 GiB
    fn push(&mut self, before: &[u8], name: &[u8]) {
        let shared = before.iter().zip(name).take_while(|(a, b)| a == b).count();
        self.rests.extend_from_slice(&name[shared..]);
        self.names.push(Name { shared: shared as u32, own: (name.len() - shared) as u32 });
    }
}

impl<'n> FromIterator<&'n str> for Names {
    fn from_iter<T: IntoIterator<Item = &'n str>>(names: T) -> Self {
        let mut all = Self::default();
        let mut before = "";
        for name in names {
            all.push(before.as_bytes(), name.as_bytes());
            before = name;
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
        let names: Names = ["a", "", "b/c", "b/c/d", "b/é", "b/è"].into_iter().collect();
        assert_eq!(serde_json::to_string(&names).unwrap(), r#"["a","","b/c","b/c/d","b/é","b/è"]"#);
        let lengths: Vec<_> = names.names.iter().map(|name| (name.shared, name.own)).collect();
        assert_eq!(lengths, [(0, 1), (0, 0), (0, 3), (3, 2), (2, 2), (3, 1)]);
        assert_eq!(Names::default().iter().count(), 0);
    }
}
