//! Keywords: the program's arguments under names that other languages allow, and what they are for a signature.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Args, Command, CommandFactory};
use regex::{Captures, Regex};
use serde::Serialize;

use super::{VERBS, Value};
use crate::cli::Cli;
use crate::cli::args::HOW_MUCH;

/// A keyword of a verb.
#[derive(Debug, Clone, Serialize)]
pub struct Keyword {
    /// Its name.
    pub name: String,
    /// What it takes.
    pub kind: Kind,
    /// Its value where none is given.
    pub default: Option<String>,
    /// The words it takes, if these are all.
    pub choices: Vec<String>,
    /// What the program's help calls its value.
    pub value_name: Option<String>,
    /// Under which heading the program's help has it.
    pub heading: String,
    /// What the program's help says of it.
    pub help: String,
    /// Whether the program cannot do without it.
    pub required: bool,
}

/// What a keyword takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Yes or no.
    Switch,
    /// A word or number.
    One,
    /// Any number of them.
    Many,
}

/// A call that is wrong in itself.
#[derive(Debug)]
pub struct Misuse {
    /// What is wrong.
    pub what: String,
    /// Whether what was named does not exist, rather than being of no use.
    pub is_unknown: bool,
}

impl Misuse {
    /// Something was named that does not exist.
    #[must_use]
    pub fn unknown(what: String) -> Self {
        Self { what, is_unknown: true }
    }

    fn value(what: String) -> Self {
        Self { what, is_unknown: false }
    }
}

/// The keywords of a verb, in the order of the program's help; None, if it is no function.
#[must_use]
pub fn keywords(verb: &str) -> Option<Vec<Keyword>> {
    let program = Cli::command();
    let command = program.find_subcommand(verb).filter(|_| VERBS.contains(&verb))?;
    Some(command.get_arguments().filter(|arg| is_keyword(arg)).map(Keyword::of).collect())
}

/// Whether an argument is about the work, and not about where results go and how much is said of it.
fn is_keyword(arg: &Arg) -> bool {
    const ABOUT_RESULTS: [&str; 5] = ["output", "dry_run", "format", "json", "help"];
    arg.get_help_heading() != Some(HOW_MUCH)
        && arg.get_id() != "model"
        && !ABOUT_RESULTS.iter().any(|id| arg.get_id() == id)
}

fn name_of(arg: &Arg) -> String {
    arg.get_long().unwrap_or(arg.get_id().as_str()).replace('-', "_")
}

impl Keyword {
    fn of(arg: &Arg) -> Self {
        let kind = match arg.get_action() {
            ArgAction::SetTrue => Kind::Switch,
            ArgAction::Append => Kind::Many,
            _ => Kind::One,
        };
        let default =
            arg.get_default_values().first().filter(|_| kind == Kind::One && !arg.is_hide_default_value_set());
        let is_choice = |values: &Vec<clap::builder::PossibleValue>| kind != Kind::Switch && !values.is_empty();
        let choices = Some(arg.get_possible_values()).filter(is_choice).unwrap_or_default();
        Self {
            name: name_of(arg),
            kind,
            default: default.map(|default| default.to_string_lossy().into_owned()),
            choices: choices.iter().map(|choice| choice.get_name().to_owned()).collect(),
            value_name: arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string),
            heading: arg.get_help_heading().unwrap_or_default().to_owned(),
            help: of_python(&arg.get_help().map(ToString::to_string).unwrap_or_default()),
            required: arg.is_required_set(),
        }
    }
}

/// Reads keywords as the verb's arguments. What has no keyword has a value that does nothing.
pub(super) fn parse<A: Args>(verb: &str, keywords: &[(String, Value)]) -> Result<A, Misuse> {
    let command = A::augment_args(Command::new("tfquant"))
        .no_binary_name(true)
        .disable_help_flag(true)
        .mut_args(|arg| arg.required(false));
    let arguments = spelled(&command, verb, keywords)?;
    let matches = command.try_get_matches_from(arguments).map_err(|error| in_short(&error))?;
    A::from_arg_matches(&matches).map_err(|error| in_short(&error))
}

