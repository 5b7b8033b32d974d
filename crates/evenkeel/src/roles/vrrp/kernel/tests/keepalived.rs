//! Addresses, routes and rules as Debian's keepalived leaves them for the same file.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;
use crate::load::{Files, load};

const KEEPALIVED: &str = "/usr/sbin/keepalived";

const CONFIGURATION: &str = "
vrrp_instance A {
    interface eth0
    virtual_router_id 51
    priority 200
    advert_int 1
    virtual_ipaddress {
        10.9.0.50
        10.9.0.51/24 dev eth0 label eth0:1 brd +
        10.9.0.52/24 dev eth0 label eth0:2 brd -
        10.9.0.54/32 brd +
        10.9.0.55 peer 10.9.5.5 dev eth1
        10.9.0.57/24 noprefixroute
        10.9.0.59/24 brd 10.9.0.200
    }
    virtual_ipaddress_excluded {
        2001:db8::50
        2001:db8::51/64
        2001:db8::52/128 preferred_lft forever
        2001:db8::53/64 preferred_lft 0
        2001:db8::56/64 home
        2001:db8::57/64 noprefixroute
        2001:db8::58/64 mngtmpaddr
        2001:db8::59/64 -nodad
    }
    virtual_routes {
        10.20.0.0/16 via 10.9.0.254
        10.21.0.0/16 dev eth1
        src 10.9.0.50 to 10.22.0.0/16 via 10.9.0.254 dev eth0
        10.23.0.0/16 via 10.9.0.254 table 100 metric 7
        10.24.0.0/16 via 10.9.0.254 table 1000 mtu 1400 advmss 1300 rtt 10 window 5 initcwnd 11
        10.25.0.0/16 mtu lock 1400 congctl lock cubic via 10.9.0.254
        blackhole 10.26.0.0/16
        unreachable 10.27.0.0/16
        prohibit 10.28.0.0/16
        throw 10.29.0.0/16
        10.32.0.0/16 nexthop via 10.9.0.253 dev eth0 weight 2 nexthop via 10.9.1.254 dev eth1 weight 3
        10.34.0.0/16 tos 0x10 via 10.9.0.254
        10.36.0.0/16 via 172.31.0.1 dev eth0 onlink
        10.38.0.0/16 dev eth0 scope link
        10.39.0.0/24 realms 5 via 10.9.0.254 protocol 42
        2001:db8:20::/48 via 2001:db8::254 dev eth0
        2001:db8:21::/48 via 2001:db8::254 dev eth0 metric 50 pref high
        2001:db8:22::/48 nexthop via 2001:db8::253 dev eth0 weight 2 nexthop via 2001:db8::254 dev eth0
        blackhole 2001:db8:23::/48
    }
    virtual_rules {
        from 10.20.0.0/16 table 100
        to 10.21.0.0/16 table 1000 priority 500
        fwmark 4/0xf iif eth0 oif eth1 table 5 preference 700
        from 10.22.0.0/16 blackhole
        from 10.25.0.0/16 goto 32766 preference 50
        uidrange 1000-2000 table 7
        from 10.27.0.0/16 realms 2/3 table 9
        from 10.28.0.0/16 table 10 suppress_prefixlength 8 suppress_ifgroup 4
        from 2001:db8::50 table 100
    }
}
";

/// What the kernel has, without what differs between two machines that are the same.
fn picture(namespace: &Namespace) -> Vec<String> {
    let mut lines = Vec::new();
    for device in ["eth0", "eth1"] {
        for link in json(namespace, &format!("addr show dev {device}")) {
            let list = link["addr_info"].as_array().unwrap().iter();
            lines.extend(list.map(|one| format!("{device} {}", plain(one))));
        }
    }
    for what in ["route show table all", "-6 route show table all", "rule", "-6 rule"] {
        let list = json(namespace, what);
        lines.extend(list.iter().map(|one| format!("{what}: {}", plain(one))));
    }
    // Link-local addresses come from the MAC address, multicast routes with IPv6 itself.
    lines.retain(|line| !line.contains("\"fe80::") && !line.contains("\"multicast\""));
    lines
}

fn plain(value: &Value) -> String {
    let mut value = value.clone();
    if let Some(object) = value.as_object_mut() {
        object.remove("cache_info");
    }
    value.to_string()
}

#[test]
fn addresses_routes_and_rules_are_those_that_keepalived_leaves() {
    if !Path::new(KEEPALIVED).exists() {
        println!("skipped: keepalived is not installed");
        return;
    }
    let Some(site) = Site::new("same") else { return };
    let Some(reference) = Site::new("reference") else { return };
    let directory = std::env::temp_dir().join(format!("ek-same-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join("keepalived.conf");
    fs::write(&file, CONFIGURATION).unwrap();
    let loaded = load(&Files::of(vec![(file.to_str().unwrap().to_owned(), None)]));
    let plan = loaded.plan.as_ref().map(|plan| plan.vrrp.clone());
    let plan = plan.unwrap_or_else(|| panic!("{}", loaded.render(false)));
    let pid = |name: &str| directory.join(name);
    let mut keepalived = reference
        .ours
        .command(KEEPALIVED)
        .args(["-n", "-l", "-P", "-f"])
        .arg(&file)
        .arg("-p")
        .arg(pid("p"))
        .arg("-r")
        .arg(pid("r"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let held: Vec<&VrrpInstance> = plan.instances.iter().collect();
    site.ours
        .enter(|| {
            let mut kernel = Kernel::open().unwrap();
            assert_eq!(kernel.prepare(&plan), [""; 0]);
            assert_eq!(kernel.hold(&held), [""; 0]);
        })
        .unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    let (mut ours, mut theirs) = (picture(&site.ours), picture(&reference.ours));
    while ours != theirs && Instant::now() < end {
        sleep(Duration::from_millis(300));
        (ours, theirs) = (picture(&site.ours), picture(&reference.ours));
    }
    keepalived.kill().unwrap();
    keepalived.wait().unwrap();
    let _ = fs::remove_dir_all(&directory);
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    assert_eq!(only(&ours, &theirs), only(&theirs, &ours), "ours only, Keepalived's only");
    assert_eq!(ours, theirs);
}
