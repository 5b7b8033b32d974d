//! `use_vmac`: who answers for the address, and what a backup does not send.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use model::vrrp::VirtualLink;

use super::*;

const MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 51];
const MAC_TEXT: &str = "00:00:5e:00:01:33";
const VIRTUAL: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 50);

fn with_vmac() -> VrrpInstance {
    VrrpInstance {
        link: VirtualLink::Macvlan {
            name: "vrrp.51".into(),
            mac: MAC,
            transmit_on_base: false,
            other_interfaces: false,
        },
        ..instance(51, &["10.9.0.50"])
    }
}

fn parameter(interface: &str, name: &str) -> String {
    let path = format!("/proc/sys/net/ipv4/conf/{interface}/{name}");
    fs::read_to_string(path).unwrap().trim().to_owned()
}

/// tcpdump on the other end of the cable, or nothing where it is not installed.
fn capture(site: &Site, filter: &str) -> Option<Child> {
    let mut command = site.theirs.command("tcpdump");
    command.args(["-l", "-n", "-e", "-i", "eth0", filter]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    sleep(Duration::from_millis(700));
    Some(child)
}

fn captured(mut child: Child) -> String {
    sleep(Duration::from_millis(700));
    let _ = rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::INT,
    );
    let mut text = String::new();
    std::io::Read::read_to_string(child.stdout.as_mut().unwrap(), &mut text).unwrap();
    child.wait().unwrap();
    text
}

#[test]
fn a_backup_sends_nothing_from_its_virtual_mac_interface_before_and_after_it_was_master() {
    let Some(site) = Site::new("vmacquiet") else { return };
    let filter = format!("ether src {MAC_TEXT}");
    let mut plan = with_vmac();
    plan.excluded_addresses.push(address("2001:db8::50"));
    let Some(before) = capture(&site, &filter) else { return };
    let after = site
        .ours
        .enter(|| {
            let mut kernel = prepared(std::slice::from_ref(&plan));
            let link = kernel.interfaces.link("vrrp.51").unwrap();
            assert!(link.mac == Some(MAC) && !link.up);
            sleep(Duration::from_secs(1));
            assert_eq!(captured(before).trim(), "");
            assert_eq!(kernel.hold(&[&plan]), [""; 0]);
            sleep(Duration::from_secs(1));
            assert_eq!(kernel.release(&[&plan]), [""; 0]);
            let after = capture(&site, &filter);
            sleep(Duration::from_secs(2));
            after
        })
        .unwrap();
    assert_eq!(captured(after.unwrap()).trim(), "");
}

#[test]
fn an_arp_request_for_the_address_is_answered_once_with_the_virtual_mac() {
    let Some(site) = Site::new("vmacarp") else { return };
    let plan = with_vmac();
    let frames = site
        .ours
        .enter(|| {
            let mut kernel = prepared(std::slice::from_ref(&plan));
            assert_eq!(kernel.hold(&[&plan]), [""; 0]);
            sleep(Duration::from_millis(1500));
            let frames = capture(&site, "arp")?;
            site.theirs.enter(|| ask(VIRTUAL, None)).unwrap();
            sleep(Duration::from_millis(500));
            // The master asks for the backup on behalf of the virtual address.
            site.ours.ip("neigh flush all").unwrap();
            ask(Ipv4Addr::new(10, 9, 0, 2), Some(VIRTUAL));
            Some(captured(frames))
        })
        .unwrap();
    let Some(frames) = frames else { return };
    let answers: Vec<&str> =
        frames.lines().filter(|line| line.contains("Reply 10.9.0.50 is-at")).collect();
    assert_eq!(answers.len(), 1, "{frames}");
    assert!(answers[0].contains(&format!("{MAC_TEXT} >")), "{frames}");
    assert!(answers[0].contains(&format!("is-at {MAC_TEXT}")), "{frames}");
    let bound = |line: &&str| line.contains("tell 10.9.0.50") && !line.contains(MAC_TEXT);
    assert_eq!(frames.lines().filter(bound).count(), 0, "{frames}");
    assert!(frames.contains("who-has 10.9.0.2"), "{frames}");
    let neighbours = site.theirs.ip("neigh show 10.9.0.50").unwrap();
    assert!(neighbours.contains(MAC_TEXT), "{neighbours}");
}

