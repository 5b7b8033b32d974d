//! `evenkeel lab`: the configuration rehearsed in network namespaces.

use std::process::ExitCode;

use clap::Args;

use crate::cli::FileArgs;

/// `evenkeel lab`
#[derive(Debug, Args)]
pub(crate) struct LabArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
}

/// Runs the rehearsal.
pub(crate) fn lab(_args: &LabArgs) -> ExitCode {
    super::fail("lab: its drills are not written yet")
}
