//! Which processes count for which `vrrp_track_process`, and what /proc says of one.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

use model::vrrp::{ParameterMatch, TrackProcess};

/// Bytes of a command line that are looked at.
const COMMAND_LINE_MAX: u64 = 64 << 10;

/// Processes that count for something, each with the numbers of the trackers it counts for.
#[derive(Default)]
pub(super) struct Table {
    counted: BTreeMap<u32, Vec<usize>>,
}

impl Table {
    /// A process has a child, which is as it is. True: that changes a count.
    pub(super) fn fork(&mut self, parent: u32, child: u32) -> bool {
        let Some(trackers) = self.counted.get(&parent).cloned() else { return false };
        self.put(child, trackers)
    }

    /// What a process counts for from now on. True: that changes a count.
    pub(super) fn put(&mut self, pid: u32, trackers: Vec<usize>) -> bool {
        if trackers.is_empty() {
            return self.counted.remove(&pid).is_some();
        }
        let former = self.counted.insert(pid, trackers);
        former.as_ref() != self.counted.get(&pid)
    }

    /// How many processes count for each of so many trackers.
    pub(super) fn counts(&self, trackers: usize) -> Vec<u32> {
        let mut counts = vec![0; trackers];
        for &tracker in self.counted.values().flatten() {
            counts[tracker] += 1;
        }
        counts
    }

    /// Looks at every process there is.
    pub(super) fn scan(plans: &[&TrackProcess]) -> Table {
        let mut table = Table::default();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                table.put(pid, look(pid, plans));
            }
        }
        table
    }
}

/// The numbers of the trackers that a process counts for.
pub(super) fn look(pid: u32, plans: &[&TrackProcess]) -> Vec<usize> {
    let Some(name) = name(pid) else { return Vec::new() };
    // The command line is in the process's own memory, which may have been swapped out: it is
    // read only where it matters.
    let whole = plans.iter().any(|plan| plan.full_command).then(|| command_line(pid));
    let whole = whole.flatten().unwrap_or_default();
    let counts = |plan: &TrackProcess| {
        if plan.full_command { matches(plan, &whole) } else { plan.process.as_bytes() == name }
    };
    plans.iter().enumerate().filter(|(_, plan)| counts(plan)).map(|(number, _)| number).collect()
}

/// The name of a process that has not ended.
fn name(pid: u32) -> Option<Vec<u8>> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // `PID (NAME) STATE ...`, and a name may have brackets of its own.
    let open = stat.iter().position(|&byte| byte == b'(')?;
    let close = stat.iter().rposition(|&byte| byte == b')')?;
    match stat.get(close + 2)? {
        b'Z' | b'X' => None,
        _ => stat.get(open + 1..close).map(<[u8]>::to_vec),
    }
}

fn command_line(pid: u32) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(format!("/proc/{pid}/cmdline")).ok()?;
    file.take(COMMAND_LINE_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// A command line, each word of which ends with a zero, is what the tracker asks for.
fn matches(plan: &TrackProcess, command_line: &[u8]) -> bool {
    let mut wanted = plan.process.clone().into_bytes();
    wanted.push(0);
    let Some(parameters) = command_line.strip_prefix(wanted.as_slice()) else { return false };
    let mut wanted = Vec::new();
    for parameter in &plan.parameters {
        wanted.extend_from_slice(parameter.as_bytes());
        wanted.push(0);
    }
    match plan.parameter_match {
        None => true,
        Some(ParameterMatch::Exact) => parameters == wanted,
        Some(ParameterMatch::Partial) => parameters.starts_with(&wanted),
        Some(ParameterMatch::Initial) => {
            wanted.pop();
            parameters.starts_with(&wanted)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn plan(parameters: &[&str], parameter_match: Option<ParameterMatch>) -> TrackProcess {
        TrackProcess {
            name: "t".into(),
            process: "/bin/a b".into(),
            parameters: parameters.iter().map(|&one| one.to_owned()).collect(),
            parameter_match,
            full_command: true,
            quorum: 1,
            quorum_max: None,
            fork_delay: Duration::ZERO,
            terminate_delay: Duration::ZERO,
        }
    }

    #[test]
    fn parameters_match_exactly_partially_or_initially() {
        let (exact, partial, initial) =
            (ParameterMatch::Exact, ParameterMatch::Partial, ParameterMatch::Initial);
        let line = b"/bin/a b\0-x\0--file=/etc/f\0";
        let cases: &[(&[&str], Option<ParameterMatch>, bool)] = &[
            (&[], None, true),
            (&[], Some(exact), false),
            (&["-x", "--file=/etc/f"], Some(exact), true),
            (&["-x"], Some(exact), false),
            (&["-x"], Some(partial), true),
            (&["-x", "--file"], Some(partial), false),
            (&["-x", "--file"], Some(initial), true),
            (&["-y"], Some(initial), false),
            (&[], Some(partial), true),
            (&[], Some(initial), true),
        ];
        for &(parameters, how, expected) in cases {
            assert_eq!(matches(&plan(parameters, how), line), expected, "{parameters:?} {how:?}");
        }
        assert!(!matches(&plan(&[], None), b"/bin/a\0b\0"));
        assert!(matches(&plan(&[], Some(exact)), b"/bin/a b\0"));
    }

    #[test]
    fn children_count_like_their_parents_until_they_are_looked_at() {
        let mut table = Table::default();
        table.put(10, vec![0, 1]);
        table.fork(10, 11);
        table.fork(20, 21);
        assert_eq!(table.counts(2), [2, 2]);
        table.put(11, vec![1]);
        table.put(10, Vec::new());
        assert_eq!(table.counts(2), [0, 1]);
    }

    #[test]
    fn this_process_is_found_by_its_name_and_by_its_command_line() {
        let pid = std::process::id();
        let name = String::from_utf8(name(pid).unwrap()).unwrap();
        let by_name = TrackProcess { process: name, full_command: false, ..plan(&[], None) };
        let command = std::env::args().next().unwrap();
        let by_command = TrackProcess { process: command, ..plan(&[], None) };
        let plans = [&by_name, &by_command, &plan(&[], None)];
        assert_eq!(look(pid, &plans), [0, 1]);
        assert!(Table::scan(&plans).counts(3)[1] >= 1);
    }
}
