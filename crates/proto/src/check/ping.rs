//! PING_CHECK: an ICMP echo comes back as it went.

use alloc::vec::Vec;

use super::probe::Step;
use super::random::Random;

/// Bytes of the payload, as many as Keepalived sends.
const PAYLOAD: usize = 128;

#[derive(Debug)]
pub(super) struct PingProbe {
    payload: [u8; PAYLOAD],
}

impl PingProbe {
    pub(super) fn new(random: &mut Random) -> PingProbe {
        PingProbe { payload: random.bytes() }
    }

    pub(super) fn handle_open(&self) -> Step {
        Step::Send(Vec::from(self.payload))
    }

    /// An answer to somebody else's question, or to an earlier one of ours, is not ours.
    pub(super) fn handle_bytes(&self, bytes: &[u8]) -> Step {
        if bytes == self.payload { Step::Pass("echo answered".into()) } else { Step::Wait }
    }
}
