//! One session with its timers (RFC 5880 6.8).

use alloc::sync::Arc;
use core::net::IpAddr;
use core::time::Duration;

use model::status::BfdStatus;
use model::units::Time;
use model::vrrp::BfdSession;

use super::packet::{Discard, LENGTH, Packet};
use super::random::Random;
use super::transition::{Diagnostic, State, next};

/// What a session asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Send these bytes.
    Send([u8; LENGTH]),
    /// It came up, or went down.
    Change { up: bool, diagnostic: Diagnostic },
}

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) plan: Arc<BfdSession>,
    pub(super) name: Arc<str>,
    /// Our discriminator, which the neighbour's packets name.
    pub(super) discriminator: u32,
    state: State,
    diagnostic: Diagnostic,
    since: Time,
    ups: u64,
    /// What the neighbour said last.
    theirs: Neighbour,
    /// Our interval and theirs as they count until a poll sequence ends (RFC 5880 6.8.3).
    min_tx: u32,
    min_rx: u32,
    /// Our packets ask for an answer until there is one.
    polling: bool,
    /// Next periodic packet.
    transmit: Time,
    /// The neighbour counts as silent from here on.
    detection: Time,
}

#[derive(Clone, Copy, Debug)]
struct Neighbour {
    discriminator: u32,
    state: State,
    demand: bool,
    multiplier: u8,
    min_tx: u32,
    min_rx: u32,
}

/// RFC 5880 6.8.1.
const UNHEARD: Neighbour = Neighbour {
    discriminator: 0,
    state: State::Down,
    demand: false,
    multiplier: 0,
    min_tx: 0,
    min_rx: 1,
};

impl Session {
    /// A session that is down; the first packet goes out within the idle interval.
    pub(super) fn new(
        now: Time,
        plan: Arc<BfdSession>,
        discriminator: u32,
        random: &mut Random,
    ) -> Session {
        let mut session = Session {
            name: plan.name.as_str().into(),
            discriminator,
            state: State::Down,
            diagnostic: Diagnostic::None,
            since: now,
            ups: 0,
            theirs: UNHEARD,
            min_tx: micros(plan.idle_tx),
            min_rx: micros(plan.min_rx),
            polling: false,
            transmit: Time::NEVER,
            detection: Time::NEVER,
            plan,
        };
        session.schedule(now, random);
        session
    }

    /// Same name, same ends: the session goes on under another plan.
    pub(super) fn is_same(&self, plan: &BfdSession) -> bool {
        self.plan.name == plan.name
            && self.plan.neighbour == plan.neighbour
            && self.plan.source == plan.source
    }

    /// Takes over other timings. While up, the neighbour is polled, and neither slower packets
    /// nor faster detection count before it has answered (RFC 5880 6.8.3).
    pub(super) fn reconfigure(&mut self, now: Time, plan: &BfdSession, random: &mut Random) {
        if *self.plan == *plan {
            return;
        }
        self.plan = Arc::new(plan.clone());
        let (min_tx, min_rx) = (self.desired_tx(), micros(plan.min_rx));
        if self.state == State::Up && (min_tx, min_rx) != (self.min_tx, self.min_rx) {
            self.polling = true;
            self.min_tx = self.min_tx.min(min_tx);
            self.min_rx = self.min_rx.max(min_rx);
        } else {
            (self.min_tx, self.min_rx) = (min_tx, min_rx);
        }
        self.hasten(now, random);
    }

    /// Reads a packet that was found to be for this session.
    pub(super) fn handle_packet(
        &mut self,
        now: Time,
        ttl: u8,
        packet: &Packet,
        random: &mut Random,
        wish: &mut dyn FnMut(Wish),
    ) -> Result<(), Discard> {
        let least = match self.plan.max_hops {
            u8::MAX => 0,
            hops => self.plan.ttl.saturating_sub(hops),
        };
        if ttl < least {
            return Err(Discard::Ttl(ttl, least));
        }
        if self.state == State::AdminDown {
            return Err(Discard::Stopped);
        }
        self.theirs = Neighbour {
            discriminator: packet.mine,
            state: packet.state,
            demand: packet.demand,
            multiplier: packet.multiplier,
            min_tx: packet.min_tx,
            min_rx: packet.min_rx,
        };
        if packet.is_final && self.polling {
            self.end_poll();
        }
        let to = next(self.state, packet.state);
        let changed = to != self.state;
        if changed {
            let diagnostic = match to {
                State::AdminDown | State::Down => Diagnostic::NeighbourDown,
                State::Init | State::Up => Diagnostic::None,
            };
            self.change(now, to, diagnostic, wish);
        }
        // Who wants no packets cannot miss them.
        let deaf = self.plan.min_rx.is_zero();
        self.detection = if deaf { Time::NEVER } else { now + self.detection_time() };
        if packet.poll {
            wish(Wish::Send(self.packet(true)));
        }
        if changed && !packet.poll && self.has_begun() {
            // The neighbour hears of it at once (RFC 5880 6.8.7).
            wish(Wish::Send(self.packet(false)));
        }
        if changed {
            self.schedule(now, random);
        } else {
            self.hasten(now, random);
        }
        Ok(())
    }

