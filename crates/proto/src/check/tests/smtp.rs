//! SMTP_CHECK.

use model::check::SmtpCheck;

use super::*;

fn smtp(hosts: &[&str]) -> CheckKind {
    let hosts = hosts.iter().map(|host| (host.parse().unwrap(), Source::default())).collect();
    CheckKind::Smtp(SmtpCheck { helo_name: "lb.example.org".to_string(), hosts })
}

/// What the checker sends or opens when it hears this.
fn hear(checker: &mut Checker, now: Time, line: &str) -> Vec<Output> {
    checker.handle_bytes(now, line.as_bytes());
    outputs(checker)
}

fn send(text: &str) -> Vec<Output> {
    vec![Output::Send(text.into())]
}

#[test]
fn a_server_that_greets_and_takes_helo_and_quit_is_well() {
    let mut checker = checker(smtp(&[]));
    let (now, first) = open(&mut checker);
    assert!(first.is_empty(), "the server speaks first");
    assert_eq!(hear(&mut checker, now, "220-mail\r\n220 "), []);
    assert_eq!(hear(&mut checker, now, "ready\r\n"), send("HELO lb.example.org\r\n"));
    assert_eq!(hear(&mut checker, now, "250 hello\r\n"), send("QUIT\r\n"));
    assert_eq!(hear(&mut checker, now, "221 bye\r\n"), [Output::Close]);
    assert_eq!(checker.last_result(), Some("greeting, HELO and QUIT answered"));
    assert_eq!(checker.failures(), 0);
}

#[test]
fn any_other_conversation_fails_and_says_where() {
    let endless = "x".repeat(9000);
    // What the server says, then how it ends.
    let cases: [(&[&str], Option<&str>); 9] = [
        (&["554 no\r\n"], Some("greeting with code 554")),
        (&["SSH-2.0-OpenSSH\r\n"], Some("not an SMTP reply")),
        (&[&endless], Some("reply longer than 8192 bytes")),
        (&[], Some("connection closed without a greeting")),
        (&["220 a\r\n", "550 no\r\n"], Some("HELO answered with code 550")),
        (&["220 a\r\n"], Some("connection closed without an answer to HELO")),
        (&["220 a\r\n", "250 b\r\n"], Some("connection closed without an answer to QUIT")),
        (&["220 a\r\n", "250-b\r\n251 b\r\n"], Some("not an SMTP reply")),
        (&["220 a\r\n", "250 b\r\n", "500 what\r\n"], None),
    ];
    for (lines, fails) in cases {
        let mut checker = checker(smtp(&[]));
        let (now, _) = open(&mut checker);
        for line in lines {
            hear(&mut checker, now, line);
        }
        checker.handle_end(now, Ok(()));
        assert_eq!(checker.failures(), u32::from(fails.is_some()), "{lines:?}");
        assert_eq!(checker.last_result(), fails.or(Some("greeting, HELO and QUIT answered")));
    }
}

#[test]
fn hosts_are_asked_in_order_and_the_one_that_failed_is_asked_again() {
    let mut checker = checker(smtp(&["10.0.0.3:25", "10.0.0.4:25"]));
    let connect = |to: &str| Output::Connect {
        target: to.parse().unwrap(),
        source: Source::default(),
        tls: None,
    };
    let converse = |checker: &mut Checker, now| {
        checker.handle_connected(now, Ok(()));
        hear(checker, now, "220 a\r\n");
        hear(checker, now, "250 b\r\n");
        hear(checker, now, "221 c\r\n")
    };
    let now = begin(&mut checker);
    assert_eq!(converse(&mut checker, now), [Output::Close, connect("10.0.0.3:25")]);
    let refused = || Err("connection refused".to_string());
    checker.handle_connected(now, refused());
    assert_eq!(outputs(&mut checker), [Output::Close]);
    assert_eq!(checker.last_result(), Some("10.0.0.3:25: connection refused"));
    // The retry begins with the host that failed.
    let now = checker.next_deadline();
    checker.handle_timeout(now);
    assert_eq!(outputs(&mut checker), [connect("10.0.0.3:25")]);
    assert_eq!(converse(&mut checker, now), [Output::Close, connect("10.0.0.4:25")]);
    assert_eq!(converse(&mut checker, now), [Output::Close]);
    assert_eq!((now, checker.failures()), (at(1000), 0));
    // And the next check with the first.
    assert_eq!(begin(&mut checker), at(7000));
    checker.handle_connected(at(7000), refused());
    assert_eq!(checker.last_result(), Some("10.0.0.2:80: connection refused"));
}

#[test]
fn a_name_breaks_out_of_no_line() {
    let helo_name = "a\r\nMAIL FROM:<b>".to_string();
    let mut checker = checker(CheckKind::Smtp(SmtpCheck { helo_name, hosts: Vec::new() }));
    let (now, _) = open(&mut checker);
    assert_eq!(hear(&mut checker, now, "220 a\r\n"), send("HELO aMAIL FROM:<b>\r\n"));
}
