//! UDP_CHECK: a packet is answered as it should be, or at least not refused.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use model::check::{UdpCheck, UdpReply};

use super::probe::Step;
use super::random::Random;
use super::words::{no_answer, seconds};

/// Bytes of a random payload, as many as Keepalived sends.
const RANDOM_PAYLOAD: usize = 32;

#[derive(Debug)]
pub(super) struct UdpProbe {
    payload: Vec<u8>,
    reply: Option<UdpReply>,
}

impl UdpProbe {
    pub(super) fn new(udp: &UdpCheck, random: &mut Random) -> UdpProbe {
        let payload = match &udp.payload {
            Some(payload) => payload.clone(),
            None => Vec::from(random.bytes::<RANDOM_PAYLOAD>()),
        };
        UdpProbe { payload, reply: udp.reply.clone() }
    }

    pub(super) fn handle_open(&mut self) -> Step {
        Step::Send(core::mem::take(&mut self.payload))
    }

    /// The first datagram decides.
    pub(super) fn handle_bytes(&self, bytes: &[u8]) -> Step {
        let Some(reply) = &self.reply else {
            return Step::Pass("answered".into());
        };
        let (length, least, most) = (bytes.len(), reply.min_length, reply.max_length);
        if !(usize::from(least)..=usize::from(most)).contains(&length) {
            let text = format!("answer of {length} bytes instead of {least} to {most}");
            return Step::Fail(text.into());
        }
        let different = bytes
            .iter()
            .zip(&reply.bytes)
            .position(|(byte, (expected, mask))| (byte ^ expected) & mask != 0);
        match different {
            Some(place) => Step::Fail(format!("answer is another from byte {place} on").into()),
            None => Step::Pass("answered as expected".into()),
        }
    }

    /// Without a wish for an answer, the time-out has shown that no ICMP error comes.
    pub(super) fn handle_late(&self, within: Duration) -> Step {
        match &self.reply {
            Some(_) => Step::Fail(no_answer(within)),
            None => Step::Pass(format!("not refused within {}", seconds(within)).into()),
        }
    }
}
