//! Every checker of keepalived.conf, from text to plan.

use std::net::SocketAddr;
use std::time::Duration;

use model::check::{
    CheckKind, Checker, DnsCheck, FileCheck, HttpVersion, MiscCheck, Pattern, ServerName,
};
use model::layer4::TlsFiles;

use crate::common::{Table, faults, keepalived};

fn service(checkers: &str) -> String {
    format!(
        "virtual_server 10.0.0.1 80 {{\n delay_loop 7\n real_server 10.0.1.1 80 {{\n{checkers}\n \
         }}\nprotocol TCP\n}}\n"
    )
}

/// The checkers of the only real server; nothing was found.
fn checkers(text: &str) -> Vec<Checker> {
    let loaded = keepalived(text);
    assert!(faults(&loaded).is_empty(), "{text}\n{:?}", faults(&loaded));
    let mut plan = loaded.plan.expect("a plan");
    plan.layer4.virtual_servers.remove(0).real_servers.remove(0).checkers
}

fn only(lines: &str) -> Checker {
    let mut all = checkers(&service(lines));
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn pages_over_tls_have_all_their_options() {
    let checker = only(
        "SSL_GET {\nhttp_protocol 1.1\nfast_recovery\nenable_sni\ntls_compliant\nvirtualhost a.b\n\
         url {\npath /x\nstatus_code 200 301-302\nstatus_code 404\nvirtualhost c.d\n\
         digest 640205b7b0fc66c1ea91c463fac6334d\n}\n\
         url {\npath /y\nregex \"^up\\\\d\"\nregex_no_match\nregex_options caseless dotall\n\
         regex_min_offset 2\nregex_max_offset 9\n}\n}",
    );
    assert_eq!(checker.pace.retry_interval, Duration::from_secs(3));
    let CheckKind::Http(http) = checker.kind else { panic!("SSL_GET") };
    let tls = http.tls.expect("TLS");
    assert_eq!((tls.server_name, tls.compliant), (ServerName::VirtualHost, true));
    assert_eq!((http.version, http.fast_recovery), (HttpVersion::Http11, true));
    let [x, y] = &http.urls[..] else { panic!("two pages") };
    assert_eq!(x.status, [(200, 200), (301, 302), (404, 404)]);
    assert_eq!((x.virtual_host.as_deref(), y.virtual_host.as_deref()), (Some("c.d"), Some("a.b")));
    assert!(x.digest.is_some() && x.pattern.is_none());
    assert_eq!(y.status, [(200, 299)]);
    let pattern = Pattern {
        expression: "(?is)^up\\d".into(),
        negated: true,
        min_offset: 2,
        max_offset: Some(10),
    };
    assert_eq!(y.pattern, Some(pattern));
}

#[test]
fn the_server_name_is_the_last_that_was_said() {
    let name = |lines: &str| {
        let checker = only(&format!("SSL_GET {{\nurl {{\npath /\n}}\n{lines}\n}}"));
        let CheckKind::Http(http) = checker.kind else { panic!("SSL_GET") };
        http.tls.expect("TLS").server_name
    };
    assert_eq!(name(""), ServerName::Absent);
    assert_eq!(name("enable_sni off"), ServerName::Absent);
    assert_eq!(name("sni_name"), ServerName::VirtualHost);
    assert_eq!(name("sni_name a.b\nenable_sni"), ServerName::Name("a.b".into()));
}

#[test]
fn each_host_of_an_smtp_check_is_a_checker() {
    let own = only("SMTP_CHECK {\n}");
    assert_eq!(own.target, address("10.0.1.1:80"));
    let CheckKind::Smtp(smtp) = &own.kind else { panic!("SMTP_CHECK") };
    assert_eq!(smtp.helo_name, "smtpchecker.keepalived.org");

    let hosts = "helo_name me\nretry 4\nhost {\nconnect_port 25\nconnect_timeout 2\n}\n\
                 host {\nconnect_ip 10.0.1.9\nbindto 10.0.0.8\nretry 5\nalpha\n}";
    let all = checkers(&service(&format!("SMTP_CHECK {{\n{hosts}\n}}")));
    let [first, second] = &all[..] else { panic!("{all:?}") };
    assert_eq!((first.target, second.target), (address("10.0.1.1:25"), address("10.0.1.9:80")));
    assert_eq!(first.timeout, Duration::from_secs(2));
    assert_eq!(second.timeout, Duration::from_secs(5));
    assert_eq!(second.source.bind, Some(address("10.0.0.8:0")));
    // Timers are the whole check's, wherever they stand.
    assert_eq!((first.pace.fall, second.pace.fall), (6, 6));
    assert!(!first.pace.initially_up && !second.pace.initially_up);
    let with_own = service(&format!("SMTP_CHECK {{\n{hosts}\nconnect_port 26\n}}"));
    let targets: Vec<SocketAddr> = checkers(&with_own).iter().map(|one| one.target).collect();
    assert_eq!(targets, ["10.0.1.1:26", "10.0.1.1:25", "10.0.1.9:80"].map(address));
}

#[test]
fn name_servers_are_asked_three_times_more_at_the_pace_of_the_loop() {
    let checker = only("DNS_CHECK {\n}");
    assert_eq!(checker.kind, CheckKind::Dns(DnsCheck { record_type: 6, name: ".".into() }));
    assert_eq!((checker.pace.fall, checker.pace.retry_interval), (4, Duration::from_secs(7)));
    let checker = only("DNS_CHECK {\ntype aaaa\nname example.com.\ndelay_before_retry 2\n}");
    let kind = CheckKind::Dns(DnsCheck { record_type: 28, name: "example.com.".into() });
    assert_eq!((checker.kind, checker.pace.retry_interval), (kind, Duration::from_secs(2)));
}

#[test]
fn packets_and_answers_are_bytes_with_masks() {
    let checker =
        only("UDP_CHECK {\nmax_reply_length 512\npayload 01 0203 4\nrequire_reply \"ab xC\"\n}");
    let CheckKind::Udp(udp) = checker.kind else { panic!("UDP_CHECK") };
    assert_eq!(udp.payload.as_deref(), Some(&[1, 2, 3, 4][..]));
    let reply = udp.reply.expect("an answer");
    assert_eq!(reply.bytes, [(0xab, 0xff), (0x0c, 0x0f)]);
    assert_eq!((reply.min_length, reply.max_length), (0, 512));
    let CheckKind::Udp(udp) = only("UDP_CHECK {\nrequire_reply\n}").kind else { panic!("UDP") };
    let reply = udp.reply.expect("an answer");
    assert!(udp.payload.is_none() && reply.bytes.is_empty() && reply.max_length == 255);
}

#[test]
fn every_failure_of_every_checker_can_be_asked_for_at_once() {
    let service = service(
        "TCP_CHECK {\nlog_all_failures no\n}\nSMTP_CHECK {\nhost {\nlog_all_failures no\n}\n}",
    );
    assert!(checkers(&service).iter().all(|one| !one.log_all_failures));
    let text = "global_defs {\n checker_log_all_failures\n}\n".to_owned() + &service;
    assert!(checkers(&text).iter().all(|one| one.log_all_failures));
}

#[test]
fn an_echo_has_no_port() {
    let checker = only("PING_CHECK {\nconnect_ip 2001:db8::1\nfwmark 9\nbind_if eth7\n}");
    assert_eq!((&checker.kind, checker.target), (&CheckKind::Ping, address("[2001:db8::1]:0")));
    assert_eq!((checker.source.mark, checker.source.interface.as_deref()), (9, Some("eth7")));
    let found = faults(&keepalived(&service("PING_CHECK {\nconnect_port 8\n}")));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("connect_port has no effect; an ICMP echo has no ports"),
        "{found:?}"
    );
}

