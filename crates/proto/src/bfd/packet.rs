//! The control packet (RFC 5880 4.1), without authentication.
//!
//! ```text
//! | version 3 bits, diagnostic 5 | state 2, P F C A D M | multiplier | length |
//! | my discriminator | your discriminator                                      |
//! | desired min tx   | required min rx   | required min echo rx, microseconds  |
//! ```

use core::fmt;
use core::net::IpAddr;

use super::transition::State;

/// Bytes of a packet without authentication.
pub(super) const LENGTH: usize = 24;
const VERSION: u8 = 1;
const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const AUTHENTICATED: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// Why a packet was thrown away (RFC 5880 6.8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// Shorter than a packet, or than it says.
    Truncated,
    /// Another version than 1.
    Version(u8),
    /// A length that does not fit its bytes: what it says, the bytes.
    Length(u8, usize),
    /// A multiplier of zero.
    ZeroMultiplier,
    /// The reserved multipoint bit is set.
    Multipoint,
    /// Poll and final at once.
    PollAndFinal,
    /// The sender's discriminator is zero.
    ZeroDiscriminator,
    /// Our discriminator is zero although the sender's state says that it heard us.
    MissingDiscriminator(State),
    /// It is authenticated; we have no keys.
    Authenticated,
    /// No session has this discriminator of ours.
    UnknownDiscriminator(u32),
    /// No session has this neighbour.
    Stranger(IpAddr),
    /// It made more hops than allowed: its TTL, the least.
    Ttl(u8, u8),
    /// The session is stopped.
    Stopped,
}

impl fmt::Display for Discard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Discard::Truncated => f.write_str("truncated"),
            Discard::Version(version) => write!(f, "version {version} instead of 1"),
            Discard::Length(said, bytes) => write!(f, "{bytes} bytes that say they are {said}"),
            Discard::ZeroMultiplier => f.write_str("multiplier of zero"),
            Discard::Multipoint => f.write_str("multipoint bit set"),
            Discard::PollAndFinal => f.write_str("poll and final at once"),
            Discard::ZeroDiscriminator => f.write_str("discriminator of zero"),
            Discard::MissingDiscriminator(state) => {
                write!(f, "state {state} without our discriminator")
            }
            Discard::Authenticated => f.write_str("authenticated, no key is configured"),
            Discard::UnknownDiscriminator(number) => {
                write!(f, "discriminator {number:#010x} is not ours")
            }
            Discard::Stranger(source) => write!(f, "{source} is no neighbour"),
            Discard::Ttl(ttl, least) => write!(f, "TTL {ttl} instead of {least} or more"),
            Discard::Stopped => f.write_str("the session is stopped"),
        }
    }
}

/// What a packet says. Intervals are microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) diagnostic: u8,
    pub(super) state: State,
    pub(super) poll: bool,
    pub(super) is_final: bool,
    pub(super) demand: bool,
    pub(super) multiplier: u8,
    pub(super) mine: u32,
    pub(super) yours: u32,
    pub(super) min_tx: u32,
    pub(super) min_rx: u32,
}

