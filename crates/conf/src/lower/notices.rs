//! What virtual servers, real servers and checkers say together: it loads, and is probably not
//! meant. Repetitions are counted, not listed.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use model::check::{CheckKind, Checker};
use model::layer4::{Endpoint, Layer4Plan, ServiceKey, VirtualServer};

use super::across::Held;
use crate::diagnostic::Diagnostic;
use crate::keepalived::Decimal;
use crate::keepalived::ast::{self, Configuration};
use crate::source::Span;

/// Most findings of one kind; the last one says how many more there are.
const EACH_MOST: usize = 4;

/// Looks at everything once.
pub(super) fn find(
    from: &Configuration,
    held: &BTreeMap<IpAddr, Held<'_>>,
    plan: &Layer4Plan,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let addresses: BTreeSet<IpAddr> = plan
        .virtual_servers
        .iter()
        .flat_map(|server| server.services.iter().filter_map(ServiceKey::address))
        .collect();
    let reach = Reach { held, addresses };
    let (mut weights, mut slow) = (Weights::default(), SlowChecks::default());
    let (mut nameless, mut paused, mut lost) = (Few::default(), Few::default(), Few::default());
    // Everything about one virtual server while it is at hand: there may be thousands.
    for (source, server) in from.virtual_servers.iter().zip(&plan.virtual_servers) {
        nameless.extend(protocol(source, server));
        weights.look_at(source, server);
        slow.look_at(source, server);
        paused.extend(suspended(source, server, held));
        lost.extend(reach.find(source, server));
    }
    nameless.tell(diagnostics);
    Few::new(weights.find()).tell(diagnostics);
    Few::new(slow.find()).tell(diagnostics);
    paused.tell(diagnostics);
    lost.tell(diagnostics);
}

/// The first findings of one kind, and the number of the others.
#[derive(Default)]
pub(super) struct Few {
    found: Vec<Diagnostic>,
    more: usize,
}

impl Few {
    pub(super) fn new(found: impl Iterator<Item = Diagnostic>) -> Few {
        let mut few = Few::default();
        few.extend(found);
        few
    }

    fn extend(&mut self, found: impl IntoIterator<Item = Diagnostic>) {
        for diagnostic in found {
            if self.found.len() < EACH_MOST {
                self.found.push(diagnostic);
            } else {
                self.more += 1;
            }
        }
    }

    pub(super) fn tell(mut self, diagnostics: &mut Vec<Diagnostic>) {
        if let (Some(last), 1..) = (self.found.last_mut(), self.more) {
            last.message += &format!(" (and {} more like this)", self.more);
        }
        diagnostics.append(&mut self.found);
    }
}

/// Nobody says what the service speaks: UDP, as in Keepalived, where few mean it.
fn protocol(source: &ast::VirtualServer, server: &VirtualServer) -> Option<Diagnostic> {
    let is_served = !server.services.is_empty() && !server.real_servers.is_empty();
    let marks = server.services.iter().all(|key| key.mark().is_some());
    if source.written.has("protocol") || !is_served || marks {
        return None;
    }
    let message = "this virtual_server names no protocol: it serves UDP, not TCP";
    Some(
        Diagnostic::warning(source.span(), message)
            .help("write protocol TCP, or protocol UDP if that is meant")
            .failing_test(),
    )
}

/// One appearance of a real server.
struct Appearance {
    endpoint: Endpoint,
    /// Place in the files.
    number: usize,
    weight: u32,
    span: Span,
}

/// Real servers whose weight differs between virtual servers.
#[derive(Default)]
struct Weights(Vec<Appearance>);

impl Weights {
    fn look_at(&mut self, source: &ast::VirtualServer, server: &VirtualServer) {
        for (written, real) in source.real_servers.iter().zip(&server.real_servers) {
            let (endpoint, weight) = (real.endpoint, real.weight);
            let (number, span) = (self.0.len(), written.location.span);
            self.0.push(Appearance { endpoint, number, weight, span });
        }
    }

    fn find(mut self) -> impl Iterator<Item = Diagnostic> {
        self.0.sort_unstable_by_key(|one| (one.endpoint, one.number));
        let mut differing: Vec<(usize, Diagnostic)> = Vec::new();
        for same in self.0.chunk_by(|a, b| a.endpoint == b.endpoint) {
            let [first, rest @ ..] = same else { continue };
            let Some(other) = rest.iter().find(|one| one.weight != first.weight) else { continue };
            let message = format!(
                "real server {} has weight {} here and {} in another virtual server",
                other.endpoint, other.weight, first.weight
            );
            let diagnostic = Diagnostic::note(other.span, message)
                .related(first.span, format!("weight {} here", first.weight))
                .help("give it the same weight in both, unless it really serves one of them more");
            differing.push((other.number, diagnostic));
        }
        differing.sort_unstable_by_key(|(number, _)| *number);
        differing.into_iter().map(|(_, diagnostic)| diagnostic)
    }
}

/// Checkers that take longer than their interval to find that a server is down, one finding for
/// each pair of interval and time, programs apart (their time-out has another name): in which order they were seen, where first, and how often.
#[derive(Default)]
struct SlowChecks(BTreeMap<(Duration, Duration, bool), (usize, Span, usize)>);

