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

/// `TCP  C0000201:0050 wlc`
fn service(line: &str) -> Option<ServiceKey> {
    let mut fields = line.split_whitespace();
    let protocol = Protocol::of_name(fields.next()?)?;
    let (address, port) = fields.next()?.split_once(':')?;
    let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?);
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(ServiceKey::Address { address: address.into(), port, protocol })
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
    fn services_of_the_kernel_are_read() {
        let expected = ServiceKey::Address {
            address: [192, 0, 2, 1].into(),
            port: 80,
            protocol: Protocol::Tcp,
        };
        assert_eq!(service("TCP  C0000201:0050 wlc  "), Some(expected));
        assert_eq!(service("  -> 0A000001:0050      Masq    1      0          0"), None);
        assert_eq!(service("IP Virtual Server version 1.2.1 (size=4096)"), None);
    }
}
