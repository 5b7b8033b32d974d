//! `evenkeel events`: what happened, a line each.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

use edge::clock::{Civil, Zone};

use crate::cli::EventsArgs;
use crate::control::{EventRecord, MISTAKEN, Request, Response, listen};

/// Shows the last events, and with `--follow` those to come.
pub(crate) fn events(args: &EventsArgs) -> ExitCode {
    let mut failure = None;
    let mut out = io::stdout().lock();
    let request = Request::Events { follow: args.follow };
    let heard = listen(&args.runtime.runtime_dir, &request, args.follow, |response| {
        match response {
            Response::Event(record) => match show(&mut out, &record, args.json) {
                Ok(()) => ControlFlow::Continue(()),
                // Whoever read it, as `head` does, has seen enough.
                Err(error) => {
                    failure = (error.kind() != io::ErrorKind::BrokenPipe)
                        .then(|| format!("standard output: {error}"));
                    ControlFlow::Break(())
                }
            },
            Response::Done => ControlFlow::Break(()),
            Response::Failed(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
            _ => {
                failure = Some(MISTAKEN.into());
                ControlFlow::Break(())
            }
        }
    });
    match heard.err().or(failure) {
        None => ExitCode::SUCCESS,
        Some(error) => super::fail(&error),
    }
}

fn show(out: &mut impl Write, record: &EventRecord, json: bool) -> io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, record)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{} {}: {}", time(record.at_ms), record.from, record.text)?;
    }
    out.flush()
}

/// `2026-11-21 15:59:11.123`, by this machine's clock.
fn time(at_ms: u64) -> String {
    let seconds = i64::try_from(at_ms / 1_000).unwrap_or(i64::MAX);
    match Civil::at(seconds, Zone::Local) {
        Some(Civil { year, month, day, hour, minute, second }) => format!(
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:03}",
            at_ms % 1_000
        ),
        None => at_ms.to_string(),
    }
}
