//! Every keyword of a vrrp_instance changes the Plan as Keepalived's does its behaviour.

use std::net::IpAddr;
use std::time::Duration;

use model::units::{Centiseconds, Priority};
use model::vrrp::{
    AntiReplay, Authentication, Destination, Family, HmacMode, InitialState, OldChecksum,
    V3Checksum, Version, VirtualLink, VrrpInstance,
};

use crate::common::{keepalived, lines};

const V4: &str = "virtual_ipaddress {\n10.0.0.1/24\n}\n";
const V6: &str = "virtual_ipaddress {\nfe80::1/64\n2001:db8::1/64\n}\n";

fn text(body: &str) -> String {
    format!("vrrp_instance A {{\n interface eth0\n virtual_router_id 51\n{body}\n}}\n")
}

/// The instance, and what was said about it.
fn lowered(text: &str) -> (VrrpInstance, Vec<String>) {
    let loaded = keepalived(text);
    let lines = lines(&loaded);
    let plan = loaded.plan.unwrap_or_else(|| panic!("{text}\n{lines:?}"));
    (plan.vrrp.instances[0].clone(), lines)
}

fn instance(body: &str) -> VrrpInstance {
    lowered(&text(&format!("priority 150\n{V4}{body}"))).0
}

/// The only finding.
fn finding(body: &str) -> String {
    let loaded = keepalived(&text(&format!("priority 150\n{V4}{body}")));
    let lines = lines(&loaded);
    assert_eq!(lines.len(), 1, "{body}: {lines:?}");
    lines[0].clone()
}

#[test]
fn state_and_priority_follow_from_each_other() {
    let one = |body: &str| {
        let (one, _) = lowered(&text(&format!("{V4}{body}")));
        (one.initial_state, one.priority.number())
    };
    assert_eq!(one(""), (InitialState::Backup, 100));
    assert_eq!(one("state MASTER"), (InitialState::Master, 255));
    assert_eq!(one("priority 255"), (InitialState::Master, 255));
    assert_eq!(one("state MASTER\npriority 20"), (InitialState::Master, 20));
    assert_eq!(one("state BACKUP\npriority 255"), (InitialState::Backup, 255));
}

#[test]
fn ipv6_runs_version_3_whatever_else_is_said() {
    let (one, said) = lowered(&text(V6));
    assert_eq!((one.family, one.version), (Family::Ipv6, Version::V3));
    assert_eq!(one.destination, Destination::Multicast("ff02::12".parse().unwrap()));
    assert_eq!(said, Vec::<String>::new());
    let (one, said) = lowered(&text(&format!("version 2\n{V6}")));
    assert_eq!(one.version, Version::V3);
    assert!(said[0].contains("IPv6 needs version 3"), "{said:?}");
    let (one, said) = lowered(&text("virtual_ipaddress {\n2001:db8::1\n}"));
    assert_eq!(one.addresses[0].prefix_len, 128);
    assert!(said[0].contains("note: the first IPv6 address"), "{said:?}");
}

#[test]
fn families_are_not_mixed_but_in_excluded_addresses() {
    for body in ["mcast_src_ip 2001:db8::7", "mcast_dst_ip ff02::13", "native_ipv6"] {
        let said = finding(body);
        assert!(said.contains("error: an instance's addresses and adverts"), "{said}");
    }
    let said = finding("unicast_peer {\n2001:db8::8\n}");
    assert!(said.contains("are of one family"), "{said}");
    let one = instance("virtual_ipaddress_excluded {\n2001:db8::1/64\n}");
    assert_eq!(one.excluded_addresses[0].prefix_len, 64);
}

