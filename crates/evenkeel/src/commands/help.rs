//! `evenkeel help`, completions, manual pages and the keyword reference: everything that explains.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use conf::{RowInfo, Status};

use crate::cli::Cli;

/// Explains a command or a keyword.
pub(crate) fn help(topic: &[String]) -> ExitCode {
    let mut command = Cli::command();
    command.build();
    let Some(first) = topic.first() else {
        return shown(command.print_help());
    };
    if let Some(known) = command.find_subcommand_mut(first) {
        return shown(known.print_long_help());
    }
    let name = topic.join(" ");
    let rows: Vec<&RowInfo> = conf::rows().filter(|row| row.is_named(&name)).collect();
    if rows.is_empty() {
        let mut message = format!("{name:?} is neither a command nor a keyword");
        let names = conf::rows().flat_map(|row| row.aliases.iter().copied().chain([row.name]));
        if let Some(near) = conf::suggest::nearest(&name, names) {
            message.push_str(&format!("; did you mean \"{near}\"?"));
        }
        return super::fail(&message);
    }
    let texts: Vec<String> = rows.iter().map(|row| keyword(row)).collect();
    print!("{}", texts.join("\n"));
    ExitCode::SUCCESS
}

fn keyword(row: &RowInfo) -> String {
    let mut text = format!("{} {}", row.name, row.syntax).trim_end().to_owned() + "\n";
    if !row.doc.is_empty() {
        text.push_str(&format!("    {}\n", row.doc));
    }
    text.push_str(&format!("    {}, in {}\n", row.language, row.sections.join(", ")));
    if !row.aliases.is_empty() {
        text.push_str(&format!("    also written {}\n", row.aliases.join(", ")));
    }
    if !row.default.is_empty() {
        text.push_str(&format!("    default: {}\n", row.default));
    }
    if !row.example.is_empty() {
        text.push_str(&format!("    example: {} {}\n", row.name, row.example));
    }
    if !row.since.is_empty() {
        text.push_str(&format!("    new in {}\n", row.since));
    }
    match row.status {
        Status::Supported => {}
        Status::Rejected(instead) => text.push_str(&format!("    not supported: {instead}\n")),
        Status::NoEffect(why) => text.push_str(&format!("    accepted, no effect: {why}\n")),
    }
    text
}

fn shown(outcome: io::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Completions for a shell, on standard output.
pub(crate) fn completions(shell: clap_complete::Shell) -> ExitCode {
    clap_complete::generate(shell, &mut Cli::command(), "evenkeel", &mut io::stdout());
    ExitCode::SUCCESS
}

/// evenkeel(1) and a page for each command.
pub(crate) fn manual(directory: &Path) -> ExitCode {
    let write = || -> io::Result<()> {
        fs::create_dir_all(directory)?;
        clap_mangen::generate_to(Cli::command(), directory)
    };
    written(directory, write())
}

/// The reference of every keyword.
pub(crate) fn reference(directory: &Path) -> ExitCode {
    let write = || -> io::Result<()> {
        fs::create_dir_all(directory)?;
        fs::write(directory.join("keywords.md"), conf::reference_markdown())
    };
    written(directory, write())
}

fn written(directory: &Path, outcome: io::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::fail(&format!("cannot write to {}: {error}", directory.display())),
    }
}
