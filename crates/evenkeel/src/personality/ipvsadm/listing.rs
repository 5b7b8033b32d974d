//! What ipvsadm prints of the tables. Formats: ipvsadm(8) 1.31.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::layer4::{Endpoint, Forwarding, Protocol, ServiceKey, Tunnel};
use model::status::{ConnectionStatus, Counters, ServiceStatus};
use model::vrrp::Family;

use super::names::Names;
use super::options::{Opt, Options};

/// ipvsadm prints the version of IPVS it talks to, and the size of its hash table; scripts skip the
/// line.
pub(super) const HEADING: &str = "IP Virtual Server version 1.2.1 (size=4096)\n";

/// A destination, as the tables have it.
struct Row {
    endpoint: Endpoint,
    forwarding: Forwarding,
    weight: u32,
    thresholds: [u32; 2],
    active: u32,
    inactive: u32,
    templates: u32,
    counters: Counters,
    rates: Counters,
}

/// What is shown of each destination. Whoever is asked for several shows the first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Figures {
    Statistics,
    Rates,
    Thresholds,
    Persistent,
    Tunnels,
    Usual,
}

impl Figures {
    fn of(options: Options) -> Figures {
        let all = [
            (Opt::Statistics, Figures::Statistics),
            (Opt::Rate, Figures::Rates),
            (Opt::Thresholds, Figures::Thresholds),
            (Opt::PersistentConnections, Figures::Persistent),
            (Opt::TunnelInfo, Figures::Tunnels),
        ];
        let asked = all.into_iter().find(|(option, _)| options.has(*option));
        asked.map_or(Figures::Usual, |(_, figures)| figures)
    }

    fn title(self) -> String {
        let first = "Prot LocalAddress:Port";
        let second = "  -> RemoteAddress:Port\n";
        let five = |names: [&str; 5]| {
            let names = names.map(|name| format!(" {name:>8}")).concat();
            format!("{first:<33}{names}\n{second}")
        };
        match self {
            Figures::Statistics => five(["Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"]),
            Figures::Rates => five(["CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"]),
            Figures::Thresholds => format!(
                "{first:<33} {:<10} {:<10} {:<10} {:<10}\n{second}",
                "Uthreshold", "Lthreshold", "ActiveConn", "InActConn"
            ),
            Figures::Persistent => format!(
                "{first:<33} {:<9} {:<11} {:<10} {:<10}\n{second}",
                "Weight", "PersistConn", "ActiveConn", "InActConn"
            ),
            Figures::Tunnels => format!(
                "{first} Scheduler Flags\n  -> RemoteAddress:Port           Forward TunnelInfo    \
                 Weight ActiveConn InActConn\n"
            ),
            Figures::Usual => format!(
                "{first} Scheduler Flags\n  -> RemoteAddress:Port           Forward Weight \
                 ActiveConn InActConn\n"
            ),
        }
    }
}

/// The services, as `-L` prints them below its heading.
pub(super) fn services(services: &[ServiceStatus], options: Options, names: &mut Names) -> String {
    let figures = Figures::of(options);
    let mut text = figures.title();
    for service in sorted(services, options) {
        text.push_str(&head(service, figures, options, names));
        let protocol = service.key.protocol().unwrap_or_default();
        for row in rows(service, options) {
            let name = names.endpoint(row.endpoint.address, row.endpoint.port, protocol);
            let name = clipped(name, row.endpoint.address.is_ipv4(), 28);
            text.push_str(&line(&name, &row, figures, options));
        }
    }
    text
}

/// The services as `-S` prints them: what `-R` takes.
pub(super) fn rules(services: &[ServiceStatus], options: Options, names: &mut Names) -> String {
    let mut text = String::new();
    for service in sorted(services, options) {
        let protocol = service.key.protocol().unwrap_or_default();
        let name = rule_name(service.key, names);
        let _ = write!(text, "-A {name} -s {}", service.scheduler.name());
        if let Some(persistence) = service.persistence {
            let _ = write!(text, " -p {}", persistence.timeout.as_secs());
            if let Some(mask) = mask(service) {
                let _ = write!(text, " -M {mask}");
            }
        }
        if service.one_packet {
            text.push_str(" -o");
        }
        match service.scheduler.flag_names() {
            "" => {}
            flags => text.push_str(&format!(" -b {flags}")),
        }
        text.push('\n');
        for row in rows(service, options) {
            let server = names.endpoint(row.endpoint.address, row.endpoint.port, protocol);
            let way = match row.forwarding {
                Forwarding::Nat => "-m",
                Forwarding::DirectRouting => "-g",
                Forwarding::Tunnel(_) => "-i",
            };
            let tunnel = tunnel_rule(row.forwarding);
            let _ = writeln!(text, "-a {name} -r {server} {way} -w {}{tunnel}", row.weight);
        }
    }
    text
}

