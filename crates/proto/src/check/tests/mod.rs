//! Checkers as a whole, with a virtual clock and scripted servers.

mod drip;
mod http;
mod pace;
mod program;
mod several;
mod smtp;
mod state;
mod told;
mod udp;

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use model::Time;
use model::check::{CheckKind, Checker as Plan, Pace, Source, UrlCheck};

use super::*;

/// One second between retries, six between checks, a second failure takes a server down.
const PACE: Pace =
    Pace { retry_interval: Duration::from_secs(1), fall: 2, ..Pace::every(Duration::from_secs(6)) };

fn at(milliseconds: u64) -> Time {
    Time::ZERO + Duration::from_millis(milliseconds)
}

fn plan(kind: CheckKind) -> Plan {
    Plan::new(kind, "10.0.0.2:80".parse().unwrap(), Duration::from_secs(3), PACE)
}

/// One that was up before, so that its first failure is not its first result.
fn checker(kind: CheckKind) -> Checker {
    Checker::resume(plan(kind), Former::new(true), at(0), 0)
}

fn url(path: &str) -> UrlCheck {
    UrlCheck { path: path.to_string(), ..UrlCheck::default() }
}

fn outputs(checker: &mut Checker) -> Vec<Output> {
    core::iter::from_fn(|| checker.poll_output()).collect()
}

fn verdict(up: bool, reason: &str) -> Output {
    Output::Verdict(Verdict { up, reason: reason.to_string() })
}

/// Lets the next probe begin; returns when.
fn begin(checker: &mut Checker) -> Time {
    let now = checker.next_deadline();
    checker.handle_timeout(now);
    let (target, source) = (checker.plan().target, Source::default());
    let opened = match &checker.plan().kind {
        CheckKind::Tcp | CheckKind::Http(_) | CheckKind::Smtp(_) => {
            Output::Connect { target, source, tls: None }
        }
        CheckKind::Dns(_) | CheckKind::Udp(_) => Output::OpenUdp { target, source },
        CheckKind::Ping => Output::OpenEcho { target, source },
        CheckKind::Misc(misc) => Output::Run { command: misc.command.clone() },
        CheckKind::Bfd(_) | CheckKind::File(_) => panic!("nothing begins"),
    };
    assert_eq!(outputs(checker), [opened]);
    now
}

/// Lets the next probe begin and what it opens be open; returns when, and what it sends.
fn open(checker: &mut Checker) -> (Time, Vec<u8>) {
    let now = begin(checker);
    checker.handle_connected(now, Ok(()));
    match outputs(checker).pop() {
        Some(Output::Send(bytes)) => (now, bytes),
        None => (now, Vec::new()),
        Some(other) => panic!("{other:?}"),
    }
}

/// One probe, answered with these bytes and the end.
fn answer(checker: &mut Checker, wire: &[u8]) -> Vec<Output> {
    let (now, _) = open(checker);
    checker.handle_bytes(now, wire);
    checker.handle_end(now, Ok(()));
    outputs(checker)
}
