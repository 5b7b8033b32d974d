//! The commands of the command line, one file each.

pub(crate) mod check;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod help;
pub(crate) mod lab;
pub(crate) mod marks;
pub(crate) mod plan;
pub(crate) mod reload;
pub(crate) mod run;
pub(crate) mod server;
pub(crate) mod status;

use std::process::ExitCode;

/// Prints what went wrong, as every command does.
pub(crate) fn fail(message: &str) -> ExitCode {
    eprintln!("evenkeel: {}", message.trim_end());
    ExitCode::FAILURE
}

/// Colours are for people at terminals who did not refuse them (no-color.org).
pub(crate) fn colours(stream: &impl std::io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