fn tunnel_rule(forwarding: Forwarding) -> String {
    let sum = |checksum: bool| if checksum { "--tun-csum" } else { "--tun-nocsum" };
    match forwarding {
        Forwarding::Nat | Forwarding::DirectRouting => String::new(),
        Forwarding::Tunnel(Tunnel::IpIp) => " --tun-type ipip".into(),
        Forwarding::Tunnel(Tunnel::Gre { checksum }) => {
            format!(" --tun-type gre {}", sum(checksum))
        }
        Forwarding::Tunnel(Tunnel::Gue { port, checksum }) => {
            format!(" --tun-type gue --tun-port {port} {}", sum(checksum))
        }
    }
}

/// The connections, as `-Lc` prints them.
pub(super) fn connections(
    connections: &[ConnectionStatus],
    options: Options,
    names: &mut Names,
) -> String {
    let mut text = String::from("IPVS connection entries\n");
    let columns = match options.has(Opt::PersistentConnections) {
        true => "destination        pe name          pe_data",
        false => "destination",
    };
    let _ =
        writeln!(text, "pro expire {:<11} {:<18} {:<18} {columns}", "state", "source", "virtual");
    for connection in connections {
        // A template of a firewall mark has the mark for an address, as in IPVS.
        let (word, protocol, address, port) = match connection.service {
            ServiceKey::Address { address, port, protocol } => {
                (protocol.name(), protocol, address, port)
            }
            ServiceKey::Mark { mark, family: Family::Ipv4 } => {
                ("IP", Protocol::Tcp, IpAddr::from(Ipv4Addr::from_bits(mark)), 0)
            }
            ServiceKey::Mark { mark, family: Family::Ipv6 } => {
                let address = Ipv6Addr::from_bits(u128::from(mark) << 96);
                ("IP", Protocol::Tcp, IpAddr::from(address), 0)
            }
        };
        let mut shown = |address, port| names.endpoint(address, port, protocol);
        let client = shown(connection.client.address, connection.client.port);
        let service = shown(address, port);
        let server = shown(connection.server.address, connection.server.port);
        let (minutes, seconds) = (connection.expires_seconds / 60, connection.expires_seconds % 60);
        let expires = format!("{minutes:02}:{seconds:02}");
        let state = &connection.state;
        let _ = writeln!(
            text,
            "{word:<3} {expires:<6} {state:<11} {client:<18} {service:<18} {server}"
        );
    }
    text
}

fn sorted(services: &[ServiceStatus], options: Options) -> Vec<&ServiceStatus> {
    let mut sorted: Vec<&ServiceStatus> = services.iter().collect();
    if !options.has(Opt::NoSort) {
        sorted.sort_by_key(|service| {
            let key = service.key;
            let protocol = key.protocol().map(Protocol::number);
            // ipvsadm takes marks for signed numbers.
            let mark = key.mark().unwrap_or_default();
            (mark.cast_signed(), key.family() == Family::Ipv6, protocol, key.address(), key.port())
        });
    }
    sorted
}

/// What the tables have of a service, a sorry server too.
fn rows(service: &ServiceStatus, options: Options) -> Vec<Row> {
    let in_table = service.servers.iter().filter(|server| server.in_table);
    let mut rows: Vec<Row> = in_table
        .map(|server| Row {
            endpoint: server.endpoint,
            forwarding: server.forwarding,
            weight: server.weight,
            thresholds: [server.upper_threshold, server.lower_threshold],
            active: server.active,
            inactive: server.inactive,
            templates: server.templates,
            counters: server.counters,
            rates: server.rates,
        })
        .collect();
    let sorry = service.sorry.as_ref().and_then(|sorry| Some((sorry, sorry.weight?)));
    // One that is a real server too is in its place.
    let sorry = sorry.filter(|(sorry, _)| rows.iter().all(|row| row.endpoint != sorry.endpoint));
    rows.extend(sorry.map(|(sorry, weight)| Row {
        endpoint: sorry.endpoint,
        forwarding: sorry.forwarding,
        weight,
        thresholds: [0; 2],
        active: sorry.active,
        inactive: sorry.inactive,
        templates: 0,
        counters: Counters::default(),
        rates: Counters::default(),
    }));
    if !options.has(Opt::NoSort) {
        rows.sort_by_key(|row| {
            let Endpoint { address, port } = row.endpoint;
            (address.is_ipv6(), address, port)
        });
    }
    rows
}

fn clipped(mut name: String, clip: bool, most: usize) -> String {
    if clip && name.is_char_boundary(most) {
        name.truncate(most);
    }
    name
}

/// `TCP  192.0.2.1:80`, `FWM  80`, `FWM  80 IPv6`
fn service_name(key: ServiceKey, names: &mut Names) -> String {
    match key {
        ServiceKey::Address { address, port, protocol } => {
            let endpoint = names.endpoint(address, port, protocol);
            clipped(format!("{:<4} {endpoint}", protocol.name()), address.is_ipv4(), 33)
        }
        ServiceKey::Mark { mark, family: Family::Ipv4 } => format!("FWM  {}", mark.cast_signed()),
        ServiceKey::Mark { mark, family: Family::Ipv6 } => {
            format!("FWM  {} IPv6", mark.cast_signed())
        }
    }
}

