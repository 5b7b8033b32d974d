//! `evenkeel reload`: the running director reads its files again.

use std::process::ExitCode;

use crate::cli::ReloadArgs;
use crate::control::{MISTAKEN, Request, Response, ask};

/// Exit code 0 when the new configuration is in force, 1 when the former one still is.
pub(crate) fn reload(args: &ReloadArgs) -> ExitCode {
    match ask(&args.runtime.runtime_dir, &Request::Reload) {
        Ok(Response::Reloaded(outcome)) => {
            eprint!("{}", outcome.messages);
            if outcome.applied {
                print!("{}", super::plan::text_of(&outcome.changes));
                ExitCode::SUCCESS
            } else {
                super::fail("reload refused; the former configuration stays in force")
            }
        }
        Err(error) => super::fail(&error),
        Ok(_) => super::fail(MISTAKEN),
    }
}
