//! The virtual servers of `evenkeel status`.

use std::fmt::Write;

use model::status::{CheckerStatus, DirectorReport, RealServerStatus, ServiceStatus};

use super::{Paint, bytes, duration};

/// Least width of the column of addresses: those of IPv4 fit.
const WIDTH: usize = 30;
/// Real servers stand that much further right than their virtual server.
const INDENT: usize = 2;

/// Of the column of addresses: the longest fits, as those of IPv6 may be.
fn width(report: &DirectorReport) -> usize {
    let services = report.services.iter().map(|one| one.key.to_string().len());
    let servers = report.services.iter().flat_map(|one| &one.servers);
    // Only those of IPv6 may be longer, and writing forty thousand others down takes its time.
    let servers = servers.filter(|one| one.endpoint.address.is_ipv6());
    let servers = servers.map(|one| one.endpoint.to_string().len() + INDENT);
    services.chain(servers).max().unwrap_or(0).max(WIDTH)
}

/// Appends everything about layer 4: a line for each real server and a second one where there is
/// more to say, or all of it with `verbose`.
pub(super) fn show(text: &mut String, report: &DirectorReport, paint: Paint, verbose: bool) {
    let interfaces = match &report.interfaces[..] {
        [] => "no interface".to_owned(),
        interfaces => interfaces.join(", "),
    };
    let wide = width(report);
    let _ = writeln!(
        text,
        "\n{} ({} on {interfaces})\n  {:<wide$} {:<8} {:>7} {:>7} {:>8} {:>10} {:>10}  LAST CHECK",
        paint.heading("LAYER 4"),
        report.engine,
        "VIRTUAL / REAL SERVER",
        "STATE",
        "WEIGHT",
        "ACTIVE",
        "INACTIVE",
        "CONNS",
        "BYTES IN"
    );
    for service in &report.services {
        service_lines(text, service, paint, wide);
        for server in &service.servers {
            server_lines(text, server, paint, verbose, wide);
        }
    }
}

fn service_lines(text: &mut String, service: &ServiceStatus, paint: Paint, wide: usize) {
    let flags = match service.scheduler.flag_names() {
        "" => String::new(),
        flags => format!("  {flags}"),
    };
    let persistent = service
        .persistence
        .map_or_else(String::new, |one| format!("  persistent {} s", one.timeout.as_secs()));
    let name = service.key.to_string();
    let group =
        if service.id.to_string() == name { String::new() } else { format!("  of {}", service.id) };
    let sum = |part: fn(&RealServerStatus) -> u32| {
        service.servers.iter().map(|one| u64::from(part(one))).sum::<u64>()
    };
    let _ = writeln!(
        text,
        "  {name:<wide$} {:<8} {:>7} {:>7} {:>8} {:>10} {:>10}{group}{flags}{persistent}",
        service.scheduler.name(),
        "",
        sum(|one| one.active),
        sum(|one| one.inactive),
        service.counters.connections,
        bytes(service.counters.bytes_in),
    );
    let quorum = &service.quorum;
    let mut notes = Vec::new();
    if quorum.needed > 0 && (!quorum.held || quorum.needed > 1) {
        let state = if quorum.held { paint.good("held") } else { paint.bad("lost") };
        let hysteresis = match quorum.hysteresis {
            0 => String::new(),
            by => format!(" (hysteresis {by})"),
        };
        let (living, needed) = (quorum.living, quorum.needed);
        notes.push(format!("quorum {state}: weight {living} of {needed}{hysteresis}"));
    }
    if let Some(sorry) = &service.sorry {
        let state = if sorry.serves { paint.bad("serves") } else { "waits".to_owned() };
        let (active, inactive) = (sorry.active, sorry.inactive);
        let connections = if active + inactive > 0 {
            format!(", {active} active and {inactive} inactive")
        } else {
            String::new()
        };
        notes.push(format!("sorry server {} {state}{connections}", sorry.endpoint));
    }
    if let Some(changed) = &service.changed {
        notes.push(paint.heading(&format!("{changed} by ipvsadm")));
    }
    if service.suspended {
        notes.push("checks pause: its address is elsewhere".to_owned());
    }
    if !notes.is_empty() {
        let _ = writeln!(text, "    {}", notes.join("; "));
    }
}

fn server_lines(
    text: &mut String,
    server: &RealServerStatus,
    paint: Paint,
    verbose: bool,
    wide: usize,
) {
    let state = match (server.up, server.in_table) {
        (true, true) => paint.good("up      "),
        (true, false) => "up, out ".to_owned(),
        (false, true) => paint.bad("down, in"),
        (false, false) => paint.bad("down    "),
    };
    let weight = if server.weight == server.configured_weight {
        server.weight.to_string()
    } else {
        format!("{}/{}", server.weight, server.configured_weight)
    };
    // What a failing checker says comes before what a passing one does.
    let telling = server.checkers.iter().find(|one| !one.up).or(server.checkers.first());
    let last = match telling {
        Some(checker) => last_check(checker),
        None => server.last_result.clone().unwrap_or_default(),
    };
    let wide = wide - INDENT;
    let _ = writeln!(
        text,
        "    {:<wide$} {state} {weight:>7} {:>7} {:>8} {:>10} {:>10}  {last}",
        server.endpoint.to_string(),
        server.active,
        server.inactive,
        server.counters.connections,
        bytes(server.counters.bytes_in),
    );
    let mut notes: Vec<String> = server.changed.iter().map(|what| paint.heading(what)).collect();
    if server.flaps > 0 {
        let (ago, up, why) = match server.history.first() {
            Some((ago, up, why)) => (*ago, *up, why.as_str()),
            None => (0, server.up, ""),
        };
        let state = if up { "up" } else { "down" };
        notes.push(format!("{} changes, {state} {} ago: {why}", server.flaps, duration(ago)));
    }
    if !notes.is_empty() {
        let _ = writeln!(text, "      {}", notes.join("; "));
    }
    if verbose {
        for checker in &server.checkers {
            let state = if checker.up { paint.good("up") } else { paint.bad("down") };
            let weight = match checker.weight {
                0 => String::new(),
                by => format!(", weight {by:+}"),
            };
            let (name, target) = (&checker.name, &checker.target);
            let last = last_check(checker);
            let _ = writeln!(text, "      {name} {target}: {state}{weight}, {last}");
        }
        for (ago, up, why) in server.history.iter().skip(1) {
            let state = if *up { "up" } else { "down" };
            let _ = writeln!(text, "      {state} {} ago: {why}", duration(*ago));
        }
    }
}

