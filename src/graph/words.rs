//! Words in names by which passes know what a node is for. Most graphs have none of them, which one look at all names
//! tells, so that nobody need look at each name for each word.

use std::sync::{LazyLock, OnceLock};

use aho_corasick::packed::Searcher;
use memchr::memmem;

/// A word that passes look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// In the scopes that `tf.gradients` makes.
    Gradient,
    /// In the scopes of Savers.
    Save,
    /// In the scope of `tf.report_uninitialized_variables`.
    ReportUninitialized,
    /// In the scopes of asserts, which frozen graphs keep when the Assert itself is gone.
    AssertGuard,
    /// As [`Word::AssertGuard`].
    AssertBroadcastable,
    /// In the scopes of batch norms made of single ops.
    BatchNorm,
}

/// What each word says, in the order of [`Word`].
const TEXTS: [&str; 6] =
    ["gradient", "save", "report_uninitialized_variables/", "AssertGuard/", "assert_broadcastable/", "/batchnorm"];

/// Finds any of the words in one go, on processors that can.
static ANY: LazyLock<Option<Searcher>> = LazyLock::new(|| Searcher::new(TEXTS));

impl Word {
    pub(crate) const fn text(self) -> &'static str {
        TEXTS[self as usize]
    }
}

/// Which words some of a graph's names hold, found out when that is first asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Words(OnceLock<Seen>);

/// What the names held that there were.
#[derive(Debug, Clone)]
struct Seen {
    held: [bool; TEXTS.len()],
    /// How many bytes all names had.
    bytes: usize,
}

impl Words {
    /// Whether the names, one after the other, hold the word. Names may have been added since they were asked last.
    pub(super) fn are_held(&self, names: &str, word: Word) -> bool {
        let names = names.as_bytes();
        let Seen { held, bytes } = self.0.get_or_init(|| Seen::of(names));
        let holds = |names: &[u8]| memmem::find(names, word.text().as_bytes()).is_some();
        held[word as usize] || holds(&names[names.len().min(*bytes)..])
    }
}

impl Seen {
    fn of(names: &[u8]) -> Self {
        let any = ANY.as_ref().is_none_or(|any| any.find(names).is_some());
        let held = TEXTS.map(|text| any && memmem::find(names, text.as_bytes()).is_some());
        Self { held, bytes: names.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_names_of_now_and_of_later() {
        let (words, names) = (Words::default(), "conv/weightssaver/x".to_owned());
        assert!(words.are_held(&names, Word::Save));
        assert!(!words.are_held(&names, Word::Gradient));
        assert!(words.are_held(&(names + "gradients/a"), Word::Gradient));
    }

    #[test]
    fn every_word_has_its_text() {
        let words = [
            (Word::Gradient, "gradient"),
            (Word::Save, "save"),
            (Word::ReportUninitialized, "report_uninitialized_variables/"),
            (Word::AssertGuard, "AssertGuard/"),
            (Word::AssertBroadcastable, "assert_broadcastable/"),
            (Word::BatchNorm, "/batchnorm"),
        ];
        for (word, text) in words {
            assert_eq!(word.text(), text);
            assert!(Words::default().are_held(text, word));
        }
    }
}