#[test]
fn intervals_are_rounded_to_what_the_version_carries() {
    assert_eq!(instance("advert_int 1.4").advert_interval, Centiseconds(100));
    assert_eq!(instance("advert_int 0.01").advert_interval, Centiseconds(100));
    assert_eq!(instance("version 3\nadvert_int 0.01").advert_interval, Centiseconds(1));
    assert_eq!(instance("version 3\nadvert_int 0.126").advert_interval, Centiseconds(13));
    assert_eq!(instance("version 3\nadvert_int 41").advert_interval, Centiseconds(4095));
    assert!(finding("version 3\nadvert_int 41").contains("advert_int is 40.95"));
}

#[test]
fn global_defaults_are_inherited_and_overridden() {
    let globals = "global_defs {\n vrrp_version 3\n vrrp_skip_check_adv_addr\n \
                   vrrp_lower_prio_no_advert\n vrrp_higher_prio_send_advert\n \
                   vrrp_down_timer_adverts 5\n vrrp_mcast_group4 224.0.0.19\n \
                   vrrp_garp_master_repeat 2\n vrrp_garp_master_delay 7\n smtp_alert\n}\n";
    let one = |body: &str| lowered(&(globals.to_owned() + &text(&format!("{V4}{body}")))).0;
    let inherits = one("garp_master_repeat 3");
    assert_eq!(inherits.version, Version::V3);
    assert!(inherits.skip_check_addresses && inherits.lower_prio_no_advert);
    assert!(inherits.higher_prio_send_advert && inherits.notify.smtp_alert);
    assert_eq!(inherits.down_timer_adverts, 5);
    assert_eq!(inherits.destination, Destination::Multicast("224.0.0.19".parse().unwrap()));
    // Keepalived derives the weaker master's bursts from the global settings.
    assert_eq!((inherits.garp.repeat, inherits.garp.lower_prio_repeat), (3, 2));
    assert_eq!(inherits.garp.lower_prio_delay, Duration::from_secs(7));
    let own = one("version 2\nskip_check_adv_addr off\nlower_prio_no_advert off\n\
                   higher_prio_send_advert off\ndown_timer_adverts 4\nmcast_dst_ip 224.0.0.20\n\
                   smtp_alert off\ngarp_lower_prio_repeat 1\ngarp_lower_prio_delay 0");
    assert_eq!(own.version, Version::V2);
    assert!(!own.skip_check_addresses && !own.lower_prio_no_advert);
    assert!(!own.higher_prio_send_advert && !own.notify.smtp_alert);
    assert_eq!(own.down_timer_adverts, 4);
    assert_eq!(own.destination, Destination::Multicast("224.0.0.20".parse().unwrap()));
    assert_eq!((own.garp.lower_prio_repeat, own.garp.lower_prio_delay), (1, Duration::ZERO));
}

#[test]
fn min_garp_leaves_one_message() {
    let text = format!("global_defs {{\n vrrp_min_garp\n}}\n{}", text(V4));
    let garp = lowered(&text).0.garp;
    assert_eq!((garp.repeat, garp.delay, garp.lower_prio_repeat), (1, Duration::ZERO, 1));
}

#[test]
fn strict_mode_implies_what_the_manual_lists() {
    let (one, said) = lowered(&text(&format!(
        "strict_mode\npriority 150\n{V4}state MASTER\npreempt_delay 5\naccept\n\
         garp_lower_prio_repeat 3\nlower_prio_no_advert off\nhigher_prio_send_advert\n\
         down_timer_adverts 4\nuse_vmac 02:00:5e:00:01:33\nvmac_xmit_base\n\
         authentication {{\nauth_type PASS\nauth_pass x\n}}"
    )));
    assert_eq!(one.initial_state, InitialState::Backup);
    assert_eq!(one.preempt_delay, Duration::ZERO);
    assert!(!one.accept && one.lower_prio_no_advert && !one.higher_prio_send_advert);
    assert_eq!((one.garp.lower_prio_repeat, one.down_timer_adverts), (0, 3));
    assert_eq!(one.authentication, Authentication::None);
    let VirtualLink::Macvlan { mac, transmit_on_base, .. } = one.link else { panic!("macvlan") };
    assert_eq!((mac, transmit_on_base), ([0, 0, 0x5e, 0, 1, 51], false));
    assert_eq!(said.len(), 10, "{said:#?}");
    assert!(said.iter().all(|line| line.contains("warning")), "{said:#?}");
    assert!(finding("strict_mode\nunicast_peer {\n10.0.0.8\n}").contains("allows no unicast"));
    let none = keepalived(&text("strict_mode"));
    assert!(lines(&none)[0].contains("error: vrrp_instance A has no virtual_ipaddress"));
    assert!(!lowered(&text(&format!("strict_mode\n{V4}"))).0.accept);
    assert!(lowered(&text(&format!("strict_mode\npriority 255\n{V4}"))).0.accept);
}

