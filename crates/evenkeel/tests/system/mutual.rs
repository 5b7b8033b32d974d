//! Two directors that are each other's real servers, by direct routing.
//!
//! Both have the virtual address on `lo`, as such servers do, and forward for it while VRRP says
//! so. A frame that one of them sent on to the other must be answered there, not sent back.

use std::io;
use std::time::Duration;

use lab::net::{Namespace, Net};
use serde_json::Value;

use crate::site::{Site, VIRTUAL, get, kill};

const CONNECTIONS: usize = 1000;

const KEEPALIVED: &str = "
vrrp_instance OUTSIDE {
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 100
    advert_int 1
    virtual_ipaddress {
        10.1.0.100
    }
}
virtual_server 10.1.0.100 80 {
    delay_loop 1
    lb_algo rr
    lb_kind DR
    protocol TCP
    real_server 10.1.0.2 80 {
        TCP_CHECK {
            connect_timeout 2
        }
    }
    real_server 10.1.0.3 80 {
        TCP_CHECK {
            connect_timeout 2
        }
    }
}
";

/// Counts frames to the virtual address by the switch's port they come in at.
const WATCH: &str = "
table bridge watch {
    chain frames {
        type filter hook prerouting priority 0;
        ip daddr 10.1.0.100 iifname port0 tcp flags & (syn|ack) == syn counter
        ip daddr 10.1.0.100 iifname port1 tcp flags & (syn|ack) == syn counter
        ip daddr 10.1.0.100 iifname port2 tcp flags & (syn|ack) == syn counter
        ip daddr 10.1.0.100 iifname port0 counter
        ip daddr 10.1.0.100 iifname port1 counter
        ip daddr 10.1.0.100 iifname port2 counter
    }
}
";

struct Mutual {
    site: Site,
    switch: Namespace,
}

/// Frames to the virtual address seen on the wire, and the connection requests among them: from
/// the client and from each director.
#[derive(Clone, Copy, Debug)]
struct Wire {
    requests: [u64; 3],
    frames: [u64; 3],
}

impl Mutual {
    fn new(tag: &str) -> io::Result<Mutual> {
        let net = Net::new(tag)?;
        let client = net.namespace("client")?;
        let directors = [net.namespace("d1")?, net.namespace("d2")?];
        let switch = net.segment(
            "public",
            &[(&client, "eth0"), (&directors[0], "eth0"), (&directors[1], "eth0")],
        )?;
        for director in &directors {
            director.sysctl("net/ipv4/conf/all/arp_ignore", "1")?;
            director.sysctl("net/ipv4/conf/all/arp_announce", "2")?;
            director.ip(&format!("addr add {VIRTUAL}/32 dev lo"))?;
        }
        let site = Site::over(tag, net, client, directors.clone(), &directors)?;
        std::fs::write(site.directory.join("keepalived.conf"), KEEPALIVED)?;
        Ok(Mutual { site, switch })
    }

