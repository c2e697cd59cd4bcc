//! Scopes that are entered by their full names, and variable scopes, as TensorFlow 1.15 keeps them.

use std::ops::Bound;

use super::Builder;
use crate::error::Result;

impl Builder<'_> {
    /// `variable_scope(None, default_name)`: runs `body` inside a name scope and a variable scope of that name, each made
    /// unique among its kind, and tells it the variable scope's name.
    ///
    /// # Errors
    /// Those of `body`.
    pub(crate) fn variable_scope<T>(
        &mut self,
        default_name: &str,
        body: impl FnOnce(&mut Self, &str) -> Result<T>,
    ) -> Result<T> {
        let name = self.unique_variable_scope(default_name);
        self.name_scope(default_name, |b| b.in_variable_scope(&name, |b| body(b, &name)))
    }

    /// Opens and closes the variable scope of that full name around `body`.
    pub(super) fn in_variable_scope<T>(&mut self, name: &str, body: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        *self.variable_scopes.entry(name.to_owned()).or_default() += 1;
        let result = body(self);
        self.forget_variable_scopes_below(name);
        result
    }

    /// What [`Builder::variable_scope`] would call the variable scope.
    pub(crate) fn unique_variable_scope(&self, name: &str) -> String {
        let is_open = |name: &str| self.variable_scopes.get(name).is_some_and(|&count| count > 0);
        if !is_open(name) {
            return name.to_owned();
        }
        let mut suffix = 1;
        loop {
            let candidate = format!("{name}_{suffix}");
            if !is_open(&candidate) {
                return candidate;
            }
            suffix += 1;
        }
    }

    /// A closed scope's inner scopes may be opened again under the same names.
    fn forget_variable_scopes_below(&mut self, name: &str) {
        let below = format!("{name}/");
        let later = self.variable_scopes.range_mut::<str, _>((Bound::Included(below.as_str()), Bound::Unbounded));
        for (_, count) in later.take_while(|(scope, _)| scope.starts_with(&below)) {
            *count = 0;
        }
    }
}
