//! Where a result goes: nothing shows under its path until all of it is there.
//!
//! A file is written beside its target, synced, and renamed over it; a SavedModel folder is made beside its target, with
//! the variables and assets of the folder it came from, and renamed as a whole, or changes places with the SavedModel that
//! is there. What is replaced hands on its owner, mode and extended attributes. Whatever goes wrong before the rename leaves
//! the target as it was. A program that is told to end calls [`abandon`] first, which removes what was begun.

mod attributes;
mod early_sync;
mod folder;
mod unfinished;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};

use crate::container::Encoding;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::write::Sink;
use crate::source::{Location, SAVED_MODEL_FILES};
use early_sync::EarlySync;
pub use unfinished::abandon;
use unfinished::{Unfinished, changing};

/// An opened target.
#[derive(Debug)]
pub struct Output {
    target: Target,
    early_sync: EarlySync,
    _unfinished: Option<Unfinished>,
}

#[derive(Debug)]
enum Target {
    Stdout(io::Stdout),
    /// A device or pipe, which nothing can be renamed over.
    Special(File, PathBuf),
    File(NamedTempFile, PathBuf),
    Folder {
        temporary: TempDir,
        message: File,
        path: PathBuf,
    },
}

impl Target {
    /// The file that will take the place of another, where there is one.
    fn replacing_file(&self) -> Option<&File> {
        match self {
            Self::Stdout(_) | Self::Special(..) => None,
            Self::File(temporary, _) => Some(temporary.as_file()),
            Self::Folder { message, .. } => Some(message),
        }
    }
}

