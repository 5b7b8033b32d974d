//! Both directions over a cable inside of a network namespace of the test's own.

use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use model::vrrp::Family;

use super::*;
use crate::clock;

const VRRP: u8 = 112;
const AH: u8 = 51;

/// Runs `work` on a thread in a new network namespace with a cable from `left` to `right`; both
/// indices are given. Needs root.
fn with_cable(work: impl FnOnce(u32, u32) + Send) {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: network namespaces need root");
        return;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // SAFETY: it changes the network namespace of this thread only, which ends here.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
            for arguments in [
                "link set lo up",
                "link add left type veth peer name right",
                "addr add 10.9.0.2/24 dev right",
                "addr add fd00::2/64 dev right nodad",
                "link set left up",
                "link set right up",
            ] {
                let done = Command::new("ip").args(arguments.split(' ')).status().unwrap();
                assert!(done.success(), "ip {arguments}");
            }
            // A moment after it was set up, a link still drops what is sent.
            let up = || {
                let shown = Command::new("ip").args(["-o", "link", "show", "up"]).output().unwrap();
                let count = String::from_utf8_lossy(&shown.stdout).matches("state UP").count();
                (count == 2).then_some(())
            };
            assert_eq!(wait(up), Some(()));
            let index = |name: &str| {
                let file = format!("/sys/class/net/{name}/ifindex");
                let name = std::ffi::CString::new(name).unwrap();
                // SAFETY: the name is a C string.
                let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
                assert_ne!(index, 0, "{file}");
                index
            };
            work(index("left"), index("right"));
        });
    });
}

fn outgoing<'a>(
    interface: u32,
    source: &str,
    destination: &str,
    payload: &'a [u8],
) -> Outgoing<'a> {
    Outgoing {
        interface,
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        ttl: 255,
        protocol: VRRP,
        id: 0,
        payload,
    }
}

