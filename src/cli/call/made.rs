//! A model that a verb made: its bytes, and how they become a file.

use std::io::Write;
use std::path::Path;

use crate::cli::targets::Form;
use crate::container::text;
use crate::output::{Output, commit_all};
use crate::source::Location;
use crate::{Encoded, Encoding, Error, ErrorKind, MessageKind, Result};

/// The model, in the container that it came in or that was asked for.
#[derive(Debug, Clone)]
pub struct Made {
    /// The message.
    pub bytes: Vec<u8>,
    encoding: Encoding,
    kind: MessageKind,
    form: Form,
    /// Where the model that it was made of came from.
    location: Location,
}

impl Made {
    pub(super) fn new(message: &Encoded<'_>, encoding: Encoding, form: Form, location: Location) -> Result<Self> {
        let mut bytes = Vec::with_capacity(usize::try_from(message.len()).unwrap_or_default());
        message.write(encoding, &mut bytes)?;
        Ok(Self { bytes, encoding, kind: message.model().kind, form, location })
    }

    /// What the message is, as the program's formats call it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.kind {
            MessageKind::GraphDef => "graph-def",
            MessageKind::MetaGraphDef => "meta-graph-def",
            MessageKind::SavedModel => "saved-model",
        }
    }

    /// Whether the bytes are its text form.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.encoding == Encoding::Text
    }

    /// Writes it as the program writes it: as text where the path ends in `.pbtxt`, as a folder where it came in one.
    ///
    /// # Errors
    /// Those of the file system; the path is then as it was.
    pub fn write(&self, path: &Path) -> Result<()> {
        let is_text = self.encoding == Encoding::Text || path.extension().is_some_and(|ending| ending == "pbtxt");
        let encoding = if is_text { Encoding::Text } else { Encoding::Binary };
        let mut output = match self.form {
            Form::AsItCame => Output::open(path, &self.location, encoding)?,
            Form::GraphDef => Output::open_document(path)?,
            Form::NewSavedModel => Output::open_saved_model(path, &self.location)?,
        };
        if encoding == self.encoding {
            output.write_all(&self.bytes).map_err(|error| Error::io("cannot write the output", error))?;
        } else {
            text::print(&self.bytes, self.kind, &mut output)
                .map_err(|error| Error::new(ErrorKind::Malformed, format!("cannot be written as text: {error}")))?;
        }
        commit_all(vec![output])
    }
}
