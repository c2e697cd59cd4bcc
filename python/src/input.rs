//! What Python hands over: models as paths or bytes, words for keywords.

use std::ffi::OsString;
use std::path::PathBuf;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString};
use tfquant::calibrate::data::{Given, Place};
use tfquant::cli::call;

/// The bytes of a Python object, which stays alive as long as they are used; not copied.
pub struct Bytes(bytes::Bytes);

impl<'py> FromPyObject<'_, 'py> for Bytes {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let bytes: PyBackedBytes = object.extract()?;
        Ok(Self(bytes::Bytes::from_owner(bytes)))
    }
}

/// A model, or an array.
pub struct Model(pub call::Input);

impl<'py> FromPyObject<'_, 'py> for Model {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(Bytes(bytes)) = object.extract() {
            return Ok(Self(call::Input::Bytes(bytes)));
        }
        Ok(Self(call::Input::Path(object.extract::<PathBuf>()?)))
    }
}

/// Samples of an input, as numpy saves them.
pub fn samples((name, array): (Option<String>, Bytes)) -> Given {
    Given { name, samples: Place::Npy(array.0) }
}

/// What a keyword is given: True or False, a word or number, or several of them.
pub struct Value(pub call::Value);

impl<'py> FromPyObject<'_, 'py> for Value {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(switch) = object.cast::<PyBool>() {
            return Ok(Self(call::Value::Switch(switch.is_true())));
        }
        if let Some(word) = word(&object)? {
            return Ok(Self(call::Value::Words(vec![word])));
        }
        let unusable = || {
            let name = object.get_type().name().map(|name| name.to_string()).unwrap_or_default();
            PyTypeError::new_err(format!("a keyword takes words, numbers, paths, or several of them, not {name}"))
        };
        let words = object.try_iter().map_err(|_| unusable())?.map(|item| word(&item?)?.ok_or_else(unusable));
        Ok(Self(call::Value::Words(words.collect::<PyResult<_>>()?)))
    }
}

/// Text, a path or a number as a word of a command line.
fn word(object: &Bound<'_, PyAny>) -> PyResult<Option<OsString>> {
    if object.is_instance_of::<PyString>() || object.hasattr("__fspath__")? {
        return Ok(Some(object.extract::<PathBuf>()?.into_os_string()));
    }
    let is_number = object.is_instance_of::<PyInt>() || object.is_instance_of::<PyFloat>();
    let is_scalar = is_number || object.hasattr("__float__")? && !object.hasattr("__len__")?;
    Ok(if is_scalar { Some(object.str()?.to_string().into()) } else { None })
}