impl SlowChecks {
    fn look_at(&mut self, source: &ast::VirtualServer, server: &VirtualServer) {
        for (written, real) in source.real_servers.iter().zip(&server.real_servers) {
            for (number, checker) in real.checkers.iter().enumerate() {
                let Some(worst) = worst_case(checker) else { continue };
                if worst <= checker.pace.interval {
                    continue;
                }
                let place = written.checkers.get(number).map(|one| one.common.span);
                let span = place.unwrap_or(written.location.span);
                let order = self.0.len();
                let program = matches!(checker.kind, CheckKind::Misc(_));
                let times = (checker.pace.interval, worst, program);
                self.0.entry(times).or_insert((order, span, 0)).2 += 1;
            }
        }
    }

    fn find(self) -> impl Iterator<Item = Diagnostic> {
        let mut seen: Vec<_> = self.0.into_iter().collect();
        seen.sort_unstable_by_key(|(_, (order, _, _))| *order);
        seen.into_iter().map(|((interval, worst, program), (_, span, count))| {
            let (interval, worst) = (Decimal(interval), Decimal(worst));
            let message = format!(
                "this check takes up to {worst} s to find its server down, longer than delay_loop \
                 {interval}"
            );
            let message = match count {
                1 => message,
                2 => format!("{message}; so does 1 other"),
                count => format!("{message}; so do {} others", count - 1),
            };
            let timeout = if program { "misc_timeout" } else { "connect_timeout" };
            Diagnostic::note(span, message).help(format!(
                "lower {timeout}, retry or delay_before_retry, or write delay_loop {worst}"
            ))
        })
    }
}

/// How long all tries of a check may take until the last has failed; nothing for what is not
/// tried.
fn worst_case(checker: &Checker) -> Option<Duration> {
    let rounds = match &checker.kind {
        CheckKind::Tcp
        | CheckKind::Smtp(_)
        | CheckKind::Dns(_)
        | CheckKind::Udp(_)
        | CheckKind::Ping
        | CheckKind::Misc(_) => 1,
        CheckKind::Http(check) => check.urls.len(),
        CheckKind::Bfd(_) | CheckKind::File(_) => return None,
    };
    let tries = checker.pace.fall;
    let waits = checker.pace.retry_interval.saturating_mul(tries.saturating_sub(1));
    let one = checker.timeout.saturating_mul(tries).saturating_add(waits);
    Some(one.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX)))
}

/// `ha_suspend` where no instance brings an address.
fn suspended(
    source: &ast::VirtualServer,
    server: &VirtualServer,
    held: &BTreeMap<IpAddr, Held<'_>>,
) -> Option<Diagnostic> {
    let span = source.ha_suspend?;
    let mut addresses = server.services.iter().filter_map(ServiceKey::address);
    let address = addresses.clone().next()?;
    if addresses.any(|address| held.contains_key(&address)) {
        return None;
    }
    let message = format!(
        "no vrrp_instance holds {address}: without somebody else to add it, nothing is checked"
    );
    Some(
        Diagnostic::warning(span, message).help(format!(
            "add {address} to virtual_ipaddress of an instance, or remove ha_suspend"
        )),
    )
}

/// Checkers whose packets cannot get where they should.
struct Reach<'h, 'c> {
    held: &'h BTreeMap<IpAddr, Held<'c>>,
    /// Of all virtual servers.
    addresses: BTreeSet<IpAddr>,
}

impl Reach<'_, '_> {
    fn find(&self, source: &ast::VirtualServer, server: &VirtualServer) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for (written, real) in source.real_servers.iter().zip(&server.real_servers) {
            for (number, checker) in real.checkers.iter().enumerate() {
                let place = written.checkers.get(number).map(|one| one.common.span);
                let span = place.unwrap_or(written.location.span);
                found.extend(self.target(checker, real.endpoint, span));
                if !server.ha_suspend {
                    found.extend(self.origin(checker, span));
                }
            }
        }
        found
    }

    /// It checks a virtual server instead of the server behind it.
    fn target(&self, checker: &Checker, endpoint: Endpoint, span: Span) -> Option<Diagnostic> {
        let address = checker.target.ip();
        let is_checked = match &checker.kind {
            CheckKind::Misc(_) | CheckKind::Bfd(_) | CheckKind::File(_) => false,
            CheckKind::Tcp
            | CheckKind::Http(_)
            | CheckKind::Smtp(_)
            | CheckKind::Dns(_)
            | CheckKind::Udp(_)
            | CheckKind::Ping => true,
        };
        if !is_checked || address == endpoint.address || !self.addresses.contains(&address) {
            return None;
        }
        let message = format!("this check connects to the virtual address {address}");
        let help =
            format!("check the server itself: remove connect_ip, or write {}", endpoint.address);
        Some(Diagnostic::warning(span, message).help(help))
    }

    /// Its source address is only there while an instance is master.
    fn origin(&self, checker: &Checker, span: Span) -> Option<Diagnostic> {
        let bind = checker.source.bind?.ip();
        let held = self.held.get(&bind)?;
        let message = format!("{bind} is a virtual address: on the backup this check cannot leave");
        Some(
            Diagnostic::warning(span, message)
                .related(held.span, "it comes and goes with this instance")
                .help("bind to an address of the machine itself, or write ha_suspend"),
        )
    }
}
