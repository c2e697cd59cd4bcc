//! What is said on standard error: errors with their hints, warnings, summaries; coloured where that is wanted.

use std::fmt::Write as _;
use std::io::Write;

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use clap::ColorChoice;

use crate::cli::ExitCode;
use crate::{Error, ErrorKind, Printable};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const ADDED: Style = AnsiColor::Green.on_default();
const HINT: Style = AnsiColor::Cyan.on_default();

/// Obeys `--color`; `auto` looks at the terminal and at NO_COLOR.
pub fn choose_color(choice: ColorChoice) {
    match choice {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// Prints text as it is.
pub fn say(text: &str) {
    let _ = anstream::stderr().write_all(text.as_bytes());
}

/// Prints a result on standard output. Whoever reads it may have had enough, which is no failure.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io("cannot write to standard output", error).hint("check where the output goes").into())
        }
        _ => Ok(()),
    }
}

/// Paints the first word of each line that `style` knows, where colour is wanted.
pub fn paint(text: String, style: impl Fn(&str) -> Option<Style>) -> String {
    // What is painted in vain is taken off again line by line.
    if AutoStream::choice(&std::io::stdout()) == anstream::ColorChoice::Never {
        return text;
    }
    let mut painted = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let word = line.split([' ', '\n']).next().unwrap_or_default();
        match style(word) {
            Some(style) => {
                let _ = write!(painted, "{style}{word}{style:#}{}", &line[word.len()..]);
            }
            None => painted.push_str(line),
        }
    }
    painted
}

/// The colour of a line by its first word.
pub fn line_style(word: &str) -> Option<Style> {
    Some(match word {
        "error" | "-" => ERROR,
        "warning" | "~" => WARNING,
        "+" | "insert" => ADDED,
        "near" | "reason" => HINT,
        _ => return None,
    })
}

/// Prints a warning.
pub fn warn(message: &str) {
    say(&format!("{WARNING}warning:{WARNING:#} {}\n", Printable(message)));
}

/// Prints what went wrong and what to do next; says how the program ends.
pub fn fail(error: &anyhow::Error) -> ExitCode {
    let known = error.downcast_ref::<Error>();
    if known.is_some_and(is_broken_pipe) {
        return ExitCode::from(1);
    }
    say(&format!("{ERROR}error:{ERROR:#} {}\n", Printable(&error.to_string())));
    if let Some(hint) = known.and_then(Error::hint_text) {
        say(&format!("{HINT}hint:{HINT:#} {}\n", Printable(hint)));
    }
    let wrong_usage = known.is_some_and(|error| error.kind() == ErrorKind::Options);
    ExitCode::from(if wrong_usage { 2 } else { 1 })
}

/// Whoever read our output has had enough.
fn is_broken_pipe(error: &Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|source| source.kind() == std::io::ErrorKind::BrokenPipe)
}
