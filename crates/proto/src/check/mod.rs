//! Checkers as state machines: when to probe a server, what a good answer is, and when results
//! change the verdict.
//!
//! ```text
//! Pacer (when, rise, fall) ── Checker ── TcpProbe | HttpProbe ── Reply (bytes -> page)
//! ```
//! A driver opens the connections a [`Checker`] asks for and reports what became of them; it
//! decides nothing. A probe begins only inside [`Checker::handle_timeout`], so a driver with no
//! socket to spare delays that call while [`Checker::is_probing`] is false, and no time-out runs
//! against the server meanwhile.

mod chunked;
mod http;
mod pace;
mod reply;
mod tcp;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use model::Time;
use model::check::{CheckKind, Source};
use model::vrrp::Command;

pub use model::check::Former;

use http::HttpProbe;
use pace::Pacer;
use tcp::TcpProbe;

/// The state of a server as its checker sees it has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// It is up now.
    pub up: bool,
    /// The result that made the difference: `connection refused`, `no answer within 3 s`.
    pub reason: String,
}

/// What a checker wants done. At most one thing is open at a time: a connection, a socket or a
/// program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a TCP connection, then a TLS handshake when one is asked for, and report to
    /// [`Checker::handle_connected`] when all of it is done.
    Connect {
        /// To this address.
        target: SocketAddr,
        /// From there.
        source: Source,
        /// Over TLS.
        tls: Option<Tls>,
    },
    /// Open a UDP socket connected to the target and report to [`Checker::handle_connected`] at
    /// once. Each datagram is one [`Checker::handle_bytes`]; an ICMP error is a
    /// [`Checker::handle_end`] with its cause.
    OpenUdp {
        /// To this address.
        target: SocketAddr,
        /// From there.
        source: Source,
    },
    /// Open an ICMP echo socket and report to [`Checker::handle_connected`] at once. What is sent
    /// is the payload of an echo request; the driver adds identifier and sequence, checks them in
    /// the answer, and gives the answer's payload to [`Checker::handle_bytes`].
    OpenEcho {
        /// To this address; its port means nothing.
        target: SocketAddr,
        /// From there.
        source: Source,
    },
    /// Run a program and report its end to [`Checker::handle_exited`].
    Run {
        /// What runs, as whom.
        command: Command,
    },
    /// Send these bytes: on the connection, or as one datagram.
    Send(Vec<u8>),
    /// Close what is open, or give up opening it; end the program and its whole process group.
    Close,
    /// Up became down, or down up: tell the world.
    Verdict(Verdict),
    /// What this checker adds to the weight of its server has become this.
    Weight(i32),
    /// A failure that changed no verdict, and its cause (`log_all_failures`).
    Failure(String),
}

/// The TLS of a connection. Certificates are not verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Server Name Indication, if any is sent.
    pub server_name: Option<String>,
    /// An end without close_notify is to be reported as an error (`tls_compliant`).
    pub compliant: bool,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// It never ran, for this cause.
    NotStarted(String),
}

/// What a checker is told that does not probe itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The BFD session is up, or is not (BFD_CHECK).
    Up(bool),
    /// The number in the file; none when it is missing or holds no number (FILE_CHECK).
    Value(Option<i32>),
}

/// One checker of one server.
#[derive(Debug)]
pub struct Checker {
    plan: Arc<model::check::Checker>,
    pacer: Pacer,
    phase: Phase,
    deadline: Time,
    outputs: VecDeque<Output>,
    last_result: Option<String>,
    last_at: Option<Time>,
    weight: i32,
}

#[derive(Debug)]
enum Phase {
    /// Until the deadline, when the next probe begins.
    Waiting,
    /// Until connected, or the deadline.
    Connecting(Probe),
    /// Until the answer is complete, or the deadline: a peer that drips cannot move it.
    Exchanging(Probe),
}

#[derive(Debug)]
enum Probe {
    Tcp(TcpProbe),
    Http(Box<HttpProbe>),
}

/// What a probe makes of something that happened on its connection. Texts are for the log.
enum Step {
    /// Nothing yet.
    Wait,
    /// Ask this.
    Send(Vec<u8>),
    /// Begin again with another connection.
    Reconnect,
    /// The server is well.
    Pass(String),
    /// It is not.
    Fail(String),
}

