//! SMTP_CHECK.

use model::check::SmtpCheck;

use super::*;
use crate::check::SmtpFailure::{Greeting, Helo, ReadFailure};

fn smtp() -> CheckKind {
    CheckKind::Smtp(SmtpCheck { helo_name: "lb.example.org".to_string() })
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
    let mut checker = checker(smtp());
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
    type Fails = Option<(&'static str, SmtpFailure)>;
    let cases: [(&[&str], Fails); 9] = [
        (&["554 no\r\n"], Some(("greeting with code 554", Greeting))),
        (&["SSH-2.0-OpenSSH\r\n"], Some(("greeting is not an SMTP reply", Greeting))),
        (&[&endless], Some(("reply longer than 8192 bytes", Greeting))),
        (&[], Some(("connection closed without a greeting", ReadFailure))),
        (&["220 a\r\n", "550 no\r\n"], Some(("HELO answered with code 550", Helo))),
        (&["220 a\r\n"], Some(("connection closed without an answer to HELO", ReadFailure))),
        (
            &["220 a\r\n", "250 b\r\n"],
            Some(("connection closed without an answer to QUIT", ReadFailure)),
        ),
        (&["220 a\r\n", "250-b\r\n251 b\r\n"], Some(("HELO answered with no SMTP reply", Helo))),
        (&["220 a\r\n", "250 b\r\n", "500 what\r\n"], None),
    ];
    for (lines, fails) in cases {
        let mut checker = checker(smtp());
        let (now, _) = open(&mut checker);
        for line in lines {
            hear(&mut checker, now, line);
        }
        checker.handle_end(now, Ok(()));
        assert_eq!(checker.failures(), u32::from(fails.is_some()), "{lines:?}");
        let (text, kind) = fails.unzip();
        assert_eq!(checker.last_result(), text.or(Some("greeting, HELO and QUIT answered")));
        assert_eq!(text.map(SmtpFailure::of), kind);
    }
}

#[test]
fn a_name_breaks_out_of_no_line() {
    let helo_name = "a\r\nMAIL FROM:<b>".to_string();
    let mut checker = checker(CheckKind::Smtp(SmtpCheck { helo_name }));
    let (now, _) = open(&mut checker);
    assert_eq!(hear(&mut checker, now, "220 a\r\n"), send("HELO aMAIL FROM:<b>\r\n"));
}
