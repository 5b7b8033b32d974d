//! The trailer behind the message (`auth_hmac`, Keepalived 2.4): an HMAC-SHA256 (RFC 2104, FIPS
//! 180-4) cut to 16 bytes, with a time stamp against replays. For both versions and families.
//!
//! ```text
//! | scheme 1 | key id   | reserved, zero      |
//! | seconds since the epoch                   |
//! | 1/65536 seconds     | counter             |
//! | signature, 16 bytes                       |
//! ```
//!
//! Signed are 20 bytes that name the virtual router (family 4 or 6, version, id, zero, source
//! address, zeros), then message and trailer with checksum and signature as zero. Neither the IP
//! header nor the destination is signed: all peers get the same trailer.

use alloc::vec::Vec;
use core::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use model::units::WallTime;
use model::vrrp::{AntiReplay, Hmac as Plan, HmacMode};
use sha2::Sha256;

use super::Discard;
use super::message::CHECKSUM;

/// Bytes of the trailer.
pub(super) const TRAILER: usize = SIGNED + SIGNATURE;
const SIGNED: usize = 12;
const SIGNATURE: usize = 16;
const SCHEME: u8 = 1;
const BLOCK: usize = 64;

/// Senders remembered, at least: an instance hears more than one master only while they contend.
/// Of peers all are remembered.
const SENDERS_MIN: usize = 4;

/// Time stamp and counter: seconds, 1/65536 seconds and counter in 32, 16 and 16 bits. They wrap,
/// so that after and before are RFC 1982's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp(u64);

impl Stamp {
    fn of(wall: WallTime) -> Stamp {
        let (seconds, nanos) = (wall.as_nanos() / 1_000_000_000, wall.as_nanos() % 1_000_000_000);
        let fraction = (nanos << 16) / 1_000_000_000;
        Stamp((seconds << 32) | (fraction << 16))
    }

    fn is_after(self, other: Stamp) -> bool {
        self.0.wrapping_sub(other.0) as i64 > 0
    }

    /// Whole seconds from this one to the other.
    fn seconds_to(self, other: Stamp) -> i32 {
        ((other.0 >> 32) as u32).wrapping_sub((self.0 >> 32) as u32) as i32
    }

    /// No further from the clock than the window allows; always so where only growth counts.
    fn is_fresh(self, clock: Stamp, anti_replay: AntiReplay) -> bool {
        match window(anti_replay) {
            Some(window) => self.seconds_to(clock).unsigned_abs() <= window,
            None => true,
        }
    }
}

fn window(anti_replay: AntiReplay) -> Option<u32> {
    match anti_replay {
        AntiReplay::Time(window) => Some(u32::try_from(window.as_secs()).unwrap_or(u32::MAX)),
        AntiReplay::Monotonic => None,
    }
}

/// The last stamp of each sender: bounded, and filled by valid signatures only.
#[derive(Clone, Debug, Default)]
pub(super) struct Senders {
    /// The one heard last at the end.
    heard: Vec<(IpAddr, Stamp)>,
}

impl Senders {
    /// Takes note of a sender's stamp; false when it is not above that sender's last one.
    fn grows(
        &mut self,
        source: IpAddr,
        stamp: Stamp,
        (clock, anti_replay): (Stamp, AntiReplay),
        peers: usize,
    ) -> bool {
        let place = self.heard.iter().position(|(address, _)| *address == source);
        let last = place.map(|place| self.heard.remove(place).1);
        // One outside the window guards against nothing that the window does not. Forgetting it
        // lets a sender in again whose clock was set back.
        let last = last.filter(|last| last.is_fresh(clock, anti_replay));
        let grows = last.is_none_or(|last| stamp.is_after(last));
        let kept = if grows { stamp } else { last.unwrap_or(stamp) };
        if self.heard.len() >= peers.max(SENDERS_MIN) {
            self.heard.remove(0);
        }
        self.heard.push((source, kept));
        grows
    }
}

/// Which virtual router a trailer speaks for, and who wrote it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) version: u8,
    pub(super) id: u8,
    pub(super) source: IpAddr,
}

impl Identity {
    fn bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[1] = self.version;
        bytes[2] = self.id;
        match self.source {
            IpAddr::V4(source) => {
                bytes[0] = 4;
                bytes[4..8].copy_from_slice(&source.octets());
            }
            IpAddr::V6(source) => {
                bytes[0] = 6;
                bytes[4..].copy_from_slice(&source.octets());
            }
        }
        bytes
    }
}