/// `-t 192.0.2.1:80`, `-f 80 -6`
fn rule_name(key: ServiceKey, names: &mut Names) -> String {
    match key {
        ServiceKey::Address { address, port, protocol } => {
            let option = match protocol {
                Protocol::Tcp => "-t",
                Protocol::Udp => "-u",
                Protocol::Sctp => "--sctp-service",
            };
            format!("{option} {}", names.endpoint(address, port, protocol))
        }
        ServiceKey::Mark { mark, family: Family::Ipv4 } => format!("-f {}", mark.cast_signed()),
        ServiceKey::Mark { mark, family: Family::Ipv6 } => format!("-f {} -6", mark.cast_signed()),
    }
}

/// The line of a service.
fn head(service: &ServiceStatus, figures: Figures, options: Options, names: &mut Names) -> String {
    let name = service_name(service.key, names);
    match figures {
        Figures::Statistics => format!("{name:<33}{}\n", five(&service.counters, options)),
        Figures::Rates => format!("{name:<33}{}\n", five(&service.rates, options)),
        Figures::Thresholds | Figures::Persistent | Figures::Tunnels | Figures::Usual => {
            let mut text = format!("{name} {}", service.scheduler.name());
            match service.scheduler.flag_names() {
                "" => {}
                flags => text.push_str(&format!(" ({flags})")),
            }
            if let Some(persistence) = service.persistence {
                let _ = write!(text, " persistent {}", persistence.timeout.as_secs());
                if let Some(mask) = mask(service) {
                    let _ = write!(text, " mask {mask}");
                }
            }
            if service.one_packet {
                text.push_str(" ops");
            }
            text.push('\n');
            text
        }
    }
}

/// The netmask of persistence, unless each client is its own.
fn mask(service: &ServiceStatus) -> Option<String> {
    let length = service.persistence?.prefix_len;
    match service.key.family() {
        Family::Ipv4 if length < 32 => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            Some(Ipv4Addr::from(mask).to_string())
        }
        Family::Ipv6 if length < 128 => Some(length.to_string()),
        Family::Ipv4 | Family::Ipv6 => None,
    }
}

/// The line of a destination.
fn line(name: &str, row: &Row, figures: Figures, options: Options) -> String {
    let Row { weight, active, inactive, templates, thresholds: [upper, lower], .. } = row;
    let start = format!("  -> {name:<28}");
    let way = row.forwarding.ipvsadm_name();
    match figures {
        Figures::Statistics => format!("{start}{}\n", five(&row.counters, options)),
        Figures::Rates => {
            let Counters { connections, packets_in, packets_out, bytes_in, bytes_out } = row.rates;
            let bytes = [bytes_in, bytes_out].map(|one| large(one, options)).concat();
            format!("{start} {connections:>8} {packets_in:>8} {packets_out:>8}{bytes}\n")
        }
        Figures::Thresholds => {
            format!("{start} {upper:<10} {lower:<10} {active:<10} {inactive:<10}\n")
        }
        Figures::Persistent => {
            format!("{start} {weight:<9} {templates:<11} {active:<10} {inactive:<10}\n")
        }
        Figures::Tunnels => {
            let tunnel = tunnel_word(row.forwarding);
            format!("{start} {way:<7} {tunnel:<13} {weight:<6} {active:<10} {inactive:<10}\n")
        }
        Figures::Usual => {
            format!("{start} {way:<7} {weight:<6} {active:<10} {inactive:<10}\n")
        }
    }
}

fn tunnel_word(forwarding: Forwarding) -> String {
    let sum = |checksum: bool| if checksum { "+c" } else { "-c" };
    match forwarding {
        Forwarding::Nat | Forwarding::DirectRouting => "n/a".into(),
        Forwarding::Tunnel(Tunnel::IpIp) => "ipip".into(),
        Forwarding::Tunnel(Tunnel::Gre { checksum }) => format!("gre:{}", sum(checksum)),
        Forwarding::Tunnel(Tunnel::Gue { port, checksum }) => {
            format!("gue:{port}:{}", sum(checksum))
        }
    }
}

fn five(counters: &Counters, options: Options) -> String {
    let Counters { connections, packets_in, packets_out, bytes_in, bytes_out } = *counters;
    [connections, packets_in, packets_out, bytes_in, bytes_out]
        .map(|number| large(number, options))
        .concat()
}

/// A number with room for eight digits, shortened when it has more: 123456K, 1234M.
fn large(number: u64, options: Options) -> String {
    if options.has(Opt::Exact) {
        return format!(" {number:>8}");
    }
    match number {
        0..100_000_000 => format!("{number:>9}"),
        100_000_000..1_000_000_000 => format!("{:>8}K", number / 1_000),
        1_000_000_000..100_000_000_000 => format!("{:>8}M", number / 1_000_000),
        100_000_000_000..100_000_000_000_000 => format!("{:>8}G", number / 1_000_000_000),
        _ => format!("{:>8}T", number / 1_000_000_000_000),
    }
}

#[cfg(test)]
mod tests;