impl Checker {
    /// A checker whose first probe begins within `pace.warmup`, where `seed` says.
    pub fn new(plan: impl Into<Arc<model::check::Checker>>, now: Time, seed: u64) -> Checker {
        let plan = plan.into();
        let state = Former::new(plan.pace.initially_up);
        Checker::resume(plan, state, now, seed)
    }

    /// The same, beginning with what is known from before instead of `pace.initially_up`.
    pub fn resume(
        plan: impl Into<Arc<model::check::Checker>>,
        state: Former,
        now: Time,
        seed: u64,
    ) -> Checker {
        let plan = plan.into();
        let pacer = Pacer::new(plan.pace, state.up);
        let deadline = state.next.unwrap_or(now + pacer.first_wait(seed));
        Checker {
            plan,
            pacer,
            phase: Phase::Waiting,
            deadline,
            outputs: VecDeque::new(),
            last_result: state.last_result,
            last_at: state.last_at,
            weight: state.weight,
        }
    }

    /// What [`resume`](Self::resume) needs to go on from here.
    pub fn state(&self) -> Former {
        Former {
            up: self.pacer.is_up(),
            weight: self.weight,
            failures: self.pacer.failures(),
            last_result: self.last_result.clone(),
            last_at: self.last_at,
            next: matches!(self.phase, Phase::Waiting).then_some(self.deadline),
            ..Former::new(true)
        }
    }

    /// What it was made from.
    pub fn plan(&self) -> &model::check::Checker {
        &self.plan
    }

    /// The verdict.
    pub fn is_up(&self) -> bool {
        self.pacer.is_up()
    }

    /// What the last finished probe said, good or bad.
    pub fn last_result(&self) -> Option<&str> {
        self.last_result.as_deref()
    }

    /// When the last probe finished, or this was last told something.
    pub fn last_at(&self) -> Option<Time> {
        self.last_at
    }

