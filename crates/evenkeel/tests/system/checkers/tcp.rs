//! TCP_CHECK against nginx, and the options that all checkers which connect have.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};

use model::check::{CheckKind, Checker, Source, UdpCheck};

use super::{Bench, checker, one_each, server, target};
use crate::webserver::Nginx;

#[test]
fn tcp_check_follows_a_server_that_dies_and_returns() {
    let Some(bench) = Bench::new("tcpcheck") else { return };
    let mut nginx = Nginx::start(&bench.server, target(80), &[]);
    let mut role = bench.watch(vec![checker(CheckKind::Tcp, target(80))]);
    let before = server(&mut role);
    assert_eq!((before.in_table, before.up), (true, true));
    assert_eq!(before.last_result.as_deref(), Some("connection accepted"));
    nginx.kill();
    assert_eq!(role.health(), (false, "connection refused".to_string()));
    let dead = server(&mut role);
    assert_eq!((dead.in_table, dead.up), (false, false));
    drop(nginx);
    let _nginx = Nginx::start(&bench.server, target(80), &[]);
    assert_eq!(role.health(), (true, "connection accepted".to_string()));
    assert!(server(&mut role).in_table);
    role.stop();
}

#[test]
fn connections_come_from_where_the_file_says() {
    let Some(bench) = Bench::new("tcpsource") else { return };
    let _nginx = Nginx::start(&bench.server, target(80), &[]);
    bench.director.ip("addr add 10.7.0.9/24 dev eth0").unwrap();
    // The server drops what does not come from the second address, and marks go by another way.
    bench.director.ip("rule add fwmark 7 prohibit").unwrap();
    let rules = "add table ip t; add chain ip t c { type filter hook input priority 0; }; \
                 add rule ip t c tcp dport 80 ip saddr 10.7.0.1 reject with tcp reset";
    let nft = bench.server.command("nft").arg(rules).status().unwrap();
    assert!(nft.success());
    let from = |source: Source| {
        let mut checker = checker(CheckKind::Tcp, target(80));
        checker.source = source;
        checker
    };
    let bound = |address: &str| Source { bind: address.parse().ok(), ..Source::default() };
    let device = |name: &str| Source { interface: Some(name.into()), ..bound("10.7.0.9:0") };
    let results = bench.results_of(one_each(vec![
        from(Source::default()),
        from(bound("10.7.0.9:0")),
        from(bound("10.7.0.9:7777")),
        from(bound("10.7.0.10:0")),
        from(device("eth0")),
        from(device("eth7")),
        from(Source { mark: 7, ..bound("10.7.0.9:0") }),
        from(Source { mark: 8, ..bound("10.7.0.9:0") }),
    ]));
    assert_eq!(
        results,
        [
            "false: connection refused",
            "true: connection accepted",
            "true: connection accepted",
            "false: source address not available",
            "true: connection accepted",
            "false: no such interface",
            "false: Permission denied (os error 13)",
            "true: connection accepted",
        ]
    );
}

#[test]
fn a_fixed_source_port_serves_every_check() {
    let Some(bench) = Bench::new("tcpport") else { return };
    let mut nginx = Nginx::start(&bench.server, target(80), &[]);
    let mut fixed = checker(CheckKind::Tcp, target(80));
    fixed.source.bind = "10.7.0.1:7777".parse().ok();
    let mut role = bench.watch(vec![fixed]);
    // Many checks later it is still up: none of them met the port in TIME_WAIT.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(server(&mut role).last_result.as_deref(), Some("connection accepted"));
    assert_eq!(role.further_health(), 0);
    nginx.kill();
    assert_eq!(role.health(), (false, "connection refused".to_string()));
    role.stop();
}

#[test]
fn servers_are_checked_over_ipv6() {
    let Some(bench) = Bench::new("tcpsix") else { return };
    bench.director.ip("addr add fd07::1/64 dev eth0 nodad").unwrap();
    bench.server.ip("addr add fd07::2/64 dev eth0 nodad").unwrap();
    let (open, closed) = ("[fd07::2]:80".parse().unwrap(), "[fd07::2]:81".parse().unwrap());
    let _nginx = Nginx::start(&bench.server, open, &[]);
    let results = bench.results(vec![(CheckKind::Tcp, open), (CheckKind::Tcp, closed)]);
    assert_eq!(results, ["true: connection accepted", "false: connection refused"]);
}

#[test]
fn link_local_servers_are_checked_through_the_interface() {
    let Some(bench) = Bench::new("tcplocal") else { return };
    bench.director.ip("addr add fe80::71/64 dev eth0 nodad").unwrap();
    bench.server.ip("addr add fe80::72/64 dev eth0 nodad").unwrap();
    let listen = || TcpListener::bind("[::]:80");
    let _listener = bench.server.enter(listen).unwrap().unwrap();
    let from = |kind: CheckKind, port: u16, interface: &str, bind: Option<&str>| {
        let target = SocketAddr::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x72).into(), port);
        let bind = bind.map(|address| address.parse().unwrap());
        let source = Source { bind, interface: Some(interface.into()), mark: 0 };
        Checker { source, ..checker(kind, target) }
    };
    let udp = || CheckKind::Udp(UdpCheck::default());
    let ours = Some("[fe80::71]:0");
    // Echoes by sockets of net.ipv4.ping_group_range, then by raw ones.
    for range in ["0 2147483647", "1 0"] {
        bench.director.sysctl("net/ipv4/ping_group_range", range).unwrap();
        let results = bench.results_of(one_each(vec![
            from(CheckKind::Tcp, 80, "eth0", None),
            from(CheckKind::Tcp, 80, "eth0", ours),
            from(CheckKind::Tcp, 81, "eth0", ours),
            from(CheckKind::Tcp, 80, "eth7", None),
            from(CheckKind::Ping, 0, "eth0", None),
            from(CheckKind::Ping, 0, "eth0", ours),
            from(udp(), 81, "eth0", None),
            from(udp(), 81, "eth0", ours),
        ]));
        assert_eq!(
            results,
            [
                "true: connection accepted",
                "true: connection accepted",
                "false: connection refused",
                "false: no such interface",
                "true: echo answered",
                "true: echo answered",
                "false: port unreachable",
                "false: port unreachable",
            ]
        );
    }
}
