//! Names of hosts and ports: what a user may write for an address, and what a listing without `-n`
//! shows.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

use model::layer4::Protocol;

/// Names of well-known ports.
const SERVICES: &str = "/etc/services";

/// `host[:port]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) address: IpAddr,
    pub(super) port: Option<u16>,
}

/// Reads `192.0.2.1:80`, `www:http`, `[2001:db8::1]:80` or `2001:db8::1`. A number alone is no
/// address, and an address in brackets needs a port.
pub(super) fn address(text: &str, protocol: Protocol) -> Option<Address> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once("]:")?;
            (host, Some(port))
        }
        None => (text, None),
    };
    if let Ok(address) = host.parse::<Ipv6Addr>() {
        let port = port.map(|port| port_of(port, protocol));
        return match port {
            Some(None) => None,
            port => Some(Address { address: address.into(), port: port.flatten() }),
        };
    }
    let (host, port) = match (port, host.rsplit_once(':')) {
        (None, Some((host, port))) => (host, Some(port)),
        (port, _) => (host, port),
    };
    let address = self::host(host)?;
    match port.map(|port| port_of(port, protocol)) {
        Some(None) => None,
        port => Some(Address { address, port: port.flatten() }),
    }
}

/// An IPv4 address in any form of inet_aton(3), or that of a name.
pub(super) fn host(text: &str) -> Option<IpAddr> {
    if let Some(address) = number_of(text) {
        return Some(address.into());
    }
    let mut found = (text, 0).to_socket_addrs().ok()?.map(|address| address.ip());
    found.find(IpAddr::is_ipv4)
}

/// `192.0.2.1`, `192.0.513`, `0xc0000201`
fn number_of(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = text.split('.').collect();
    let (last, first) = parts.split_last().filter(|(_, first)| first.len() < 4)?;
    let mut address = 0u32;
    for (place, part) in first.iter().enumerate() {
        let part = u32::from(u8::try_from(part_of(part)?).ok()?);
        address |= part << (24 - 8 * place);
    }
    let last = part_of(last)?;
    let room = u64::from(u32::MAX) >> (8 * first.len());
    (last <= room).then(|| Ipv4Addr::from(address | last as u32))
}

fn part_of(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = match (lower.strip_prefix("0x"), lower.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some("")) => ("0", 10),
        (None, Some(digits)) => (digits, 8),
        (None, None) => (lower.as_str(), 10),
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain { u64::from_str_radix(digits, radix).ok() } else { None }
}

fn port_of(text: &str, protocol: Protocol) -> Option<u16> {
    if let Some(port) = super::options::number(text, 0, 65_535) {
        return Some(port as u16);
    }
    let services = fs::read_to_string(SERVICES).ok()?;
    let mut found = services.lines().filter_map(|line| service(line, protocol));
    found.find(|(_, names)| names.contains(&text)).map(|(port, _)| port)
}

/// `http 80/tcp www`: the port and its names.
fn service(line: &str, protocol: Protocol) -> Option<(u16, Vec<&str>)> {
    let line = line.split('#').next()?;
    let mut words = line.split_whitespace();
    let name = words.next()?;
    let (port, of) = words.next()?.split_once('/')?;
    let port = port.parse().ok().filter(|_| protocol.name().eq_ignore_ascii_case(of))?;
    Some((port, std::iter::once(name).chain(words).collect()))
}

/// Shows endpoints, by their names if wanted.
#[derive(Default)]
pub(super) struct Names {
    numeric: bool,
    services: String,
    hosts: HashMap<IpAddr, String>,
    ports: HashMap<(u16, Protocol), String>,
}

impl Names {
    /// Numbers.
    pub(super) fn numeric() -> Names {
        Names { numeric: true, ..Names::default() }
    }

    /// Names where there are any. Each address is looked up once.
    pub(super) fn of_this_machine() -> Names {
        let services = fs::read_to_string(SERVICES).unwrap_or_default();
        Names { services, ..Names::default() }
    }

    /// `192.0.2.1:80`, `www.example.com:http`, `[2001:db8::1]:80`
    pub(super) fn endpoint(&mut self, address: IpAddr, port: u16, protocol: Protocol) -> String {
        let (open, close) = if address.is_ipv6() { ("[", "]") } else { ("", "") };
        let port = self.port(port, protocol);
        format!("{open}{}{close}:{port}", self.host(address))
    }

    fn host(&mut self, address: IpAddr) -> String {
        if self.numeric {
            return address.to_string();
        }
        let look_up = || edge::names::host_name(address).unwrap_or_else(|| address.to_string());
        self.hosts.entry(address).or_insert_with(look_up).clone()
    }

    fn port(&mut self, port: u16, protocol: Protocol) -> String {
        if self.numeric {
            return port.to_string();
        }
        let look_up = || {
            let mut known = self.services.lines().filter_map(|line| service(line, protocol));
            let found = known.find(|(known, _)| *known == port);
            found.map_or_else(|| port.to_string(), |(_, names)| names[0].to_owned())
        };
        self.ports.entry((port, protocol)).or_insert_with(look_up).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let found = address(text, Protocol::Tcp)?;
        let port = found.port.map_or("none".to_owned(), |port| port.to_string());
        Some(format!("{} {port}", found.address))
    }

    #[test]
    fn addresses_are_read_as_ipvsadm_reads_them() {
        for (text, expected) in [
            ("192.0.2.1:80", Some("192.0.2.1 80")),
            ("192.0.2.1", Some("192.0.2.1 none")),
            ("192.0.513:0", Some("192.0.2.1 0")),
            ("0xc0000201:1", Some("192.0.2.1 1")),
            ("010.0.0.1:1", Some("8.0.0.1 1")),
            ("[2001:db8::1]:80", Some("2001:db8::1 80")),
            ("2001:db8::1", Some("2001:db8::1 none")),
            ("[2001:db8::1]", None),
            ("[2001:db8::1:80", None),
            ("80", None),
            ("", None),
            ("192.0.2.1:99999", None),
            ("192.0.2.1:no-such-port", None),
            ("192.0.2.256:80", None),
        ] {
            assert_eq!(read(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn ports_have_the_names_of_their_protocol() {
        let services = "# comment\nhttp 80/tcp www # the web\ndomain 53/udp\n".to_owned();
        let hosts = HashMap::from([([192, 0, 2, 1].into(), "web.example.com".to_owned())]);
        let mut names = Names { services, hosts, ..Names::default() };
        let address = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(names.endpoint(address, 80, Protocol::Tcp), "web.example.com:http");
        assert_eq!(names.endpoint(address, 80, Protocol::Udp), "web.example.com:80");
        assert_eq!(names.endpoint(address, 53, Protocol::Udp), "web.example.com:domain");
        let numbers = Names::numeric().endpoint("2001:db8::1".parse().unwrap(), 80, Protocol::Tcp);
        assert_eq!(numbers, "[2001:db8::1]:80");
    }
}
