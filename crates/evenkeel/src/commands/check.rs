//! `evenkeel check`: both files together, everything that is wrong with them at once.

use std::io;
use std::process::ExitCode;

use crate::cli::{CheckArgs, Format};
use crate::load::{self, Files};

/// Exit code 0 without errors, 1 with.
pub(crate) fn check(args: &CheckArgs) -> ExitCode {
    let files = match Files::from_args(&args.files) {
        Ok(files) => files,
        Err(error) => return super::fail(&error),
    };
    let loaded = load::load(&files);
    match args.format {
        Format::Json => println!("{}", loaded.render_json()),
        Format::Text => {
            let text = loaded.render(super::colours(&io::stderr()));
            if !text.is_empty() {
                eprintln!("{}", text.trim_end());
            }
            println!("{}: {}", files.names().join(", "), loaded.summary);
        }
    }
    let is_good = loaded.plan.is_some();
    // The process ends: the kernel takes the memory of a large Plan back faster than we give it.
    std::mem::forget(loaded);
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
