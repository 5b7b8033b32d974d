//! The programs that run at the moment, and the end of those that take too long.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use edge::connect::is_local_shortage;
use edge::poll::{Event, Interest, Poll};
use edge::spawn::{Ended, Program};
use model::Time;
use model::vrrp::{Command, User};

use crate::scripts;

/// Programs that may run at the same time: a group of a thousand instances that each run two for
/// a change of state are within it.
const RUNNING_MAX: usize = 4096;
/// From SIGTERM to SIGKILL, as Keepalived.
const PATIENCE: Duration = Duration::from_secs(2);
/// From one SIGKILL to the next: one is enough unless the program is stuck in the kernel.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// Programs, and what each runs for. Readable, as a descriptor, once one has ended.
pub(crate) struct Programs<P> {
    poll: Poll,
    events: Vec<Event>,
    /// Whom programs run as that name nobody.
    script_user: Option<User>,
    running: BTreeMap<u64, Running<P>>,
    last: u64,
}

struct Running<P> {
    program: Program,
    purpose: P,
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

/// Why a program could not be started.
pub(crate) struct NotStarted {
    /// A line for the log.
    pub(crate) text: String,
    /// This machine is short of descriptors, processes or memory: another time it may start.
    pub(crate) shortage: bool,
}

impl<P: Clone> Programs<P> {
    /// Nothing runs.
    pub(crate) fn new() -> io::Result<Programs<P>> {
        Ok(Programs {
            poll: Poll::new()?,
            events: Vec::new(),
            script_user: None,
            running: BTreeMap::new(),
            last: 0,
        })
    }

    /// Whom programs run as, from now on, that name nobody.
    pub(crate) fn set_script_user(&mut self, user: Option<User>) {
        self.script_user = user;
    }

    /// Starts a program with `more` arguments after its own; after `timeout` it is ended. An error
    /// is a line for the log that tells why it could not be started.
    pub(crate) fn start(
        &mut self,
        now: Time,
        command: &Command,
        more: &[&str],
        purpose: P,
        timeout: Option<Duration>,
    ) -> Result<(), String> {
        self.try_start(now, command, more, purpose, timeout).map_err(|not| not.text)
    }

    /// The same for who would try again after a shortage.
    pub(crate) fn try_start(
        &mut self,
        now: Time,
        command: &Command,
        more: &[&str],
        purpose: P,
        timeout: Option<Duration>,
    ) -> Result<(), NotStarted> {
        let name = command.words.first().map_or("", String::as_str);
        if self.running.len() >= RUNNING_MAX {
            let text = format!("{name} not started: {RUNNING_MAX} programs run already");
            return Err(NotStarted { text, shortage: true });
        }
        let started = scripts::start(command, self.script_user.as_ref(), more);
        let number = self.last + 1;
        let added = started.and_then(|program| {
            let added = self.poll.add(&program, number, Interest::Read);
            // Whose end is not told of must not run.
            added.inspect_err(|_| program.kill())?;
            Ok(program)
        });
        let program = added.map_err(|error| NotStarted {
            text: format!("Error exec-ing command '{name}': {error}"),
            shortage: is_local_shortage(&error),
        })?;
        let deadline = timeout.map_or(Time::NEVER, |timeout| now + timeout);
        let running = Running { program, purpose, deadline, stage: Stage::Free };
        self.last = number;
        self.running.insert(number, running);
        Ok(())
    }

    /// What has ended since the last time, and how.
    pub(crate) fn handle_ready(&mut self) -> io::Result<Vec<(P, Ended)>> {
        self.poll.wait(&mut self.events, Time::ZERO)?;
        let mut ends = Vec::new();
        for number in self.events.iter().map(|event| event.token) {
            let Some(running) = self.running.get_mut(&number) else { continue };
            let Some(ended) = running.program.ended()? else { continue };
            if running.stage != Stage::Free {
                // Children that did not heed the request either.
                running.program.kill();
            }
            ends.extend(self.running.remove(&number).map(|running| (running.purpose, ended)));
        }
        Ok(ends)
    }

    /// Ends what has taken too long, and says what ran out of time just now.
    pub(crate) fn handle_timeout(&mut self, now: Time) -> Vec<P> {
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
    pub(crate) fn next_deadline(&self) -> Time {
        self.running.values().map(|running| running.deadline).min().unwrap_or(Time::NEVER)
    }

    /// Asks programs to end.
    pub(crate) fn terminate(&mut self, now: Time, which: impl Fn(&P) -> bool) {
        for running in self.running.values_mut() {
            if running.stage == Stage::Free && which(&running.purpose) {
                running.terminate(now);
            }
        }
    }

    /// Nothing runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// How many run, those that were asked to end among them.
    pub(crate) fn len(&self) -> usize {
        self.running.len()
    }

    /// Kills all of them.
    pub(crate) fn kill(&self) {
        self.running.values().for_each(|running| running.program.kill());
    }
}

impl<P> AsFd for Programs<P> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }
}

impl<P> Running<P> {
    fn terminate(&mut self, now: Time) {
        self.program.terminate();
        self.stage = Stage::Asked;
        self.deadline = now + PATIENCE;
    }
}
