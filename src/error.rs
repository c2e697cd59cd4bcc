//! What can go wrong, in words a user can act on: what happened, in which node, and what to do next.
//!
//! Every stage of the library returns [`Error`]; the binary prints it and chooses the exit code by [`Error::kind`].

use std::borrow::Cow;
use std::fmt;

use crate::wire::WireError;

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file system refused: missing, unreadable, full.
    Io,
    /// The bytes are not the message they should be.
    Malformed,
    /// The message is not of a kind this operation takes, or lacks what was asked for.
    Container,
    /// The message is a graph, but not a valid one.
    InvalidGraph,
    /// The rules of the pass refuse this graph.
    Refused,
    /// The options make no sense, alone or for this graph.
    Options,
    /// A limit of the file format would be crossed.
    TooLarge,
}

impl ErrorKind {
    /// The kind as a word for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::Malformed => "malformed",
            Self::Container => "container",
            Self::InvalidGraph => "invalid_graph",
            Self::Refused => "refused",
            Self::Options => "options",
            Self::TooLarge => "too_large",
        }
    }
}

/// A failure: what happened, where, and what to do next.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    what: String,
    file: Option<String>,
    node: Option<(String, String)>,
    hint: Option<Cow<'static, str>>,
    source: Option<std::io::Error>,
}

impl Error {
    /// A failure of that kind; `what` starts in lower case and has no full stop.
    #[must_use]
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), file: None, node: None, hint: None, source: None }
    }

    /// A failure of the file system; `what` says what was being done, to which path.
    #[must_use]
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self { source: Some(source), ..Self::new(ErrorKind::Io, what) }
    }

    /// The same failure, with what the user can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure, found in the node of that name and op.
    #[must_use]
    pub fn in_node(mut self, name: &str, op: &str) -> Self {
        self.node = Some((name.to_owned(), op.to_owned()));
        self
    }

    /// The same failure, found in that node unless one is named already.
    #[must_use]
    pub(crate) fn or_in_node(self, name: &str, op: &str) -> Self {
        if self.node.is_some() { self } else { self.in_node(name, op) }
    }

    /// The same failure, found in the file of that name.
    #[must_use]
    pub fn in_file(mut self, path: &str) -> Self {
        self.file = Some(path.to_owned());
        self
    }

    /// What sort of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do next, if there is something to say.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The name of the node the failure is about.
    #[must_use]
    pub fn node_name(&self) -> Option<&str> {
        self.node.as_ref().map(|(name, _)| name.as_str())
    }

    /// The op of the node the failure is about.
    #[must_use]
    pub fn node_op(&self) -> Option<&str> {
        self.node.as_ref().map(|(_, op)| op.as_str())
    }

    /// What happened, without the node.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", Printable(file))?;
        }
        write!(f, "{}", Printable(&self.what))?;
        if let Some((name, op)) = &self.node {
            write!(f, " in node '{}' ({})", Printable(name), Printable(op))?;
        }
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

impl From<WireError> for Error {
    fn from(error: WireError) -> Self {
        Self::new(ErrorKind::Malformed, format!("not a valid protobuf message: {error}"))
            .hint("the file is damaged, truncated, or of another format; export it again")
    }
}

/// Shows text from a file with its control characters escaped: node names are not to be trusted with a terminal.
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut clean = 0;
        for (index, character) in self.0.char_indices() {
            if is_unprintable(character) {
                f.write_str(&self.0[clean..index])?;
                write!(f, "{}", character.escape_unicode())?;
                clean = index + character.len_utf8();
            }
        }
        f.write_str(&self.0[clean..])
    }
}

/// Control characters, and the marks that reorder or hide what follows them.
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_node_and_escapes_what_a_terminal_would_obey() {
        let error = Error::new(ErrorKind::Refused, "no weights").in_node("a\u{1b}[2J\u{202e}b", "Conv2D").hint("look");
        assert_eq!(error.to_string(), "no weights in node 'a\\u{1b}[2J\\u{202e}b' (Conv2D)");
        assert_eq!(error.hint_text(), Some("look"));
    }
}
