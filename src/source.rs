//! Opens what is to be read: a file, a SavedModel folder, standard input, or what is in memory already.
//!
//! Files are memory-mapped and handed on as [`Bytes`], so that neither reading nor slicing copies them. The mapping is the
//! one unsafe call of the crate.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use memmap2::Mmap;

use crate::error::{Error, ErrorKind, Result};

/// The names under which a SavedModel folder holds its message.
pub const SAVED_MODEL_FILES: [&str; 2] = ["saved_model.pb", "saved_model.pbtxt"];

/// Where bytes came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// Standard input.
    Stdin,
    /// Memory: whoever called had the bytes.
    Memory,
    /// A file.
    File(PathBuf),
    /// The message of a SavedModel folder.
    SavedModelFolder {
        /// The folder.
        folder: PathBuf,
        /// The message's file name in it.
        file_name: &'static str,
    },
}

/// An input's bytes and where they came from.
#[derive(Debug, Clone)]
pub struct Source {
    /// What the user called it; empty for what is in memory.
    pub path: PathBuf,
    /// Where from.
    pub location: Location,
    /// The bytes.
    pub bytes: Bytes,
    /// The file that holds them, where they are mapped from one.
    pub file: Option<Arc<File>>,
}

impl Source {
    /// Bytes that the caller has.
    #[must_use]
    pub fn of_bytes(bytes: Bytes) -> Self {
        Self { path: PathBuf::new(), location: Location::Memory, bytes, file: None }
    }

    /// The same failure, found in this input.
    #[must_use]
    pub fn name_in(&self, error: Error) -> Error {
        match self.location {
            Location::Memory => error,
            Location::Stdin => error.in_file("standard input"),
            _ => error.in_file(&self.path.display().to_string()),
        }
    }

    /// A range of the bytes.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Part {
        Part { offset: range.start as u64, bytes: self.bytes.slice(range), file: self.file.clone() }
    }
}

/// A range of a file: what is there, and where that is, so that it can be copied from file to file.
#[derive(Debug, Clone)]
pub struct Part {
    /// The bytes.
    pub bytes: Bytes,
    /// The file that they are mapped from, if they are.
    pub file: Option<Arc<File>>,
    /// Where in the file they begin.
    pub offset: u64,
}

impl Part {
    /// Appends the bytes, read from the file rather than through its map: what was mapped and looked at counts as this
    /// process's memory, and many parts may be looked at.
    ///
    /// # Errors
    /// When reading fails.
    pub fn read_to(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let Some(file) = self.file.as_deref().filter(|_| cfg!(unix)) else {
            out.extend_from_slice(&self.bytes);
            return Ok(());
        };
        let start = out.len();
        out.resize(start + self.bytes.len(), 0);
        read_exact_at(file, &mut out[start..], self.offset)
    }

    /// A range of this one, if it is as long as that.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        self.bytes.get(range.clone())?;
        let offset = self.offset + range.start as u64;
        Some(Self { bytes: self.bytes.slice(range), file: self.file.clone(), offset })
    }
}

/// Reads a range of a file without moving the place where others read it.
#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(not(unix))]
fn read_exact_at(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

impl From<Vec<u8>> for Part {
    /// Bytes that are in no file.
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<Bytes> for Part {
    /// Bytes that are in no file.
    fn from(bytes: Bytes) -> Self {
        Self { bytes, file: None, offset: 0 }
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Part {}

/// Opens a file that may be empty.
///
/// # Errors
/// [`ErrorKind::Io`] when it cannot be read.
pub fn open_file(path: &Path) -> Result<Source> {
    let (bytes, file) = map(path)?;
    Ok(Source { path: path.to_owned(), location: Location::File(path.to_owned()), bytes, file })
}

/// Opens a path; `-` is standard input.
///
/// # Errors
/// [`ErrorKind::Io`] when it cannot be read; [`ErrorKind::Container`] for an empty file and for a folder that is no
/// SavedModel.
pub fn open(path: &Path) -> Result<Source> {
    let source = if path == Path::new("-") {
        let bytes = read_all(&mut io::stdin().lock(), path)?;
        Source { path: path.to_owned(), location: Location::Stdin, bytes, file: None }
    } else {
        let location = locate(path)?;
        let (bytes, file) = map(&location.file().unwrap_or_else(|| path.to_owned()))?;
        Source { path: path.to_owned(), location, bytes, file }
    };
    if source.bytes.is_empty() {
        return Err(Error::new(ErrorKind::Container, format!("{} is empty", describe(path)))
            .hint("the step that writes it has failed or has not run yet"));
    }
    Ok(source)
}

impl Location {
    /// The file that was read, if it was one.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Stdin | Self::Memory => None,
            Self::File(path) => Some(path.clone()),
            Self::SavedModelFolder { folder, file_name } => Some(folder.join(file_name)),
        }
    }
}

fn locate(path: &Path) -> Result<Location> {
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, error))?;
    if !metadata.is_dir() {
        return Ok(Location::File(path.to_owned()));
    }
    let file_name = SAVED_MODEL_FILES.into_iter().find(|name| path.join(name).is_file());
    match file_name {
        Some(file_name) => Ok(Location::SavedModelFolder { folder: path.to_owned(), file_name }),
        None => {
            Err(Error::new(ErrorKind::Container, format!("{} is a folder without a saved_model.pb", describe(path)))
                .hint("pass a graph file, or the folder that holds saved_model.pb"))
        }
    }
}

fn map(path: &Path) -> Result<(Bytes, Option<Arc<File>>)> {
    let mut file = File::open(path).map_err(|error| unreadable(path, error))?;
    let metadata = file.metadata().map_err(|error| unreadable(path, error))?;
    if !metadata.is_file() {
        return Ok((read_all(&mut file, path)?, None));
    }
    if metadata.len() == 0 {
        return Ok((Bytes::new(), None));
    }
    // SAFETY: the map is private and only read. Should another process cut the file short meanwhile, the kernel ends
    // this one; nothing was written by then, as outputs are renamed into place last.
    #[allow(unsafe_code)]
    let map = unsafe { Mmap::map(&file) }.map_err(|error| unreadable(path, error))?;
    Ok((Bytes::from_owner(map), Some(Arc::new(file))))
}

fn read_all(reader: &mut impl Read, path: &Path) -> Result<Bytes> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|error| unreadable(path, error))?;
    Ok(bytes.into())
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "check the path; an export step before this one may have failed",
        io::ErrorKind::PermissionDenied => "check who may read it",
        _ => "check the path and the disk",
    };
    Error::io(format!("cannot read {}", describe(path)), error).hint(hint)
}

/// A path for a message: quoted, or the name of the stream that `-` means.
fn describe(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { format!("'{}'", path.display()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_it_cannot_open() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path| open(path).unwrap_err();
        assert_eq!(error(&folder.path().join("none")).kind(), ErrorKind::Io);
        assert!(error(folder.path()).to_string().contains("folder without a saved_model.pb"));
        let empty = folder.path().join("empty.pb");
        fs::write(&empty, "").unwrap();
        assert!(error(&empty).to_string().ends_with("is empty"));
    }

    #[test]
    fn finds_the_message_of_a_saved_model() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("saved_model.pbtxt"), "x").unwrap();
        let source = open(folder.path()).unwrap();
        assert_eq!(source.bytes, "x");
        assert_eq!(source.location.file(), Some(folder.path().join("saved_model.pbtxt")));
    }
}
