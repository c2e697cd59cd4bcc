//! Names as TensorFlow spells them: scopes separated by slashes, `^node` and `node:port` for inputs.
//!
//! Used by the reader to resolve inputs and by the passes, whose rules are about scopes and suffixes.

use std::collections::BTreeSet;

use memchr::memmem;

use crate::error::{Error, ErrorKind, Result};

/// An input as a NodeDef spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputName<'a> {
    /// `node` or `node:port`.
    Data(&'a str, u32),
    /// `^node`.
    Control(&'a str),
}

/// Takes an input's spelling apart. `None` when the port is not a number.
#[must_use]
pub fn parse_input(input: &str) -> Option<InputName<'_>> {
    if let Some(node) = input.strip_prefix('^') {
        return Some(InputName::Control(node));
    }
    match input.rsplit_once(':') {
        None => Some(InputName::Data(input, 0)),
        Some((node, port)) => {
            let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            let port: u32 = digits.then(|| port.parse().ok()).flatten()?;
            (port < super::CONTROL).then_some(InputName::Data(node, port))
        }
    }
}

/// The name without its last component: `a/b` of `a/b/c`, nothing of `a`.
#[must_use]
pub fn parent(name: &str) -> Option<&str> {
    name.rsplit_once('/').map(|(scope, _)| scope)
}

/// The last component: `c` of `a/b/c`.
#[must_use]
pub fn leaf(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, leaf)| leaf)
}

/// Checks that some node is inside the scope, or is it, as a scope without nodes is a typing mistake.
///
/// # Errors
/// [`ErrorKind::Options`], with the scope whose name comes nearest.
pub fn check_scope<'a, I: Iterator<Item = &'a str>>(scope: &str, names: impl Fn() -> I) -> Result<()> {
    let scope = scope.trim_end_matches('/');
    let is_inside = |name: &str| name.strip_prefix(scope).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if scope.is_empty() || names().any(is_inside) {
        return Ok(());
    }
    let scopes: BTreeSet<&str> =
        names().flat_map(|name| std::iter::successors(parent(name), |scope| parent(scope))).collect();
    let nearest = scopes.into_iter().max_by(|a, b| strsim::jaro(scope, a).total_cmp(&strsim::jaro(scope, b)));
    let error = Error::new(ErrorKind::Options, format!("no node is inside of the scope '{scope}'"));
    Err(match nearest {
        Some(nearest) => error.hint(format!("the nearest scope is '{nearest}'")),
        None => error.hint("the graph has no scopes"),
    })
}

/// Whether the name holds that text. `str::contains` prepares each search, which costs more than to look at a name.
pub(crate) fn holds(name: &str, text: &str) -> bool {
    memmem::find(name.as_bytes(), text.as_bytes()).is_some()
}

/// What comes before that text, where the name holds it last.
pub(crate) fn before_last<'n>(name: &'n str, text: &str) -> Option<&'n str> {
    memmem::rfind(name.as_bytes(), text.as_bytes()).map(|place| &name[..place])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_data_or_control() {
        assert_eq!(parse_input("a/b"), Some(InputName::Data("a/b", 0)));
        assert_eq!(parse_input("a/b:12"), Some(InputName::Data("a/b", 12)));
        assert_eq!(parse_input("^a"), Some(InputName::Control("a")));
        assert_eq!(parse_input("a:-1"), None);
        assert_eq!(parse_input("a:"), None);
        assert_eq!(parse_input("a:4294967295"), None);
    }

    #[test]
    fn scopes_end_at_the_last_slash() {
        assert_eq!((parent("a/b/c"), leaf("a/b/c")), (Some("a/b"), "c"));
        assert_eq!((parent("a"), leaf("a")), (None, "a"));
    }

    #[test]
    fn a_scope_without_nodes_names_the_nearest() {
        let names = ["net/conv1/weights", "net/fc/MatMul", "x"];
        let check = |scope: &str| check_scope(scope, || names.into_iter());
        assert!(["net", "net/fc/", "net/fc/MatMul", "", "/"].into_iter().all(|scope| check(scope).is_ok()));
        assert_eq!(check("net/conv").unwrap_err().hint_text(), Some("the nearest scope is 'net/conv1'"));
    }
}