impl Output {
    /// Opens the target for a result made from `input`; `-` is standard output. Fails here, before the long work, if
    /// there can be no result under that path.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the folder above is missing or cannot be written; [`ErrorKind::Container`] when a folder
    /// would have to be replaced.
    pub fn open(path: &Path, input: &Location, encoding: Encoding) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::new(Target::Stdout(io::stdout())));
        }
        if let Location::SavedModelFolder { folder, file_name } = input
            && !is_message_path(path)
        {
            return Self::open_folder(path, folder, file_name, encoding);
        }
        Self::open_file(path)
    }

    /// Opens the target for a document, such as a report; `-` is standard output.
    ///
    /// # Errors
    /// As [`Output::open`].
    pub fn open_document(path: &Path) -> Result<Self> {
        Self::open(path, &Location::Stdin, Encoding::Binary)
    }

    /// Writes all of a document.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn write_document(&mut self, contents: &[u8]) -> Result<()> {
        self.write_all(contents).map_err(|error| unwritable(self.path(), error))
    }

    fn new(target: Target) -> Self {
        let unfinished = match &target {
            Target::Stdout(_) | Target::Special(..) => None,
            Target::File(temporary, _) => Some(Unfinished::new(temporary.path())),
            Target::Folder { temporary, .. } => Some(Unfinished::new(temporary.path())),
        };
        Self { target, early_sync: EarlySync::default(), _unfinished: unfinished }
    }

    fn open_file(path: &Path) -> Result<Self> {
        let _changing = changing();
        // A symbolic link stays one: what it points to is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let target = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {
                return Err(Error::new(ErrorKind::Container, format!("the output '{}' is a folder", path.display()))
                    .hint("name the file to write"));
            }
            Ok(metadata) if !metadata.is_file() => {
                let file = File::options().write(true).open(&path).map_err(|error| unwritable(&path, error))?;
                Target::Special(file, path)
            }
            existing => {
                let permissions = existing.ok().map(|metadata| metadata.permissions());
                Target::File(temporary_file(&path, permissions)?, path)
            }
        };
        Ok(Self::new(target))
    }

    fn open_folder(path: &Path, input: &Path, input_file: &str, encoding: Encoding) -> Result<Self> {
        let file_name = SAVED_MODEL_FILES[usize::from(encoding == Encoding::Text)];
        let same = fs::canonicalize(path).ok().is_some_and(|path| fs::canonicalize(input).ok() == Some(path));
        if same && file_name != input_file {
            return Err(Error::new(ErrorKind::Options, format!("'{}' holds a {input_file} already", path.display()))
                .hint("a SavedModel has one message; write another encoding into another folder"));
        }
        if same {
            return Self::open_file(&path.join(file_name));
        }
        let output = Self::new_folder(path, file_name)?;
        if let Target::Folder { temporary, .. } = &output.target {
            folder::link_others(input, temporary.path()).map_err(|error| unwritable(path, error))?;
        }
        Ok(output)
    }

    /// Opens a folder for a SavedModel that has nothing beside its message, made from `input`. It takes the place of an
    /// older SavedModel, but not of the one it is made from, whose variables would go with it.
    ///
    /// # Errors
    /// [`ErrorKind::Container`] if there is something else; [`ErrorKind::Io`] when the folder above is missing or cannot be
    /// written.
    pub fn open_saved_model(path: &Path, input: &Location) -> Result<Self> {
        if matches!(input, Location::SavedModelFolder { folder, .. } if same_place(folder, path)) {
            let what = format!("the output '{}' is the model that is read", path.display());
            return Err(Error::new(ErrorKind::Container, what).hint("choose another folder"));
        }
        Self::new_folder(path, SAVED_MODEL_FILES[0])
    }

    fn new_folder(path: &Path, file_name: &str) -> Result<Self> {
        let _changing = changing();
        folder::check_replaceable(path)?;
        let temporary = tempfile::Builder::new()
            .prefix(".tfquant-")
            .permissions(default_permissions(0o777))
            .tempdir_in(folder_above(path))
            .map_err(|error| unwritable(path, plain(&error)))?;
        let message = File::create(temporary.path().join(file_name)).map_err(|error| unwritable(path, error))?;
        Ok(Self::new(Target::Folder { temporary, message, path: path.to_owned() }))
    }

    /// Brings what was written to disk, still out of sight.
    fn sync(&mut self) -> Result<()> {
        let synced = self.flush().and_then(|()| {
            self.early_sync.finish();
            match &self.target {
                Target::Stdout(_) | Target::Special(..) => Ok(()),
                Target::File(temporary, _) => temporary.as_file().sync_all(),
                Target::Folder { message, temporary, .. } => {
                    message.sync_all().and_then(|()| sync_folder(temporary.path()))
                }
            }
        });
        synced.map_err(|error| unwritable(self.path(), error))
    }

    /// Makes what was written appear under its path.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]; the path is then as it was.
    pub fn commit(self) -> Result<()> {
        commit_all(vec![self])
    }

    /// Makes what is on disk appear under its path.
    fn show(self) -> Result<()> {
        match self.target {
            Target::Stdout(_) | Target::Special(..) => Ok(()),
            Target::File(temporary, path) => commit_file(temporary, &path).map_err(|error| unwritable(&path, error)),
            Target::Folder { temporary, path, .. } => {
                folder::put_in_place(temporary, &path).map_err(|error| unwritable(&path, error))
            }
        }
    }

    /// Whether both would replace the same file, or both go to standard output.
    #[must_use]
    pub fn replaces_same_as(&self, other: &Self) -> bool {
        match (&self.target, &other.target) {
            (Target::Stdout(_), Target::Stdout(_)) => true,
            (Target::File(..), Target::File(..)) => same_place(self.path(), other.path()),
            _ => false,
        }
    }

    /// Whether this would replace that file.
    #[must_use]
    pub fn replaces(&self, file: &Path) -> bool {
        matches!(self.target, Target::File(..)) && same_place(self.path(), file)
    }

    fn path(&self) -> &Path {
        match &self.target {
            Target::Stdout(_) => Path::new("-"),
            Target::Special(_, path) | Target::File(_, path) | Target::Folder { path, .. } => path,
        }
    }

    fn file(&mut self) -> &mut dyn Write {
        match &mut self.target {
            Target::Stdout(stdout) => stdout,
            Target::Special(file, _) => file,
            Target::File(temporary, _) => temporary.as_file_mut(),
            Target::Folder { message, .. } => message,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file().write(bytes)?;
        if let Some(file) = self.target.replacing_file() {
            self.early_sync.wrote(file, written as u64);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}

impl Sink for Output {
    fn copy_from(&mut self, file: &File, range: Range<u64>) -> io::Result<bool> {
        let Some(mut to) = self.target.replacing_file() else { return Ok(false) };
        let mut from = file;
        from.seek(SeekFrom::Start(range.start))?;
        let length = range.end - range.start;
        // From file to file, this asks the kernel to copy.
        let copied = io::copy(&mut from.take(length), &mut to)?;
        if copied < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.early_sync.wrote(to, copied);
        Ok(true)
    }
}

/// Makes several outputs appear, in this order; none before all of them are on disk.
///
/// # Errors
/// [`ErrorKind::Io`]; unless it was a rename that failed, all paths are then as they were.
pub fn commit_all(mut outputs: Vec<Output>) -> Result<()> {
    outputs.iter_mut().try_for_each(Output::sync)?;
    let _changing = changing();
    outputs.into_iter().try_for_each(Output::show)
}

/// Writes a whole document the same way.
///
/// # Errors
/// [`ErrorKind::Io`]; the path is then as it was.
pub fn write_file(path: &Path, contents: &[u8]) -> Result<()> {
    let mut output = Output::open_document(path)?;
    output.write_document(contents)?;
    output.commit()
}

fn commit_file(temporary: NamedTempFile, path: &Path) -> io::Result<()> {
    attributes::hand_on(path, temporary.path());
    temporary.persist(path).map_err(|error| error.error)?;
    sync_folder(folder_above(path))
}

/// A rename lasts once the folder it happened in is on disk. Where folders cannot be opened, the system takes care.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn temporary_file(path: &Path, permissions: Option<fs::Permissions>) -> Result<NamedTempFile> {
    fs::metadata(folder_above(path)).map_err(|error| unwritable(path, error))?;
    tempfile::Builder::new()
        .prefix(".tfquant-")
        .permissions(permissions.unwrap_or_else(|| default_permissions(0o666)))
        .tempfile_in(folder_above(path))
        .map_err(|error| unwritable(path, plain(&error)))
}

/// What a plain `open` would ask for; the process's umask takes its share.
#[cfg(unix)]
fn default_permissions(mode: u32) -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(mode)
}

