//! `vrrp_track_process`

use alloc::format;
use alloc::string::ToString;
use core::time::Duration;

use model::vrrp::ParameterMatch;

use super::{WEIGHT_MAX_COUNTED, own_weight};
use crate::keepalived::ast::{Configuration, Process};
use crate::keepalived::keyword::section::{PROCESS, TOP};
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;
use crate::keepalived::vrrp::{name, spanned};

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("vrrp_track_process", &[TOP]).syntax("NAME { ... }").example("P { process init }")
        .doc("A process whose presence instances track.")
        .parse(Rule::blocks(Fill::Top(vrrp_track_process), PROCESS)),
    keyword("process", &[PROCESS]).syntax("NAME [PARAMETER ...]").example("init")
        .doc("Its name (/proc/PID/comm), or with parameters its path and parameters (/proc/PID/cmdline).")
        .parse(Rule::value(Fill::Process(process))),
    keyword("param_match", &[PROCESS]).syntax("[initial|partial]").example("partial")
        .default("exact, when there are parameters")
        .doc("partial: the first parameters match; initial: and the last of them may be longer; alone: all match, perhaps none.")
        .parse(Rule::value(Fill::Process(param_match))),
    keyword("weight", &[PROCESS]).syntax("-254..254 [reverse]").example("5").default("0")
        .doc("Change of the priority of those who track it and give no weight; 0 for a fault.")
        .parse(Rule::value(Fill::Process(weight))),
    keyword("quorum", &[PROCESS]).syntax("1..65535").example("2").default("1")
        .doc("Least number of processes for success.")
        .parse(Rule::value(Fill::Process(quorum))),
    keyword("quorum_max", &[PROCESS]).syntax("0..65535").example("3")
        .doc("Greatest number of processes for success; 0: it must not run.")
        .parse(Rule::value(Fill::Process(quorum_max))),
    keyword("fork_delay", &[PROCESS]).syntax("SECONDS").example("0.5").default("0")
        .doc("From gaining the quorum to being up.")
        .parse(Rule::value(Fill::Process(fork_delay))),
    keyword("terminate_delay", &[PROCESS]).syntax("SECONDS").example("0.5").default("0")
        .doc("From losing the quorum to being down.")
        .parse(Rule::value(Fill::Process(terminate_delay))),
    keyword("delay", &[PROCESS]).syntax("SECONDS").example("0.5").default("0")
        .doc("Both fork_delay and terminate_delay.")
        .parse(Rule::value(Fill::Process(delay))),
    keyword("full_command", &[PROCESS])
        .doc("The whole command line counts, not the process's name.")
        .parse(Rule::value(Fill::Process(full_command))),
];

fn vrrp_track_process(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Configuration) {
    let Some(name) = name(reader, statement) else { return };
    let mut process = Process { name, ..Process::default() };
    let written = reader.fields(reader.block(statement), |reader, statement, fill| {
        if let Fill::Process(parse) = fill {
            parse(reader, statement, &mut process);
        }
    });
    if !written.has("process") {
        let message = format!("vrrp_track_process {} names no process", process.name.value);
        reader.error(statement.header(), message, "write process NAME in it");
    }
    to.processes.push(process);
}

fn process(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Process) {
    if reader.first_argument(statement, "the name of a process").is_none() {
        return;
    }
    to.words = statement.arguments().iter().map(|word| word.text.to_string()).collect();
    if to.words.len() > 1 {
        to.parameter_match.get_or_insert(ParameterMatch::Exact);
        to.full_command = true;
    }
}

fn param_match(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Process) {
    let choices = [("initial", ParameterMatch::Initial), ("partial", ParameterMatch::Partial)];
    let value = match statement.arguments().is_empty() {
        true => Some(ParameterMatch::Exact),
        false => reader.choice(statement, &choices, &[]),
    };
    to.parameter_match = value.or(to.parameter_match);
    to.full_command = true;
}

fn weight(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Process) {
    to.weight = own_weight(reader, statement, WEIGHT_MAX_COUNTED);
}

fn quorum(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Process) {
    to.quorum = spanned(reader.number(statement, "a count", 1..=65_535), statement.header());
}

fn quorum_max(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Process) {
    to.quorum_max = spanned(reader.number(statement, "a count", 0..=65_535), statement.header());
}

fn seconds(reader: &mut Reader<'_>, statement: &Statement<'_>) -> Option<Duration> {
    reader.seconds(statement, Duration::from_micros(1), Duration::from_secs(3_600))
}

fn fork_delay(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Process) {
    to.fork_delay = seconds(reader, statement);
}

fn terminate_delay(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Process) {
    to.terminate_delay = seconds(reader, statement);
}

fn delay(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Process) {
    let value = seconds(reader, statement);
    to.fork_delay = value;
    to.terminate_delay = value;
}

fn full_command(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Process) {
    reader.flag(statement);
    to.full_command = true;
}
