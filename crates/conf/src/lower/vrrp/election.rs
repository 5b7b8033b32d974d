//! State, priority, intervals and preemption.

use alloc::format;
use core::time::Duration;

use model::units::{Centiseconds, Priority};
use model::vrrp::{InitialState, Version, VrrpInstance};

use super::Report;
use super::instance::{is_owner, will_be_owner};
use crate::diagnostic::Diagnostic;
use crate::keepalived::ast::{Instance, VrrpDefaults};
use crate::source::Spanned;

/// Adverts missed before the master counts as down (RFC 3768 6.1).
const DOWN_TIMER_ADVERTS: u8 = 3;
/// Greatest interval of version 3: 12 bits of hundredths (RFC 9568 5.2.7).
const V3_INTERVAL_MAX: u32 = 4_095;

/// Each is derived from the other where the file says nothing.
pub(super) fn state_and_priority(
    from: &Instance,
    instance: &mut VrrpInstance,
    report: &mut Report<'_>,
) {
    instance.priority = match &from.priority {
        Some(priority) => priority.value,
        None if will_be_owner(from) => Priority::OWNER,
        None => Priority::DEFAULT,
    };
    let by_priority = if is_owner(instance) { InitialState::Master } else { InitialState::Backup };
    instance.initial_state = from.state.as_ref().map_or(by_priority, |state| state.value);
    let Some(state) = &from.state else { return };
    if will_be_owner(from) && from.priority.is_none() {
        let message = "state MASTER without priority means priority 255, the owner's";
        report.warning(state.span, message, "write priority with a number below 255");
    }
    if instance.strict && instance.initial_state != by_priority {
        let message = "in strict mode state MASTER and priority 255 go together";
        report.warning(state.span, message, "remove state: the priority decides");
        instance.initial_state = by_priority;
    }
    if instance.initial_state == InitialState::Master && instance.priority.number() == 1 {
        let Some(priority) = &from.priority else { return };
        let message = "state MASTER with priority 1, the lowest: any other director takes over";
        let diagnostic = Diagnostic::warning(priority.span, message)
            .related(state.span, "MASTER is asked for here")
            .help("give the director that should be master the highest priority");
        report.push(diagnostic);
    }
}

/// Everything else of the election.
pub(super) fn lower(
    from: &Instance,
    defaults: &VrrpDefaults,
    instance: &mut VrrpInstance,
    report: &mut Report<'_>,
) {
    instance.advert_interval = interval(from, instance.version, report);
    preemption(from, instance, report);
    down_timer(from, defaults, instance, report);
    answers(from, defaults, instance, report);
    accept(from, instance, report);
    instance.owner_ignore_adverts =
        from.owner_ignore_adverts.or(defaults.owner_ignore_adverts).unwrap_or(false);
    instance.skip_check_addresses =
        from.skip_check_addresses.or(defaults.skip_check_addresses).unwrap_or(false);
    if let Some(expired) = &from.timer_expired_backup {
        if instance.preempt {
            let message = "timer_expired_backup has no effect without nopreempt";
            report.warning(expired.span, message, "write nopreempt, or remove it");
        } else {
            instance.timer_expired_backup = Some(expired.value);
        }
    }
}

/// Version 2 carries whole seconds, version 3 hundredths: what is between is rounded as
/// Keepalived does.
fn interval(from: &Instance, version: Version, report: &mut Report<'_>) -> Centiseconds {
    let Some(interval) = &from.advert_interval else { return Centiseconds(100) };
    let (unit, most) = match version {
        Version::V2 => (1_000, 255),
        Version::V3 => (10, V3_INTERVAL_MAX),
    };
    let units = (interval.value.as_micros() + unit * 500) / (unit * 1_000);
    let units = u32::try_from(units).unwrap_or(most).clamp(1, most);
    let rounded = match version {
        Version::V2 => Centiseconds(units * 100),
        Version::V3 => Centiseconds(units),
    };
    if rounded.duration() != interval.value {
        let (message, help) = match version {
            Version::V2 => (
                format!("VRRP version 2 counts whole seconds: advert_int is {units}"),
                format!("write advert_int {units}, or version 3 for fractions"),
            ),
            Version::V3 => {
                let text = format!("{}.{:02}", units / 100, units % 100);
                (
                    format!("VRRP version 3 counts hundredths up to 40.95: advert_int is {text}"),
                    format!("write advert_int {text}"),
                )
            }
        };
        report.warning(interval.span, message, help);
    }
    rounded
}

