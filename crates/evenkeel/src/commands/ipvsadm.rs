//! `evenkeel ipvsadm`: the layer-4 tables as ipvsadm(8) prints them.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

use model::layer4::ServiceKey;
use model::status::{ConnectionStatus, Counters, DirectorReport};
use model::vrrp::Family;

use crate::cli::IpvsadmArgs;
use crate::control::{MISTAKEN, Request, Response, ask};

/// Lists services or connections.
pub(crate) fn ipvsadm(args: &IpvsadmArgs) -> ExitCode {
    let directory = &args.runtime.runtime_dir;
    let text = if args.connection {
        match ask(directory, &Request::Connections) {
            Ok(Response::Connections(connections)) => connection_table(&connections),
            Err(error) => return super::fail(&error),
            Ok(_) => return super::fail(MISTAKEN),
        }
    } else {
        match ask(directory, &Request::Status) {
            Ok(Response::Status(status)) => {
                let report = status.director.unwrap_or_default();
                if args.stats { statistics(&report) } else { service_table(&report) }
            }
            Err(error) => return super::fail(&error),
            Ok(_) => return super::fail(MISTAKEN),
        }
    };
    print!("{text}");
    ExitCode::SUCCESS
}

/// ipvsadm prints the version of IPVS it talks to; scripts skip the line.
const HEADING: &str = "IP Virtual Server version 1.2.1 (size=4096)\n";

fn service_table(report: &DirectorReport) -> String {
    let mut text = String::from(HEADING);
    text.push_str("Prot LocalAddress:Port Scheduler Flags\n");
    text.push_str("  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n");
    for service in &report.services {
        let _ = write!(text, "{} {}", name(service.key), service.scheduler);
        if let Some(persistence) = service.persistence {
            let _ = write!(text, " persistent {}", persistence.timeout.as_secs());
            text.push_str(&mask(service.key.family(), persistence.prefix_len));
        }
        text.push('\n');
        for server in service.servers.iter().filter(|server| server.in_table) {
            let _ = writeln!(
                text,
                "  -> {:<28} {:<7} {:<6} {:<10} {:<10}",
                server.endpoint.to_string(),
                server.forwarding.ipvsadm_name(),
                server.weight,
                server.active,
                server.inactive
            );
        }
        if let Some(sorry) = &service.sorry
            && let Some(weight) = sorry.weight
        {
            let _ = writeln!(
                text,
                "  -> {:<28} {:<7} {:<6} {:<10} {:<10}",
                sorry.endpoint.to_string(),
                sorry.forwarding.ipvsadm_name(),
                weight,
                sorry.active,
                sorry.inactive
            );
        }
    }
    text
}

/// ` mask 255.255.255.0`, of IPv6 ` mask 64`; nothing when clients are told apart by all bits.
fn mask(family: Family, prefix_len: u8) -> String {
    match family {
        Family::Ipv4 if prefix_len < 32 => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix_len)).unwrap_or(0);
            format!(" mask {}", Ipv4Addr::from_bits(mask))
        }
        Family::Ipv6 if prefix_len < 128 => format!(" mask {prefix_len}"),
        Family::Ipv4 | Family::Ipv6 => String::new(),
    }
}

fn statistics(report: &DirectorReport) -> String {
    let mut text = String::from(HEADING);
    text.push_str(
        "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n",
    );
    text.push_str("  -> RemoteAddress:Port\n");
    for service in &report.services {
        let _ = writeln!(text, "{:<33} {}", name(service.key), counters(&service.counters));
        for server in service.servers.iter().filter(|server| server.in_table) {
            let _ = writeln!(
                text,
                "  -> {:<28} {}",
                server.endpoint.to_string(),
                counters(&server.counters)
            );
        }
    }
    text
}

fn counters(counters: &Counters) -> String {
    [
        counters.connections,
        counters.packets_in,
        counters.packets_out,
        counters.bytes_in,
        counters.bytes_out,
    ]
    .map(|number| format!("{:>8}", shortened(number)))
    .join(" ")
}

/// As ipvsadm shortens numbers that do not fit: 123456K, 12345M, 1234G.
fn shortened(number: u64) -> String {
    match number {
        0..100_000_000 => number.to_string(),
        100_000_000..100_000_000_000 => format!("{}K", number / 1_000),
        100_000_000_000..100_000_000_000_000 => format!("{}M", number / 1_000_000),
        _ => format!("{}G", number / 1_000_000_000),
    }
}

fn connection_table(connections: &[ConnectionStatus]) -> String {
    let mut text = String::from("IPVS connection entries\n");
    text.push_str("pro expire state       source             virtual            destination\n");
    for connection in connections {
        let (protocol, address) = of_connection(connection.service);
        let _ = writeln!(
            text,
            "{protocol:<3} {:02}:{:02}  {:<11} {:<18} {:<18} {}",
            connection.expires_seconds / 60,
            connection.expires_seconds % 60,
            connection.state,
            connection.client.to_string(),
            address,
            connection.server
        );
    }
    text
}

