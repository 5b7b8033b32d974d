//! SMTP_CHECK against a mail server that follows a script and writes down what it hears.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Sender, channel};

use lab::net::Namespace;
use model::check::{CheckKind, SmtpCheck};

use super::{Bench, target};
use crate::director_role::PATIENCE;

/// Greets, and answers each line with the next of these.
fn mail_server(
    namespace: &Namespace,
    address: SocketAddr,
    replies: &'static [&'static str],
    heard: Sender<String>,
) {
    let listener = namespace.enter(|| TcpListener::bind(address)).unwrap().unwrap();
    // It ends with the test's process.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for (number, reply) in replies.iter().enumerate() {
                if number > 0 {
                    let Some(Ok(line)) = lines.next() else { break };
                    let _ = heard.send(line);
                }
                if stream.write_all(reply.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
}

fn smtp() -> CheckKind {
    CheckKind::Smtp(SmtpCheck { helo_name: "director.example".into() })
}

#[test]
fn smtp_check_greets_and_fails_at_the_first_wrong_answer() {
    let Some(bench) = Bench::new("smtp") else { return };
    let (sender, heard) = channel();
    let server = |port: u16, replies: &'static [&'static str], sender: &Sender<String>| {
        mail_server(&bench.server, target(port), replies, sender.clone());
    };
    let (ignored, _nobody) = channel();
    server(25, &["220-mail.test\r\n220 ESMTP\r\n", "250 hello\r\n", "221 bye\r\n"], &sender);
    server(26, &["220 second\r\n", "250-hello\r\n250 SIZE\r\n", "221 bye\r\n"], &ignored);
    server(27, &["554 no service\r\n"], &ignored);
    server(28, &["220 mail\r\n", "550 who are you\r\n"], &ignored);
    server(29, &["220 mail\r\n"], &ignored);
    let results = bench.results(vec![
        (smtp(), target(25)),
        (smtp(), target(26)),
        (smtp(), target(27)),
        (smtp(), target(28)),
        (smtp(), target(29)),
        (smtp(), target(30)),
    ]);
    assert_eq!(
        results,
        [
            "true: greeting, HELO and QUIT answered",
            "true: greeting, HELO and QUIT answered",
            "false: greeting with code 554",
            "false: HELO answered with code 550",
            "false: connection closed without an answer to HELO",
            "false: connection refused",
        ]
    );
    let mut lines = (0..2).map(|_| heard.recv_timeout(PATIENCE).unwrap());
    assert_eq!(lines.next().as_deref(), Some("HELO director.example"));
    assert_eq!(lines.next().as_deref(), Some("QUIT"));
}