    /// Begins to count what crosses the switch.
    fn watch(&self) -> io::Result<()> {
        let file = self.site.directory.join("watch.nft");
        std::fs::write(&file, WATCH)?;
        let output = self.switch.command("nft").arg("-f").arg(&file).output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    fn wire(&self) -> Wire {
        let listing = self.switch.command("nft").args(["-j", "list", "ruleset"]).output();
        let listing: Value = serde_json::from_slice(&listing.expect("nft").stdout).expect("JSON");
        let objects = listing["nftables"].as_array().expect("a list");
        let counts: Vec<u64> = objects
            .iter()
            .filter_map(|object| object["rule"]["expr"].as_array())
            .filter_map(|rule| rule.iter().find_map(|part| part["counter"]["packets"].as_u64()))
            .collect();
        let [c, d1, d2, all_c, all_d1, all_d2] = counts[..] else { panic!("{counts:?}") };
        Wire { requests: [c, d1, d2], frames: [all_c, all_d1, all_d2] }
    }

    /// Waits until a director is master, has both servers in its tables and answers.
    fn wait_until_serving(&self, number: usize) {
        self.site.until(Duration::from_secs(30), "serving", || {
            let status = self.site.status(number);
            let servers = status["director"]["services"][0]["servers"].as_array();
            let complete = servers
                .is_some_and(|all| all.len() == 2 && all.iter().all(|one| one["in_table"] == true));
            complete
                && status["vrrp"]["instances"][0]["state"] == "Master"
                && self.site.holds(number)
                && self.site.get(80, "/").is_ok()
        });
    }

    /// Opens connections one after the other: how many each of the two answered.
    fn connect(&self, times: usize) -> [usize; 2] {
        let ask = || {
            let mut answers = Vec::new();
            for _ in 0..times {
                answers.push(get(80, "/")?);
            }
            Ok(answers)
        };
        let answers: io::Result<Vec<String>> = self.site.client.enter(ask).expect("the client");
        let answers = answers.unwrap_or_else(|error| panic!("{error}\n{}", self.site.logs()));
        ["s1", "s2"].map(|name| answers.iter().filter(|it| *it == name).count())
    }

    /// One of a director's counters of its data plane.
    fn counter(&self, number: usize, name: &str) -> u64 {
        let status = self.site.status(number);
        let counters = status["director"]["data_plane"].as_array().expect("counters");
        let found = counters.iter().find(|one| one[0] == name);
        found.and_then(|one| one[1].as_u64()).unwrap_or_else(|| panic!("{name} in {counters:?}"))
    }

    /// The address that the administrator put on `lo` is nobody else's business.
    fn assert_loopback_untouched(&self) {
        for director in &self.site.directors {
            let addresses = director.ip("-4 -o addr show dev lo").expect("ip addr");
            assert!(addresses.contains(&format!("inet {VIRTUAL}/32")), "{addresses}");
        }
    }

    /// Connections through `active`: both answer, and what it hands to the other stays there.
    fn assert_each_frame_forwarded_once(&self, active: usize, times: usize) {
        let before = self.wire();
        let [first, second] = self.connect(times);
        let after = self.wire();
        assert_eq!(first + second, times);
        assert!(first.abs_diff(second) <= times / 20, "{first} and {second}");
        let grown = |of: fn(&Wire) -> [u64; 3], port| of(&after)[port] - of(&before)[port];
        let standby = 3 - active;
        let handed = if standby == 1 { first } else { second } as u64;
        assert_eq!(grown(|wire| wire.frames, standby), 0, "{before:?} {after:?}");
        let asked = grown(|wire| wire.requests, 0);
        assert!(asked >= times as u64, "{before:?} {after:?}");
        let sent_on = grown(|wire| wire.requests, active);
        // A request that is sent again by a client on a busy machine is forwarded again.
        let again = asked - times as u64;
        assert!((handed..=handed + again).contains(&sent_on), "{before:?} {after:?}");
        let frames = grown(|wire| wire.frames, active);
        assert!(frames > sent_on && frames < grown(|wire| wire.frames, 0), "{before:?} {after:?}");
    }
}

#[test]
fn directors_that_serve_each_other_forward_no_frame_twice() {
    if let Some(reason) = lab::net::missing() {
        eprintln!("skipped: {reason}");
        return;
    }
    let mut mutual = Mutual::new("mutual").expect("the site");
    if let Err(reason) = mutual.watch() {
        eprintln!("skipped: nft cannot count on a bridge: {reason}");
        return;
    }
    mutual.site.start(1, &[]).expect("director 1");
    mutual.wait_until_serving(1);
    mutual.site.start(2, &[]).expect("director 2");
    mutual.site.until(Duration::from_secs(20), "director 2 stands by", || {
        let status = mutual.site.status(2);
        let servers = status["director"]["services"][0]["servers"].as_array().map(Vec::len);
        status["vrrp"]["instances"][0]["state"] == "Backup" && servers == Some(2)
    });
    mutual.assert_loopback_untouched();

    let passed = mutual.counter(2, "passed_gate_closed");
    mutual.assert_each_frame_forwarded_once(1, CONNECTIONS);
    let passed = mutual.counter(2, "passed_gate_closed") - passed;
    // A connection request, its acknowledgement and the end at least.
    let least = CONNECTIONS as u64 / 2 * 3;
    assert!(passed >= least, "director 2 passed {passed} frames");
    assert_eq!(mutual.counter(2, "forwarded_to_server"), 0);
    assert!(mutual.counter(1, "forwarded_to_server") >= passed);
    assert!(mutual.counter(1, "passed_to_self") >= least);

    // Director 1's roles end; its web server and what is pinned stay.
    kill(mutual.site.supervisor(1));
    mutual.site.until(Duration::from_secs(8), "director 2 takes over", || {
        mutual.site.holds(2) && !mutual.site.holds(1)
    });
    mutual.wait_until_serving(2);
    mutual.assert_each_frame_forwarded_once(2, 200);
    mutual.assert_loopback_untouched();

    // It comes back and is master again, with the tables it left.
    mutual.site.start(1, &[]).expect("director 1");
    mutual.site.until(Duration::from_secs(20), "director 1 takes over again", || {
        mutual.site.holds(1) && !mutual.site.holds(2)
    });
    mutual.wait_until_serving(1);
    mutual.assert_each_frame_forwarded_once(1, 200);
    mutual.assert_loopback_untouched();
}
