//! Virtual servers: groups, quorum, sorry server, and what their settings say together.

use model::layer4::{Forwarding, Tunnel, VIRTUAL_SERVERS_MAX, VirtualServer, VirtualServerId};

use crate::common::{Table, keepalived, lines};

fn only(text: &str) -> String {
    let loaded = keepalived(text);
    let lines = lines(&loaded);
    assert_eq!(lines.len(), 1, "{text}\n{lines:?}");
    lines[0].clone()
}

/// The first virtual server of a file without findings.
fn first(text: &str) -> VirtualServer {
    let loaded = keepalived(text);
    assert_eq!(lines(&loaded), Vec::<String>::new(), "{text}");
    loaded.plan.unwrap().layer4.virtual_servers.remove(0)
}

/// A virtual server with three real servers.
fn service(settings: &str) -> String {
    format!(
        "virtual_server 10.0.0.1 80 {{\n{settings}\nreal_server 10.0.1.1 80 {{\n}}\n\
         real_server 10.0.1.2 80 {{\n}}\nreal_server 10.0.1.3 80 {{\n}}\nprotocol TCP\n}}\n"
    )
}

fn group(lines: &str, service: &str) -> String {
    let protocol = if service.contains("protocol") { "" } else { "protocol TCP\n" };
    format!(
        "virtual_server_group web {{\n{lines}\n}}\nvirtual_server group web {{\n{service}\n\
         real_server 10.0.1.1 80 {{\n}}\n{protocol}}}\n"
    )
}

fn services(server: &VirtualServer) -> Vec<String> {
    server.services.iter().map(ToString::to_string).collect()
}

#[test]
fn tunnels_have_a_kind_a_port_and_a_checksum_as_keepalived_writes_them() {
    for (written, tunnel) in [
        ("TUN", Tunnel::IpIp),
        ("TUN type ipip", Tunnel::IpIp),
        ("TUN type gre", Tunnel::Gre { checksum: false }),
        ("TUN type gre nocsum", Tunnel::Gre { checksum: false }),
        ("TUN type gre csum", Tunnel::Gre { checksum: true }),
        ("TUN type gue port 6080", Tunnel::Gue { port: 6080, checksum: false }),
        ("TUN type gue port 6080 csum", Tunnel::Gue { port: 6080, checksum: true }),
    ] {
        for keyword in ["lb_kind", "lvs_method"] {
            let server = first(&service(&format!("{keyword} {written}")));
            assert_eq!(server.real_servers[2].forwarding, Forwarding::Tunnel(tunnel), "{written}");
        }
        let sorry = format!("sorry_server 10.0.9.9 80\nsorry_server_lvs_method {written}");
        let server = first(&service(&sorry));
        assert_eq!(server.quorum.sorry.unwrap().forwarding, Forwarding::Tunnel(tunnel));
        // Said again as it is written, where that says anything.
        let said = Forwarding::Tunnel(tunnel).to_string();
        assert!(written.replace(" nocsum", "").replace(" type ipip", "") == said, "{said}");
    }
}

#[test]
fn a_group_is_all_its_addresses_ranges_and_networks() {
    let text = group("10.0.0.1 80\n10.0.0.9-11 80\n10.0.0.254-10.0.1.0 80\n10.0.2.8/30 80", "");
    let server = first(&text);
    assert_eq!(server.id.to_string(), "TCP group web");
    let last: Vec<String> = services(&server)
        .iter()
        .map(|one| one.replace("TCP 10.0.", "").replace(":80", ""))
        .collect();
    assert_eq!(
        last,
        ["0.1", "0.9", "0.10", "0.11", "0.254", "0.255", "1.0", "2.8", "2.9", "2.10", "2.11"]
    );
    assert_eq!(server.real_servers[0].endpoint.port, 80);
}

#[test]
fn a_group_serves_each_protocol_once() {
    let one = |protocol: &str| {
        format!(
            "virtual_server group g {{\nprotocol {protocol}\nreal_server 10.0.1.1 80 {{\n}}\n}}\n"
        )
    };
    let lines = "virtual_server_group g {\n10.0.0.1 80\n}\n";
    let loaded = keepalived(&format!("{lines}{}{}", one("TCP"), one("UDP")));
    assert_eq!(loaded.plan.unwrap().layer4.virtual_servers.len(), 2);
    let twice = only(&format!("{lines}{}{}", one("TCP"), one("tcp")));
    assert!(twice.contains("virtual_server TCP group g exists already"), "{twice}");
}