impl Packet {
    /// Takes a packet apart and checks all that needs no session.
    pub(super) fn read(bytes: &[u8]) -> Result<Packet, Discard> {
        let Some((packet, rest)) = bytes.split_first_chunk::<LENGTH>() else {
            return Err(Discard::Truncated);
        };
        let [first, flags, multiplier, length, ..] = *packet;
        let word = |place: usize| {
            let at = place * 4;
            u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]])
        };
        if first >> 5 != VERSION {
            return Err(Discard::Version(first >> 5));
        }
        if usize::from(length) != LENGTH + rest.len() {
            return Err(Discard::Length(length, bytes.len()));
        }
        if multiplier == 0 {
            return Err(Discard::ZeroMultiplier);
        }
        if flags & MULTIPOINT != 0 {
            return Err(Discard::Multipoint);
        }
        if flags & POLL != 0 && flags & FINAL != 0 {
            return Err(Discard::PollAndFinal);
        }
        if flags & AUTHENTICATED != 0 {
            return Err(Discard::Authenticated);
        }
        if !rest.is_empty() {
            return Err(Discard::Length(length, LENGTH));
        }
        let packet = Packet {
            diagnostic: first & 0x1f,
            state: State::from_wire(flags >> 6),
            poll: flags & POLL != 0,
            is_final: flags & FINAL != 0,
            demand: flags & DEMAND != 0,
            multiplier,
            mine: word(1),
            yours: word(2),
            min_tx: word(3),
            min_rx: word(4),
        };
        packet.check_discriminators()?;
        Ok(packet)
    }

    fn check_discriminators(&self) -> Result<(), Discard> {
        match (self.mine, self.yours, self.state) {
            (0, _, _) => Err(Discard::ZeroDiscriminator),
            (_, 0, State::Init | State::Up) => Err(Discard::MissingDiscriminator(self.state)),
            (_, 0, State::AdminDown | State::Down) | (_, 1.., _) => Ok(()),
        }
    }

    /// Its bytes. We ask for no echo.
    pub(super) fn write(&self) -> [u8; LENGTH] {
        let bit = |set, bit| if set { bit } else { 0 };
        let mut bytes = [0; LENGTH];
        bytes[0] = VERSION << 5 | (self.diagnostic & 0x1f);
        bytes[1] = self.state.to_wire() << 6
            | bit(self.poll, POLL)
            | bit(self.is_final, FINAL)
            | bit(self.demand, DEMAND);
        bytes[2] = self.multiplier;
        bytes[3] = LENGTH as u8;
        let words = [self.mine, self.yours, self.min_tx, self.min_rx];
        for (place, word) in bytes[4..].as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *place = word.to_be_bytes();
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: Packet = Packet {
        diagnostic: 1,
        state: State::Up,
        poll: true,
        is_final: false,
        demand: false,
        multiplier: 3,
        mine: 0x0102_0304,
        yours: 0x0506_0708,
        min_tx: 10_000,
        min_rx: 20_000,
    };

    #[test]
    fn what_is_written_is_read() {
        let bytes = PACKET.write();
        assert_eq!(bytes[..4], [0x21, 0xe0, 3, 24]);
        assert_eq!(Packet::read(&bytes), Ok(PACKET));
    }

    #[test]
    fn every_cause_to_discard_has_its_name() {
        let changed = |index: usize, value: u8| {
            let mut bytes = PACKET.write();
            bytes[index] = value;
            Packet::read(&bytes)
        };
        assert_eq!(changed(0, 0x41), Err(Discard::Version(2)));
        assert_eq!(changed(1, 0xe1), Err(Discard::Multipoint));
        assert_eq!(changed(1, 0xf0), Err(Discard::PollAndFinal));
        assert_eq!(changed(1, 0xe4), Err(Discard::Authenticated));
        assert_eq!(changed(2, 0), Err(Discard::ZeroMultiplier));
        assert_eq!(changed(3, 25), Err(Discard::Length(25, 24)));
        assert_eq!(Packet::read(&[0; 23]), Err(Discard::Truncated));
        let zero = Packet { mine: 0, ..PACKET }.write();
        assert_eq!(Packet::read(&zero), Err(Discard::ZeroDiscriminator));
        let unheard = Packet { yours: 0, ..PACKET };
        let missing = Err(Discard::MissingDiscriminator(State::Up));
        assert_eq!(Packet::read(&unheard.write()), missing);
        assert!(Packet::read(&Packet { state: State::Down, ..unheard }.write()).is_ok());
        let mut longer = [0; 25];
        longer[..24].copy_from_slice(&PACKET.write());
        longer[3] = 25;
        assert_eq!(Packet::read(&longer), Err(Discard::Length(25, 24)));
    }
}
