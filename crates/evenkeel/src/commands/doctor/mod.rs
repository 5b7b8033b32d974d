//! `evenkeel doctor`: this machine, as the configuration needs it.
//!
//! [`facts`] are gathered in one place, [`findings`] are pure functions of a Plan and the facts,
//! and a [`remedy`] is what `--fix` may do about one.

#[cfg(test)]
mod bed;
mod facts;
mod findings;
mod parts;
mod remedy;
mod render;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use edge::netns::NetworkNamespace;
use model::Plan;

use crate::cli::{DoctorArgs, Format};
use crate::load::{self, Files};
use findings::{Report, examine};
use render::Fixed;

/// Exit code 0 without errors, 1 with; after `--fix`, those that are left.
pub(crate) fn doctor(args: &DoctorArgs) -> ExitCode {
    let files = match Files::from_args(&args.files) {
        Ok(files) => files,
        Err(error) => return super::fail(&error),
    };
    let loaded = load::load(&files);
    let Some(plan) = &loaded.plan else {
        eprintln!("{}", loaded.render(super::colours(&io::stderr())).trim_end());
        return super::fail("the configuration has errors: mend these first");
    };
    match look(plan, args.fix) {
        Err(error) => super::fail(&error),
        Ok((report, fixed)) => {
            match args.format {
                Format::Json => println!("{}", render::json(&report, &fixed)),
                Format::Text => {
                    print!("{}", render::text(&report, &fixed, super::colours(&io::stdout())));
                }
            }
            if report.has_errors() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
    }
}

/// Looks, mends what is to be mended, and looks again.
fn look(plan: &Plan, fix: bool) -> Result<(Report, Fixed), String> {
    enter(plan)?;
    let gather = || facts::gather(plan).map_err(|error| format!("netlink: {error}"));
    let report = examine(plan, &gather()?);
    let remedies: BTreeSet<_> = match fix {
        true => report.findings.iter().flat_map(|one| one.remedies.iter().cloned()).collect(),
        false => BTreeSet::new(),
    };
    if remedies.is_empty() {
        return Ok((report, Fixed::default()));
    }
    let mut fixed = Fixed::default();
    for remedy in remedies {
        match remedy.apply() {
            Ok(()) => fixed.done.push(remedy),
            Err(error) => fixed.failed.push((remedy, error.to_string())),
        }
    }
    Ok((examine(plan, &gather()?), fixed))
}

/// Goes where `evenkeel run` goes.
fn enter(plan: &Plan) -> Result<(), String> {
    let Some(name) = &plan.global.network_namespace else { return Ok(()) };
    let path = Path::new("/run/netns").join(name);
    NetworkNamespace::open(&path)
        .and_then(|namespace| namespace.enter_for_good())
        .map_err(|error| format!("cannot enter the network namespace {}: {error}", path.display()))
}