fn preemption(from: &Instance, instance: &mut VrrpInstance, report: &mut Report<'_>) {
    let delay = from.preempt_delay.as_ref().filter(|delay| !delay.value.is_zero());
    let master = instance.initial_state == InitialState::Master;
    let mut useless = |span, keyword: &str, why: &str, help: &str| {
        report.warning(span, format!("{keyword} has no effect {why}"), help);
    };
    let help = "write state BACKUP on all directors; the priority decides";
    instance.preempt = match from.nopreempt {
        Some(span) if is_owner(instance) => {
            useless(span, "nopreempt", "with priority 255", "the owner always takes over");
            true
        }
        Some(span) if master => {
            useless(span, "nopreempt", "with state MASTER", help);
            true
        }
        nopreempt => nopreempt.is_none(),
    };
    let Some(delay) = delay else { return };
    if master {
        useless(delay.span, "preempt_delay", "with state MASTER", help);
    } else if instance.strict {
        useless(delay.span, "preempt_delay", "in strict mode", "remove it");
    } else if !instance.preempt {
        useless(delay.span, "preempt_delay", "with nopreempt", "keep one of the two");
    } else {
        instance.preempt_delay = delay.value;
    }
}

fn down_timer(
    from: &Instance,
    defaults: &VrrpDefaults,
    instance: &mut VrrpInstance,
    report: &mut Report<'_>,
) {
    let own = from.down_timer_adverts.as_ref();
    let adverts = own.map(|adverts| adverts.value).or(defaults.down_timer_adverts);
    instance.down_timer_adverts = adverts.unwrap_or(DOWN_TIMER_ADVERTS);
    if instance.strict && instance.down_timer_adverts != DOWN_TIMER_ADVERTS {
        let span = own.map_or(from.name.span, |adverts| adverts.span);
        strict_needs(report, span, "down_timer_adverts 3");
        instance.down_timer_adverts = DOWN_TIMER_ADVERTS;
    }
}

fn strict_needs(report: &mut Report<'_>, span: crate::source::Span, what: &str) {
    let message = format!("strict mode needs {what}, which is used");
    report.warning(span, message, "remove the line, or write strict_mode off");
}

fn answers(
    from: &Instance,
    defaults: &VrrpDefaults,
    instance: &mut VrrpInstance,
    report: &mut Report<'_>,
) {
    let lower = from.lower_prio_no_advert.as_ref();
    let higher = from.higher_prio_send_advert.as_ref();
    let value = |own: Option<&Spanned<bool>>, inherited: Option<bool>| {
        own.map(|own| own.value).or(inherited).unwrap_or(false)
    };
    if !instance.strict {
        instance.lower_prio_no_advert = value(lower, defaults.lower_prio_no_advert);
        instance.higher_prio_send_advert = value(higher, defaults.higher_prio_send_advert);
        return;
    }
    instance.lower_prio_no_advert = true;
    instance.higher_prio_send_advert = false;
    if let Some(lower) = lower.filter(|lower| !lower.value) {
        strict_needs(report, lower.span, "lower_prio_no_advert");
    }
    if let Some(higher) = higher.filter(|higher| higher.value) {
        strict_needs(report, higher.span, "higher_prio_send_advert off");
    }
}

/// Packets to the addresses: accepted, but in strict mode only by their owner.
fn accept(from: &Instance, instance: &mut VrrpInstance, report: &mut Report<'_>) {
    let owner = is_owner(instance);
    instance.accept = from.accept.as_ref().map_or(owner || !instance.strict, |accept| accept.value);
    let forbidden = instance.strict && !owner && instance.version == Version::V2;
    if let Some(accept) = from.accept.as_ref().filter(|accept| accept.value && forbidden) {
        let message = "version 2 knows no accept mode, and strict mode allows none";
        report.warning(accept.span, message, "remove accept, or write version 3");
        instance.accept = false;
    }
}

/// Greatest delay of a link change that still lets this instance tell others in time.
pub(super) fn link_delay_max(instance: &VrrpInstance) -> Duration {
    let interval = instance.advert_interval.duration();
    match u32::from(instance.down_timer_adverts) {
        0 | 1 => Duration::ZERO,
        adverts => interval * (adverts - 1) - interval / 256,
    }
}
