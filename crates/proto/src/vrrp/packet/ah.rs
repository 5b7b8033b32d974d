//! The authentication header that stands between IP and VRRP (RFC 2402), signed by HMAC-MD5-96
//! (RFC 2403). IPv4 and version 2 only.
//!
//! As Keepalived has it: the security parameter index is the source address; the TTL is signed
//! unless the advert is unicast (RFC 2402 3.3.3.1.1 would never sign it); one sequence number
//! serves both directions, so that whoever takes over goes on from the last one heard.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

use super::{AH_PROTOCOL, Discard, Guard, PROTOCOL, Received};

/// Bytes of the header: twelve, and as many of signature.
pub(super) const HEADER: usize = FIXED + SIGNATURE;
const FIXED: usize = 12;
const SIGNATURE: usize = 12;
/// Its length in words of 32 bits, less two.
const LENGTH_FIELD: u8 = (HEADER / 4 - 2) as u8;
const IPV4_HEADER: usize = 20;
/// The last sequence number: Keepalived stops counting there.
const SEQUENCE_MAX: u32 = 0xffff_fffd;

/// A payload with an authentication header, taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Authenticated<'a> {
    fixed: &'a [u8; FIXED],
    signature: &'a [u8; SIGNATURE],
    /// What follows the header: the message.
    pub(super) message: &'a [u8],
}

impl<'a> Authenticated<'a> {
    /// Takes a payload of protocol 51 apart.
    pub(super) fn read(payload: &'a [u8]) -> Result<Authenticated<'a>, Discard> {
        let Some((fixed, rest)) = payload.split_first_chunk::<FIXED>() else {
            return Err(Discard::Truncated);
        };
        let Some((signature, message)) = rest.split_first_chunk::<SIGNATURE>() else {
            return Err(Discard::Truncated);
        };
        let [next, length, ..] = *fixed;
        if (next, length) != (PROTOCOL, LENGTH_FIELD) {
            return Err(Discard::Header(next, length));
        }
        Ok(Authenticated { fixed, signature, message })
    }

    /// Verifies signature, index and sequence number.
    pub(super) fn check(
        &self,
        received: &Received<'_>,
        unicast: bool,
        key: &[u8; 8],
        guard: &mut Guard,
    ) -> Result<(), Discard> {
        let Some((header, options)) = received.ipv4_header.split_first_chunk::<IPV4_HEADER>()
        else {
            return Err(Discard::Truncated);
        };
        let signed = signer(key, *header, unicast)
            .chain_update(options)
            .chain_update(self.fixed)
            .chain_update([0; SIGNATURE])
            .chain_update(self.message);
        signed.verify_truncated_left(self.signature).map_err(|_| Discard::Signature)?;
        let [_, _, _, _, index @ .., s0, s1, s2, s3] = *self.fixed;
        if IpAddr::from(index) != received.source {
            return Err(Discard::ParameterIndex(u32::from_be_bytes(index)));
        }
        let sequence = u32::from_be_bytes([s0, s1, s2, s3]);
        if sequence <= guard.sequence {
            return Err(Discard::Replay(sequence, guard.sequence));
        }
        guard.sequence = sequence;
        Ok(())
    }
}

/// A payload with room for the header before the message.
pub(super) fn wrap(message: &[u8], source: IpAddr) -> Vec<u8> {
    let index = match source {
        IpAddr::V4(source) => source.octets(),
        // Not reached: the header is for IPv4 alone.
        IpAddr::V6(_) => [0; 4],
    };
    let mut payload = Vec::with_capacity(HEADER + message.len());
    payload.extend_from_slice(&[PROTOCOL, LENGTH_FIELD, 0, 0]);
    payload.extend_from_slice(&index);
    payload.extend_from_slice(&[0; HEADER - 8]);
    payload.extend_from_slice(message);
    payload
}

/// The next sequence number to send.
pub(super) fn next_sequence(guard: &mut Guard) -> u32 {
    guard.sequence = if guard.sequence < SEQUENCE_MAX { guard.sequence + 1 } else { 1 };
    guard.sequence
}

/// What the IPv4 header of a packet to send will say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) ttl: u8,
    pub(super) ip_id: u16,
}

impl Envelope {
    /// The header before a payload of this many bytes, as far as it is signed.
    fn header(self, payload: usize) -> [u8; IPV4_HEADER] {
        let octets = |address| match address {
            IpAddr::V4(address) => Ipv4Addr::octets(&address),
            IpAddr::V6(_) => [0; 4],
        };
        let mut header = [0; IPV4_HEADER];
        header[0] = 0x45;
        header[2..4].copy_from_slice(&((IPV4_HEADER + payload) as u16).to_be_bytes());
        header[4..6].copy_from_slice(&self.ip_id.to_be_bytes());
        header[8] = self.ttl;
        header[9] = AH_PROTOCOL;
        header[12..16].copy_from_slice(&octets(self.source));
        header[16..20].copy_from_slice(&octets(self.destination));
        header
    }
}

/// Writes number and signature into a payload that [`wrap`] made.
pub(super) fn sign(envelope: Envelope, payload: &mut [u8], key: &[u8; 8], sequence: u32) {
    let header = envelope.header(payload.len());
    let unicast = !envelope.destination.is_multicast();
    if let Some((ah, message)) = payload.split_first_chunk_mut::<HEADER>() {
        ah[8..FIXED].copy_from_slice(&sequence.to_be_bytes());
        ah[FIXED..].fill(0);
        let signed = signer(key, header, unicast).chain_update(*ah).chain_update(message);
        ah[FIXED..].copy_from_slice(&signed.finalize().into_bytes()[..SIGNATURE]);
    }
}

/// A signature that has taken in the IPv4 header without what may change on the way: type of
/// service, fragmentation, checksum, and the TTL of unicast.
fn signer(key: &[u8; 8], mut header: [u8; IPV4_HEADER], unicast: bool) -> Hmac<Md5> {
    header[1] = 0;
    header[6..8].fill(0);
    header[10..12].fill(0);
    if unicast {
        header[8] = 0;
    }
    let mut padded = [0; 64];
    padded[..key.len()].copy_from_slice(key);
    // RFC 2104: a key of less than a block is padded with zeros, so this is the same key.
    Hmac::new(&padded.into()).chain_update(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_ends_where_keepaliveds_does_and_begins_anew() {
        let mut guard = Guard::default();
        guard.sequence = SEQUENCE_MAX - 1;
        assert_eq!(next_sequence(&mut guard), SEQUENCE_MAX);
        assert_eq!(next_sequence(&mut guard), 1);
    }
}
