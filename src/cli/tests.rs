//! The command line as a whole: its help, and that it holds together.

use clap::CommandFactory;

#[test]
fn the_command_line_holds_together() {
    super::Cli::command().debug_assert();
}

#[test]
fn the_help_of_every_verb_begins_with_an_example_and_ends_with_the_exit_codes() {
    let mut command = super::Cli::command();
    command.build();
    for verb in command.get_subcommands_mut().filter(|verb| verb.get_name() != "help") {
        let name = verb.get_name().to_owned();
        let help = verb.render_long_help().to_string();
        assert!(help.starts_with(&format!("Example: tfquant {name}")), "{help}");
        assert!(help.lines().last().is_some_and(|last| last.starts_with("Exit codes: 0 ")), "{help}");
        let has_output = verb.get_arguments().any(|argument| argument.get_id() == "output");
        let is_shown = help.lines().any(|line| line.starts_with("Usage: ") && line.ends_with("-o <PATH> <MODEL>"));
        assert_eq!(is_shown, has_output, "{help}");
        let is_option = |argument: &&clap::Arg| !argument.is_positional() && argument.get_id() != "help";
        let loose: Vec<_> =
            verb.get_arguments().filter(is_option).filter(|it| it.get_help_heading().is_none()).collect();
        assert!(loose.is_empty(), "{name}: in no group: {loose:?}");
    }
}
