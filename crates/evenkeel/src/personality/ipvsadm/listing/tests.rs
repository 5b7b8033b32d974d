//! The listings with figures in them; those of empty tables are compared with ipvsadm's own by
//! `tests/system/ipvsadm.rs`.

use std::time::Duration;

use model::layer4::{HashFlags, Persistence, Scheduler, VirtualServerId};
use model::status::{QuorumStatus, RealServerStatus, SorryStatus};

use super::*;

fn options(line: &str) -> Options {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    super::super::options::parse(&words).unwrap().options
}

fn end(text: &str, port: u16) -> Endpoint {
    Endpoint { address: text.parse().unwrap(), port }
}

fn key(text: &str) -> ServiceKey {
    ServiceKey::Address { address: text.parse().unwrap(), port: 80, protocol: Protocol::Tcp }
}

fn server() -> RealServerStatus {
    let counters = Counters {
        connections: 21,
        packets_in: 100_000_000,
        packets_out: 7,
        bytes_in: 12_345_678_901,
        bytes_out: 0,
    };
    let rates = Counters { connections: 3, packets_in: 40, bytes_in: 1_000, ..Counters::default() };
    RealServerStatus {
        endpoint: end("10.0.2.11", 8080),
        forwarding: Forwarding::Nat,
        weight: 3,
        in_table: true,
        up: true,
        last_result: None,
        configured_weight: 3,
        changed: None,
        checkers: Vec::new(),
        flaps: 0,
        history: Vec::new(),
        active: 1,
        inactive: 20,
        templates: 2,
        upper_threshold: 100,
        lower_threshold: 50,
        counters,
        rates,
    }
}

fn service() -> ServiceStatus {
    let key = key("10.0.1.100");
    ServiceStatus {
        id: VirtualServerId::Service(key),
        key,
        quorum: QuorumStatus::default(),
        sorry: None,
        suspended: false,
        scheduler: Scheduler::WeightedRoundRobin,
        persistence: Some(Persistence { timeout: Duration::from_secs(60), prefix_len: 24 }),
        one_packet: false,
        counters: server().counters,
        rates: server().rates,
        changed: None,
        servers: vec![server()],
    }
}

fn listed(services: &[ServiceStatus], line: &str) -> String {
    super::services(services, options(line), &mut Names::numeric())
}

#[test]
fn each_listing_has_its_figures_where_ipvsadm_has_them() {
    let service = "TCP  10.0.1.100:80 wrr persistent 60 mask 255.255.255.0\n";
    for (line, expected) in [
        (
            "-Ln",
            "Prot LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port           Forward Weight \
             ActiveConn InActConn\nSERVICE  -> 10.0.2.11:8080               Masq    3      1          \
             20        \n",
        ),
        (
            "-Ln --stats",
            "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n  -> \
             RemoteAddress:Port\nTCP  10.0.1.100:80                      21  100000K        7   \
             12345M        0\n  -> 10.0.2.11:8080                     21  100000K        7   \
             12345M        0\n",
        ),
        (
            "-Ln --rate",
            "Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS\n  -> \
             RemoteAddress:Port\nTCP  10.0.1.100:80                       3       40        0     1000        \
             0\n  -> 10.0.2.11:8080                      3       40        0     1000        0\n",
        ),
        (
            "-Ln --thresholds",
            "Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn \n  -> \
             RemoteAddress:Port\nSERVICE  -> 10.0.2.11:8080               100        50         1          \
             20        \n",
        ),
        (
            "-Ln --persistent-conn",
            "Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn \n  -> \
             RemoteAddress:Port\nSERVICE  -> 10.0.2.11:8080               3         2           1          \
             20        \n",
        ),
    ] {
        assert_eq!(
            listed(&[self::service()], line),
            expected.replace("SERVICE", service),
            "{line}"
        );
    }
}

#[test]
fn a_service_of_ipv6_stands_in_brackets_with_a_prefix_for_a_mask() {
    let mut one = service();
    one.key = key("2001:db8::1");
    one.servers[0].endpoint.address = "2001:db8:0:1::11".parse().unwrap();
    for (prefix_len, mask) in [(64, " mask 64"), (128, "")] {
        let timeout = Duration::from_secs(60);
        one.persistence = Some(Persistence { timeout, prefix_len });
        let expected = format!(
            "\nTCP  [2001:db8::1]:80 wrr persistent 60{mask}\n  -> [2001:db8:0:1::11]:8080      Masq    \
             3      1          20        \n"
        );
        assert!(listed(std::slice::from_ref(&one), "-Ln").ends_with(&expected), "{expected}");
    }
}

#[test]
fn flags_of_schedulers_and_firewall_marks_are_listed_and_saved() {
    let mut one = service();
    let flags = HashFlags { fallback: true, port: true };
    one.scheduler = Scheduler::SourceHashing(flags);
    one.key = ServiceKey::Mark { mark: 80, family: Family::Ipv4 };
    one.persistence = None;
    let text = listed(std::slice::from_ref(&one), "-Ln");
    assert!(text.contains("\nFWM  80 sh (sh-fallback,sh-port)\n"), "{text}");
    one.key = ServiceKey::Mark { mark: 80, family: Family::Ipv6 };
    let text = rules(&[one], options("-Sn"), &mut Names::numeric());
    let expected =
        "-A -f 80 -6 -s sh -b sh-fallback,sh-port\n-a -f 80 -6 -r 10.0.2.11:8080 -m -w 3\n";
    assert_eq!(text, expected);
}

#[test]
fn a_sorry_server_that_serves_is_a_destination_and_one_out_of_the_tables_is_none() {
    let mut one = service();
    one.servers[0].in_table = false;
    one.sorry = Some(SorryStatus {
        endpoint: end("10.0.2.99", 80),
        forwarding: Forwarding::Nat,
        weight: Some(1),
        serves: true,
        active: 4,
        inactive: 5,
    });
    let text = listed(&[one], "-Ln");
    let expected = "\n  -> 10.0.2.99:80                 Masq    1      4          5         \n";
    assert!(text.ends_with(expected) && !text.contains("10.0.2.11"), "{text}");
}

#[test]
fn connections_show_time_state_and_the_three_ends() {
    let connection = ConnectionStatus {
        service: key("2001:db8::1"),
        client: end("2001:db8:7::7", 40_000),
        server: end("2001:db8:0:1::11", 8080),
        state: "ESTABLISHED".into(),
        expires_seconds: 899,
    };
    let text = connections(&[connection], options("-Lnc"), &mut Names::numeric());
    assert_eq!(
        text.lines().last().unwrap(),
        "TCP 14:59  ESTABLISHED [2001:db8:7::7]:40000 [2001:db8::1]:80   [2001:db8:0:1::11]:8080"
    );
}

#[test]
fn numbers_are_shortened_where_ipvsadm_shortens_them_and_never_with_exact() {
    let (exact, usual) = (options("-LX"), Options::default());
    for (number, shown, in_full) in [
        (0, "        0", "        0"),
        (99_999_999, " 99999999", " 99999999"),
        (100_000_000, "  100000K", " 100000000"),
        (1_000_000_000, "    1000M", " 1000000000"),
        (100_000_000_000, "     100G", " 100000000000"),
        (100_000_000_000_000, "     100T", " 100000000000000"),
    ] {
        assert_eq!(
            (large(number, usual).as_str(), large(number, exact).as_str()),
            (shown, in_full)
        );
    }
}
