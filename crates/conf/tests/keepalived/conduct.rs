//! `ops`, and the switches that Keepalived does not have.

use model::layer4::{Conduct, State};

use crate::common::{keepalived, lines};

fn service(protocol: &str, settings: &str) -> String {
    format!(
        "virtual_server 10.0.0.1 80 {{\nprotocol {protocol}\n{settings}\nreal_server 10.0.1.1 80 \
         {{\n}}\n}}\n"
    )
}

fn conduct(protocol: &str, settings: &str) -> Conduct {
    let loaded = keepalived(&service(protocol, settings));
    assert_eq!(lines(&loaded), Vec::<String>::new());
    loaded.plan.unwrap().layer4.virtual_servers[0].conduct
}

fn finding(protocol: &str, settings: &str) -> String {
    lines(&keepalived(&service(protocol, settings))).join("\n")
}

#[test]
fn nothing_written_is_the_kernels_defaults() {
    assert_eq!(conduct("TCP", ""), Conduct::default());
    assert_eq!(Conduct::default().conn_reuse_mode, 1);
}

#[test]
fn each_switch_is_read_from_a_line_that_keepalived_leaves_alone() {
    let all = "@evenkeel conn_reuse_mode 2\n@evenkeel expire_nodest_conn\n\
               @evenkeel reset_nodest_conn on\n@evenkeel expire_quiescent_template true\n\
               @evenkeel sloppy_tcp yes\n@^evenkeel sloppy_sctp";
    let expected = Conduct {
        conn_reuse_mode: 2,
        expire_nodest_conn: true,
        reset_nodest_conn: true,
        expire_quiescent_template: true,
        sloppy_tcp: true,
        ..Conduct::default()
    };
    assert_eq!(conduct("TCP", all), expected);
    assert!(conduct("UDP", "ops").one_packet);
    assert!(conduct("SCTP", "@evenkeel sloppy_sctp").sloppy_sctp);
    assert!(!conduct("TCP", "@evenkeel expire_nodest_conn false").expire_nodest_conn);
}

#[test]
fn time_outs_are_by_the_states_of_the_protocol() {
    let settings = "@evenkeel state_timeout established 3600\n@evenkeel state_timeout CLOSE 1";
    let tcp = conduct("TCP", settings).timeouts;
    assert_eq!((tcp.of(1), tcp.of(6), tcp.of(24)), (Some(3600), Some(1), None));
    let sctp = conduct("SCTP", "@evenkeel state_timeout ESTABLISHED 60").timeouts;
    assert_eq!((sctp.of(1), sctp.of(24)), (None, Some(60)));
    let udp = conduct("UDP", "@evenkeel state_timeout UDP 30").timeouts;
    assert_eq!(udp.of(11), Some(30));
    assert!(usize::from(State::ALL.iter().map(|one| one.number).max().unwrap()) < State::NUMBERS);
}

#[test]
fn what_says_nothing_or_cannot_be_is_named_with_what_to_do() {
    for (protocol, settings, expected) in [
        ("TCP", "ops", "ops says nothing: only UDP is scheduled packet by packet"),
        ("UDP", "sloppy_tcp", "sloppy_tcp says nothing: it is for TCP"),
        ("TCP", "conn_reuse_mode 4", "4 is not between 0 and 3"),
        ("TCP", "state_timeout", "state_timeout needs a state and seconds"),
        ("TCP", "state_timeout OPEN 5", "\"OPEN\" is no state of connections"),
        ("TCP", "state_timeout UDP 5", "no connection of this virtual server is ever in state UDP"),
        ("TCP", "state_timeout CLOSE 0", "0 is not between 1 and"),
        ("TCP", "sloppy_tcp maybe", "\"maybe\" is neither true nor false"),
    ] {
        let found = finding(protocol, settings);
        assert!(found.contains(expected), "{settings}: {found}");
    }
    let six = service("SCTP", "").replace("10.0.0.1", "2001:db8::1").replace("10.0.1.1", "fd00::1");
    let found = lines(&keepalived(&six)).join("\n");
    assert!(found.contains("SCTP over IPv6 is not supported by this version"), "{found}");
}
