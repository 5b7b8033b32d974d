//! What version 2 has of its own: authentication data (RFC 2338 5.3.10), whole seconds, and a
//! checksum without a pseudo header.

use model::units::Centiseconds;
use model::vrrp::{Authentication, VrrpInstance};

use super::checksum::Sum;
use super::message::Message;
use super::{Discard, same};

/// Bytes of authentication data.
pub(super) const AUTHENTICATION: usize = 8;

/// Authentication type and interval.
pub(super) fn specific(plan: &VrrpInstance) -> [u8; 2] {
    [authentication_type(&plan.authentication), seconds(plan)]
}

/// The authentication data: the password, or zeros.
pub(super) fn authentication(authentication: &Authentication) -> [u8; AUTHENTICATION] {
    match authentication {
        Authentication::Pass(password) => *password,
        Authentication::None | Authentication::Ah(_) | Authentication::Hmac(_) => {
            [0; AUTHENTICATION]
        }
    }
}

pub(super) fn check_sum(message: &Message<'_>) -> Result<(), Discard> {
    match Sum::default().with(message.bytes).finish() {
        0 => Ok(()),
        _ => Err(Discard::Checksum),
    }
}

/// The authentication that the message itself carries.
pub(super) fn check_authentication(
    message: &Message<'_>,
    plan: &VrrpInstance,
) -> Result<(), Discard> {
    let [theirs, _] = message.specific;
    let ours = authentication_type(&plan.authentication);
    if theirs > 2 {
        return Err(Discard::UnknownAuthentication(theirs));
    }
    if theirs != ours {
        return Err(Discard::AuthenticationType(theirs, ours));
    }
    match &plan.authentication {
        Authentication::Pass(password) if !same(message.authentication, password) => {
            Err(Discard::Password)
        }
        Authentication::Pass(_)
        | Authentication::None
        | Authentication::Ah(_)
        | Authentication::Hmac(_) => Ok(()),
    }
}

/// The interval, which has to be ours (RFC 3768 7.1).
pub(super) fn interval(
    message: &Message<'_>,
    plan: &VrrpInstance,
) -> Result<Centiseconds, Discard> {
    let [_, theirs] = message.specific;
    match seconds(plan) {
        ours if ours == theirs => Ok(plan.advert_interval),
        ours => Err(Discard::Interval(theirs, ours)),
    }
}

/// Whole seconds are all that version 2 can carry: parts are rounded up.
fn seconds(plan: &VrrpInstance) -> u8 {
    plan.advert_interval.0.div_ceil(100).min(255) as u8
}

fn authentication_type(authentication: &Authentication) -> u8 {
    match authentication {
        Authentication::None | Authentication::Hmac(_) => 0,
        Authentication::Pass(_) => 1,
        Authentication::Ah(_) => 2,
    }
}