#[test]
fn an_instance_without_addresses_says_so() {
    assert!(lowered(&text("no_virtual_ipaddress")).1.is_empty());
    assert!(lowered(&text("")).1[0].contains("warning: vrrp_instance A has no"));
    assert!(keepalived(&text("version 3")).plan.is_none());
}

#[test]
fn preemption_is_what_keepalived_leaves_of_it() {
    assert!(!instance("nopreempt").preempt);
    assert!(instance("nopreempt\npreempt").preempt);
    assert_eq!(instance("preempt_delay 4.12").preempt_delay, Duration::from_millis(4_120));
    assert!(finding("nopreempt\npreempt_delay 5").contains("no effect with nopreempt"));
    assert_eq!(instance("timer_expired_backup").timer_expired_backup, None);
    assert!(finding("timer_expired_backup").contains("no effect without nopreempt"));
    let late = instance("nopreempt\ntimer_expired_backup 200").timer_expired_backup;
    assert_eq!(late, Priority::try_from(200).ok());
}

#[test]
fn plain_switches_are_in_the_plan() {
    let one = instance(
        "no_accept\ndont_track_primary\npromote_secondaries\nowner_ignore_adverts\n\
         v3_checksum_as_v2\nmcast_src_ip 10.0.0.7\ntrack_src_ip",
    );
    assert!(!one.accept && !one.track_primary && one.promote_secondaries);
    assert!(one.owner_ignore_adverts && one.track_source);
    assert_eq!(one.v3_checksum, V3Checksum::AsVersion2);
    assert_eq!(one.source, Some(IpAddr::from([10, 0, 0, 7])));
    let bare = instance("");
    assert!(bare.accept && bare.track_primary && !bare.promote_secondaries);
    assert!(finding("track_src_ip").contains("no effect without a source address"));
    assert!(finding("debug 1").contains("note: debug has no effect"));
}

#[test]
fn unicast_goes_to_its_peers() {
    let one = instance(
        "unicast_src_ip 10.0.0.7\nunicast_ttl 64\nunicast_peer {\n10.0.0.8\n10.0.0.9 min_ttl 10 \
         max_ttl 20\n}\nold_unicast_checksum never",
    );
    let Destination::Unicast(unicast) = &one.destination else { panic!("unicast") };
    assert_eq!((unicast.peers.len(), unicast.ttl), (2, Some(64)));
    assert_eq!((unicast.peers[1].min_ttl, unicast.peers[1].max_ttl), (Some(10), Some(20)));
    assert!(unicast.check_source && !unicast.fault_without_peers);
    assert_eq!(one.old_unicast_checksum, OldChecksum::Never);
    assert_eq!(
        instance("unicast_peer {\n10.0.0.8\n}\nold_unicast_checksum").old_unicast_checksum,
        OldChecksum::Sent
    );
    assert!(finding("unicast_src_ip 10.0.0.7").contains("adverts go by multicast"));
    let Destination::Unicast(none) = instance("unicast_fault_no_peer").destination else {
        panic!("unicast")
    };
    assert!(none.fault_without_peers && none.peers.is_empty() && none.ttl == Some(255));
    assert!(finding("unicast_peer {\n10.0.0.8 min_tll 3\n}").contains("did you mean \"min_ttl\"?"));
    assert!(
        finding("unicast_peer {\n10.0.0.8 min_ttl 3 max_ttl 2\n}").contains("no advert is taken")
    );
    assert!(finding("unicast_ttl 5").contains("no effect without unicast_peer"));
}

