//! Kernel parameters that keywords ask for, and that are put back at the end.

use std::fs;

use model::vrrp::VirtualLink;

use super::*;

fn parameter(name: &str) -> String {
    fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap().trim().to_owned()
}

fn parameters() -> [String; 2] {
    ["conf/eth0/promote_secondaries", "igmp_link_local_mcast_reports"].map(parameter)
}

#[test]
fn promote_secondaries_and_disable_local_igmp_last_as_long_as_they_are_configured() {
    let Some(site) = Site::new("params") else { return };
    site.ours
        .enter(|| {
            let before = parameters();
            let promoting =
                VrrpInstance { promote_secondaries: true, ..instance(51, &["10.9.0.50/24"]) };
            let mut plan = super::plan(&[promoting]);
            plan.settings.disable_local_igmp = true;
            let mut kernel = Kernel::open().unwrap();
            assert_eq!(kernel.prepare(&plan), [""; 0]);
            assert_eq!(parameters(), ["1", "0"]);
            plan.settings.disable_local_igmp = false;
            assert_eq!(kernel.prepare(&plan), [""; 0]);
            assert_eq!(parameters(), ["1", before[1].as_str()]);
            assert_eq!(kernel.finish(), [""; 0]);
            assert_eq!(parameters(), before);
        })
        .unwrap();
}

#[test]
fn addresses_of_an_instance_with_an_ipvlan_go_to_its_interface() {
    let with_ipvlan = VrrpInstance {
        link: VirtualLink::Ipvlan { name: "ipv.51".into(), address: None, flags: 0 },
        ..instance(51, &["10.9.0.50"])
    };
    assert_eq!(with_ipvlan.interface_of(&with_ipvlan.addresses[0]), "eth0");
}
