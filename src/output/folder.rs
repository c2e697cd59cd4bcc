//! SavedModel folders: what they may replace, how they do, and what they take along from another.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::TempDir;

use super::unfinished::changing;
use super::{attributes, folder_above, sync_folder};
use crate::error::{Error, ErrorKind, Result};
use crate::source::SAVED_MODEL_FILES;

/// Checks that nothing is there, or a SavedModel that can be replaced in one step.
///
/// # Errors
/// [`ErrorKind::Container`].
pub(super) fn check_replaceable(path: &Path) -> Result<()> {
    let refused = |what: &str, hint| {
        let what = format!("the output '{}' exists already{what}", path.display());
        Err(Error::new(ErrorKind::Container, what).hint(hint))
    };
    if path.is_file() {
        return refused("", "it is a file, and the result a folder: remove it first");
    }
    if !fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
        return Ok(());
    }
    if !SAVED_MODEL_FILES.iter().any(|message| path.join(message).is_file()) {
        return refused(" and is no SavedModel", "remove it first, or choose another folder");
    }
    if !exchange::works_beside(path) {
        return refused("", "here a folder cannot be replaced in one step: remove it first");
    }
    Ok(())
}

/// Puts the folder in place; what was there goes.
pub(super) fn put_in_place(temporary: TempDir, path: &Path) -> io::Result<()> {
    // Over an empty folder too.
    match fs::rename(temporary.path(), path) {
        Ok(()) => drop(temporary.keep()),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            attributes::hand_on(path, temporary.path());
            exchange::exchange(temporary.path(), path)?;
            sync_folder(folder_above(path))?;
            // The new one is in place and on disk; what is left of the old one is no failure.
            drop(temporary);
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    sync_folder(folder_above(path))
}

/// Two folders that change places, which is one step where the system has a call for it.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod exchange {
    use std::fs;
    use std::io;
    use std::path::Path;

    use rustix::fs::{CWD, RenameFlags, renameat_with};

    pub(super) fn exchange(a: &Path, b: &Path) -> io::Result<()> {
        Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
    }

    /// Whether the file system that holds the path can do it, found out with two folders of its own.
    pub(super) fn works_beside(path: &Path) -> bool {
        let Ok(trial) = tempfile::Builder::new().prefix(".tfquant-").tempdir_in(super::folder_above(path)) else {
            // Whoever cannot write there is told so when the folder is to be made.
            return true;
        };
        let [a, b] = ["a", "b"].map(|name| trial.path().join(name));
        [&a, &b].into_iter().all(|folder| fs::create_dir(folder).is_ok()) && exchange(&a, &b).is_ok()
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod exchange {
    use std::io;
    use std::path::Path;

    pub(super) fn exchange(_: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::DirectoryNotEmpty.into())
    }

    pub(super) fn works_beside(_: &Path) -> bool {
        false
    }
}

/// Puts everything of a SavedModel folder but its message into another folder: linked where that works, else copied. All
/// of it is on disk then, but for the entries of the other folder itself.
pub(super) fn link_others(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if !SAVED_MODEL_FILES.iter().any(|&message| name == message) {
            link_tree(&entry.path(), &to.join(name))?;
        }
    }
    Ok(())
}

fn link_tree(from: &Path, to: &Path) -> io::Result<()> {
    let mut pending = vec![(from.to_owned(), to.to_owned(), 0)];
    let mut made = Vec::new();
    while let Some((from, to, depth)) = pending.pop() {
        // Whoever is told to end removes the folder, and nothing may come to be in it any more.
        let _changing = changing();
        if !fs::metadata(&from)?.is_dir() {
            if fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to)?;
                File::open(&to)?.sync_all()?;
            }
            continue;
        }
        if depth == MAX_FOLDER_DEPTH {
            let what = format!("'{}' is too deep: a link in it leads back to a folder above", from.display());
            return Err(io::Error::other(what));
        }
        fs::create_dir(&to)?;
        for entry in fs::read_dir(&from)? {
            let name = entry?.file_name();
            pending.push((from.join(&name), to.join(&name), depth + 1));
        }
        made.push(to);
    }
    made.iter().try_for_each(|folder| sync_folder(folder))
}

/// Links are followed, as the copy may go anywhere; one that leads back upwards would be followed for ever.
const MAX_FOLDER_DEPTH: usize = 32;
