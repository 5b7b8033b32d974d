//! The command line, as data.

use clap::{Parser, Subcommand, ValueEnum};

/// Keeps services up: VRRP failover, health checks, layer-4 and layer-7 load balancing.
#[derive(Debug, Parser)]
#[command(name = "evenkeel", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One role of a running Evenkeel: started by its supervisor, on descriptor 3.
    #[command(hide = true)]
    Role {
        /// Which one.
        role: Role,
    },
}

/// The roles of the executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// VRRP and nothing else.
    Vrrp,
    /// Checkers and layer-4 tables.
    Director,
    /// The layer-7 proxy.
    Proxy,
}