#[test]
fn a_program_is_tried_once_within_the_loop_of_the_virtual_server() {
    let checker = only("delay_loop 9\nMISC_CHECK {\nmisc_path \"/bin/a -x 'b c'\"\n}");
    assert_eq!((checker.pace.fall, checker.timeout), (1, Duration::from_secs(7)));
    let CheckKind::Misc(MiscCheck { command, dynamic, configured_weight }) = checker.kind else {
        panic!("MISC_CHECK")
    };
    assert_eq!(command.words, ["/bin/a", "-x", "b c"]);
    assert_eq!((command.user, dynamic, configured_weight), (None, false, 0));
    let checker =
        only("weight 6\nMISC_CHECK {\nmisc_path /bin/a\nmisc_timeout 3\nmisc_dynamic\nretry 2\n}");
    assert_eq!((checker.pace.fall, checker.timeout), (3, Duration::from_secs(3)));
    let CheckKind::Misc(misc) = checker.kind else { panic!("MISC_CHECK") };
    assert!(misc.dynamic && misc.configured_weight == 6);
}

#[test]
fn a_file_brings_its_own_weight() {
    let files = "track_file F {\n file /f\n weight -4 reverse\n}\ntrack_file G {\n file /g\n}\n\
                 track_file H {\n file /h\n}\n";
    let text = files.to_owned()
        + &service(
            "FILE_CHECK {\ntrack_file F\n}\nFILE_CHECK {\ntrack_file G\n}\n\
             FILE_CHECK {\ntrack_file G\nweight 0\n}",
        );
    let file = |name: &str, weight, reverse, dynamic| {
        CheckKind::File(FileCheck { name: name.into(), weight, reverse, dynamic })
    };
    let expected =
        [file("F", -4, true, true), file("G", 1, false, true), file("G", 0, false, false)];
    let kinds: Vec<CheckKind> = checkers(&text).into_iter().map(|one| one.kind).collect();
    assert_eq!(kinds, expected);
    let outside = keepalived(&text).plan.unwrap().layer4.outside;
    let names: Vec<&str> = outside.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["F", "G"]);
}