#[test]
fn unicast_needs_no_interface() {
    let text = |body: &str| {
        format!(
            "global_defs {{\n default_interface eth7\n}}\nvrrp_instance A {{\n virtual_router_id 5\n \
             unicast_peer {{\n 10.0.0.8\n }}\n {V4}{body}\n}}\n"
        )
    };
    let (one, _) = lowered(&text("unicast_src_ip 10.0.0.7\nvrf blue"));
    assert_eq!((one.interface.as_str(), one.routed), ("eth7", true));
    assert_eq!(one.vrf.as_deref(), Some("blue"));
    assert!(lines(&keepalived(&text("")))[0].contains("neither interface nor unicast_src_ip"));
}

#[test]
fn passwords_and_keys_are_cut_and_checked() {
    let auth = |kind: &str| format!("authentication {{\nauth_type {kind}\nauth_pass secret\n}}");
    assert_eq!(instance(&auth("PASS")).authentication, Authentication::Pass(*b"secret\0\0"));
    assert_eq!(instance(&auth("AH")).authentication, Authentication::Ah(*b"secret\0\0"));
    assert!(finding(&format!("version 3\n{}", auth("PASS"))).contains("version 3 knows no auth"));
    let one = instance(&format!("state MASTER\n{}", auth("AH")));
    assert_eq!(one.initial_state, InitialState::Backup);
    let key = "0123456789abcdef0123456789abcdef";
    let one = instance(&format!(
        "version 3\nauth_hmac {{\nkey 1 {key}\nkey 2 hex:{key}{key}\nactive_key 2\n\
         mode receive-only\n}}"
    ));
    let Authentication::Hmac(hmac) = one.authentication else { panic!("hmac") };
    assert_eq!((hmac.active, hmac.mode), (2, HmacMode::ReceiveOnly));
    assert_eq!(hmac.keys[0].secret, key.as_bytes());
    assert_eq!(hmac.keys[1].secret[..3], [0x01, 0x23, 0x45]);
    assert_eq!(hmac.anti_replay, AntiReplay::Time(Duration::from_secs(5)));
    assert!(finding("auth_hmac {\nkey 1 short\nactive_key 1\n}").contains("has 5 bytes"));
    let absent = finding(&format!("auth_hmac {{\nkey 1 {key}\nactive_key 3\n}}"));
    assert!(absent.contains("there is no key 3"), "{absent}");
}

#[test]
fn virtual_mac_interfaces_have_names_and_addresses() {
    let link = |body: &str| instance(body).link;
    let VirtualLink::Macvlan { name, mac, transmit_on_base, other_interfaces } = link("use_vmac")
    else {
        panic!("macvlan")
    };
    assert_eq!((name.as_str(), mac), ("vrrp.51", [0, 0, 0x5e, 0, 1, 51]));
    assert!(!transmit_on_base && !other_interfaces);
    let VirtualLink::Macvlan { name, mac, .. } = link("use_vmac vip0 02:00:5e:00:09") else {
        panic!("macvlan")
    };
    assert_eq!((name.as_str(), mac), ("vip0", [2, 0, 0x5e, 0, 9, 51]));
    assert!(finding("use_vmac 00:00:5e:00:01:33").contains("VRRP chooses itself"));
    assert!(finding("use_vmac 01:00:5e:00:01:33").contains("multicast address"));
    assert!(finding("use_vmac\nunicast_peer {\n10.0.0.8\n}").contains("needs vmac_xmit_base"));
    assert!(finding("vmac_xmit_base").contains("no effect without use_vmac"));
    let link = link("use_ipvlan ipv0 10.0.0.9/24 vepa");
    let address = Some((IpAddr::from([10, 0, 0, 9]), 24));
    assert_eq!(link, VirtualLink::Ipvlan { name: "ipv0".into(), address, flags: 2 });
    assert!(finding("use_ipvlan").contains("needs an address"));
}

