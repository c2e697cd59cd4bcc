//! What Python gets back: a model that was made, or an exception.

use std::path::PathBuf;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tfquant::cli::call::{self, Failure, of_python};
use tfquant::{Error, ErrorKind};

/// A model that a verb made.
#[pyclass(frozen, module = "tfquant._tfquant")]
pub struct Made(pub call::Made);

#[pymethods]
impl Made {
    /// The message.
    #[getter]
    fn bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.bytes)
    }

    /// What the message is, as the program's formats call it.
    #[getter]
    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    /// Whether the bytes are its text form.
    #[getter]
    fn is_text(&self) -> bool {
        self.0.is_text()
    }

    /// Writes it to a path.
    #[allow(clippy::needless_pass_by_value)] // PyO3 hands it over so
    fn write(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| self.0.write(&path)).map_err(|error| raised(py, error.into()))
    }
}

/// The exception for a failure.
pub fn raised(py: Python<'_>, failure: Failure) -> PyErr {
    let error = match failure {
        Failure::Misuse(misuse) if misuse.is_unknown => return PyTypeError::new_err(misuse.what),
        Failure::Misuse(misuse) => Error::new(ErrorKind::Options, misuse.what),
        Failure::Failed(error) => error,
    };
    exception(py, &error).unwrap_or_else(|failed| failed)
}

fn exception(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let class = if error.kind() == ErrorKind::Options { "OptionsError" } else { "Error" };
    let class = py.import("tfquant._errors")?.getattr(class)?;
    let hint = error.hint_text().map(of_python);
    let arguments = (of_python(&error.to_string()), error.kind().name(), error.node_name(), error.node_op(), hint);
    Ok(PyErr::from_value(class.call1(arguments)?))
}