#[test]
fn a_session_is_followed_by_whom_it_is_for() {
    let session = |flags: &str| {
        format!("bfd_instance B {{\n neighbor_ip 10.0.1.1\n{flags}\n}}\n")
            + &service("BFD_CHECK {\nname B\n}")
    };
    for flags in ["", "checker", "checker\nvrrp"] {
        assert_eq!(checkers(&session(flags))[0].kind, CheckKind::Bfd("B".into()), "{flags}");
    }
    let found = faults(&keepalived(&session("vrrp")));
    assert!(found[0].contains("only VRRP may follow B; write checker in"), "{found:?}");
}

#[test]
fn certificates_stand_in_the_ssl_block() {
    let text = "SSL {\n certificate /c\n key /k\n ca /a\n}\n".to_owned() + &service("");
    let loaded = Table::default().with("k.conf", &text).only("k.conf");
    let found = faults(&loaded);
    assert!(
        found[0].starts_with("4:2 note: ca has no effect; checkers do not verify"),
        "{found:?}"
    );
    let files = TlsFiles { certificate: Some("/c".into()), key: Some("/k".into()) };
    assert_eq!(loaded.plan.unwrap().layer4.outside.tls, files);
}

#[test]
fn what_checkers_get_wrong_is_said_where_it_stands() {
    let url = |lines: &str| service(&format!("HTTP_GET {{\nurl {{\npath /\n{lines}\n}}\n}}"));
    let cases = [
        (url("regex \"a(b\""), "this pattern does not compile: "),
        (url("regex a\nregex_options firstline"), "begin the pattern with \\A[^\\n]* instead"),
        (url("regex a\nregex_options caselss"), "did you mean \"caseless\"?"),
        (url("regex a\nregex_min_offset 9\nregex_max_offset 8"), "from byte 9 on and up to 8"),
        (url("regex a b"), "put quotes around the pattern with its blanks"),
        (url("status_code 299-200"), "did you mean \"200-299\"?"),
        (service("HTTP_GET {\nurl {\n}\n}"), "this url has no path"),
        (service("HTTP_GET {\nhttp_protocol 2\nurl {\npath /\n}\n}"), "unknown http_protocol"),
        (service("SSL_GET {\nsni_name 10.0.0.1\nurl {\npath /\n}\n}"), "neither an address"),
        (service("SMTP_CHECK {\nhelo_name \"a b\"\n}"), "cannot be a host name"),
        (service("DNS_CHECK {\ntype ANY\n}"), "unknown record type \"ANY\""),
        (service("DNS_CHECK {\nname a..b\n}"), "has an empty label"),
        (service("UDP_CHECK {\npayload 0g\n}"), "\"g\" is not a hexadecimal digit"),
        (service("UDP_CHECK {\npayload 0x\n}"), "\"x\" is not a hexadecimal digit; use 0 to 9"),
        (
            service("UDP_CHECK {\nrequire_reply\nmin_reply_length 300\n}"),
            "no answer is 300 to 255 bytes long",
        ),
        (service("MISC_CHECK {\n}"), "MISC_CHECK without misc_path runs nothing"),
        (service("MISC_CHECK {\nmisc_path /a\nuser nobdy\n}"), "there is no user \"nobdy\""),
        (service("BFD_CHECK {\n}"), "BFD_CHECK follows no session"),
        (service("BFD_CHECK {\nname B\n}"), "no bfd_instance is named B; define it"),
        (service("FILE_CHECK {\n}"), "FILE_CHECK follows no file"),
        (service("FILE_CHECK {\ntrack_file F\n}"), "no track_file is named F; define it"),
        (service("TCP_CHECK {\nbindto ::1\n}"), "10.0.1.1 cannot be reached from ::1"),
        (service("TCP_CHECK {\nconnect_ip fe80::1\n}"), "fe80::1 needs bind_if"),
        ("SSL {\n key /k\n}\n".to_owned() + &service(""), "write both, certificate PATH and key"),
    ];
    for (text, expected) in cases {
        let loaded = keepalived(&text);
        let found = faults(&loaded);
        assert!(found.iter().any(|line| line.contains(expected)), "{text}\n{found:?}\n{expected}");
        assert_eq!(found.iter().filter(|line| line.contains(" error: ")).count(), 1, "{found:?}");
        assert!(loaded.plan.is_none());
    }
}

#[test]
fn what_says_nothing_is_told_and_loads() {
    let url = |lines: &str| service(&format!("HTTP_GET {{\nurl {{\npath /\n{lines}\n}}\n}}"));
    let cases = [
        (url("regex a\nregex_options utf"), "note: regex option utf has no effect"),
        (url("regex_no_match"), "warning: options of a regex have no effect without a regex"),
        (url("regex a\nregex_stack 1 2"), "note: regex_stack has no effect"),
        (url("tls_compliant"), "warning: tls_compliant has no effect in HTTP_GET"),
        (service("UDP_CHECK {\nmin_reply_length 3\n}"), "warning: no answer is asked for"),
        (service("MISC_CHECK {\nmisc_path /a b\n}"), "warning: only /a is run, without b"),
    ];
    for (text, expected) in cases {
        let loaded = keepalived(&text);
        let [found] = &faults(&loaded)[..] else { panic!("{text}\n{:?}", faults(&loaded)) };
        assert!(found.contains(expected), "{found}\n{expected}");
        assert!(loaded.plan.is_some());
    }
}
