//! Bidirectional forwarding detection (RFC 5880) over one hop (RFC 5881) and several (RFC 5883),
//! asynchronous mode, without echo and without authentication; no sockets, no clocks.
//!
//! - [`packet`](Discard): the bytes, and every cause to discard some;
//! - [`transition`](State): the state machine, spelled out;
//! - `session`: one session with its timers;
//! - [`Bfd`]: all of them.

mod packet;
mod random;
mod session;
#[cfg(test)]
mod tests;
mod transition;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use model::status::BfdStatus;
use model::units::Time;
use model::vrrp::BfdSession;

pub use packet::Discard;
pub use transition::{Diagnostic, State};

use packet::Packet;
use random::Random;
use session::{Session, Wish};

/// UDP port of control packets over one hop and, as Keepalived has it, over several (RFC 5881 4).
pub const PORT: u16 = 3784;
/// Ports that packets come from (RFC 5881 4); every session has its own.
pub const SOURCE_PORTS: core::ops::RangeInclusive<u16> = 49152..=65535;
/// Bytes of a control packet.
pub const PACKET: usize = packet::LENGTH;

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a packet to [`PORT`].
    Send {
        /// Name of the session.
        session: Arc<str>,
        /// The neighbour.
        to: IpAddr,
        /// Our end, if the file says which.
        from: Option<IpAddr>,
        /// TTL or hop limit.
        ttl: u8,
        /// The packet.
        payload: [u8; PACKET],
    },
    /// A session came up or went down. That the neighbour's administrator took it down is no
    /// change: it says nothing about the path (RFC 5882 3.2, and Keepalived).
    Change {
        /// Name of the session.
        name: Arc<str>,
        /// It came up.
        up: bool,
        /// Why.
        diagnostic: Diagnostic,
    },
}

/// Every session of this machine.
#[derive(Debug, Default)]
pub struct Bfd {
    sessions: Vec<Session>,
    random: Random,
    outputs: VecDeque<Output>,
}

impl Bfd {
    /// Sessions yet to be configured. Their discriminators and jitter come from `seed`, which
    /// must not be the same after a restart.
    pub fn new(seed: u64) -> Bfd {
        Bfd { random: Random::new(seed), ..Bfd::default() }
    }

    /// Takes over a configuration: new sessions begin, missing ones stop, others go on; names are
    /// unique. Timings change by a poll sequence, without a change of state.
    pub fn configure(&mut self, now: Time, plan: &[BfdSession]) {
        let mut former = core::mem::take(&mut self.sessions);
        for new in plan {
            let place = former.iter().position(|session| session.is_same(new));
            let session = match place.map(|place| former.swap_remove(place)) {
                Some(mut session) => {
                    session.reconfigure(now, new, &mut self.random);
                    session
                }
                None => {
                    let taken = self.sessions.iter().chain(&former).map(|s| s.discriminator);
                    let discriminator = unused(&mut self.random, taken);
                    Session::new(now, Arc::new(new.clone()), discriminator, &mut self.random)
                }
            };
            self.sessions.push(session);
        }
        for mut gone in former {
            let (name, plan) = (gone.name.clone(), gone.plan.clone());
            gone.handle_stop(now, &mut |wish| self.outputs.push_back(output(&name, &plan, wish)));
        }
    }

    /// A packet arrived at [`PORT`]: addresses and TTL of its IP header, and what follows UDP's.
    pub fn handle_packet(
        &mut self,
        now: Time,
        source: IpAddr,
        destination: IpAddr,
        ttl: u8,
        bytes: &[u8],
    ) -> Result<(), Discard> {
        let packet = Packet::read(bytes)?;
        // RFC 5880 6.3: our discriminator says which session; before it is known, the addresses.
        let unknown = match packet.yours {
            0 => Discard::Stranger(source),
            yours => Discard::UnknownDiscriminator(yours),
        };
        let ours = |session: &&mut Session| match packet.yours {
            0 => session.is_between(source, destination),
            yours => session.discriminator == yours,
        };
        let session = self.sessions.iter_mut().find(ours).ok_or(unknown)?;
        let (name, plan) = (session.name.clone(), session.plan.clone());
        let mut wish = |wish| self.outputs.push_back(output(&name, &plan, wish));
        session.handle_packet(now, ttl, &packet, &mut self.random, &mut wish)
    }

    /// Time passed: does all that is due.
    pub fn handle_timeout(&mut self, now: Time) {
        for session in self.sessions.iter_mut().filter(|s| s.next_deadline() <= now) {
            let (name, plan) = (session.name.clone(), session.plan.clone());
            let mut wish = |wish| self.outputs.push_back(output(&name, &plan, wish));
            session.handle_timeout(now, &mut self.random, &mut wish);
        }
    }

    /// Stops every session and tells its neighbour, once.
    pub fn handle_stop(&mut self, now: Time) {
        for session in &mut self.sessions {
            let (name, plan) = (session.name.clone(), session.plan.clone());
            session.handle_stop(now, &mut |wish| {
                self.outputs.push_back(output(&name, &plan, wish));
            });
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next.
    pub fn next_deadline(&self) -> Time {
        self.sessions.iter().map(Session::next_deadline).min().unwrap_or(Time::NEVER)
    }

    /// All of it, for people, in file order.
    pub fn status(&self, now: Time) -> Vec<BfdStatus> {
        self.sessions.iter().map(|session| session.status(now)).collect()
    }
}

fn output(name: &Arc<str>, plan: &BfdSession, wish: Wish) -> Output {
    match wish {
        Wish::Send(payload) => Output::Send {
            session: name.clone(),
            to: plan.neighbour,
            from: plan.source,
            ttl: plan.ttl,
            payload,
        },
        Wish::Change { up, diagnostic } => Output::Change { name: name.clone(), up, diagnostic },
    }
}

/// A discriminator that no session has; never zero (RFC 5880 6.8.1).
fn unused(random: &mut Random, taken: impl Iterator<Item = u32> + Clone) -> u32 {
    loop {
        let number = random.word();
        if number != 0 && !taken.clone().any(|other| other == number) {
            return number;
        }
    }
}
