//! What the documents show is what the program does: every command in a `console` block is run, and its output compared.
//!
//! A line `...` in a document stands for any lines, `[..]` in a line for any text. The commands of one document run one
//! after the other in one folder, in which `testdata` is this repository's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may stop at once
#![cfg(unix)]

use std::path::Path;
use std::process::Command;

/// A command and what the document says it prints.
struct Example {
    command: String,
    expected: Vec<String>,
    line: usize,
}

fn examples(document: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut inside = false;
    for (index, line) in document.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            examples.push(Example { command: command.to_owned(), expected: Vec::new(), line: index + 1 });
        } else if inside {
            let example = examples.last_mut().expect("output follows a command");
            if example.expected.is_empty() && example.command.ends_with('\\') {
                example.command.push('\n');
                example.command.push_str(line);
            } else {
                example.expected.push(line.to_owned());
            }
        }
    }
    examples
}

/// Whether the lines are those that are expected.
fn fits(expected: &[String], actual: &[&str]) -> bool {
    match expected.split_first() {
        None => actual.is_empty(),
        Some((first, rest)) if first == "..." => (0..=actual.len()).any(|skipped| fits(rest, &actual[skipped..])),
        Some((first, rest)) => actual.first().is_some_and(|line| line_fits(first, line)) && fits(rest, &actual[1..]),
    }
}

fn line_fits(expected: &str, actual: &str) -> bool {
    let mut rest = actual;
    let mut parts = expected.split("[..]");
    let Some(tail) = parts.next().and_then(|start| rest.strip_prefix(start)) else { return false };
    rest = tail;
    for part in parts {
        match if part.is_empty() { Some(rest.len()) } else { rest.find(part) } {
            Some(place) => rest = &rest[place + part.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

fn run(document: &str) {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(top.join(document)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(top.join("testdata"), folder.path().join("testdata")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_tfquant")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let examples = examples(&text);
    assert!(!examples.is_empty(), "{document} shows no command");
    for Example { command, expected, line } in &examples {
        let output = Command::new("sh")
            .args(["-c", &format!("exec 2>&1; {command}")])
            .current_dir(folder.path())
            .env("PATH", &path)
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let actual: Vec<&str> = printed.lines().collect();
        assert!(
            fits(expected, &actual),
            "{document}:{line}: `{command}` printed\n{printed}\ninstead of\n{}\n",
            expected.join("\n")
        );
    }
}

#[test]
fn the_readme_is_true() {
    run("README.md");
}

#[test]
fn examples_are_compared_line_by_line() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(fits(&lines("a\n...\nd [..] s"), &["a", "b", "c", "d 0.1 s"]));
    assert!(!fits(&lines("a\n...\nd"), &["a", "b"]));
    assert!(!line_fits("a[..]b", "acd"));
}
