//! The programs that run at the moment, and the end of those that take too long.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use edge::poll::Interest;
use edge::spawn::{Ended, Program};
use model::Time;
use model::vrrp::Command;

use super::turns::Key;
use super::{PROGRAMS, Shared};
use crate::scripts;

/// Programs that may run at the same time: a group of a thousand instances that each run two for
/// a change of state are within it.
const RUNNING_MAX: usize = 4096;
/// From SIGTERM to SIGKILL, as Keepalived.
const PATIENCE: Duration = Duration::from_secs(2);
/// From one SIGKILL to the next: one is enough unless the program is stuck in the kernel.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// What a program runs for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The `vrrp_script` of this name.
    Track(String),
    /// Somebody is told of a change of this group or instance.
    Notice(Key),
    /// It reads the pipe at this path.
    Fifo(String),
}

struct Running {
    program: Program,
    purpose: Purpose,
    /// What happens if it still runs then.
    deadline: Time,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its time has not run out.
    Free,
    /// It was asked to end.
    Asked,
    /// It was killed.
    Killed,
}

/// Programs by number.
#[derive(Default)]
pub(super) struct Programs {
    running: BTreeMap<u64, Running>,
    last: u64,
}

impl Shared {
    /// Starts a program; after `timeout` it is ended. False, and a line in the log, when it
    /// cannot be started.
    pub(super) fn start(
        &mut self,
        now: Time,
        command: &Command,
        more: &[&str],
        purpose: Purpose,
        timeout: Option<Duration>,
    ) -> bool {
        let name = command.words.first().cloned().unwrap_or_default();
        if self.programs.running.len() >= RUNNING_MAX {
            self.note(3, format!("{name} not started: {RUNNING_MAX} programs run already"));
            return false;
        }
        let started = scripts::start(command, self.plan.script_user.as_ref(), more);
        let number = self.programs.last + 1;
        let added = started.and_then(|program| {
            let added = self.poll.add(&program, PROGRAMS + number, Interest::Read);
            // Whose end is not told of must not run.
            added.inspect_err(|_| program.kill())?;
            Ok(program)
        });
        match added {
            Ok(program) => {
                let deadline = timeout.map_or(Time::NEVER, |timeout| now + timeout);
                let running = Running { program, purpose, deadline, stage: Stage::Free };
                self.programs.last = number;
                self.programs.running.insert(number, running);
                true
            }
            Err(error) => {
                self.note(3, format!("Error exec-ing command '{name}': {error}"));
                false
            }
        }
    }
}

impl Programs {
    /// Something may have ended.
    pub(super) fn handle_ready(&mut self, number: u64) -> io::Result<Option<(Purpose, Ended)>> {
        let Some(running) = self.running.get_mut(&number) else { return Ok(None) };
        let Some(ended) = running.program.ended()? else { return Ok(None) };
        if running.stage != Stage::Free {
            // Children that did not heed the request either.
            running.program.kill();
        }
        Ok(self.running.remove(&number).map(|running| (running.purpose, ended)))
    }

    /// Ends what has taken too long, and says what ran out of time just now.
    pub(super) fn handle_timeout(&mut self, now: Time) -> Vec<Purpose> {
        let mut overtime = Vec::new();
        for running in self.running.values_mut().filter(|running| running.deadline <= now) {
            match running.stage {
                Stage::Free => {
                    overtime.push(running.purpose.clone());
                    running.terminate(now);
                }
                Stage::Asked => {
                    running.program.kill();
                    running.stage = Stage::Killed;
                    running.deadline = now + PATIENCE;
                }
                Stage::Killed => {
                    running.program.kill();
                    running.deadline = now + LAST_PATIENCE;
                }
            }
        }
        overtime
    }

    /// When something runs out of time.
    pub(super) fn next_deadline(&self) -> Time {
        self.running.values().map(|running| running.deadline).min().unwrap_or(Time::NEVER)
    }

    /// Asks programs to end.
    pub(super) fn terminate(&mut self, which: impl Fn(&Purpose) -> bool) {
        let now = edge::clock::now();
        for running in self.running.values_mut() {
            if running.stage == Stage::Free && which(&running.purpose) {
                running.terminate(now);
            }
        }
    }

    /// Nothing runs.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }
}

impl Running {
    fn terminate(&mut self, now: Time) {
        self.program.terminate();
        self.stage = Stage::Asked;
        self.deadline = now + PATIENCE;
    }
}