#[test]
fn a_group_of_several_ports_leaves_the_clients_port() {
    let text = group("10.0.0.1 80\n10.0.0.1 443", "lb_kind NAT").replace("10.0.1.1 80", "10.0.1.1");
    assert_eq!(first(&text).real_servers[0].endpoint.port, 0);
    let one = text.replace("10.0.0.1 443", "10.0.0.2 80");
    assert_eq!(first(&one).real_servers[0].endpoint.port, 80);
}

#[test]
fn wrong_lines_of_a_group_say_what_would_be_right() {
    for (line, finding) in [
        (
            "10.0.0.9-1 80",
            "2:1 error: the range 10.0.0.9-1 ends before it begins; did you mean 10.0.0.1-10.0.0.9?",
        ),
        ("10.0.1.9-10.0.0.1 80", "ends before it begins"),
        ("10.0.0.1-300 80", "300 is not between 0 and 255"),
        (
            "10.0.0.1/30 80",
            "2:1 error: 10.0.0.1/30 is not the first address of its network; write 10.0.0.0/30 for the network, or 10.0.0.1 for the address",
        ),
        ("10.0.0.0/0 80", "0 is not between 1 and 32"),
        ("10.0.0.0/33 80", "33 is not between 1 and 32"),
        ("10.0.0.1 70000", "70000 is not between 0 and 65535"),
        ("10.0.0.1 80 90", "unexpected \"90\" after the port"),
        ("fwmark", "2:1 error: fwmark needs a mark; write the number that the firewall sets"),
        ("fwmark 0", "0 is not between 1 and 4294967295"),
        ("fwmark 3 ipv6", "unexpected \"ipv6\" after the mark; write inet, inet6 or nothing"),
        ("10.0.0.1 80\nfwmark 3\nfwmark 3", "4:1 warning: FWM 3 is in this group already"),
        ("nonsense", "\"nonsense\" is not an IP address"),
        ("", "virtual_server_group web has no addresses"),
        ("10.0.0.1", "a virtual server for all ports is persistent: persistence_timeout is 360"),
        ("10.0.0.1 80\n10.0.0.1 80", "3:1 warning: TCP 10.0.0.1:80 is in this group already"),
        ("224.0.0.1 80", "224.0.0.1 cannot be the address of a virtual server"),
        ("10.0.1.1 80", "warning: this real server is the virtual server itself"),
    ] {
        let found = only(&group(line, ""));
        assert!(found.contains(finding), "{line}: {found}");
    }
}

#[test]
fn groups_that_nobody_uses_or_nobody_defines_are_told() {
    let unused = "virtual_server_group a {\n10.0.0.1 80\n}\n";
    assert_eq!(
        only(unused),
        "1:22 warning: nobody serves virtual_server_group a; write virtual_server group a, or \
         remove it"
    );
    let undefined = group("10.0.0.1 80", "").replace("server group web", "server group wed");
    let lines = lines(&keepalived(&undefined));
    assert!(lines[0].contains("nobody serves virtual_server_group web"), "{lines:?}");
    assert!(lines[1].contains("no virtual_server_group is named wed; did you mean \"web\"?"));
    assert!(
        only("virtual_server group {\nreal_server 10.0.1.1 80 {\n}\nprotocol TCP\n}\n")
            .contains("needs a name")
    );
    let twice = group("10.0.0.1 80", "") + "virtual_server_group web {\n10.0.0.2 80\n}\n";
    assert!(only(&twice).contains("virtual_server_group web exists already"));
}

#[test]
fn a_service_belongs_to_one_virtual_server() {
    let text = group("10.0.0.0/30 80", "") + &service("");
    assert!(only(&text).contains("another virtual_server serves TCP 10.0.0.1:80"));
}

