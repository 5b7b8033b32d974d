//! One mistake per keyword, and the defaults.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use model::layer4::{Forwarding, Scheduler};
use model::units::Centiseconds;
use model::vrrp::InitialState;

use crate::common::{keepalived, lines};

fn instance(lines: &str) -> String {
    format!(
        "vrrp_instance A {{\n interface eth0\n virtual_router_id 7\n virtual_ipaddress {{\n \
         10.0.0.1\n }}\n{lines}\n}}\n"
    )
}

fn service(lines: &str) -> String {
    format!(
        "virtual_server 10.0.0.1 80 {{\n real_server 10.0.1.1 80 {{\n{lines}\n}}\nprotocol TCP\n}}\n"
    )
}

/// Findings of the text, without their places.
fn findings(text: &str) -> Vec<String> {
    let without_place = |line: String| line.split_once(' ').unwrap().1.to_string();
    lines(&keepalived(text)).into_iter().map(without_place).collect()
}

#[test]
fn every_value_that_is_wrong_says_what_would_be_right() {
    let cases = [
        (instance("priority 256"), "256 is not between 1 and 255"),
        (instance("priority high"), "\"high\" is not a priority"),
        (instance("advert_int 0"), "0 is not between 0.01 and 255 seconds"),
        (instance("mcast_src_ip l0.0.0.2"), "did you mean \"10.0.0.2\"?"),
        (instance("garp_master_repeat"), "garp_master_repeat needs a count"),
        (instance("authentication {\nauth_type AHH\nauth_pass x\n}"), "did you mean \"AH\"?"),
        (instance("authentication {\nauth_type PASS\n}"), "authentication has no auth_pass"),
        (instance("virtual_ipaddress_excluded {\n10.0.0.2/33\n}"), "33 is not between 0 and 32"),
        (instance("virtual_ipaddress_excluded {\n10.0.0.2 dve eth1\n}"), "did you mean \"dev\"?"),
        (instance("virtual_ipaddress_excluded {\n10.0.0.2 scope lnk\n}"), "did you mean \"link\"?"),
        (instance("virtual_ipaddress_excluded {\nfe80::x\n}"), "not an IP address"),
        (instance("virtual_ipaddress_excluded {\n10.0.0.2 peer ::3\n}"), "not of the same family"),
        (service("weight 65536"), "65536 is not between 0 and 65535"),
        (service("weight -1"), "\"-1\" is not a weight"),
        (service("lvs_method TUN type gue"), "a tunnel of type gue needs a port"),
        (service("lvs_method TUN type"), "type needs ipip, gue or gre"),
        (service("lvs_method TUN type gr"), "did you mean \"gre\"?"),
        (service("lvs_method TUN type gre port 6080"), "a tunnel of type gre has no port"),
        (service("lvs_method TUN csum"), "a tunnel of type ipip has no checksum"),
        (service("lvs_method TUN type gue port 0"), "0 is not between 1 and 65535"),
        (
            service("lvs_method TUN type gre remcsum"),
            "remcsum is not supported by this version; use csum",
        ),
        (service("lvs_method TUN typo ipip"), "did you mean \"type\"?"),
        (service("lvs_method TUNNEL"), "use NAT, DR or TUN"),
        (service("lvs_method DR type ipip"), "unexpected \"type\" after lvs_method"),
        (service("TCP_CHECK {\nconnect_port\n}"), "connect_port needs a port"),
        (service("TCP_CHECK {\nconnect_port 0\n}"), "0 is not between 1 and 65535"),
        (service("TCP_CHECK {\nconnect_timeout 3s\n}"), "\"3s\" is not a number of seconds"),
        (service("SSL_GET {\n}"), "SSL_GET without a url tests nothing"),
        (service("HTTP_GET {\n}"), "HTTP_GET without a url tests nothing"),
        (service("HTTP_GET {\nurl {\npath x\n}\n}"), "did you mean \"/x\"?"),
        (service("HTTP_GET {\nurl {\npath /\ndigest 12\n}\n}"), "\"12\" is not an MD5 sum"),
        (
            service("HTTP_GET {\nurl {\npath /\nstatus_code 99\n}\n}"),
            "99 is not between 100 and 599",
        ),
        (
            service("}\npersistence_granularity 255.0.255.0\nreal_server 10.0.1.2 80 {"),
            "not a netmask",
        ),
        (service("}\nlb_algo shh\nreal_server 10.0.1.2 80 {"), "did you mean \"sh\"?"),
        (service("}\nlb_algo rr wrr\nreal_server 10.0.1.2 80 {"), "unexpected \"wrr\""),
        (service("}\nprotocol DCCP\nreal_server 10.0.1.2 80 {"), "TCP"),
        (
            service("}\nip_family inet6\nreal_server 10.0.1.2 80 {"),
            "ip_family inet6 is not that of TCP 10.0.0.1:80",
        ),
        (service("}\nip_family ipv4\nreal_server 10.0.1.2 80 {"), "unknown ip_family"),
        ("virtual_server fwmark 0 {\n}\n".into(), "0 is not between 1 and 4294967295"),
        ("virtual_server fwmark {\n}\n".into(), "virtual_server fwmark needs a mark"),
        ("virtual_server fwmark 1 2 {\n}\n".into(), "unexpected \"2\""),
        ("virtual_server 10.0.0.1 80 90 {\n}\n".into(), "unexpected \"90\""),
        ("vrrp_instance {\n}\n".into(), "vrrp_instance needs a name"),
    ];
    for (text, expected) in cases {
        let findings = findings(&text);
        assert!(
            findings.iter().any(|finding| finding.contains(expected)),
            "{text}\n{findings:?}\nlacks {expected:?}"
        );
        assert!(findings.iter().filter(|f| f.starts_with("error")).count() == 1, "{findings:?}");
    }
}