    /// What it adds to the weight of its server: 0 for most kinds (MISC_CHECK, FILE_CHECK).
    pub fn weight(&self) -> i32 {
        self.weight
    }

    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.pacer.failures()
    }

    /// A probe is under way: it holds a connection, or is about to.
    pub fn is_probing(&self) -> bool {
        !matches!(self.phase, Phase::Waiting)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn next_deadline(&self) -> Time {
        self.deadline
    }

    /// The next thing to do, if any.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The deadline has passed: a probe begins, or the one under way has failed.
    pub fn handle_timeout(&mut self, now: Time) {
        if now < self.deadline {
            return;
        }
        let within = self.plan.timeout;
        match core::mem::replace(&mut self.phase, Phase::Waiting) {
            Phase::Waiting => {
                self.pacer.handle_start(now);
                let probe = match &self.plan.kind {
                    CheckKind::Tcp => Probe::Tcp(TcpProbe),
                    CheckKind::Http(http) => {
                        Probe::Http(Box::new(HttpProbe::new(http.urls.clone())))
                    }
                    CheckKind::Smtp(_)
                    | CheckKind::Dns(_)
                    | CheckKind::Udp(_)
                    | CheckKind::Ping
                    | CheckKind::Misc(_)
                    | CheckKind::Bfd(_)
                    | CheckKind::File(_) => Probe::Tcp(TcpProbe),
                };
                self.connect(now, probe);
            }
            Phase::Connecting(_) => self.conclude(now, Err(no_answer(within))),
            Phase::Exchanging(probe) => {
                let reason = match probe {
                    Probe::Http(http) if http.has_begun() => {
                        format!("answer not complete within {}", seconds(within))
                    }
                    Probe::Http(_) | Probe::Tcp(_) => no_answer(within),
                };
                self.conclude(now, Err(reason));
            }
        }
    }

    /// The connection is open, or could not be opened for this cause.
    pub fn handle_connected(&mut self, now: Time, outcome: Result<(), String>) {
        match core::mem::replace(&mut self.phase, Phase::Waiting) {
            Phase::Connecting(mut probe) => {
                let step = match (outcome, &mut probe) {
                    (Err(cause), _) => Step::Fail(cause),
                    (Ok(()), Probe::Tcp(tcp)) => tcp.handle_connected(),
                    (Ok(()), Probe::Http(http)) => http.handle_connected(self.plan.target),
                };
                self.deadline = now + self.plan.timeout;
                self.follow(now, step, probe);
            }
            other @ (Phase::Waiting | Phase::Exchanging(_)) => self.phase = other,
        }
    }

    /// The connection could not even be tried, for want of something on this machine: no result,
    /// another try after the retry interval.
    pub fn handle_postponed(&mut self, now: Time) {
        if self.is_probing() {
            self.outputs.push_back(Output::Close);
            self.phase = Phase::Waiting;
            self.deadline = now + self.pacer.postponed_wait();
        }
    }

    /// Bytes arrived on the connection.
    pub fn handle_bytes(&mut self, now: Time, bytes: &[u8]) {
        self.handle_exchange(now, |probe| match probe {
            Probe::Tcp(_) => Step::Wait,
            Probe::Http(http) => http.handle_bytes(bytes),
        });
    }

    /// The other side has closed the connection, or it broke for this cause.
    pub fn handle_end(&mut self, now: Time, outcome: Result<(), String>) {
        self.handle_exchange(now, |probe| match (outcome, probe) {
            (Err(cause), _) => Step::Fail(cause),
            (Ok(()), Probe::Tcp(_)) => Step::Wait,
            (Ok(()), Probe::Http(http)) => http.handle_end(),
        });
    }

    /// The program of [`Output::Run`] has ended.
    pub fn handle_exited(&mut self, now: Time, exit: Exit) {
        let _ = (now, exit);
    }

    /// News for a checker that does not probe itself; others ignore it.
    pub fn handle_told(&mut self, now: Time, told: Told) {
        let _ = (now, told);
    }

    /// No probe begins any more; one under way is given up without a result (`ha_suspend`).
    pub fn handle_suspend(&mut self, now: Time) {
        let _ = now;
    }

    /// Probes begin again, the first one within the warm-up where `seed` says.
    pub fn handle_resume(&mut self, now: Time, seed: u64) {
        let _ = (now, seed);
    }

    fn handle_exchange(&mut self, now: Time, handle: impl FnOnce(&mut Probe) -> Step) {
        match core::mem::replace(&mut self.phase, Phase::Waiting) {
            Phase::Exchanging(mut probe) => {
                let step = handle(&mut probe);
                self.follow(now, step, probe);
            }
            other @ (Phase::Waiting | Phase::Connecting(_)) => self.phase = other,
        }
    }

    fn follow(&mut self, now: Time, step: Step, probe: Probe) {
        match step {
            Step::Wait => self.phase = Phase::Exchanging(probe),
            Step::Send(bytes) => {
                self.outputs.push_back(Output::Send(bytes));
                self.phase = Phase::Exchanging(probe);
            }
            Step::Reconnect => {
                self.outputs.push_back(Output::Close);
                self.connect(now, probe);
            }
            Step::Pass(text) => self.conclude(now, Ok(text)),
            Step::Fail(reason) => self.conclude(now, Err(reason)),
        }
    }

    fn connect(&mut self, now: Time, probe: Probe) {
        let (target, source) = (self.plan.target, self.plan.source.clone());
        self.outputs.push_back(Output::Connect { target, source, tls: None });
        self.deadline = now + self.plan.timeout;
        self.phase = Phase::Connecting(probe);
    }

    fn conclude(&mut self, now: Time, result: Result<String, String>) {
        self.outputs.push_back(Output::Close);
        self.phase = Phase::Waiting;
        let passed = result.is_ok();
        let (Ok(text) | Err(text)) = result;
        let (changed, next) = self.pacer.handle_result(now, passed);
        self.deadline = next;
        if changed {
            let verdict = Verdict { up: passed, reason: text.clone() };
            self.outputs.push_back(Output::Verdict(verdict));
        }
        self.last_result = Some(text);
        self.last_at = Some(now);
    }
}

fn no_answer(within: Duration) -> String {
    format!("no answer within {}", seconds(within))
}

/// `3 s`, `1.5 s`, `200 ms`.
fn seconds(span: Duration) -> String {
    match (span.as_secs(), span.subsec_millis()) {
        (0, milliseconds) => format!("{milliseconds} ms"),
        (whole, 0) => format!("{whole} s"),
        (whole, milliseconds) => {
            let fraction = format!("{milliseconds:03}");
            format!("{whole}.{} s", fraction.trim_end_matches('0'))
        }
    }
}
