//! Which layers the user wants touched: `--include` and `--exclude`, regular expressions on the names of layer ops.

use hashbrown::HashSet;
use regex::Regex;
use serde::{Serialize, Serializer};

use crate::error::{Error, ErrorKind};

/// A choice of layers by name.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Selection {
    #[serde(serialize_with = "as_typed")]
    include: Vec<Regex>,
    #[serde(serialize_with = "as_typed")]
    exclude: Vec<Regex>,
    /// Nodes that are nobody's business, by name.
    #[serde(skip)]
    left_out: HashSet<String>,
}

impl Selection {
    /// Layers that match any of `include` (all, if there are none) and none of `exclude`. A pattern matches anywhere in
    /// a name.
    ///
    /// # Errors
    /// [`ErrorKind::Options`] for a pattern that is no regular expression.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, Error> {
        Ok(Self { include: compile(include)?, exclude: compile(exclude)?, left_out: HashSet::new() })
    }

    /// The same choice without nodes of these names.
    #[must_use]
    pub(crate) fn without<'n>(mut self, names: impl Iterator<Item = &'n str>) -> Self {
        self.left_out.extend(names.map(str::to_owned));
        self
    }

    /// Whether the layer of that name is chosen.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        (self.include.is_empty() || self.include.iter().any(|pattern| pattern.is_match(name)))
            && !self.exclude.iter().any(|pattern| pattern.is_match(name))
            && (self.left_out.is_empty() || !self.left_out.contains(name))
    }

    /// Checks that every pattern matches one of the layers or of the other ops that may be chosen (elementwise ones), as
    /// one that matches none is a typing mistake.
    ///
    /// # Errors
    /// [`ErrorKind::Options`], with the layer whose name comes nearest: the others have names that nobody types.
    pub fn check<'a>(
        &self,
        layers: impl Iterator<Item = &'a str> + Clone,
        others: &(impl Iterator<Item = &'a str> + Clone),
    ) -> Result<(), Error> {
        for pattern in self.include.iter().chain(&self.exclude) {
            if !layers.clone().chain(others.clone()).any(|name| pattern.is_match(name)) {
                return Err(no_match(pattern.as_str(), layers));
            }
        }
        Ok(())
    }
}

fn as_typed<S: Serializer>(patterns: &[Regex], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(patterns.iter().map(Regex::as_str))
}

fn compile(patterns: &[String]) -> Result<Vec<Regex>, Error> {
    let compile = |pattern: &String| {
        Regex::new(pattern).map_err(|error| {
            // The message shows the pattern once more, over several lines; its last one says what is wrong.
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Error::new(ErrorKind::Options, format!("'{pattern}' is no regular expression: {reason}"))
                .hint("escape . [ ] ( ) { } * + ? ^ $ | with a backslash")
        })
    };
    patterns.iter().map(compile).collect()
}

fn no_match<'a>(pattern: &str, layers: impl Iterator<Item = &'a str>) -> Error {
    let error = Error::new(ErrorKind::Options, format!("the pattern '{pattern}' matches no layer"));
    let nearest = layers.max_by(|a, b| strsim::jaro(pattern, a).total_cmp(&strsim::jaro(pattern, b)));
    match nearest {
        Some(layer) => error.hint(format!("the nearest layer is '{layer}'")),
        None => error.hint("the graph has no layer to choose from"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(include: &[&str], exclude: &[&str]) -> Selection {
        let owned = |patterns: &[&str]| patterns.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>();
        Selection::new(&owned(include), &owned(exclude)).unwrap()
    }

    #[test]
    fn excluded_layers_are_out_even_when_included() {
        let selection = selection(&["^net/"], &["logits"]);
        assert!(selection.contains("net/conv/Conv2D"));
        assert!(!selection.contains("net/logits/MatMul"));
        assert!(!selection.contains("other/Conv2D"));
    }

    #[test]
    fn a_pattern_for_nothing_names_the_nearest_layer() {
        let check = |pattern: &str| {
            let layers = ["net/fc/MatMul", "net/conv1/Conv2D"].into_iter();
            selection(&[], &[pattern]).check(layers, &["net/conv1/mul"].into_iter())
        };
        for mistyped in ["net/convl/Conv2D", "net/conv1/mull"] {
            assert_eq!(check(mistyped).unwrap_err().hint_text(), Some("the nearest layer is 'net/conv1/Conv2D'"));
        }
        assert!(check("conv1/mul").is_ok());
    }

    #[test]
    fn a_pattern_that_is_none_is_told_as_it_was_typed() {
        let error = Selection::new(&["net/(a\\d".to_owned()], &[]).unwrap_err();
        assert_eq!(error.to_string(), "'net/(a\\d' is no regular expression: unclosed group");
    }
}
