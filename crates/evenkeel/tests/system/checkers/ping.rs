//! PING_CHECK against this machine's kernel, by both kinds of sockets.

use model::check::CheckKind;

use super::{Bench, target};

#[test]
fn ping_check_tells_the_living_from_the_dead() {
    let Some(bench) = Bench::new("ping") else { return };
    bench.director.ip("addr add fd07::1/64 dev eth0 nodad").unwrap();
    bench.server.ip("addr add fd07::2/64 dev eth0 nodad").unwrap();
    bench.director.ip("route add 203.0.113.0/24 via 10.7.0.2").unwrap();
    bench.server.sysctl("net/ipv4/ip_forward", "1").unwrap();
    bench.server.ip("route add unreachable 203.0.113.0/24").unwrap();
    // With raw sockets, then with those of net.ipv4.ping_group_range.
    for range in ["1 0", "0 2147483647"] {
        bench.director.sysctl("net/ipv4/ping_group_range", range).unwrap();
        let ping = |address: &str| (CheckKind::Ping, format!("{address}:0").parse().unwrap());
        let results = bench.results(vec![
            (CheckKind::Ping, target(0)),
            ping("[fd07::2]"),
            ping("203.0.113.7"),
            ping("10.7.0.77"),
            ping("10.7.0.1"),
        ]);
        assert_eq!(
            results[..3],
            ["true: echo answered", "true: echo answered", "false: no route to host",]
        );
        // Nobody has this address: the kernel gives up asking for it, or the time-out is first.
        let dead = &results[3];
        assert!(
            ["false: no route to host", "false: no answer within 2 s"].contains(&dead.as_str()),
            "{dead}"
        );
        assert_eq!(results[4], "true: echo answered");
    }
}
