//! `evenkeel`: one executable, several roles.

mod cli;
mod roles;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().command {
        cli::Command::Role { role } => roles::run(role),
    }
}
