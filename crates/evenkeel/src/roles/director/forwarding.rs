//! Whether this machine forwards, which answers of NAT services need: with `ip_forward` off the
//! kernel answers no route lookup of the data plane and drops what is left to it.

use std::fs;

use model::layer4::{Forwarding, Layer4Plan};

const SWITCH: &str = "/proc/sys/net/ipv4/ip_forward";

/// Says once what is wrong; again only when it has been right in between.
#[derive(Debug, Default)]
pub(super) struct ForwardingWatch {
    warned: bool,
}

impl ForwardingWatch {
    /// A plan is in force: the warning that it needs, if it was not given yet.
    pub(super) fn handle_plan(&mut self, plan: &Layer4Plan) -> Option<String> {
        let on = fs::read_to_string(SWITCH).map_or(true, |text| text.trim() != "0");
        self.warning(plan, on)
    }

    fn warning(&mut self, plan: &Layer4Plan, forwards: bool) -> Option<String> {
        let service = plan
            .virtual_servers
            .iter()
            .find(|one| one.real_servers.iter().any(|it| it.forwarding == Forwarding::Nat));
        let Some(service) = service.filter(|_| !forwards) else {
            self.warned = false;
            return None;
        };
        if std::mem::replace(&mut self.warned, true) {
            return None;
        }
        Some(format!(
            "net.ipv4.ip_forward is 0: clients of NAT services such as {} get no answers; \
             set it: sysctl -w net.ipv4.ip_forward=1",
            service.key()
        ))
    }
}

#[cfg(test)]
mod tests {
    use model::layer4::{Endpoint, Protocol, RealServer, Scheduler, ServiceKey, VirtualServer};

    use super::*;

    fn plan(forwarding: Forwarding) -> Layer4Plan {
        let key = ServiceKey::Address {
            address: [192, 0, 2, 1].into(),
            port: 80,
            protocol: Protocol::Tcp,
        };
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
        assert_eq!(watch.warning(&nat, true), None);
        assert_eq!(watch.warning(&plan(Forwarding::DirectRouting), false), None);
        let text = watch.warning(&nat, false).unwrap();
        assert!(text.contains("192.0.2.1:80") && text.contains("ip_forward=1"), "{text}");
        assert_eq!(watch.warning(&nat, false), None, "a reload does not repeat it");
        assert_eq!(watch.warning(&nat, true), None);
        assert!(watch.warning(&nat, false).is_some());
    }
}