/// Verifies what stands behind a message: nothing, or a trailer.
pub(super) fn check(
    plan: &Plan,
    identity: Identity,
    message: &[u8],
    trailer: &[u8],
    (senders, peers): (&mut Senders, usize),
    wall: WallTime,
) -> Result<(), Discard> {
    let Ok(trailer) = <&[u8; TRAILER]>::try_from(trailer) else {
        return match plan.mode {
            HmacMode::Enforce => Err(Discard::MissingTrailer),
            HmacMode::Permissive | HmacMode::ReceiveOnly => Ok(()),
        };
    };
    let [scheme, id, r0, r1, s0, s1, s2, s3, s4, s5, s6, s7, signature @ ..] = *trailer;
    let reserved = u16::from_be_bytes([r0, r1]);
    if (scheme, reserved) != (SCHEME, 0) {
        return Err(Discard::Trailer(scheme, reserved));
    }
    let stamp = Stamp(u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]));
    let clock = Stamp::of(wall);
    // Before the signature, so that a flood of old adverts costs nothing.
    if !stamp.is_fresh(clock, plan.anti_replay) {
        let window = window(plan.anti_replay).unwrap_or_default();
        return Err(Discard::Stale(stamp.seconds_to(clock), window));
    }
    let Some(key) = plan.keys.iter().find(|key| key.id == id) else {
        return Err(Discard::UnknownKey(id));
    };
    signer(&key.secret, identity, message, &trailer[..SIGNED])
        .verify_truncated_left(&signature)
        .map_err(|_| Discard::TrailerSignature)?;
    if !senders.grows(identity.source, stamp, (clock, plan.anti_replay), peers) {
        return Err(Discard::TrailerReplay);
    }
    Ok(())
}

/// What was signed last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    last: Stamp,
}

impl Sent {
    /// The next stamp: the clock's, or one more than the last.
    fn next(&mut self, wall: WallTime, anti_replay: AntiReplay) -> Stamp {
        let clock = Stamp::of(wall);
        // After the clock was set back by more than the window nobody believes us any more.
        if clock.is_after(self.last) || !self.last.is_fresh(clock, anti_replay) {
            self.last = clock;
        } else {
            self.last = Stamp(self.last.0.wrapping_add(1));
        }
        self.last
    }
}

/// The trailer of one advert; none where the mode sends none.
pub(super) fn make(
    plan: &Plan,
    identity: Identity,
    message: &[u8],
    sent: &mut Sent,
    wall: WallTime,
) -> Option<[u8; TRAILER]> {
    if !is_sent(plan) {
        return None;
    }
    let mut trailer = [0; TRAILER];
    trailer[0] = SCHEME;
    trailer[1] = plan.active;
    let Stamp(stamp) = sent.next(wall, plan.anti_replay);
    trailer[4..SIGNED].copy_from_slice(&stamp.to_be_bytes());
    // Without its key the signature stays zero, and every receiver refuses it.
    if let Some(key) = plan.keys.iter().find(|key| key.id == plan.active) {
        let signed = signer(&key.secret, identity, message, &trailer[..SIGNED]).finalize();
        trailer[SIGNED..].copy_from_slice(&signed.into_bytes()[..SIGNATURE]);
    }
    Some(trailer)
}

/// Whether adverts carry a trailer.
pub(super) fn is_sent(plan: &Plan) -> bool {
    match plan.mode {
        HmacMode::Enforce | HmacMode::Permissive => true,
        HmacMode::ReceiveOnly => false,
    }
}

fn signer(secret: &[u8], identity: Identity, message: &[u8], trailer: &[u8]) -> Hmac<Sha256> {
    keyed(secret)
        .chain_update(identity.bytes())
        .chain_update(message.get(..CHECKSUM.start).unwrap_or_default())
        .chain_update([0; 2])
        .chain_update(message.get(CHECKSUM.end..).unwrap_or_default())
        .chain_update(trailer)
        .chain_update([0; SIGNATURE])
}

/// RFC 2104: a key shorter than a block is padded with zeros; the longest allowed is a block.
fn keyed(secret: &[u8]) -> Hmac<Sha256> {
    let mut block = [0; BLOCK];
    let length = secret.len().min(BLOCK);
    block[..length].copy_from_slice(&secret[..length]);
    Hmac::new(&block.into())
}

#[cfg(test)]
impl Senders {
    pub(super) fn count(&self) -> usize {
        self.heard.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primitive_answers_the_vectors_of_rfc_4231() {
        let sum = |key: &[u8], text: &[u8]| keyed(key).chain_update(text).finalize().into_bytes();
        let second = sum(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(second[..6], [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60]);
        assert_eq!(second[26..], [0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43][2..]);
        let first = sum(&[0x0b; 20], b"Hi There");
        assert_eq!(first[..6], [0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb]);
        let third = sum(&[0xaa; 20], &[0xdd; 50]);
        assert_eq!(third[..6], [0x77, 0x3e, 0xa9, 0x1e, 0x36, 0x80]);
    }

    #[test]
    fn stamps_grow_over_the_end_of_their_numbers() {
        let last = Stamp(u64::MAX);
        assert!(Stamp(0).is_after(last) && !last.is_after(Stamp(0)));
        assert_eq!(last.seconds_to(Stamp(3 << 32)), 4);
    }
}
