//! `tfquant rewrite` as a user meets it: every flag, every container, every way to fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

#[path = "../support/cases.rs"]
mod cases;
#[path = "../support/compare.rs"]
mod compare;
mod containers;
mod errors;
mod flags;
mod lossless;
#[path = "../support/models.rs"]
mod models;
mod outputs;
mod reports;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use tempfile::TempDir;

/// A folder of its own, in which the program runs.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder that holds `in.meta`, a small graph with one layer, `test/Conv2D`.
    fn with_model() -> Self {
        let folder = Self::new();
        folder.write("in.meta", models::meta_graph("conv_relu"));
        folder
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), contents).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Everything in the folder, hidden files included.
    fn entries(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tfquant"));
        command.current_dir(self.0.path()).args(arguments).env_remove("NO_COLOR");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs `tfquant rewrite` with these arguments, which must go well; returns what it said.
    fn rewrite(&self, arguments: &[&str]) -> String {
        let output = self.run(&[&["rewrite"], arguments].concat());
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        stderr(&output)
    }

    /// Runs `tfquant rewrite` with these arguments, which must fail and leave the folder as it was; returns the exit
    /// code and what it said.
    fn refuse(&self, arguments: &[&str]) -> (i32, String) {
        let before = self.contents();
        let output = self.run(&[&["rewrite"], arguments].concat());
        let said = stderr(&output);
        assert!(!output.status.success(), "{arguments:?} went through");
        assert!(output.stdout.is_empty(), "{arguments:?} wrote to standard output");
        assert_eq!(self.contents(), before, "{arguments:?} changed files: {said}");
        (output.status.code().expect("no signal"), said)
    }

    /// The files directly in the folder with their contents.
    fn contents(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let read = |name: String| (fs::read(self.path(&name)).ok(), name);
        self.entries().into_iter().map(read).map(|(contents, name)| (name, contents)).collect()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