#[test]
fn what_keepalived_passes_over_is_a_warning() {
    let global = |line: &str| format!("global_defs {{\n{line}\n}}\n{}", instance(""));
    let cases = [
        (instance("state SLAVE"), "unknown state \"SLAVE\": it is taken as BACKUP; write BACKUP"),
        (instance("state MASTR"), "it is taken as BACKUP; did you mean \"MASTER\"?"),
        (global("vrrp_garp_interval 0"), "vrrp_garp_interval 0 says nothing"),
        (global("vrrp_gna_interval 0"), "vrrp_gna_interval 0 says nothing"),
        (
            service("}\nlb_algo rr\nsh-port\nreal_server 10.0.1.2 80 {"),
            "sh-port says nothing without lb_algo sh before it",
        ),
        (
            service("}\nmh-fallback\nlb_algo mh\nreal_server 10.0.1.2 80 {"),
            "mh-fallback says nothing without lb_algo mh before it",
        ),
        (service("}\nflag-2\nlb_algo lc\nreal_server 10.0.1.2 80 {"), "lb_algo lc has no flags"),
        (
            service("}\npersistence_timeout 0\nreal_server 10.0.1.2 80 {"),
            "persistence_timeout 0 says nothing: clients stay nowhere",
        ),
    ];
    for (text, expected) in &cases {
        let [finding] = &findings(text)[..] else { panic!("{text}\n{:?}", findings(text)) };
        assert!(finding.starts_with("warning: "), "{finding}");
        assert!(finding.contains(expected), "{finding}\nlacks {expected:?}");
        assert!(keepalived(text).plan.is_some(), "{text}");
    }
    let plan = keepalived(&cases[0].0).plan.unwrap();
    assert_eq!(plan.vrrp.instances[0].initial_state, InitialState::Backup);
}

#[test]
fn every_scheduler_of_ipvs_is_read_with_its_flags() {
    let scheduler = |lines: &str| {
        let text = service(&format!("}}\n{lines}\nreal_server 10.0.1.2 80 {{"));
        let loaded = keepalived(&text);
        let plan = loaded.plan.unwrap_or_else(|| panic!("{lines}"));
        plan.layer4.virtual_servers[0].scheduler.to_string()
    };
    for one in Scheduler::ALL {
        assert_eq!(scheduler(&format!("lvs_sched {}", one.name())), one.name());
    }
    assert_eq!(scheduler("lb_algo sh\nsh-port"), "sh (sh-port)");
    assert_eq!(scheduler("lb_algo mh\nmh-port\nmh-fallback"), "mh (mh-fallback,mh-port)");
    assert_eq!(scheduler("flag-1\nlb_algo sh"), "sh (sh-fallback)");
    assert_eq!(scheduler("lb_algo mh\nflag-2"), "mh (mh-port)");
    assert_eq!(scheduler("sh-port\nlb_algo sh"), "sh", "Keepalived passes over it");
    assert_eq!(scheduler("lb_algo sh\nmh-port"), "sh");
    assert_eq!(scheduler("lb_algo sh\nflag-3\nhashed"), "sh");
}