    /// Does what is due.
    pub(super) fn handle_timeout(
        &mut self,
        now: Time,
        random: &mut Random,
        wish: &mut dyn FnMut(Wish),
    ) {
        if self.detection <= now {
            self.detection = Time::NEVER;
            self.theirs = UNHEARD;
            match self.state {
                State::Init | State::Up => {
                    self.change(now, State::Down, Diagnostic::Expired, wish);
                    // Should the neighbour still hear us, it is told at once.
                    if self.has_begun() {
                        wish(Wish::Send(self.packet(false)));
                    }
                    self.schedule(now, random);
                }
                State::AdminDown | State::Down => self.hasten(now, random),
            }
        }
        if self.transmit <= now {
            wish(Wish::Send(self.packet(false)));
            self.schedule(now, random);
        }
    }

    /// Stops for good and says so.
    pub(super) fn handle_stop(&mut self, now: Time, wish: &mut dyn FnMut(Wish)) {
        if self.state != State::AdminDown {
            let heard = self.has_begun();
            self.state = State::AdminDown;
            self.diagnostic = Diagnostic::AdminDown;
            self.since = now;
            self.polling = false;
            if heard {
                wish(Wish::Send(self.packet(false)));
            }
        }
        (self.transmit, self.detection) = (Time::NEVER, Time::NEVER);
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.transmit.min(self.detection)
    }

    /// It is the one that a packet with our discriminator as yet unknown is for.
    pub(super) fn is_between(&self, source: IpAddr, destination: IpAddr) -> bool {
        self.plan.neighbour == source && self.plan.source.is_none_or(|ours| ours == destination)
    }

    pub(super) fn status(&self, now: Time) -> BfdStatus {
        let detection = match self.state {
            State::Up => self.detection_time(),
            State::AdminDown | State::Down | State::Init => Duration::ZERO,
        };
        BfdStatus {
            name: self.plan.name.clone(),
            neighbour: self.plan.neighbour,
            state: alloc::format!("{}", self.state),
            state_seconds: now.since(self.since).as_secs(),
            ups: self.ups,
            detection_us: detection.as_micros() as u64,
        }
    }

    fn change(&mut self, now: Time, to: State, diagnostic: Diagnostic, wish: &mut dyn FnMut(Wish)) {
        let from = core::mem::replace(&mut self.state, to);
        self.diagnostic = diagnostic;
        self.since = now;
        // Not up, packets are rare; nobody has to agree to that.
        self.polling = to == State::Up && self.desired_tx() != self.min_tx;
        (self.min_tx, self.min_rx) = (self.desired_tx(), micros(self.plan.min_rx));
        match (from, to) {
            (_, State::Up) => {
                self.ups += 1;
                wish(Wish::Change { up: true, diagnostic });
            }
            // RFC 5882 3.2: the neighbour's administrator says nothing about the path.
            (State::Up, _) if self.theirs.state == State::AdminDown => {}
            (State::Up, _) => wish(Wish::Change { up: false, diagnostic }),
            (State::AdminDown | State::Down | State::Init, _) => {}
        }
    }

    fn end_poll(&mut self) {
        self.polling = false;
        (self.min_tx, self.min_rx) = (self.desired_tx(), micros(self.plan.min_rx));
    }

    fn packet(&self, is_final: bool) -> [u8; LENGTH] {
        let packet = Packet {
            diagnostic: self.diagnostic.to_wire(),
            state: self.state,
            // An answer to a poll is no poll itself.
            poll: self.polling && !is_final,
            is_final,
            demand: false,
            multiplier: self.plan.multiplier,
            mine: self.discriminator,
            yours: self.theirs.discriminator,
            min_tx: self.desired_tx(),
            min_rx: micros(self.plan.min_rx),
        };
        packet.write()
    }

    /// The interval that our packets offer (RFC 5880 6.8.3).
    fn desired_tx(&self) -> u32 {
        micros(match self.state {
            State::Up => self.plan.min_tx,
            State::AdminDown | State::Down | State::Init => self.plan.idle_tx,
        })
    }

    /// Who is passive waits for the other end (RFC 5880 6.1).
    fn has_begun(&self) -> bool {
        !self.plan.passive || self.theirs.discriminator != 0
    }

    /// Periodic packets: who asked for none gets none; who asked for silence gets polls alone
    /// (RFC 5880 6.8.7). Both hear of changes.
    fn may_send(&self) -> bool {
        let demanded =
            self.theirs.demand && self.state == State::Up && self.theirs.state == State::Up;
        self.has_begun() && self.theirs.min_rx != 0 && (!demanded || self.polling)
    }

    /// Multiplier of the neighbour's intervals (RFC 5880 6.8.4).
    fn detection_time(&self) -> Duration {
        let interval = self.min_rx.max(self.theirs.min_tx);
        Duration::from_micros(u64::from(interval)) * u32::from(self.theirs.multiplier)
    }

    /// Sets the time of the next periodic packet.
    fn schedule(&mut self, now: Time, random: &mut Random) {
        self.transmit =
            if self.may_send() { now + self.next_interval(random) } else { Time::NEVER };
    }

    /// Brings the next periodic packet forward, or takes it back; never puts it off.
    fn hasten(&mut self, now: Time, random: &mut Random) {
        self.transmit = if self.may_send() {
            self.transmit.min(now + self.next_interval(random))
        } else {
            Time::NEVER
        };
    }

    /// Time to the next packet: the agreed interval less up to a quarter, and with a multiplier
    /// of one less a tenth at least (RFC 5880 6.8.7).
    fn next_interval(&self, random: &mut Random) -> Duration {
        let interval = Duration::from_micros(u64::from(self.min_tx.max(self.theirs.min_rx)));
        let most = if self.plan.multiplier == 1 { 900 } else { 1_000 };
        interval * random.between(750, most) / 1_000
    }
}

/// Microseconds as on the wire.
fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
