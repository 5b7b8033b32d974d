//! Other programs of this network namespace: those that want the same addresses and ports.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use model::layer4::{Protocol, ServiceKey};

use super::Others;

/// TCP_LISTEN, as /proc/net/tcp has it.
const LISTEN: &str = "0A";

/// Looks at /proc.
pub(super) fn others() -> Others {
    let mut others = Others { ipvs: ipvs(), ..Others::default() };
    let namespace = fs::read_link("/proc/self/ns/net").ok();
    let mut owners: BTreeMap<u64, Option<String>> = BTreeMap::new();
    for process in processes() {
        if fs::read_link(process.join("ns/net")).ok() != namespace {
            continue;
        }
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        let name = name.trim_end().to_owned();
        let number = process.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0);
        if is_ours(&process) {
            others.director |= is_director(&process);
            owners.extend(sockets(&process).map(|socket| (socket, None)));
            continue;
        }
        if ["keepalived", "haproxy"].contains(&name.as_str()) {
            others.rivals.push((name.clone(), number));
        }
        owners.extend(sockets(&process).map(|socket| (socket, Some(name.clone()))));
    }
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        for (address, socket) in text.lines().filter_map(listener) {
            match owners.get(&socket) {
                Some(None) => {}
                Some(Some(name)) => others.listeners.push((address, Some(name.clone()))),
                None => others.listeners.push((address, None)),
            }
        }
    }
    others
}

fn processes() -> impl Iterator<Item = PathBuf> {
    let is_process = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(is_process)
}

/// By the executable, because ours call themselves `keepalived` and `haproxy`.
fn is_ours(process: &Path) -> bool {
    let executable = |path: &Path| fs::read_link(path.join("exe")).ok();
    let Some(its) = executable(process) else { return false };
    Some(&its) == executable(Path::new("/proc/self")).as_ref()
        || its.file_name().is_some_and(|name| name.to_string_lossy().starts_with("evenkeel"))
}

/// It is the director role, and no command such as this one.
fn is_director(process: &Path) -> bool {
    let words = fs::read(process.join("cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).skip(1).take(2).eq([&b"role"[..], b"director"])
}

/// Numbers of a process's sockets.
fn sockets(process: &Path) -> impl Iterator<Item = u64> {
    let entries = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

/// Address and socket of a line of /proc/net/tcp or tcp6, if it listens.
fn listener(line: &str) -> Option<(SocketAddr, u64)> {
    let mut fields = line.split_whitespace();
    let (local, state) = (fields.nth(1)?, fields.nth(1)?);
    let socket = fields.nth(5)?.parse().ok()?;
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    (state == LISTEN).then_some(())?;
    Some((SocketAddr::new(address_of(address)?, port), socket))
}

/// Words of an address, each in the byte order of the machine.
fn address_of(text: &str) -> Option<IpAddr> {
    let word =
        |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(IpAddr::from(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0; 16];
            for part in 0..4 {
                bytes[part * 4..part * 4 + 4].copy_from_slice(&word(part * 8)?);
            }
            Some(IpAddr::from(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

/// The services in the kernel's IPVS; none without IPVS.
fn ipvs() -> Option<Vec<ServiceKey>> {
    let text = fs::read_to_string("/proc/net/ip_vs").ok()?;
    Some(text.lines().filter_map(service).collect())
}

/// IPv6's default routes of the main table: interfaces, and whether an advertisement made them.
pub(super) fn default_routes() -> Vec<(String, bool)> {
    let text = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    text.lines().filter_map(default_route).collect()
}

/// In a line of /proc/net/ipv6_route. Kernel: linux/ipv6_route.h.
const RTF_REJECT: u32 = 0x200;
const RTF_ADDRCONF: u32 = 0x4_0000;

/// Destination, its length, source, its length, next hop, metric, two counters, flags, interface.
fn default_route(line: &str) -> Option<(String, bool)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [destination, length, .., flags, interface] = fields[..] else { return None };
    let flags = u32::from_str_radix(flags, 16).ok()?;
    let is_default = length == "00" && destination.bytes().all(|digit| digit == b'0');
    (is_default && flags & RTF_REJECT == 0)
        .then(|| (interface.to_owned(), flags & RTF_ADDRCONF != 0))
}

/// `TCP  C0000201:0050 wlc`, `TCP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0050 wlc`
fn service(line: &str) -> Option<ServiceKey> {
    let mut fields = line.split_whitespace();
    let protocol = Protocol::of_name(fields.next()?)?;
    let (address, port) = fields.next()?.rsplit_once(':')?;
    let address = match address.strip_prefix('[') {
        None => IpAddr::from(Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?)),
        Some(address) => IpAddr::V6(address.strip_suffix(']')?.parse().ok()?),
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(ServiceKey::Address { address, port, protocol })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_of_both_families_are_read_and_connections_are_not() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000 100 0 0 10 0";
        let expected = (SocketAddr::from(([127, 0, 0, 1], 8080)), 4711);
        if cfg!(target_endian = "little") {
            assert_eq!(listener(line), Some(expected));
        }
        assert_eq!(listener(&line.replace(" 0A ", " 01 ")), None);
        let six = line.replace("0100007F", &"0".repeat(32));
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 8080));
        assert_eq!(listener(&six).map(|found| found.0), Some(any));
        for text in ["", "sl local_address", "0: x:y z"] {
            assert_eq!(listener(text), None);
        }
    }

    #[test]
    fn default_routes_are_told_from_others_and_from_refusals() {
        let line = |destination: &str, length: &str, flags: &str| {
            let zeros = "0".repeat(32);
            default_route(&format!(
                "{destination} {length} {zeros} 00 fe80{zeros:.28} 00000400 00000003 00000000 \
                 {flags}     eth0"
            ))
        };
        let all = "0".repeat(32);
        assert_eq!(line(&all, "00", "00450003"), Some(("eth0".into(), true)));
        assert_eq!(line(&all, "00", "00000003"), Some(("eth0".into(), false)));
        assert_eq!(line(&all, "00", "00200200"), None, "unreachable");
        assert_eq!(line("20010db8000000000000000000000000", "20", "00000001"), None);
        assert_eq!(default_route(""), None);
    }

    #[test]
    fn services_of_the_kernel_are_read() {
        let expected = ServiceKey::Address {
            address: [192, 0, 2, 1].into(),
            port: 80,
            protocol: Protocol::Tcp,
        };
        assert_eq!(service("TCP  C0000201:0050 wlc  "), Some(expected));
        let line = "UDP  [2001:0db8:0000:0000:0000:0000:0000:0001]:0035 rr ";
        let expected = ServiceKey::Address {
            address: "2001:db8::1".parse().unwrap(),
            port: 53,
            protocol: Protocol::Udp,
        };
        assert_eq!(service(line), Some(expected));
        assert_eq!(service("  -> 0A000001:0050      Masq    1      0          0"), None);
        assert_eq!(service("IP Virtual Server version 1.2.1 (size=4096)"), None);
    }
}
