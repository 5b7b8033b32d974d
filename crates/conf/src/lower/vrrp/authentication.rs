//! Passwords and keys.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use model::vrrp::{
    AntiReplay, Authentication, Family, Hmac, HmacMode, InitialState, Version, VrrpInstance,
};

use super::Report;
use super::instance::is_owner;
use crate::keepalived::ast::{self, AuthenticationKind, Instance};

/// Bytes of a password on the wire (RFC 2338 5.3.10).
const PASSWORD_MAX: usize = 8;
/// Least and greatest window that is derived from the advert interval, in seconds.
const WINDOW: (u64, u64) = (5, 300);

/// Sets the authentication of an instance whose version, family and state are known.
pub(super) fn lower(from: &Instance, instance: &mut VrrpInstance, report: &mut Report<'_>) {
    let own = from.authentication.as_ref();
    instance.authentication = own.map_or(Authentication::None, |own| password(own, report));
    if let Some(own) = own.filter(|_| instance.authentication != Authentication::None) {
        let why = if instance.strict {
            Some("strict mode knows no authentication: it is left out")
        } else if from.hmac.is_some() {
            Some("auth_hmac takes the place of authentication, which is left out")
        } else if instance.version == Version::V3 {
            Some("VRRP version 3 knows no authentication: it is left out")
        } else if instance.family == Family::Ipv6 {
            Some("IPv6 knows no authentication: it is left out")
        } else {
            None
        };
        if let Some(why) = why {
            report.warning(own.span, why, "remove it; auth_hmac works with every version");
            instance.authentication = Authentication::None;
        }
    }
    let asks = matches!(instance.authentication, Authentication::Ah(_))
        && instance.initial_state == InitialState::Master
        && !is_owner(instance);
    if let Some(state) = from.state.as_ref().filter(|_| asks) {
        let message = "with AH an instance must hear the others first: it begins as backup";
        report.warning(state.span, message, "write state BACKUP");
        instance.initial_state = InitialState::Backup;
    }
    if let Some(hmac) = &from.hmac {
        self::hmac(hmac, from, instance, report);
    }
}

fn password(from: &ast::Authentication, report: &mut Report<'_>) -> Authentication {
    for keyword in ["auth_type", "auth_pass"] {
        if !from.written.has(keyword) {
            let message = format!("authentication has no {keyword}");
            let help = "write auth_type PASS and auth_pass PASSWORD in it";
            report.error(from.span, message, help);
        }
    }
    let (Some(kind), Some(password)) = (from.kind, &from.password) else {
        return Authentication::None;
    };
    let bytes = password.value.as_bytes();
    if bytes.len() > PASSWORD_MAX {
        let kept = String::from_utf8_lossy(&bytes[..PASSWORD_MAX]).into_owned();
        let message =
            format!("auth_pass is longer than {PASSWORD_MAX} characters: it is cut to \"{kept}\"");
        let help = "VRRP carries 8 characters; write a password of at most 8";
        report.warning(password.span, message, help);
    }
    let mut padded = [0; PASSWORD_MAX];
    for (to, from) in padded.iter_mut().zip(bytes) {
        *to = *from;
    }
    match kind {
        AuthenticationKind::Pass => Authentication::Pass(padded),
        AuthenticationKind::Ah => Authentication::Ah(padded),
    }
}

fn hmac(hmac: &ast::Hmac, from: &Instance, instance: &mut VrrpInstance, report: &mut Report<'_>) {
    for keyword in ["key", "active_key"] {
        if !hmac.written.has(keyword) {
            let message = format!("auth_hmac has no {keyword}");
            report.error(hmac.span, message, "write key 1 hex:... and active_key 1 in it");
        }
    }
    let Some(active) = &hmac.active else { return };
    if !hmac.keys.iter().any(|key| key.value.id == active.value) && !hmac.keys.is_empty() {
        let message = format!("there is no key {}", active.value);
        report.error(active.span, message, format!("write key {} and a key", active.value));
    }
    let mut mode = hmac.mode.as_ref().map_or(HmacMode::Enforce, |mode| mode.value);
    if let Some(own) = hmac.mode.as_ref().filter(|_| instance.strict && mode != HmacMode::Enforce) {
        let message = "strict mode needs mode enforce, which is used";
        report.warning(own.span, message, "write mode enforce");
        mode = HmacMode::Enforce;
    }
    let interval = from.advert_interval.as_ref().map_or(1, |interval| interval.value.as_secs());
    let derived = Duration::from_secs((3 * interval).clamp(WINDOW.0, WINDOW.1));
    instance.authentication = Authentication::Hmac(Hmac {
        keys: hmac.keys.iter().map(|key| key.value.clone()).collect(),
        active: active.value,
        anti_replay: match hmac.monotonic {
            true => AntiReplay::Monotonic,
            false => AntiReplay::Time(hmac.window.unwrap_or(derived)),
        },
        mode,
    });
}