/// `connection refused, 2.1 s ago, next in 3.9 s`
fn last_check(checker: &CheckerStatus) -> String {
    let result = checker.last_result.clone().unwrap_or_else(|| "not checked yet".to_owned());
    let ago = checker.last_age_ms.map(|ms| format!("{} ago", tenths(ms)));
    let next = checker.next_in_ms.map(|ms| format!("next in {}", tenths(ms)));
    [Some(result), ago, next].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn tenths(ms: u64) -> String {
    if ms < 60_000 {
        format!("{}.{} s", ms / 1_000, ms % 1_000 / 100)
    } else {
        duration(ms / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use model::layer4::{Endpoint, Forwarding, Protocol, Scheduler, ServiceKey, VirtualServerId};
    use model::status::{Counters, QuorumStatus, SorryStatus};

    use super::*;

    fn checker() -> CheckerStatus {
        CheckerStatus {
            name: "TCP_CHECK".into(),
            target: "10.0.0.1:80".into(),
            up: false,
            weight: 0,
            last_result: Some("connection refused".into()),
            last_age_ms: Some(2_150),
            next_in_ms: Some(3_900),
            failures: 3,
        }
    }

    fn server() -> RealServerStatus {
        RealServerStatus {
            endpoint: Endpoint { address: [10, 0, 0, 1].into(), port: 80 },
            forwarding: Forwarding::Nat,
            weight: 0,
            in_table: false,
            up: false,
            last_result: None,
            configured_weight: 3,
            changed: Some("drain, 12 s left".into()),
            checkers: vec![checker()],
            flaps: 3,
            history: vec![(75, false, "connection refused".into())],
            active: 4,
            inactive: 1,
            templates: 0,
            upper_threshold: 0,
            lower_threshold: 0,
            rates: Default::default(),
            counters: Counters::default(),
        }
    }

    fn report(servers: Vec<RealServerStatus>) -> DirectorReport {
        let address = [192, 0, 2, 1].into();
        let key = ServiceKey::Address { address, port: 80, protocol: Protocol::Tcp };
        let endpoint = Endpoint { address: [10, 0, 0, 9].into(), port: 80 };
        let service = ServiceStatus {
            id: VirtualServerId::Group { name: "web".into(), protocol: Protocol::Tcp },
            key,
            scheduler: Scheduler::RoundRobin,
            persistence: None,
            one_packet: false,
            quorum: QuorumStatus { living: 1, needed: 2, hysteresis: 1, held: false },
            sorry: Some(SorryStatus {
                endpoint,
                forwarding: Forwarding::Nat,
                weight: Some(1),
                serves: true,
                active: 2,
                inactive: 0,
            }),
            suspended: false,
            rates: Default::default(),
            changed: None,
            counters: Counters::default(),
            servers,
        };
        DirectorReport { services: vec![service], ..DirectorReport::default() }
    }

    #[test]
    fn a_server_has_two_lines_and_its_service_says_what_is_wrong() {
        let mut text = String::new();
        show(&mut text, &report(vec![server()]), Paint(false), false);
        let lines: Vec<&str> = text.lines().skip(3).map(str::trim).collect();
        assert!(lines[0].starts_with("TCP 192.0.2.1:80") && lines[0].ends_with("of TCP group web"));
        assert_eq!(
            lines[1],
            "quorum lost: weight 1 of 2 (hysteresis 1); sorry server 10.0.0.9:80 serves, \
             2 active and 0 inactive"
        );
        assert!(lines[2].contains("0/3"), "{text}");
        assert!(lines[2].ends_with("connection refused, 2.1 s ago, next in 3.9 s"), "{text}");
        assert_eq!(lines[3], "drain, 12 s left; 3 changes, down 1m15s ago: connection refused");
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn long_addresses_leave_the_columns_where_they_belong() {
        let mut long = server();
        long.endpoint.address = "2001:db8:85a3:1319:8a2e:370:7344:7334".parse().unwrap();
        let mut text = String::new();
        show(&mut text, &report(vec![server(), long]), Paint(false), false);
        let servers: Vec<&str> = text.lines().filter(|line| line.contains("down   ")).collect();
        let places: Vec<_> = servers.iter().map(|line| line.find("down   ").unwrap()).collect();
        assert_eq!(places[0], places[1], "{text}");
        assert_eq!(text.lines().nth(2).unwrap().find("STATE"), Some(places[0]), "{text}");
    }

    #[test]
    fn forty_thousand_servers_are_shown_in_a_moment() {
        let began = std::time::Instant::now();
        let mut text = String::new();
        show(&mut text, &report(vec![server(); 40_000]), Paint(false), false);
        assert_eq!(text.lines().count(), 5 + 80_000);
        assert!(began.elapsed() < std::time::Duration::from_secs(5));
    }
}