fn wait<T>(mut what: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        if let Some(found) = what() {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

/// What one receiver hears first: source, destination, TTL, payload.
fn first(receiver: &mut Receiver) -> Option<(IpAddr, IpAddr, u8, Vec<u8>)> {
    wait(|| {
        let packet = receiver.receive().unwrap()?;
        assert!(packet.arrived <= clock::now());
        assert!(clock::now().since(packet.arrived) < Duration::from_secs(1));
        Some((packet.source, packet.destination, packet.ttl, packet.payload.to_vec()))
    })
}

fn parsed(source: &str, destination: &str, payload: &[u8]) -> (IpAddr, IpAddr, u8, Vec<u8>) {
    (source.parse().unwrap(), destination.parse().unwrap(), 255, payload.to_vec())
}

fn all_sent(number: usize, error: std::io::Error) {
    panic!("packet {number}: {error}");
}

#[test]
fn both_families_go_out_in_one_batch_and_are_heard_in_their_groups() {
    with_cable(|left, right| {
        let mut v4 = Receiver::open(Family::Ipv4, VRRP, Some("right")).unwrap();
        let mut v6 = Receiver::open(Family::Ipv6, VRRP, Some("right")).unwrap();
        for _ in 0..2 {
            v4.join([224, 0, 0, 18].into(), right).unwrap();
            v6.join("ff02::12".parse().unwrap(), right).unwrap();
        }
        let mut sender = Sender::open(VRRP).unwrap();
        let batch = [
            outgoing(left, "10.9.0.99", "224.0.0.18", b"one"),
            outgoing(left, "fe80::99", "ff02::12", b"two"),
            outgoing(left, "10.9.0.99", "224.0.0.19", b"another group"),
            outgoing(left, "10.9.0.99", "10.9.0.2", b"unicast"),
        ];
        // The link's IPv6 comes up a moment after the cable.
        let two = wait(|| {
            sender.send(batch.iter().copied().skip(1).take(1), |_, _| {});
            let packet = v6.receive().unwrap()?;
            Some((packet.source, packet.destination, packet.ttl, packet.payload.to_vec()))
        });
        assert_eq!(two, Some(parsed("fe80::99", "ff02::12", b"two")));
        let route = "neigh add 10.9.0.2 lladdr ff:ff:ff:ff:ff:ff dev left";
        assert!(Command::new("ip").args(route.split(' ')).status().unwrap().success());
        sender.send(batch.iter().copied(), all_sent);
        assert_eq!(first(&mut v4), Some(parsed("10.9.0.99", "224.0.0.18", b"one")));
        assert_eq!(first(&mut v6), Some(parsed("fe80::99", "ff02::12", b"two")));
        // The group that nobody joined is not heard.
        assert!(v4.receive().unwrap().is_none_or(|packet| packet.payload == b"unicast"));
        v4.leave([224, 0, 0, 18].into(), right).unwrap();
        sender.send(batch.iter().copied().take(1), all_sent);
        std::thread::sleep(Duration::from_millis(20));
        assert!(v4.receive().unwrap().is_none_or(|packet| packet.payload == b"unicast"));
    });
}

#[test]
fn another_protocol_comes_with_its_whole_header() {
    with_cable(|left, right| {
        let mut receiver = Receiver::open(Family::Ipv4, AH, Some("right")).unwrap();
        receiver.join([224, 0, 0, 18].into(), right).unwrap();
        let mut sender = Sender::open(VRRP).unwrap();
        let packet = outgoing(left, "10.9.0.99", "224.0.0.18", b"sealed");
        sender.send([Outgoing { protocol: AH, id: 77, ..packet }].into_iter(), all_sent);
        let header = wait(|| {
            let packet = receiver.receive().unwrap()?;
            assert_eq!(packet.payload, b"sealed");
            Some(packet.ipv4_header.to_vec())
        });
        let header = header.unwrap();
        assert_eq!((header.len(), header[1], header[4..6].to_vec()), (20, 0xc0, vec![0, 77]));
        assert_eq!((header[8], header[9]), (255, AH));
    });
}

#[test]
fn more_packets_than_one_call_takes_all_go_out_and_a_failed_one_stops_no_other() {
    with_cable(|left, right| {
        let mut receiver = Receiver::open(Family::Ipv4, VRRP, Some("right")).unwrap();
        receiver.join([224, 0, 0, 18].into(), right).unwrap();
        let mut sender = Sender::open(VRRP).unwrap();
        let payloads: Vec<[u8; 2]> = (0..600u16).map(u16::to_be_bytes).collect();
        let interface = |number: usize| if number == 7 { 9_999 } else { left };
        let batch = payloads.iter().enumerate().map(|(number, payload)| {
            outgoing(interface(number), "10.9.0.99", "224.0.0.18", payload)
        });
        let mut failures = Vec::new();
        sender.send(batch, |number, error| failures.push((number, error.raw_os_error())));
        assert_eq!(failures, [(7, Some(libc::ENODEV))]);
        let mut heard = Vec::new();
        wait(|| {
            while let Some(packet) = receiver.receive().unwrap() {
                heard.push(u16::from_be_bytes([packet.payload[0], packet.payload[1]]));
            }
            (heard.len() == 599).then_some(())
        });
        let expected: Vec<u16> = (0..600).filter(|number| *number != 7).collect();
        assert_eq!(heard, expected);
    });
}

#[test]
fn announcements_are_taken_over_by_the_neighbour() {
    use crate::announce::{Announcement, Announcer};
    with_cable(|left, _| {
        let ip = |arguments: &str| {
            let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        ip("neigh add 10.9.0.50 lladdr 02:00:00:00:00:01 dev right nud stale");
        ip("neigh add fd00::50 lladdr 02:00:00:00:00:01 dev right nud stale");
        let mut announcer = Announcer::open().unwrap();
        let mac = [2, 0, 0, 0, 0, 0x77];
        let known = wait(|| {
            let announcements = ["10.9.0.50", "fd00::50"].map(|address| Announcement {
                interface: left,
                mac,
                address: address.parse().unwrap(),
                router: true,
            });
            announcer.send(announcements.into_iter(), all_sent);
            let known =
                |address: &str| ip(&format!("neigh show {address}")).contains("02:00:00:00:00:77");
            (known("10.9.0.50") && known("fd00::50")).then_some(())
        });
        assert_eq!(known, Some(()), "{}", ip("neigh show"));
        assert!(ip("-6 neigh show fd00::50").contains("router"));
    });
}