#[test]
fn ranges_fill_the_tables_and_no_more() {
    let exactly = group("10.16.0.0/21 80", "");
    assert_eq!(first(&exactly).services.len(), VIRTUAL_SERVERS_MAX);
    for line in ["10.16.0.0/21 80\n10.17.0.1 80", "11.0.0.0/8 80", "0.0.0.1-255.255.255.254 80"] {
        let found = only(&group(line, ""));
        assert!(found.contains("more than 2048 virtual servers"), "{found}");
    }
    let servers: String = (1..=33).map(|n| format!("real_server 10.1.0.{n} 80 {{\n}}\n")).collect();
    let found = only(&group("10.16.0.0/21 80", &servers));
    assert!(found.contains("more than 65536 real servers in all"), "{found}");
}

#[test]
fn quorum_and_sorry_server_arrive_as_written() {
    let server = first(&service(
        "quorum 2\nhysteresis 1\nquorum_up \"/bin/a b\"\nquorum_down /bin/c\nlb_kind DR\n\
         sorry_server 10.0.9.9 8080\nsorry_server_inhibit\nsorry_server_lvs_method NAT",
    ));
    let quorum = &server.quorum;
    assert_eq!((quorum.weight, quorum.hysteresis), (2, 1));
    assert_eq!(quorum.up.as_ref().unwrap().words, ["/bin/a", "b"]);
    assert_eq!(quorum.down.as_ref().unwrap().words, ["/bin/c"]);
    let sorry = quorum.sorry.as_ref().unwrap();
    assert_eq!(sorry.endpoint.to_string(), "10.0.9.9:8080");
    assert_eq!((sorry.forwarding, sorry.inhibit), (Forwarding::Nat, true));
    let portless = first(&service("sorry_server 10.0.9.9"));
    assert_eq!(portless.quorum.sorry.unwrap().endpoint.port, 80);
    let plain = first(&service("")).quorum;
    assert_eq!((plain.weight, plain.hysteresis, plain.sorry), (1, 0, None));
}

#[test]
fn a_quorum_that_cannot_be_is_what_keepalived_makes_of_it() {
    let warned = |settings: &str, weight: u32, hysteresis: u32, finding: &str| {
        let text = service(settings);
        let loaded = keepalived(&text);
        let lines = lines(&loaded).join("\n");
        assert!(lines.contains(finding), "{settings}: {lines}");
        let quorum = loaded.plan.unwrap().layer4.virtual_servers.remove(0).quorum;
        assert_eq!((quorum.weight, quorum.hysteresis), (weight, hysteresis), "{settings}");
    };
    warned(
        "quorum 9",
        3,
        0,
        "2:1 warning: quorum 9 is more than all real servers weigh together: it is 3",
    );
    warned(
        "quorum 2\nhysteresis 2",
        2,
        1,
        "hysteresis 2 is not below quorum 2: it is 1; write hysteresis 1 or less",
    );
    warned("quorum 3\nhysteresis 1", 3, 1, "the quorum is never gained: that takes weight 4");
    warned("weight 4\nquorum 9\nhysteresis 3", 9, 3, "");
    warned("quorum 0", 1, 0, "2:1 warning: quorum 0 says nothing: it is 1");
    warned("nat_mask 255.255.255.0", 1, 0, "2:1 note: nat_mask has no effect; it never had one");
}

#[test]
fn a_sorry_server_that_makes_no_sense_is_told() {
    for (settings, finding) in [
        (
            "sorry_server 10.0.1.2 80",
            "2:14 warning: the sorry server is one of the real servers; use a server of its own",
        ),
        ("sorry_server 10.0.0.1 80", "warning: this sorry server is the virtual server itself"),
        ("sorry_server_inhibit", "sorry_server_inhibit has no effect without sorry_server"),
        (
            "sorry_server_lvs_method DR",
            "sorry_server_lvs_method has no effect without sorry_server",
        ),
        (
            "sorry_server_inhibit\nsorry_server 10.0.9.9 80",
            "Keepalived ignores sorry_server_inhibit before sorry_server",
        ),
        (
            "lb_kind DR\nsorry_server 10.0.9.9 81",
            "direct routing cannot change the port: it stays 80",
        ),
        ("quorum_up /bin/a\nquorum_up /bin/b", "the first quorum_up counts, not this one"),
        (
            "sorry_server 10.0.9.9 81\nsorry_server_lvs_method TUN",
            "a tunnel cannot change the port: it stays 80",
        ),
    ] {
        let found = only(&service(settings));
        assert!(found.contains(finding), "{settings}: {found}");
    }
    let server = keepalived(&service("inhibit_on_failure\nsorry_server 10.0.1.2 80"));
    let server = server.plan.unwrap().layer4.virtual_servers.remove(0);
    assert!(server.quorum.sorry.unwrap().inhibit, "as the real server has it");
}

