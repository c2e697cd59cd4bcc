//! The program as a user runs it.

#![allow(dead_code)] // each test file takes what it needs

use std::process::Output;

use assert_cmd::Command;
use tempfile::TempDir;

/// Runs it with these arguments.
pub fn tfquant(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tfquant")).args(args).output().unwrap()
}

/// Runs it where it is to succeed.
pub fn done(args: &[&str]) -> Output {
    let done = tfquant(args);
    assert!(done.status.success(), "{}", text(&done.stderr));
    done
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A path in the folder.
pub fn at(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}
