//! The sockets of BFD sessions (RFC 5881 4): one listener for each family, and a sender with a
//! port of its own for each session.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use edge::clock;
use edge::poll::{Interest, Poll};
use edge::ttl_socket::TtlSocket;
use model::Time;
use model::status::BfdStatus;
use model::vrrp::{BfdSession, Family};
use proto::bfd::{Bfd, Output, PORT, SOURCE_PORTS};

/// Most packets read from one socket before timers are looked at again.
const PACKETS_AT_ONCE: usize = 256;

/// A session has this long to come up before it is told that it did not; or three of its packets,
/// if those take longer.
const FIRST_WORD: Duration = Duration::from_secs(3);

/// A session came up or went down, or did not come up.
pub(super) struct Change {
    /// Its name.
    pub(super) name: Arc<str>,
    /// It came up.
    pub(super) up: bool,
    /// Why, in words.
    pub(super) reason: String,
}

/// All sessions with their sockets.
pub(super) struct Sessions {
    bfd: Bfd,
    listeners: Vec<(Family, TtlSocket)>,
    speakers: BTreeMap<String, Speaker>,
    next_port: u16,
    /// New sessions of which nothing was told yet, and when that has to be.
    untold: Vec<(Arc<str>, Time)>,
    /// Those whose time is up.
    silent: Vec<Arc<str>>,
}

struct Speaker {
    family: Family,
    source: Option<IpAddr>,
    ttl: u8,
    socket: TtlSocket,
}

impl Sessions {
    /// None yet.
    pub(super) fn new() -> Sessions {
        let seed = clock::wall().as_nanos() ^ u64::from(std::process::id()) << 32;
        Sessions {
            bfd: Bfd::new(seed),
            listeners: Vec::new(),
            speakers: BTreeMap::new(),
            next_port: *SOURCE_PORTS.start(),
            untold: Vec::new(),
            silent: Vec::new(),
        }
    }

    /// Takes over a configuration. Events of listeners have this token and the one after it.
    /// Returns what went wrong.
    pub(super) fn configure(
        &mut self,
        now: Time,
        plan: &[BfdSession],
        poll: &Poll,
        token: u64,
    ) -> Vec<String> {
        let mut warnings = Vec::new();
        for (family, token) in [(Family::Ipv4, token), (Family::Ipv6, token + 1)] {
            if let Err(error) = self.listen(family, plan, poll, token) {
                warnings.push(format!("BFD packets cannot be received: {error}"));
            }
        }
        self.speakers.retain(|name, speaker| {
            plan.iter().any(|session| session.name == *name && speaker.suits(session))
        });
        for session in plan {
            if self.speakers.contains_key(&session.name) {
                continue;
            }
            match self.speak(session) {
                Ok(speaker) => {
                    let by = now + FIRST_WORD.max(session.idle_tx.saturating_mul(3));
                    self.untold.push((session.name.as_str().into(), by));
                    self.speakers.insert(session.name.clone(), speaker);
                }
                Err(error) => {
                    warnings.push(format!("no socket for BFD session {}: {error}", session.name));
                }
            }
        }
        self.untold.retain(|(name, _)| self.speakers.contains_key(&**name));
        self.bfd.configure(now, plan);
        warnings
    }

    fn listen(
        &mut self,
        family: Family,
        plan: &[BfdSession],
        poll: &Poll,
        token: u64,
    ) -> io::Result<()> {
        let wanted = plan.iter().any(|session| Family::of(session.neighbour) == family);
        let open = self.listeners.iter().any(|(open, _)| *open == family);
        match (wanted, open) {
            (true, false) => {
                let listener = TtlSocket::listen(family, PORT)?;
                poll.add(&listener, token, Interest::Read)?;
                self.listeners.push((family, listener));
            }
            (false, true) => self.listeners.retain(|(open, _)| *open != family),
            (true, true) | (false, false) => {}
        }
        Ok(())
    }

    fn speak(&mut self, session: &BfdSession) -> io::Result<Speaker> {
        let BfdSession { source, ttl, .. } = *session;
        let family = Family::of(session.neighbour);
        // No two sessions of this machine share a port (RFC 5881 4).
        let ports = (self.next_port..=*SOURCE_PORTS.end()).chain(SOURCE_PORTS);
        let socket = TtlSocket::speak(family, source, ports, ttl)?;
        self.next_port = match socket.port()? {
            last if last == *SOURCE_PORTS.end() => *SOURCE_PORTS.start(),
            port => port + 1,
        };
        Ok(Speaker { family, source, ttl, socket })
    }

    /// Takes in the packets that have arrived. Those that belong to no session, or are wrong, are
    /// counted by nobody: anybody can send them.
    pub(super) fn hear(&mut self) {
        for (_, listener) in &mut self.listeners {
            for _ in 0..PACKETS_AT_ONCE {
                let Ok(Some(packet)) = listener.receive() else { break };
                let source = packet.source.ip();
                let (to, ttl, payload) = (packet.destination, packet.ttl, packet.payload);
                let _ = self.bfd.handle_packet(clock::now(), source, to, ttl, payload);
            }
        }
    }

    /// Time passed: does all that is due.
    pub(super) fn handle_timeout(&mut self, now: Time) {
        self.bfd.handle_timeout(now);
        let due = self.untold.extract_if(.., |(_, by)| *by <= now);
        self.silent.extend(due.map(|(name, _)| name));
    }

    /// Tells every neighbour that we stop.
    pub(super) fn stop(&mut self, now: Time) {
        self.bfd.handle_stop(now);
        while self.poll_change().is_some() {}
    }

    /// Sends what is to be sent, and returns the next change.
    pub(super) fn poll_change(&mut self) -> Option<Change> {
        while let Some(output) = self.bfd.poll_output() {
            match output {
                Output::Send { session, to, payload, .. } => {
                    if let Some(speaker) = self.speakers.get(&*session) {
                        // A neighbour that cannot be reached is one that does not answer.
                        let _ = speaker.socket.send(SocketAddr::new(to, PORT), &payload);
                    }
                }
                Output::Change { name, up, diagnostic } => {
                    self.untold.retain(|(other, _)| *other != name);
                    self.silent.retain(|other| *other != name);
                    return Some(Change { name, up, reason: diagnostic.to_string() });
                }
            }
        }
        let reason = || "its neighbour has not answered".to_string();
        self.silent.pop().map(|name| Change { name, up: false, reason: reason() })
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next.
    pub(super) fn next_deadline(&self) -> Time {
        let first_word = self.untold.iter().map(|(_, by)| *by).min();
        self.bfd.next_deadline().min(first_word.unwrap_or(Time::NEVER))
    }

    /// All of it, for people.
    pub(super) fn status(&self, now: Time) -> Vec<BfdStatus> {
        self.bfd.status(now)
    }
}

impl Speaker {
    fn suits(&self, session: &BfdSession) -> bool {
        self.family == Family::of(session.neighbour)
            && (self.source, self.ttl) == (session.source, session.ttl)
    }
}