#[test]
fn real_servers_say_otherwise_than_their_virtual_server() {
    let text = "global_defs {\nsmtp_alert_checker true\n}\nvirtual_server 10.0.0.1 80 {\nalpha\n\
                omega\nha_suspend\ninhibit_on_failure\nweight 7\nreal_server 10.0.1.1 80 {\n\
                alpha false\ninhibit_on_failure off\nsmtp_alert no\nweight 3\nuthreshold 100\n\
                lthreshold 50\nnotify_up \"/bin/a b\"\nnotify_down /bin/c\nTCP_CHECK {\n}\n}\n\
                real_server 10.0.1.2 80 {\nTCP_CHECK {\n}\n}\nprotocol TCP\n}\n\
                vrrp_instance A {\ninterface eth0\nvirtual_router_id 7\nvirtual_ipaddress {\n\
                10.0.0.1\n}\n}\n";
    let server = first(text);
    assert!(server.alpha && server.omega && server.ha_suspend && server.smtp_alert);
    let [own, default] = &server.real_servers[..] else { panic!("two") };
    assert_eq!((own.weight, default.weight), (3, 7));
    assert_eq!((own.inhibit_on_failure, default.inhibit_on_failure), (false, true));
    assert_eq!((own.smtp_alert, default.smtp_alert), (false, true));
    assert_eq!((own.upper_threshold, own.lower_threshold), (100, 50));
    assert_eq!((default.upper_threshold, default.lower_threshold), (0, 0));
    assert!(own.checkers[0].pace.initially_up && !default.checkers[0].pace.initially_up);
    assert_eq!(own.notify_up.as_ref().unwrap().words, ["/bin/a", "b"]);
    assert_eq!(own.notify_down.as_ref().unwrap().words, ["/bin/c"]);
}

#[test]
fn mail_is_for_real_servers_unless_somebody_says_otherwise() {
    let alerts = |global: &str, own: &str| {
        let server = first(&format!("global_defs {{\n{global}\n}}\n{}", service(own)));
        (server.smtp_alert, server.real_servers[0].smtp_alert)
    };
    assert_eq!(alerts("", ""), (false, true));
    assert_eq!(alerts("smtp_alert true", ""), (true, true));
    assert_eq!(alerts("smtp_alert false", ""), (false, false));
    assert_eq!(alerts("smtp_alert true\nsmtp_alert_checker false", ""), (false, false));
    assert_eq!(alerts("", "smtp_alert true"), (true, true));
}

#[test]
fn a_lower_threshold_needs_a_greater_upper_one() {
    let with = |lines: &str| service("").replacen("80 {\n}", &format!("80 {{\n{lines}\n}}"), 1);
    assert!(only(&with("lthreshold 5")).contains("lthreshold needs uthreshold"));
    let found = only(&with("uthreshold 4\nlthreshold 5"));
    assert!(found.contains("lthreshold 5 is above uthreshold 4"), "{found}");
    first(&with("uthreshold 5\nlthreshold 5"));
}

#[test]
fn the_director_gets_its_programs_pipes_and_bounds() {
    let text = format!(
        "child_wait_time 9\nglobal_defs {{\nscript_user root\nenable_script_security\numask 022\n\
         notify_fifo /run/all\nlvs_notify_fifo /run/lvs root\nlvs_notify_fifo_script /bin/read\n\
         vrrp_notify_fifo /run/vrrp\n}}\n{}",
        service("")
    );
    let table = Table::default().with("k.conf", &text);
    let outside = table.only("k.conf").plan.map(|plan| plan.layer4.outside);
    let Some(outside) = outside else {
        // The table knows no users on some machines.
        return;
    };
    let paths: Vec<&str> = outside.fifos.iter().map(|fifo| fifo.path.as_str()).collect();
    assert_eq!(paths, ["/run/all", "/run/lvs"]);
    assert_eq!(outside.fifos[1].script.as_ref().unwrap().words, ["/bin/read"]);
    assert!(outside.script_security);
    assert_eq!((outside.finish_within.as_secs(), outside.umask), (9, 0o22));
    let same = text.replace("/run/lvs", "/run/vrrp");
    let found = lines(&keepalived(&same)).join("\n");
    assert!(found.contains("/run/vrrp is another pipe already"), "{found}");
}

