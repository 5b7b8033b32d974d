//! How Keepalived writes values.

use std::time::Duration;

use model::status::VrrpState;
use model::vrrp::{
    Authentication, Broadcast, Command, PreferredLifetime, Track, Tracked, VirtualAddress,
    VirtualLink, VrrpInstance,
};
use serde_json::{Value, json};

/// Seconds as a number without needless digits: `1`, `0.5`.
pub(super) fn number(interval: Duration) -> Value {
    if interval.subsec_nanos() == 0 {
        json!(interval.as_secs())
    } else {
        json!(interval.as_secs_f64())
    }
}

/// INIT, BACKUP, MASTER and FAULT in Keepalived's numbers.
pub(super) fn state_number(state: VrrpState) -> u8 {
    match state {
        VrrpState::Init => 0,
        VrrpState::Backup => 1,
        VrrpState::Master => 2,
        VrrpState::Fault => 3,
    }
}

pub(super) fn authentication_number(authentication: &Authentication) -> u8 {
    match authentication {
        Authentication::None | Authentication::Hmac(_) => 0,
        Authentication::Pass(_) => 1,
        Authentication::Ah(_) => 2,
    }
}

pub(super) fn password_text(password: &[u8; 8]) -> String {
    String::from_utf8_lossy(password).trim_end_matches('\0').to_owned()
}

pub(super) fn own_interface(plan: &VrrpInstance) -> Option<&str> {
    match &plan.link {
        VirtualLink::None => None,
        VirtualLink::Macvlan { name, .. } | VirtualLink::Ipvlan { name, .. } => Some(name),
    }
}

/// `'/bin/check' 'it'`
pub(super) fn command_line(command: &Command) -> String {
    command.words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
}

/// `-5 reverse`
pub(super) fn weight(track: &Track) -> String {
    format!("{}{}", track.weight, if track.reverse { " reverse" } else { "" })
}

/// The name of something tracked, and whether Keepalived lists it among interfaces, scripts,
/// files, processes or BFD sessions.
pub(super) fn tracked(what: &Tracked) -> (Kind, &str) {
    match what {
        Tracked::Interface(name) => (Kind::Interface, name),
        Tracked::Script(name) => (Kind::Script, name),
        Tracked::File(name) => (Kind::File, name),
        Tracked::Process(name) => (Kind::Process, name),
        Tracked::Bfd(name) => (Kind::Bfd, name),
    }
}

/// A list of tracked things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Interface,
    Script,
    File,
    Process,
    Bfd,
}

/// `10.9.0.100/24 dev eth0 scope global label eth0:1 set`
pub(super) fn shown_address(plan: &VrrpInstance, address: &VirtualAddress, held: bool) -> String {
    let VirtualAddress { address: ip, prefix_len, .. } = address;
    let full = if ip.is_ipv4() { 32 } else { 128 };
    let mut text = ip.to_string();
    if *prefix_len != full {
        text += &format!("/{prefix_len}");
    }
    match address.broadcast {
        Some(Broadcast::Address(broadcast)) => text += &format!(" brd {broadcast}"),
        Some(Broadcast::HostBitsSet | Broadcast::HostBitsClear) | None => {}
    }
    let interface = plan.interface_of(address);
    text += &format!(" dev {interface}");
    if own_interface(plan) == Some(interface) {
        text += &format!("@{}", plan.interface);
    }
    text += &format!(" scope {}", scope_name(address.scope));
    if let Some(label) = &address.label {
        text += &format!(" label {label}");
    }
    match address.preferred {
        PreferredLifetime::Default if ip.is_ipv6() && *prefix_len == full => text += " deprecated",
        PreferredLifetime::Default if ip.is_ipv6() => text += " preferred_lft forever",
        PreferredLifetime::Seconds(0) => text += " deprecated",
        PreferredLifetime::Forever => text += " preferred_lft forever",
        PreferredLifetime::Seconds(seconds) => text += &format!(" preferred_lft {seconds}"),
        PreferredLifetime::Default => {}
    }
    if held {
        text += " set";
    }
    text
}

fn scope_name(scope: u8) -> String {
    match scope {
        0 => "global".into(),
        200 => "site".into(),
        253 => "link".into(),
        254 => "host".into(),
        255 => "nowhere".into(),
        other => other.to_string(),
    }
}