/// `TCP  192.0.2.1:80`, `FWM  80`, `FWM  80 IPv6`
fn name(key: ServiceKey) -> String {
    match key {
        ServiceKey::Address { address, port, protocol } => {
            format!("{protocol}  {}", SocketAddr::new(address, port))
        }
        ServiceKey::Mark { mark, family: Family::Ipv4 } => format!("FWM  {mark}"),
        ServiceKey::Mark { mark, family: Family::Ipv6 } => format!("FWM  {mark} IPv6"),
    }
}

/// Protocol and virtual address. A firewall mark, which persistence has, is an address to IPVS.
fn of_connection(key: ServiceKey) -> (String, String) {
    match key {
        ServiceKey::Address { address, port, protocol } => {
            (protocol.to_string(), SocketAddr::new(address, port).to_string())
        }
        ServiceKey::Mark { mark, family } => {
            let address = match family {
                Family::Ipv4 => IpAddr::from(Ipv4Addr::from_bits(mark)),
                Family::Ipv6 => IpAddr::from(Ipv6Addr::from_bits(u128::from(mark) << 96)),
            };
            (String::from("IP"), SocketAddr::new(address, 0).to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::layer4::VirtualServerId;
    use model::layer4::{Endpoint, Forwarding, HashFlags, Persistence, Protocol, Scheduler};
    use model::status::{QuorumStatus, RealServerStatus, ServiceStatus};
    use std::time::Duration;

    #[test]
    fn connections_of_ipv6_stand_in_brackets() {
        let end = |text: &str, port| Endpoint { address: text.parse().unwrap(), port };
        let service = ServiceKey::Address {
            address: "2001:db8::1".parse().unwrap(),
            port: 80,
            protocol: Protocol::Tcp,
        };
        let connection = ConnectionStatus {
            service,
            client: end("2001:db8:7::7", 40_000),
            server: end("2001:db8:0:1::11", 8080),
            state: "ESTABLISHED".into(),
            expires_seconds: 899,
        };
        let text = connection_table(&[connection]);
        assert_eq!(
            text.lines().last().unwrap(),
            "TCP 14:59  ESTABLISHED [2001:db8:7::7]:40000 [2001:db8::1]:80   \
             [2001:db8:0:1::11]:8080"
        );
    }

    #[test]
    fn the_table_is_ipvsadms() {
        let endpoint = Endpoint { address: "10.0.2.11".parse().unwrap(), port: 8080 };
        let address = "10.0.1.100".parse().unwrap();
        let key = ServiceKey::Address { address, port: 80, protocol: Protocol::Tcp };
        let mut report = DirectorReport {
            services: vec![ServiceStatus {
                id: VirtualServerId::Service(key),
                key,
                quorum: QuorumStatus::default(),
                sorry: None,
                suspended: false,
                scheduler: Scheduler::WeightedRoundRobin,
                persistence: Some(Persistence { timeout: Duration::from_secs(60), prefix_len: 24 }),
                counters: Counters::default(),
                servers: vec![RealServerStatus {
                    endpoint,
                    forwarding: Forwarding::Nat,
                    weight: 3,
                    in_table: true,
                    up: true,
                    last_result: None,
                    configured_weight: 3,
                    changed: None,
                    checkers: Vec::new(),
                    flaps: 0,
                    history: Vec::new(),
                    active: 1,
                    inactive: 20,
                    templates: 0,
                    counters: Counters::default(),
                }],
            }],
            ..DirectorReport::default()
        };
        assert_eq!(
            service_table(&report),
            "IP Virtual Server version 1.2.1 (size=4096)\n\
             Prot LocalAddress:Port Scheduler Flags\n\
             \x20 -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n\
             TCP  10.0.1.100:80 wrr persistent 60 mask 255.255.255.0\n\
             \x20 -> 10.0.2.11:8080               Masq    3      1          20        \n"
        );
        let address = "2001:db8::1".parse().unwrap();
        report.services[0].key = ServiceKey::Address { address, port: 80, protocol: Protocol::Tcp };
        report.services[0].servers[0].endpoint.address = "2001:db8:0:1::11".parse().unwrap();
        for (prefix_len, mask) in [(64, " mask 64"), (128, "")] {
            let timeout = Duration::from_secs(60);
            report.services[0].persistence = Some(Persistence { timeout, prefix_len });
            let listed = format!(
                "\nTCP  [2001:db8::1]:80 wrr persistent 60{mask}\n\
                 \x20 -> [2001:db8:0:1::11]:8080      Masq    3      1          20        \n"
            );
            assert!(service_table(&report).ends_with(&listed), "{}", service_table(&report));
        }
        report.services[0].key = key;
        report.services[0].persistence =
            Some(Persistence { timeout: Duration::from_secs(60), prefix_len: 24 });
        let flags = HashFlags { fallback: true, port: true };
        report.services[0].scheduler = Scheduler::SourceHashing(flags);
        let listed = "\nTCP  10.0.1.100:80 sh (sh-fallback,sh-port) persistent 60 mask";
        assert!(service_table(&report).contains(listed));
    }
}
