//! `tfquant man`: the manual page, all verbs in one.

use anyhow::Result;
use clap::CommandFactory;
use clap_mangen::Man;

use crate::cli::Cli;
use crate::cli::ExitCode;
use crate::cli::terminal;

pub fn run() -> Result<ExitCode> {
    let mut command = Cli::command();
    command.build();
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        let verb = verb.clone().display_name(format!("tfquant {}", verb.get_name()));
        let man = Man::new(verb.clone());
        page.extend(format!(".SH VERB \"{}\"\n", verb.get_name()).into_bytes());
        man.render_description_section(&mut page)?;
        man.render_synopsis_section(&mut page)?;
        man.render_options_section(&mut page)?;
    }
    terminal::print(&String::from_utf8_lossy(&page))?;
    Ok(ExitCode::SUCCESS)
}