#[test]
fn addresses_go_where_keepalived_puts_them() {
    let one = instance(
        "use_vmac\nuse_vmac_addr\nvirtual_ipaddress_excluded {\n10.0.1.1 dev eth0\n10.0.2.1 dev \
         eth1\n10.0.2.2 dev eth1\n2001:db8::1/64\n}",
    );
    let on: Vec<&str> = one.held_addresses().map(|address| one.interface_of(address)).collect();
    assert_eq!(on, ["vrrp.51", "vrrp.51", "vrrp1.51", "vrrp1.51", "vrrp6.51"]);
    assert_eq!(one.address_links.len(), 2);
    assert_eq!(one.address_links[0].base, "eth1");
    assert_eq!(one.address_links[1].mac, [0, 0, 0x5e, 0, 2, 51]);
    // Without use_vmac_addr, the other family stays on the plain interface.
    let one =
        instance("use_vmac\nvirtual_ipaddress_excluded {\n2001:db8::1/64\n10.0.2.1 dev eth1\n}");
    let on: Vec<&str> = one.held_addresses().map(|address| one.interface_of(address)).collect();
    assert_eq!(on, ["vrrp.51", "eth0", "eth1"]);
    let one =
        instance("virtual_ipaddress_excluded {\n10.0.2.1 dev eth1 use_vmac\n}\ngarp_extra_if 30");
    assert_eq!(one.interface_of(&one.excluded_addresses[0]), "vrrp.51");
    assert_eq!(one.garp.extra.unwrap().interval, Duration::from_secs(30));
    assert_eq!(instance("garp_extra_if all 30").garp.extra, None);
}

#[test]
fn names_of_virtual_interfaces_are_unique() {
    let two = text(&format!("use_vmac\n{V4}"))
        + "vrrp_instance B {\n interface eth1\n virtual_router_id 51\n use_vmac\n \
           virtual_ipaddress {\n10.9.0.1\n}\n}\n";
    let plan = keepalived(&two).plan.unwrap();
    let VirtualLink::Macvlan { name, .. } = &plan.vrrp.instances[1].link else { panic!("macvlan") };
    assert_eq!(name, "vrrp1.51");
}

#[test]
fn virtual_router_ids_may_be_used_again_where_nothing_is_shared() {
    let second = |interface: &str, body: &str| {
        let text = text(V4)
            + &format!(
                "vrrp_instance B {{\n interface {interface}\n virtual_router_id 51\n{body}\n}}\n"
            );
        lines(&keepalived(&text)).into_iter().find(|line| line.contains("is taken"))
    };
    let other = "virtual_ipaddress {\n10.9.0.1\n}";
    assert!(second("eth0", other).is_some());
    assert_eq!(second("eth1", other), None);
    assert_eq!(second("eth0", V6), None);
    assert_eq!(second("eth0", &format!("mcast_dst_ip 224.0.0.19\n{other}")), None);
    assert_eq!(second("eth0", &format!("unicast_peer {{\n10.0.0.8\n}}\n{other}")), None);
}

#[test]
fn too_many_addresses_are_excluded() {
    let addresses: String = (0..100).map(|n| format!("fe80::1:{n}\n")).collect();
    let (one, said) = lowered(&text(&format!("virtual_ipaddress {{\n{addresses}}}")));
    assert_eq!((one.addresses.len(), one.excluded_addresses.len()), (89, 11));
    assert!(said[0].contains("at most 89 addresses"), "{said:?}");
}
