//! Kernel parameters that we change, and what they were before.
//!
//! What they were is kept behind the states in the supervisor's memory, so that a role that
//! comes after a killed one, or the supervisor in its place, can still put them back.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;

use edge::sysctl;
use model::vrrp::{VirtualLink, VrrpInstance, VrrpPlan};

/// Where in the memory the former values are: far behind the states.
const PLACE: u64 = 1 << 20;
/// Most bytes of them.
const LENGTH_MAX: usize = 1 << 20;

/// The parameters that we changed.
#[derive(Debug, Default)]
pub(super) struct Sysctls {
    /// What each was before.
    former: BTreeMap<String, String>,
    memory: Option<OwnedFd>,
}

impl Sysctls {
    /// Keeps the former values here from now on, and takes over those of a predecessor.
    pub(super) fn remember_in(&mut self, memory: OwnedFd) {
        let mut bytes = vec![0; LENGTH_MAX];
        let length = rustix::io::pread(&memory, &mut bytes, PLACE).unwrap_or(0);
        for (key, value) in parse(&bytes[..length]) {
            self.former.entry(key).or_insert(value);
        }
        self.memory = Some(memory);
    }

    /// Gives parameters these values, and puts those back that we changed before and that are not
    /// among them. A parameter of an interface that is gone is none.
    pub(super) fn settle(&mut self, wanted: &BTreeMap<String, &str>) -> Vec<String> {
        let mut complaints = Vec::new();
        let over: Vec<String> =
            self.former.keys().filter(|key| !wanted.contains_key(*key)).cloned().collect();
        for key in over {
            if let Some(value) = self.former.remove(&key) {
                complaints.extend(set(&key, &value).err());
            }
        }
        for (key, value) in wanted {
            complaints.extend(self.change(key, value).err());
        }
        self.write();
        complaints
    }

    fn change(&mut self, key: &str, value: &str) -> Result<(), String> {
        let now = match sysctl::read(key) {
            Ok(now) => now,
            // Its interface is not there: there is nothing to set.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(format!("{key}: {error}")),
        };
        if now != value {
            set(key, value)?;
            self.former.entry(key.to_owned()).or_insert(now);
        }
        Ok(())
    }

    fn write(&self) {
        let Some(memory) = &self.memory else { return };
        let mut text = String::new();
        for (key, value) in &self.former {
            if text.len() + key.len() + value.len() + 2 < LENGTH_MAX {
                text.push_str(&format!("{key}={value}\n"));
            }
        }
        text.push('\0');
        // It fails only when the machine has no memory left: then they stay changed.
        let _ = rustix::io::pwrite(memory, text.as_bytes(), PLACE);
    }
}

fn set(key: &str, value: &str) -> Result<(), String> {
    match sysctl::write(key, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(|error| format!("{key} = {value}: {error}")),
    }
}

/// Lines of `KEY=VALUE` up to a zero byte. Anything else is nothing.
fn parse(bytes: &[u8]) -> BTreeMap<String, String> {
    let Some(end) = bytes.iter().position(|byte| *byte == 0) else { return BTreeMap::new() };
    let text = String::from_utf8_lossy(&bytes[..end]);
    let pair = |line: &str| line.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
    text.lines().filter_map(pair).collect()
}

/// What a configuration needs of interfaces that are not ours.
pub(super) fn wanted(plan: &VrrpPlan) -> BTreeMap<String, &'static str> {
    let mut wanted = BTreeMap::new();
    let mut want = |interface: &str, parameter: &str, value| {
        wanted.insert(format!("net/ipv4/conf/{interface}/{parameter}"), value);
    };
    for base in bases(plan) {
        // Only the virtual MAC interface answers for its addresses, and nothing that leaves by
        // the base says that they are there. Only a base without any IPv4 address, which needs
        // mcast_src_ip or IPv6 to take part, could still ask with a virtual address as the
        // sender: the kernel then looks on other interfaces for one (inet_select_addr).
        want(base, "arp_ignore", "1");
        want(base, "arp_filter", "1");
        want(base, "arp_announce", "2");
    }
    for instance in plan.instances.iter().filter(|instance| instance.promote_secondaries) {
        for address in instance.held_addresses().filter(|address| address.address.is_ipv4()) {
            want(instance.interface_of(address), "promote_secondaries", "1");
        }
    }
    if plan.settings.disable_local_igmp {
        wanted.insert("net/ipv4/igmp_link_local_mcast_reports".into(), "0");
    }
    wanted
}

/// The interfaces that have macvlans of ours on them.
fn bases(plan: &VrrpPlan) -> BTreeSet<&str> {
    let own = |instance: &'_ VrrpInstance| matches!(instance.link, VirtualLink::Macvlan { .. });
    let bases = plan.instances.iter().filter(|one| own(one)).map(|one| &one.interface[..]);
    let links = plan.instances.iter().flat_map(|instance| &instance.address_links);
    bases.chain(links.map(|link| &link.base[..])).collect()
}

/// What our own interface needs, from its creation on: it answers for its own addresses only,
/// takes packets from wherever they come, and says nothing by itself.
pub(super) fn quieten(name: &str, has_ipv6: bool) -> Vec<String> {
    let rp_filter = sysctl::read("net/ipv4/conf/all/rp_filter").unwrap_or_default();
    // The stricter of "all" and this one counts, and 2, loose, counts as the stricter.
    let rp_filter = if rp_filter == "0" { "0" } else { "2" };
    let ipv4 = [
        ("arp_ignore", "1"),
        ("arp_announce", "2"),
        ("arp_notify", "0"),
        ("accept_local", "1"),
        ("rp_filter", rp_filter),
        ("promote_secondaries", "1"),
    ];
    let ipv6 = [
        ("disable_ipv6", if has_ipv6 { "0" } else { "1" }),
        // No address of its own making.
        ("addr_gen_mode", "1"),
        ("accept_ra", "0"),
        ("autoconf", "0"),
        ("router_solicitations", "0"),
        ("dad_transmits", "0"),
    ];
    let ipv4 = ipv4.iter().map(|(key, value)| (format!("net/ipv4/conf/{name}/{key}"), value));
    let ipv6 = ipv6.iter().map(|(key, value)| (format!("net/ipv6/conf/{name}/{key}"), value));
    ipv4.chain(ipv6).filter_map(|(key, value)| set(&key, value).err()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_values_are_lines_up_to_a_zero_and_anything_else_is_none() {
        let pairs = parse(b"net/ipv4/conf/eth0.5/arp_ignore=0\nnonsense\na=b=c\n\0junk=1");
        assert_eq!(pairs.len(), 2);
        assert_eq!(pairs["net/ipv4/conf/eth0.5/arp_ignore"], "0");
        assert_eq!(pairs["a"], "b=c");
        assert!(parse(b"").is_empty() && parse(b"no=end\n").is_empty());
        assert!(parse(&[0xff; 64]).is_empty());
    }
}