#[test]
fn a_misspelt_keyword_that_is_not_supported_is_one_finding() {
    let found = findings(&instance("lvs_sync_daemon_inteface eth1"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("did you mean \"lvs_sync_daemon_interface\"?"), "{found:?}");
}

#[test]
fn defaults_are_keepaliveds() {
    let text = instance("") + &service("HTTP_GET {\nurl {\npath /\n}\n}\nTCP_CHECK {\n}");
    let loaded = keepalived(&text);
    assert!(lines(&loaded).is_empty(), "{:?}", lines(&loaded));
    let plan = loaded.plan.unwrap();
    let instance = &plan.vrrp.instances[0];
    assert_eq!(instance.priority.number(), 100);
    assert_eq!(instance.advert_interval, Centiseconds(100));
    assert!(instance.preempt);
    assert_eq!(instance.addresses[0].prefix_len, 32);
    assert_eq!((instance.garp.repeat, instance.garp.delay), (5, Duration::from_secs(5)));
    let service = &plan.layer4.virtual_servers[0];
    assert_eq!(service.scheduler, Scheduler::WeightedLeastConnection);
    assert_eq!(service.persistence, None);
    let server = &service.real_servers[0];
    assert_eq!((server.weight, server.forwarding), (1, Forwarding::Nat));
    let [http, tcp] = &server.checkers[..] else { panic!("two checkers") };
    assert_eq!(http.timeout, Duration::from_secs(5));
    assert_eq!(http.pace.interval, Duration::from_secs(60));
    assert_eq!(http.pace.warmup, Duration::from_secs(60));
    assert_eq!(http.pace.retry_interval, Duration::from_secs(3));
    assert_eq!(tcp.pace.retry_interval, Duration::from_secs(1));
    assert_eq!((tcp.pace.rise, tcp.pace.fall), (1, 2));
    assert!(tcp.pace.initially_up);
    assert_eq!(tcp.target, "10.0.1.1:80".parse().unwrap());
    assert_eq!(tcp.source.bind, None);
}

#[test]
fn the_innermost_timer_wins() {
    let text = "virtual_server 10.0.0.1 80 {\n delay_loop 1.5\n retry 9\n virtualhost outer\n \
                real_server 10.0.1.1 80 {\n  retry 4\n  HTTP_GET {\n   nb_get_retry 0\n   warmup 0\n   \
                connect_ip 10.9.9.9\n   connect_port 8080\n   bindto 10.0.0.9\n   bind_port 99\n   \
                url {\n    path /a\n    virtualhost inner\n    status_code 200-204\n   }\n   url {\n    \
                path /b\n   }\n  }\n  TCP_CHECK {\n  }\n }\nprotocol TCP\n}\n";
    let loaded = keepalived(text);
    let notes = lines(&loaded);
    assert!(notes.iter().all(|line| line.contains("longer than delay_loop 1.5")), "{notes:?}");
    let plan = loaded.plan.unwrap();
    let [http, tcp] = &plan.layer4.virtual_servers[0].real_servers[0].checkers[..] else {
        panic!("two checkers")
    };
    assert_eq!((http.pace.fall, tcp.pace.fall), (1, 5));
    assert_eq!(http.pace.interval, Duration::from_millis(1500));
    assert_eq!((http.pace.warmup, tcp.pace.warmup), (Duration::ZERO, Duration::from_millis(1500)));
    assert_eq!(http.target, "10.9.9.9:8080".parse().unwrap());
    assert_eq!(http.source.bind, Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)), 99)));
    let model::check::CheckKind::Http(model::check::HttpCheck { urls, .. }) = &http.kind else {
        panic!("HTTP_GET")
    };
    assert_eq!(urls[0].virtual_host.as_deref(), Some("inner"));
    assert_eq!(urls[0].status, [(200, 204)]);
    assert_eq!(urls[1].virtual_host.as_deref(), Some("outer"));
}

