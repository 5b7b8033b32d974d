//! Whether this machine forwards, which answers of NAT services need: with it off the kernel
//! answers no route lookup of the data plane and drops what is left to it.

use std::fs;

use model::layer4::{Forwarding, Layer4Plan};
use model::vrrp::Family;

const SWITCH: &str = "/proc/sys/net/ipv4/ip_forward";
/// A directory for each interface, and `all` for whoever wants to set all of them.
const SWITCHES_V6: &str = "/proc/sys/net/ipv6/conf";

/// Says once what is wrong; again only when it has been right in between.
#[derive(Debug, Default)]
pub(super) struct ForwardingWatch {
    warned: [bool; 2],
}

impl ForwardingWatch {
    /// A plan is in force: the warnings that it needs, if they were not given yet.
    pub(super) fn handle_plan(&mut self, plan: &Layer4Plan) -> impl Iterator<Item = String> {
        let families = [(Family::Ipv4, forwards_v4()), (Family::Ipv6, forwards_v6())];
        families.map(|(family, on)| self.warning(plan, family, on)).into_iter().flatten()
    }

    fn warning(&mut self, plan: &Layer4Plan, family: Family, forwards: bool) -> Option<String> {
        let key = plan.virtual_servers.iter().find_map(|one| {
            let translates = one.real_servers.iter().any(|it| it.forwarding == Forwarding::Nat);
            one.services.iter().find(|key| translates && key.family() == family)
        });
        let warned = &mut self.warned[usize::from(family == Family::Ipv6)];
        let Some(key) = key.filter(|_| !forwards) else {
            *warned = false;
            return None;
        };
        if std::mem::replace(warned, true) {
            return None;
        }
        let switch = match family {
            Family::Ipv4 => "net.ipv4.ip_forward",
            Family::Ipv6 => "net.ipv6.conf.all.forwarding",
        };
        Some(format!(
            "{switch} is 0: clients of NAT services such as {key} get no answers; set it: \
             sysctl -w {switch}=1"
        ))
    }
}

fn is_on(path: impl AsRef<std::path::Path>) -> Option<bool> {
    fs::read_to_string(path).ok().map(|text| text.trim() != "0")
}

fn forwards_v4() -> bool {
    is_on(SWITCH).unwrap_or(true)
}

/// Some interface forwards: the switch of all of them is only the last that was set for all.
fn forwards_v6() -> bool {
    let Ok(interfaces) = fs::read_dir(SWITCHES_V6) else { return true };
    let own = |name: &std::ffi::OsStr| !["lo", "default"].iter().any(|one| name == *one);
    interfaces
        .flatten()
        .filter(|one| own(&one.file_name()))
        .any(|one| is_on(one.path().join("forwarding")) == Some(true))
}

#[cfg(test)]
mod tests {
    use model::layer4::{Endpoint, Protocol, RealServer, Scheduler, ServiceKey, VirtualServer};

    use super::*;

    fn plan(forwarding: Forwarding) -> Layer4Plan {
        plan_at("192.0.2.1", forwarding)
    }

    fn plan_at(address: &str, forwarding: Forwarding) -> Layer4Plan {
        let address = address.parse().unwrap();
        let key = ServiceKey::Address { address, port: 80, protocol: Protocol::Tcp };
        let endpoint = Endpoint { address: [10, 0, 0, 1].into(), port: 80 };
        let real_servers = vec![RealServer { forwarding, ..RealServer::new(endpoint) }].into();
        let scheduler = Scheduler::RoundRobin;
        let service = VirtualServer { scheduler, real_servers, ..VirtualServer::new(key) };
        Layer4Plan { virtual_servers: vec![service], ..Layer4Plan::default() }
    }

    #[test]
    fn only_nat_needs_it_and_one_warning_is_enough() {
        let mut watch = ForwardingWatch::default();
        let nat = plan(Forwarding::Nat);
        assert_eq!(watch.warning(&nat, Family::Ipv4, true), None);
        assert_eq!(watch.warning(&plan(Forwarding::DirectRouting), Family::Ipv4, false), None);
        let text = watch.warning(&nat, Family::Ipv4, false).unwrap();
        assert!(text.contains("192.0.2.1:80") && text.contains("ip_forward=1"), "{text}");
        assert_eq!(watch.warning(&nat, Family::Ipv4, false), None, "a reload does not repeat it");
        assert_eq!(watch.warning(&nat, Family::Ipv4, true), None);
        assert!(watch.warning(&nat, Family::Ipv4, false).is_some());
    }

    #[test]
    fn each_family_has_its_switch() {
        let mut watch = ForwardingWatch::default();
        let nat = plan_at("2001:db8::1", Forwarding::Nat);
        assert_eq!(watch.warning(&nat, Family::Ipv4, false), None, "it has no service there");
        let text = watch.warning(&nat, Family::Ipv6, false).unwrap();
        assert!(text.contains("TCP [2001:db8::1]:80"), "{text}");
        assert!(text.ends_with("sysctl -w net.ipv6.conf.all.forwarding=1"), "{text}");
        assert_eq!(watch.warning(&nat, Family::Ipv6, false), None);
    }
}