#[test]
fn a_real_server_with_two_weights_is_noted_once_and_the_others_counted() {
    let server = |vip: u32, weight: u32, count: u32| -> String {
        let servers: String = (1..=count)
            .map(|n| format!("real_server 10.1.0.{n} 80 {{\nweight {weight}\n}}\n"))
            .collect();
        format!("virtual_server 10.0.0.{vip} 80 {{\n{servers}protocol TCP\n}}\n")
    };
    let found = only(&(server(1, 1, 1) + &server(2, 1, 1) + &server(3, 2, 1)));
    assert_eq!(
        found,
        "14:13 note: real server 10.1.0.1:80 has weight 2 here and 1 in another virtual server; \
         give it the same weight in both, unless it really serves one of them more"
    );
    let lines = lines(&keepalived(&(server(1, 1, 200) + &server(2, 2, 200))));
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines[3].contains("(and 196 more like this)"), "{}", lines[3]);
}

#[test]
fn a_check_slower_than_its_interval_is_noted_once_for_each_pair_of_times() {
    let text = |timers: &str| service(timers).replace("80 {\n}", "80 {\nTCP_CHECK {\n}\n}");
    let found = only(&text("delay_loop 6\nconnect_timeout 3\nretry 3\ndelay_before_retry 2"));
    assert_eq!(
        found,
        "7:1 note: this check takes up to 18 s to find its server down, longer than delay_loop 6; \
         so do 2 others; lower connect_timeout, retry or delay_before_retry, or write delay_loop 18"
    );
    let program = "{\nMISC_CHECK {\nmisc_path /bin/true\nmisc_timeout 9\n}\n}";
    let found =
        lines(&keepalived(&text("delay_loop 6\nretry 1").replace("{\nTCP_CHECK {\n}\n}", program)));
    assert!(found.iter().any(|line| line.contains("lower misc_timeout, retry")), "{found:?}");
    assert_eq!(
        lines(&keepalived(&text(
            "delay_loop 18\nconnect_timeout 3\nretry 3\ndelay_before_retry 2"
        ))),
        [""; 0]
    );
}

#[test]
fn a_check_that_cannot_reach_its_server_is_told() {
    let instance = "vrrp_instance A {\ninterface eth0\nvirtual_router_id 7\nvirtual_ipaddress {\n\
                    10.0.0.1\n}\n}\n";
    let checked = |option: &str, settings: &str| {
        format!(
            "{instance}{}",
            service(settings).replacen(
                "80 {\n}",
                &format!("80 {{\nTCP_CHECK {{\n{option}\n}}\n}}"),
                1
            )
        )
    };
    let found = only(&checked("connect_ip 10.0.0.1", ""));
    assert!(found.contains("this check connects to the virtual address 10.0.0.1"), "{found}");
    let found = only(&checked("bindto 10.0.0.1", ""));
    assert!(found.contains("10.0.0.1 is a virtual address: on the backup this check cannot leave"));
    assert_eq!(lines(&keepalived(&checked("bindto 10.0.0.1", "ha_suspend"))), [""; 0]);
    assert!(only(&checked("connect_port 0", "")).contains("0 is not between 1 and 65535"));
}

#[test]
fn suspended_checks_need_somebody_who_brings_the_address() {
    let found = only(&service("ha_suspend"));
    assert!(found.starts_with("2:1 warning: no vrrp_instance holds 10.0.0.1"), "{found}");
}

#[test]
fn the_virtual_server_of_a_group_has_the_groups_name() {
    let server = first(&group("10.0.0.1 80", "protocol UDP"));
    let VirtualServerId::Group { name, protocol } = &server.id else { panic!("{:?}", server.id) };
    assert_eq!((name.as_str(), protocol.to_string().as_str()), ("web", "UDP"));
    assert_eq!(services(&server), ["UDP 10.0.0.1:80"]);
}