/// The keywords as arguments: what the shell would have handed over.
fn spelled(command: &Command, verb: &str, keywords: &[(String, Value)]) -> Result<Vec<OsString>, Misuse> {
    let has = |id: &str| command.get_arguments().any(|arg| arg.get_id() == id);
    let mut arguments: Vec<OsString> = has("output").then(|| "--output=-".into()).into_iter().collect();
    let mut positionals: Vec<OsString> = vec!["--".into(), "-".into()];
    positionals.extend(has("other").then(|| "-".into()));
    for (keyword, value) in keywords {
        let arg = command.get_arguments().find(|arg| is_keyword(arg) && name_of(arg) == *keyword);
        let Some(arg) = arg else {
            return Err(Misuse::unknown(format!("{verb}() got an unexpected keyword argument '{keyword}'")));
        };
        let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
        match value {
            Value::Switch(false) if is_switch => {}
            Value::Switch(true) if is_switch => arguments.push(flag(arg, None)),
            Value::Switch(_) => return Err(Misuse::value(format!("{keyword} is not a switch"))),
            Value::Words(_) if is_switch => return Err(Misuse::value(format!("{keyword} is True or False"))),
            Value::Words(words) if matches!(arg.get_action(), ArgAction::Append) => {
                arguments.extend(words.iter().map(|word| flag(arg, Some(word))));
            }
            Value::Words(words) => {
                let word = words.join(",".as_ref());
                if arg.is_positional() { positionals.push(word) } else { arguments.push(flag(arg, Some(&word))) }
            }
        }
    }
    arguments.append(&mut positionals);
    Ok(arguments)
}

fn flag(arg: &Arg, value: Option<&OsString>) -> OsString {
    let mut flag = OsString::from(format!("--{}", arg.get_long().unwrap_or_default()));
    if let Some(value) = value {
        flag.push("=");
        flag.push(value);
    }
    flag
}

/// What the parser says, without its advice for a command line.
fn in_short(error: &clap::Error) -> Misuse {
    let text = error.render().to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<&str> = first.trim_start_matches("error: ").split_whitespace().collect();
    Misuse::value(of_python(&words.join(" ")))
}

/// A text in which flags are called as keywords are.
#[must_use]
pub fn of_python(text: &str) -> String {
    let Ok(flags) = Regex::new(r"(^|[\s'(])--([a-z][a-z0-9-]*)(?: <[^>]*>)?") else { return text.to_owned() };
    let keyword = |found: &Captures<'_>| format!("{}{}", &found[1], found[2].replace('-', "_"));
    flags.replace_all(text, keyword).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::rewrite::RewriteArgs;

    fn parsed(keywords: &[(&str, Value)]) -> Result<RewriteArgs, Misuse> {
        let keywords: Vec<_> = keywords.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        parse("rewrite", &keywords)
    }

    fn words(words: &[&str]) -> Value {
        Value::Words(words.iter().map(OsString::from).collect())
    }

    #[test]
    fn keywords_are_the_programs_arguments() {
        let args = parsed(&[
            ("weight_bits", words(&["4"])),
            ("symmetric", Value::Switch(true)),
            ("include", words(&["a", "-b"])),
            ("default_range", words(&["-1", "1"])),
        ]);
        let passes = args.unwrap().passes;
        assert_eq!((passes.weight_bits, passes.symmetric, passes.ranges.default_range), (4, true, Some([-1.0, 1.0])));
        assert_eq!(passes.layers.include, ["a", "-b"]);
    }

    #[test]
    fn a_wrong_keyword_is_called_by_its_name() {
        let wrong = |keyword, value| parsed(&[(keyword, value)]).unwrap_err();
        let bits = wrong("weight_bits", words(&["9"]));
        assert_eq!(bits.what, "invalid value '9' for 'weight_bits': 9 is not in 2..=8");
        assert!(wrong("weigth_bits", words(&["8"])).is_unknown && wrong("output", words(&["a"])).is_unknown);
        assert!(wrong("symmetric", words(&["a"])).what.starts_with("symmetric is True or False"));
        assert!(wrong("match", words(&["best"])).what.contains("for 'match' [possible values: auto, names, topology]"));
    }

    #[test]
    fn every_verb_that_makes_or_tells_something_is_a_function() {
        let program = Cli::command();
        let verbs = program.get_subcommands().map(Command::get_name);
        let not: Vec<_> = verbs.filter(|verb| !VERBS.contains(verb)).collect();
        assert_eq!(not, ["convert-script", "completions", "man"]);
        assert!(VERBS.iter().all(|verb| keywords(verb).is_some_and(|keywords| !keywords.is_empty())));
    }
}
