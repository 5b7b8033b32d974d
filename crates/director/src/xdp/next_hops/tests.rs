//! Next hops in namespaces: an interface, and who is behind it.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use edge::clock;
use lab::net::{Namespace, Net};

use super::{NextHops, Reach};

const PATIENCE: Duration = Duration::from_secs(5);

struct Wire {
    here: Namespace,
    there: Namespace,
    _net: Net,
}

/// Two ends with addresses of both families and no duplicate address detection.
fn wire(tag: &str) -> Option<Wire> {
    if let Some(missing) = lab::net::missing() {
        println!("skipped: {missing}");
        return None;
    }
    let net = Net::new(tag).unwrap();
    let (here, there) = (net.namespace("here").unwrap(), net.namespace("there").unwrap());
    net.veth((&here, "eth0"), (&there, "eth0")).unwrap();
    for (end, last) in [(&here, 1), (&there, 2)] {
        end.ip(&format!("addr add 192.0.2.{last}/24 dev eth0")).unwrap();
        end.ip(&format!("addr add 2001:db8::{last}/64 dev eth0 nodad")).unwrap();
        end.ip(&format!("addr add fe80::{last}/64 dev eth0 nodad")).unwrap();
    }
    Some(Wire { here, there, _net: net })
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

impl Wire {
    fn mac_there(&self, mac: [u8; 6]) {
        let text = mac.map(|byte| format!("{byte:02x}")).join(":");
        self.there.ip(&format!("link set eth0 address {text}")).unwrap();
    }
}

/// Goes on until this server is reached like this, or says how it was reached last.
fn until(hops: &mut NextHops, server: IpAddr, is: impl Fn(Reach) -> bool) -> Duration {
    let begun = Instant::now();
    loop {
        hops.handle_events(clock::now());
        hops.handle_timeout(clock::now());
        let reach = hops.reach(server);
        if is(reach) {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < PATIENCE, "{server}: {reach:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn is_at(reach: Reach, mac: [u8; 6], source: IpAddr) -> bool {
    match reach {
        Reach::Frame { to, source: from, .. } => (to, from) == (mac, Some(source)),
        Reach::Local | Reach::Unknown => false,
    }
}

#[test]
fn servers_are_found_by_both_families_beside_us_and_behind_gateways() {
    let Some(wire) = wire("hops") else { return };
    wire.mac_there([2, 0, 0, 0, 0, 9]);
    wire.here.ip("route add 198.51.100.0/24 via 192.0.2.2").unwrap();
    wire.here.ip("route add 203.0.113.0/24 via inet6 fe80::2 dev eth0 src 192.0.2.1").unwrap();
    wire.here.ip("route add 2001:db8:1::/48 via 2001:db8::2 mtu 1400").unwrap();
    wire.here.ip("route add 2001:db8:2::/48 via fe80::2 dev eth0").unwrap();
    let (v4, v6) = (address("192.0.2.1"), address("2001:db8::1"));
    let cases = [
        ("192.0.2.2", v4),
        ("198.51.100.7", v4),
        ("203.0.113.7", v4),
        ("2001:db8::2", v6),
        ("2001:db8:1::7", v6),
        ("2001:db8:2::7", v6),
    ];
    let work = || {
        let mut hops = NextHops::open().unwrap();
        hops.look_ahead(cases.iter().map(|(server, _)| address(server)));
        cases.iter().for_each(|(server, _)| hops.add_server(address(server)));
        hops.forget_ahead();
        for (server, source) in cases {
            until(&mut hops, address(server), |it| is_at(it, [2, 0, 0, 0, 0, 9], source));
        }
        let narrow = hops.reach(address("2001:db8:1::7"));
        assert!(matches!(narrow, Reach::Frame { mtu: 1400, .. }), "{narrow:?}");
        for own in ["2001:db8::1", "::1", "127.0.0.1"] {
            hops.add_server(address(own));
            assert_eq!(hops.reach(address(own)), Reach::Local, "{own}");
        }
        hops.add_server(address("2001:db8:ffff::1"));
        assert_eq!(hops.reach(address("2001:db8:ffff::1")), Reach::Unknown, "no way");
        hops.release_all();
    };
    wire.here.enter(work).unwrap();
}

#[test]
fn a_mac_address_that_changes_is_noticed_within_two_seconds_over_ipv6() {
    let Some(wire) = wire("hopsmac") else { return };
    wire.mac_there([2, 0, 0, 0, 0, 9]);
    wire.there.sysctl("net/ipv6/conf/eth0/ndisc_notify", "0").unwrap();
    let (server, source) = (address("2001:db8::2"), address("2001:db8::1"));
    let work = || {
        let mut hops = NextHops::open().unwrap();
        hops.add_server(server);
        until(&mut hops, server, |it| is_at(it, [2, 0, 0, 0, 0, 9], source));
        wire.mac_there([2, 0, 0, 0, 0, 8]);
        let took = until(&mut hops, server, |it| is_at(it, [2, 0, 0, 0, 0, 8], source));
        assert!(took < Duration::from_secs(2), "{took:?}");
        hops.release_all();
    };
    wire.here.enter(work).unwrap();
}

#[test]
fn what_an_administrator_says_of_a_next_hop_holds_and_stays() {
    let Some(wire) = wire("hopsfixed") else { return };
    wire.mac_there([2, 0, 0, 0, 0, 9]);
    let theirs = [("192.0.2.2", "192.0.2.1"), ("2001:db8::2", "2001:db8::1")];
    for (server, _) in theirs {
        let word = format!("neigh replace {server} lladdr 02:00:00:00:00:07 dev eth0");
        wire.here.ip(&format!("{word} nud permanent")).unwrap();
    }
    let work = || {
        let mut hops = NextHops::open().unwrap();
        hops.add_server(address(theirs[0].0));
        hops.look_ahead(theirs.iter().map(|(server, _)| address(server)));
        hops.add_server(address(theirs[1].0));
        hops.forget_ahead();
        let end = Instant::now() + Duration::from_millis(1500);
        while Instant::now() < end {
            let now = clock::now();
            hops.handle_events(now);
            hops.handle_timeout(now);
            for (server, source) in theirs {
                let reach = hops.reach(address(server));
                assert!(is_at(reach, [2, 0, 0, 0, 0, 7], address(source)), "{server}: {reach:?}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        // Taken back, it is asked for like any other.
        wire.here.ip("neigh del 192.0.2.2 dev eth0").unwrap();
        let (server, source) = (address("192.0.2.2"), address("192.0.2.1"));
        until(&mut hops, server, |it| is_at(it, [2, 0, 0, 0, 0, 9], source));
        hops.release_all();
    };
    wire.here.enter(work).unwrap();
    let left = wire.here.ip("neigh show").unwrap();
    let fixed: Vec<&str> = left.lines().filter(|line| line.contains("PERMANENT")).collect();
    assert_eq!(fixed.len(), 1, "{left}");
    assert!(fixed[0].starts_with("2001:db8::2 "), "{left}");
}
