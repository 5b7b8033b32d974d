//! `evenkeel`: one executable, several roles.
#![forbid(unsafe_code)]

mod cli;
mod commands;
mod control;
mod firewall;
mod lateness;
mod load;
mod log_lines;
mod machine;
mod manual;
mod outside;
mod personality;
mod probes;
mod roles;
mod scripts;
mod supervisor;

use std::process::ExitCode;

use clap::Parser;

use cli::Command;
use personality::Personality;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    match Personality::of(&arguments) {
        Personality::Keepalived => return personality::keepalived::run(arguments),
        Personality::Genhash => {
            return personality::genhash::run(&arguments[0].to_string_lossy(), &arguments[1..]);
        }
        Personality::Ipvsadm => return personality::ipvsadm::run("ipvsadm", &arguments[1..]),
        Personality::Evenkeel => {}
    }
    match cli::Cli::parse().command {
        Command::Run(args) => commands::run::run(&args),
        Command::Check(args) => commands::check::check(&args),
        Command::Doctor(args) => commands::doctor::doctor(&args),
        Command::Status(args) => commands::status::status(&args),
        Command::Plan(args) => commands::plan::plan(&args),
        Command::Reload(args) => commands::reload::reload(&args),
        Command::Server(args) => commands::server::server(&args),
        Command::Events(args) => commands::events::events(&args),
        Command::Ipvsadm { words } => personality::ipvsadm::run("evenkeel ipvsadm", &words),
        Command::Explain(args) => commands::explain::explain_what(&args),
        Command::Marks(args) => commands::marks::marks(&args),
        Command::Lab(args) => commands::lab::lab(&args),
        Command::Genhash { words } => personality::genhash::run("evenkeel genhash", &words),
        Command::Help { topic } => commands::help::help(&topic),
        Command::Completions { shell } => commands::help::completions(shell),
        Command::Manual { output } => commands::help::manual(&output),
        Command::Reference { output } => commands::help::reference(&output),
        Command::Role { role } => roles::run(role),
    }
}
