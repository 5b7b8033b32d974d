//! Gratuitous ARP of one instance.

use core::time::Duration;

use model::vrrp::{Garp, VrrpInstance};

use super::Report;
use crate::keepalived::ast::{Instance, VrrpDefaults};

/// What `global_defs` makes of the defaults.
fn defaults(from: &VrrpDefaults) -> Garp {
    let mut default = Garp::default();
    if from.min_garp == Some(true) {
        default.repeat = 1;
        default.delay = Duration::ZERO;
        default.refresh = Duration::ZERO;
    }
    let garp = &from.garp;
    let repeat = garp.repeat.unwrap_or(default.repeat);
    let delay = garp.delay.unwrap_or(default.delay);
    Garp {
        repeat,
        delay,
        refresh: garp.refresh.unwrap_or(default.refresh),
        refresh_repeat: garp.refresh_repeat.unwrap_or(default.refresh_repeat),
        lower_prio_repeat: garp.lower_prio_repeat.unwrap_or(repeat),
        lower_prio_delay: garp.lower_prio_delay.unwrap_or(delay),
        extra: garp.extra,
    }
}

/// The settings of an instance whose addresses and interfaces are known.
pub(super) fn lower(
    from: &Instance,
    inherited: &VrrpDefaults,
    instance: &VrrpInstance,
    report: &mut Report<'_>,
) -> Garp {
    let default = defaults(inherited);
    let own = &from.garp;
    let mut garp = Garp {
        repeat: own.repeat.unwrap_or(default.repeat),
        delay: own.delay.unwrap_or(default.delay),
        refresh: own.refresh.unwrap_or(default.refresh),
        refresh_repeat: own.refresh_repeat.unwrap_or(default.refresh_repeat),
        lower_prio_repeat: own.lower_prio_repeat.unwrap_or(default.lower_prio_repeat),
        lower_prio_delay: own.lower_prio_delay.unwrap_or(default.lower_prio_delay),
        extra: own.extra.or(default.extra),
    };
    if instance.strict {
        let repeats = own.lower_prio_repeat.is_some_and(|repeat| repeat > 0)
            || own.lower_prio_delay.is_some_and(|delay| !delay.is_zero());
        if repeats {
            let message = "strict mode sends nothing after a weaker master's advert";
            let help = "remove garp_lower_prio_repeat and garp_lower_prio_delay";
            report.warning(from.name.span, message, help);
        }
        garp.lower_prio_repeat = 0;
        garp.lower_prio_delay = Duration::ZERO;
    }
    // Without other interfaces there is nothing to say on them.
    let on_virtual = !instance.address_links.is_empty();
    let on_others = instance.held_addresses().any(|a| !a.virtual_mac && a.interface.is_some());
    garp.extra = garp
        .extra
        .filter(|extra| !extra.interval.is_zero() && (on_virtual || (extra.all && on_others)));
    garp
}
