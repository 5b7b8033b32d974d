//! One role: its process, its channel, and its restarts.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use edge::ipc::{Channel, Received};
use model::Time;
use model::control::{FromRole, Runtime, ToRole};

use crate::cli::Role;

/// A role that ran this long without dying begins again with the shortest wait.
const STEADY: Duration = Duration::from_secs(10);
/// The longest wait before a role is started again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The wait after the first death of a role that need not be on time.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// A running process of a role.
pub(crate) struct Running {
    process: Child,
    pub(crate) channel: Channel,
    pub(crate) since: Time,
    /// Listeners this process has been given.
    pub(crate) listeners: BTreeSet<SocketAddr>,
    /// The configuration that it was last told to put in force.
    pub(crate) told: u64,
    /// The last one that it did put in force.
    pub(crate) in_force: u64,
}

/// What a role does at the moment.
pub(crate) enum Phase {
    /// The configuration has nothing for it.
    Idle,
    /// It runs.
    Running(Running),
    /// It died and is started again at this time.
    Waiting(Time),
}

/// One role over all of its processes.
pub(crate) struct Slot {
    pub(crate) role: Role,
    pub(crate) phase: Phase,
    /// Deaths in a row without a steady run between them.
    pub(crate) failures: u32,
    /// Restarts since the supervisor began.
    pub(crate) restarts: u64,
    /// Wait that the command line asks for before every restart.
    pub(crate) hold: Option<Duration>,
    /// Handed to every process of the role: what must survive it.
    pub(crate) memory: Option<OwnedFd>,
}

impl Slot {
    /// A role that does not run yet.
    pub(crate) fn new(role: Role, hold: Option<Duration>) -> Slot {
        Slot { role, phase: Phase::Idle, failures: 0, restarts: 0, hold, memory: None }
    }

    /// Its process, if it runs.
    pub(crate) fn running(&mut self) -> Option<&mut Running> {
        match &mut self.phase {
            Phase::Running(running) => Some(running),
            Phase::Idle | Phase::Waiting(_) => None,
        }
    }

    /// Starts a process and greets it.
    pub(crate) fn start(
        &mut self,
        now: Time,
        runtime: &Runtime,
        background: bool,
    ) -> io::Result<&mut Running> {
        let mut running = Running::start(self.role, now, background)?;
        let memory = match &self.memory {
            Some(memory) => vec![memory.try_clone()?],
            None => Vec::new(),
        };
        running.say_with(&ToRole::Hello(runtime.clone()), memory)?;
        self.phase = Phase::Running(running);
        match &mut self.phase {
            Phase::Running(running) => Ok(running),
            Phase::Idle | Phase::Waiting(_) => unreachable!("it was set a line ago"),
        }
    }

    /// Notes that its process is gone and says when the next one starts.
    pub(crate) fn died(&mut self, now: Time) -> Time {
        if let Phase::Running(running) = &self.phase
            && now.since(running.since) >= STEADY
        {
            self.failures = 0;
        }
        self.failures += 1;
        self.restarts += 1;
        let wait = self.hold.unwrap_or_else(|| wait(self.role, self.failures));
        self.phase = Phase::Waiting(now + wait);
        now + wait
    }
}

/// VRRP must be back within one master-down interval, so its first two restarts do not wait.
fn wait(role: Role, failures: u32) -> Duration {
    let doublings = match role {
        Role::Vrrp if failures <= 2 => return Duration::ZERO,
        Role::Vrrp => failures - 3,
        Role::Helper | Role::Director | Role::Proxy => failures - 1,
    };
    FIRST_WAIT.saturating_mul(1 << doublings.min(16)).min(LONGEST_WAIT)
}

impl Running {
    /// Starts a process of a role; it waits for its Hello.
    pub(crate) fn start(role: Role, now: Time, background: bool) -> io::Result<Running> {
        let (ours, theirs) = Channel::pair()?;
        let mut command = Command::new("/proc/self/exe");
        // `killall -0 haproxy` in a vrrp_script must go on working, and so must `pgrep -f`.
        command.arg0(match role {
            Role::Proxy => "haproxy",
            Role::Helper | Role::Vrrp | Role::Director => "evenkeel",
        });
        command.arg("role").arg(role.name()).stdin(Stdio::null());
        if background {
            // What it has to say comes over the channel; a terminal must not be held open.
            command.stderr(Stdio::null());
        }
        edge::process::with_channel(&mut command, theirs.into_socket())?;
        // It raises them itself, and gives its programs what we were started with.
        edge::privileges::with_descriptors_as_found(&mut command);
        let process = command.spawn()?;
        let listeners = BTreeSet::new();
        Ok(Running { process, channel: ours, since: now, listeners, told: 0, in_force: 0 })
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends a message, now or as soon as the role reads.
    pub(crate) fn say(&mut self, message: &ToRole) -> io::Result<()> {
        self.say_with(message, Vec::new())
    }

    /// The same with descriptors.
    pub(crate) fn say_with(
        &mut self,
        message: &ToRole,
        descriptors: Vec<OwnedFd>,
    ) -> io::Result<()> {
        self.channel.queue(serde_json::to_vec(message)?, descriptors);
        self.channel.flush().map(|_| ())
    }

    /// The next message of the role. `Err` means that it is gone or speaks nonsense.
    pub(crate) fn hear(&mut self) -> io::Result<Option<FromRole>> {
        match self.channel.receive()? {
            Received::Frame(frame) => Ok(Some(serde_json::from_slice(&frame.bytes)?)),
            Received::Nothing => Ok(None),
            Received::Closed => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// How its process ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.try_wait().ok().flatten()
    }

    /// Ends it at once, if it has not ended. True: it ended in order, by itself.
    pub(crate) fn kill(&mut self) -> bool {
        let _ = self.process.kill();
        self.process.wait().is_ok_and(|status| status.success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vrrp_restarts_at_once_twice_and_others_wait_longer_each_time() {
        assert_eq!(wait(Role::Vrrp, 1), Duration::ZERO);
        assert_eq!(wait(Role::Vrrp, 2), Duration::ZERO);
        assert_eq!(wait(Role::Vrrp, 3), FIRST_WAIT);
        assert_eq!(wait(Role::Proxy, 1), FIRST_WAIT);
        assert_eq!(wait(Role::Proxy, 3), FIRST_WAIT * 4);
        assert_eq!(wait(Role::Director, 60), LONGEST_WAIT);
    }
}