/// Sends a datagram, so that the kernel has to find out where the other one is.
fn ask(whom: Ipv4Addr, from: Option<Ipv4Addr>) {
    let socket = UdpSocket::bind((from.unwrap_or(Ipv4Addr::UNSPECIFIED), 0)).unwrap();
    socket.send_to(b"?", (whom, 9)).unwrap();
}

#[test]
fn what_a_killed_predecessor_left_is_adopted_and_put_back_at_the_end() {
    let Some(site) = Site::new("vmacadopt") else { return };
    let plan = with_vmac();
    let memory = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    site.ours
        .enter(|| {
            let before = ["arp_ignore", "arp_filter", "arp_announce"].map(|p| parameter("eth0", p));
            let mut killed = Kernel::open().unwrap();
            killed.remember_in(memory.try_clone().unwrap());
            assert_eq!(killed.prepare(&super::plan(std::slice::from_ref(&plan))), [""; 0]);
            let index = killed.interfaces.link("vrrp.51").unwrap().index;
            assert_eq!(parameter("eth0", "arp_ignore"), "1");
            assert_eq!(parameter("eth0", "arp_announce"), "2");
            drop(killed);
            let mut next = Kernel::open().unwrap();
            next.remember_in(memory.try_clone().unwrap());
            assert_eq!(next.prepare(&super::plan(std::slice::from_ref(&plan))), [""; 0]);
            assert_eq!(next.interfaces.link("vrrp.51").unwrap().index, index);
            assert_eq!(next.finish(), [""; 0]);
            let after = ["arp_ignore", "arp_filter", "arp_announce"].map(|p| parameter("eth0", p));
            assert_eq!(after, before);
            assert!(next.interfaces.link("vrrp.51").is_none());
        })
        .unwrap();
    assert!(!site.ours.ip("link show").unwrap().contains("vrrp.51"));
}

#[test]
fn the_interface_of_somebody_else_is_left_alone() {
    let Some(site) = Site::new("vmacname") else { return };
    site.ours.ip("link add vrrp.51 type veth peer name other").unwrap();
    let plan = with_vmac();
    site.ours
        .enter(|| {
            let mut kernel = Kernel::open().unwrap();
            let complaints = kernel.prepare(&super::plan(std::slice::from_ref(&plan)));
            assert_eq!(complaints, ["vrrp.51: another interface has this name"]);
            assert_eq!(kernel.finish(), [""; 0]);
        })
        .unwrap();
    assert!(site.ours.ip("link show").unwrap().contains("vrrp.51"));
}

#[test]
fn an_ipvlan_is_made_or_its_lack_is_explained() {
    let Some(site) = Site::new("ipvlan") else { return };
    let plan = VrrpInstance {
        link: VirtualLink::Ipvlan { name: "ipv.51".into(), address: None, flags: 1 },
        ..instance(51, &["10.9.0.50"])
    };
    let has_it = site.ours.ip("link add probe link eth0 type ipvlan").is_ok();
    let complaints = site
        .ours
        .enter(|| Kernel::open().unwrap().prepare(&super::plan(std::slice::from_ref(&plan))))
        .unwrap();
    if has_it {
        assert_eq!(complaints, [""; 0]);
        assert!(site.ours.ip("link show ipv.51").unwrap().contains("ipv.51@eth0"));
    } else {
        assert_eq!(complaints.len(), 1);
        assert!(complaints[0].contains("this kernel has no ipvlan"), "{complaints:?}");
    }
}