#[test]
fn addresses_take_the_words_of_ip_address_add() {
    let text = instance(
        "virtual_ipaddress_excluded {\n10.0.0.2/24 dev eth1 brd 10.0.0.255 label eth1:1 scope link\n}",
    );
    let plan = keepalived(&text).plan.unwrap();
    let address = &plan.vrrp.instances[0].excluded_addresses[0];
    assert_eq!(address.prefix_len, 24);
    assert_eq!(address.interface.as_deref(), Some("eth1"));
    assert_eq!(address.label.as_deref(), Some("eth1:1"));
    assert_eq!(
        address.broadcast,
        Some(model::vrrp::Broadcast::Address(Ipv4Addr::new(10, 0, 0, 255)))
    );
    assert_eq!(address.scope, 253);
}

#[test]
fn persistence_without_an_argument_lasts_six_minutes() {
    let text = "virtual_server 10.0.0.1 {\n persistence_timeout\n persistence_granularity \
                255.255.255.0\n real_server 10.0.1.1 {\n }\nprotocol TCP\n}\n";
    let plan = keepalived(text).plan.unwrap();
    let persistence = plan.layer4.virtual_servers[0].persistence.unwrap();
    assert_eq!((persistence.timeout, persistence.prefix_len), (Duration::from_secs(360), 24));
    assert_eq!(plan.layer4.virtual_servers[0].real_servers[0].endpoint.port, 0);
}

#[test]
fn whole_seconds_are_what_version_two_carries() {
    let loaded = keepalived(&instance("advert_int 1.5"));
    assert!(lines(&loaded)[0].contains("advert_int is 2"));
    assert_eq!(loaded.plan.unwrap().vrrp.instances[0].advert_interval, Centiseconds(200));
}

#[test]
fn preemption_settings_have_no_effect_on_a_master() {
    let loaded = keepalived(&instance("state MASTER\npriority 150\nnopreempt\npreempt_delay 5"));
    assert_eq!(loaded.summary.warnings, 2);
    assert!(loaded.plan.unwrap().vrrp.instances[0].preempt);
    let loaded = keepalived(&instance("state BACKUP\nnopreempt"));
    assert!(!loaded.plan.unwrap().vrrp.instances[0].preempt);
}

#[test]
fn a_keyword_given_twice_is_warned_of() {
    let loaded = keepalived(&instance("priority 10\npriority 20"));
    assert!(lines(&loaded)[0].contains("priority is given twice; the last one counts"));
    assert_eq!(loaded.plan.unwrap().vrrp.instances[0].priority.number(), 20);
}

#[test]
fn what_the_roles_do_themselves_is_checked_and_noted() {
    let text = |line: &str| format!("global_defs {{\n    {line}\n}}\n");
    let loaded = keepalived(&text("vrrp_rt_priority 50"));
    assert!(loaded.plan.is_some());
    assert_eq!(
        lines(&loaded),
        [
            "2:5 note: vrrp_rt_priority has no effect; the vrrp role, which speaks BFD too, asks for \
          real-time scheduling from its start"
        ]
    );
    for wrong in [
        "vrrp_rt_priority 100",
        "vrrp_rt_priority",
        "vrrp_priority -21",
        "vrrp_rx_bufs_policy MTU 500",
        "vrrp_netlink_cmd_rcv_bufs many",
        "process_name keepalived_director",
        "vrrp_netlink_cmd_rcv_bufs_force maybe",
        "dynamic_interfaces sometimes",
    ] {
        assert!(keepalived(&text(wrong)).plan.is_none(), "{wrong}");
    }
}

#[test]
fn a_word_after_a_switch_is_ignored_with_a_warning() {
    let loaded = keepalived("global_defs {\n    vrrp_no_swap false\n}\n");
    assert!(loaded.plan.is_some());
    assert!(lines(&loaded)[1].contains("warning: \"false\" is ignored"), "{:?}", lines(&loaded));
}
