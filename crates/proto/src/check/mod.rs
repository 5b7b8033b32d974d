//! Checkers as state machines: when to probe a server, what a good answer is, and when results
//! change the verdict.
//!
//! ```text
//!           ┌ Pacer   when, retries, rise, fall
//! Checker ──┼ Course  which of several urls or hosts
//!           └ Probe   one try: tcp | http (Reply, Pattern) | smtp | dns | udp | ping
//!                     misc: a program; bfd, file: nothing is tried, somebody tells
//! ```
//! A driver opens what a [`Checker`] asks for and reports what became of it; it decides nothing. A
//! probe begins only inside [`Checker::handle_timeout`], so a driver with no socket to spare delays
//! that call while [`Checker::is_probing`] is false, and no time-out runs against the server
//! meanwhile. A probe is bounded in time by the time-out for opening and the same again for the
//! exchange that follows, for each connection, however slowly its bytes drip.

mod bfd;
mod checker;
mod chunked;
mod course;
mod dns;
mod file;
pub mod genhash;
mod http;
mod misc;
mod pace;
mod pattern;
mod ping;
mod probe;
mod random;
mod reply;
mod request;
mod smtp;
mod tcp;
mod udp;
mod words;

#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use model::check::Source;
use model::vrrp::Command;

pub use checker::Checker;
pub use model::check::Former;
pub use smtp::SmtpFailure;

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
    /// A failure that changed no verdict, and its cause: each one of a server that is up when that
    /// is wanted (`log_all_failures`), the very first of one that began down (`alpha`).
    Failure(String),
}

/// The TLS of a connection. Certificates are not verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Server Name Indication, if any is sent.
    pub server_name: Option<String>,
    /// close_notify is sent before the connection is closed (`tls_compliant`). However the
    /// server ends it is well.
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
