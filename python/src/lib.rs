//! The library as a Python module: translates what Python hands over, and nothing else. What can be asked for, and what it
//! means, is said by [`tfquant::cli`].

mod answer;
mod input;
mod work;

use std::ffi::OsString;

use pyo3::exceptions::PyKeyError;
use pyo3::prelude::*;

/// The private half of the package `tfquant`.
#[pymodule]
mod _tfquant {
    #[pymodule_export]
    use super::answer::Made;
    #[pymodule_export]
    use super::{call, keywords, main};

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}

/// Runs the program with these arguments, without its name; returns its exit code.
#[pyfunction]
fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    let arguments = std::iter::once("tfquant".into()).chain(arguments);
    py.detach(|| tfquant::cli::main(arguments).0)
}

/// The keywords of a verb, as JSON.
#[pyfunction]
fn keywords(verb: &str) -> PyResult<String> {
    let keywords = tfquant::cli::call::keywords(verb).ok_or_else(|| PyKeyError::new_err(verb.to_owned()))?;
    serde_json::to_string(&keywords).map_err(|error| PyKeyError::new_err(error.to_string()))
}

/// Calls a verb: returns its document as JSON, its warnings, and the model that it made, if it makes one.
#[pyfunction]
#[pyo3(signature = (verb, model, keywords, *, other = None, arrays = Vec::new(), labels = None))]
fn call(
    py: Python<'_>,
    verb: String,
    model: input::Model,
    keywords: Vec<(String, input::Value)>,
    other: Option<input::Model>,
    arrays: Vec<(Option<String>, input::Bytes)>,
    labels: Option<input::Model>,
) -> PyResult<(String, Vec<String>, Option<Made>)> {
    let answer = work::run(py, move |go_on| {
        let call = tfquant::cli::call::Call {
            verb: &verb,
            model: model.0,
            other: other.map(|other| other.0),
            arrays: arrays.into_iter().map(input::samples).collect(),
            labels: labels.map(|labels| labels.0),
            keywords: keywords.into_iter().map(|(name, value)| (name, value.0)).collect(),
            go_on,
        };
        call.run()
    })?;
    let answer = answer.map_err(|failure| answer::raised(py, failure))?;
    Ok((answer.document, answer.warnings, answer.made.map(Made)))
}

use answer::Made;
