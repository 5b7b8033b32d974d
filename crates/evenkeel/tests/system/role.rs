//! One role as a process of its own, with the test in the place of the supervisor.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use edge::ipc::{Channel, Received};
use lab::net::Namespace;
use model::control::{Event, FromRole, RolePlan, RoleReport, Runtime, ToRole, XdpMode};

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(20);

/// A running role. Killed when dropped.
pub(crate) struct RoleProcess {
    child: Child,
    channel: Channel,
    generation: u64,
    /// Every event it told of, in order.
    pub(crate) events: Vec<Event>,
}

impl RoleProcess {
    /// Starts `evenkeel role ROLE` inside a namespace.
    pub(crate) fn start(namespace: &Namespace, role: &str) -> io::Result<RoleProcess> {
        Self::start_by(namespace.command(env!("CARGO_BIN_EXE_evenkeel")), role)
    }

    /// Starts `evenkeel role ROLE` by a command that names the program.
    pub(crate) fn start_by(mut command: Command, role: &str) -> io::Result<RoleProcess> {
        let (channel, theirs) = Channel::pair()?;
        command.args(["role", role]);
        edge::process::with_channel(&mut command, theirs.into_socket())?;
        let child = command.spawn()?;
        Ok(RoleProcess { child, channel, generation: 0, events: Vec::new() })
    }

    /// Sends it a signal: `STOP`, `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Sends the first message.
    pub(crate) fn hello(&mut self, pin_directory: &str, memory: Vec<OwnedFd>) {
        let runtime = Runtime {
            directory: "/run/evenkeel-test".into(),
            pin_directory: pin_directory.into(),
            xdp_mode: XdpMode::Auto,
            connections_max: 4096,
            connections6_max: 4096,
        };
        self.send(&ToRole::Hello(runtime), memory);
    }

    /// Sends a message with descriptors beside it.
    pub(crate) fn send(&mut self, message: &ToRole, descriptors: Vec<OwnedFd>) {
        self.channel.queue(serde_json::to_vec(message).unwrap(), descriptors);
        self.channel.flush().unwrap();
    }

    /// The next message that is not an event; those are kept in [`events`](Self::events).
    pub(crate) fn receive(&mut self, within: Duration) -> Option<FromRole> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.channel.wait(left).unwrap() {
                Received::Frame(frame) => match serde_json::from_slice(&frame.bytes).unwrap() {
                    FromRole::Event(event) => self.events.push(event),
                    message => return Some(message),
                },
                Received::Nothing | Received::Closed => return None,
            }
        }
    }

    /// Gives it a plan and waits until it is in force.
    pub(crate) fn configure(&mut self, plan: RolePlan) {
        self.generation += 1;
        let generation = self.generation;
        self.send(&ToRole::Configure { generation, plan, listeners: Vec::new() }, Vec::new());
        let answer = self.receive(ANSWER);
        assert_eq!(answer, Some(FromRole::Configured { generation, error: None }));
    }

    /// Asks for its report.
    pub(crate) fn report(&mut self) -> RoleReport {
        self.send(&ToRole::Report { id: 7 }, Vec::new());
        match self.receive(ANSWER) {
            Some(FromRole::Report { id: 7, report }) => report,
            other => panic!("no report but {other:?}"),
        }
    }

    /// Tells it to stop and waits for its end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.send(&ToRole::Stop, Vec::new());
        let deadline = Instant::now() + ANSWER;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("the role did not stop");
    }

    /// Closes the channel, as the death of the supervisor does, and waits for its end.
    pub(crate) fn abandon(mut self) -> ExitStatus {
        let (_, nobody) = Channel::pair().unwrap();
        self.channel = nobody;
        self.child.wait().unwrap()
    }

    /// Kills it with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for RoleProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