fn folder_above(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Whether two paths, of files that need not exist, name the same place.
fn same_place(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| match fs::canonicalize(path) {
        Ok(path) => path,
        Err(_) => fs::canonicalize(folder_above(path)).unwrap_or_default().join(path.file_name().unwrap_or_default()),
    };
    place(a) == place(b)
}

fn is_message_path(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "pb" || ending == "pbtxt")
}

/// Without the name of a temporary file, which would say nothing to anyone.
fn plain(error: &io::Error) -> io::Error {
    error.kind().into()
}

fn unwritable(path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "make the output folder first",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "choose a folder that you may write to",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space; nothing was replaced",
        _ => "nothing was replaced; check the path and the disk",
    };
    Error::io(format!("cannot write '{}'", path.display()), error).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_shows_before_the_commit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.pb");
        fs::write(&path, "old").unwrap();
        let mut output = Output::open(&path, &Location::Stdin, Encoding::Binary).unwrap();
        output.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(output);
        assert_eq!((fs::read(&path).unwrap(), entries(folder.path())), (b"old".to_vec(), vec!["out.pb".to_owned()]));

        write_file(&path, b"new").unwrap();
        assert_eq!((fs::read(&path).unwrap(), entries(folder.path())), (b"new".to_vec(), vec!["out.pb".to_owned()]));
    }

    #[test]
    fn a_saved_model_keeps_its_variables() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("in");
        fs::create_dir_all(input.join("variables")).unwrap();
        fs::write(input.join("saved_model.pb"), "message").unwrap();
        fs::write(input.join("variables/variables.index"), "index").unwrap();
        let location = Location::SavedModelFolder { folder: input, file_name: "saved_model.pb" };

        let path = folder.path().join("out");
        let mut output = Output::open(&path, &location, Encoding::Binary).unwrap();
        output.write_all(b"new message").unwrap();
        output.commit().unwrap();
        assert_eq!(fs::read(path.join("saved_model.pb")).unwrap(), b"new message");
        assert_eq!(fs::read(path.join("variables/variables.index")).unwrap(), b"index");
        assert_eq!(entries(folder.path()), ["in", "out"]);

        let notes = folder.path().join("notes");
        fs::create_dir(&notes).unwrap();
        fs::write(notes.join("text"), "no model").unwrap();
        let refused = Output::open(&notes, &location, Encoding::Binary).unwrap_err();
        assert!(refused.to_string().ends_with("exists already and is no SavedModel"));
    }

    #[test]
    fn refuses_what_cannot_be_written_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let open = |path: &Path| Output::open(path, &Location::Stdin, Encoding::Binary).unwrap_err();
        assert!(open(folder.path()).to_string().ends_with("is a folder"));
        assert_eq!(open(&folder.path().join("none/out.pb")).hint_text(), Some("make the output folder first"));
    }
}
