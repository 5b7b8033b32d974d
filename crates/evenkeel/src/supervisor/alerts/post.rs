//! One try to hand a mail to its server.

use std::error::Error as _;
use std::fmt::Display;
use std::io;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentTransferEncoding;
use lettre::message::{Body, Message};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::SmtpConnection;
use lettre::transport::smtp::commands;
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};

use super::{LINE_MAX, Mail};

/// How long a server that was given the whole message may take to say that it has it, however
/// short `smtp_connect_timeout` is: sent again it would arrive twice. RFC 5321, section
/// 4.5.3.2.6, has ten minutes; other alerts wait meanwhile.
const TAKING: Duration = Duration::from_secs(60);

/// Why it failed, in words for the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Another time it may go.
    Passing(String),
    /// The server refuses it (5yz), and would again.
    Lasting(String),
}

/// Sends the mail to those who are `left`, and takes out of them who has it or never will. A
/// recipient who is refused does not keep the others from theirs.
pub(super) fn post(mail: &Mail, left: &mut Vec<Mailbox>) -> Result<(), Failure> {
    let message = message(mail).map_err(|error| Failure::Lasting(error.to_string()))?;
    let server = format!("{} port {}", mail.host, mail.port);
    let say = |error: &Error, within| failure(&server, error, within);
    let helo = ClientId::Domain(mail.helo.clone());
    let place = (mail.host.as_str(), mail.port);
    let mut server = SmtpConnection::connect(place, Some(mail.timeout), &helo, None, None)
        .map_err(|error| say(&error, mail.timeout))?;
    let refused = match offer(mail, left, &mut server) {
        Ok(refused) => refused,
        Err(error) => return Err(end(&mut server, say(&error, mail.timeout))),
    };
    let waiting: Vec<Mailbox> =
        refused.iter().filter(|refused| !refused.lasting).map(|it| it.to.clone()).collect();
    if refused.len() < left.len() {
        let taking = TAKING.max(mail.timeout);
        let sent = server
            .set_timeout(Some(taking))
            .map_err(|error| Failure::Passing(error.to_string()))
            .and_then(|()| server.message(&message).map_err(|error| say(&error, taking)));
        if let Err(failure) = sent {
            return Err(end(&mut server, failure));
        }
    }
    let _ = server.set_timeout(Some(mail.timeout)).map(|()| server.quit());
    let anybody = refused.len() < left.len();
    *left = waiting;
    let texts: Vec<&str> = refused.iter().map(|it| it.text.as_str()).collect();
    match (refused.is_empty(), left.is_empty()) {
        (true, _) => Ok(()),
        (false, false) => Err(Failure::Passing(texts.join("; "))),
        (false, true) if anybody => {
            tracing::warn!("alert not for everybody: {}: {}", mail.subject, texts.join("; "));
            Ok(())
        }
        (false, true) => Err(Failure::Lasting(texts.join("; "))),
    }
}

/// A recipient whom the server does not take.
struct Refused {
    to: Mailbox,
    lasting: bool,
    text: String,
}

/// Sender and recipients; when the server takes one of these, DATA too.
fn offer(
    mail: &Mail,
    left: &[Mailbox],
    server: &mut SmtpConnection,
) -> Result<Vec<Refused>, Error> {
    let foreign = left.iter().chain([&mail.from]).any(|it| !it.email.to_string().is_ascii());
    let knows = server.server_info().supports_feature(Extension::SmtpUtfEight);
    // Without the extension it is for the server to refuse such a name.
    let options = if foreign && knows { vec![MailParameter::SmtpUtfEight] } else { Vec::new() };
    server.command(commands::Mail::new(Some(mail.from.email.clone()), options))?;
    let mut refused = Vec::new();
    for to in left {
        match server.command(commands::Rcpt::new(to.email.clone(), Vec::new())) {
            Ok(_) => {}
            Err(error) if error.status().is_some() => refused.push(Refused {
                to: to.clone(),
                lasting: error.is_permanent(),
                text: format!("{}: {error}", to.email),
            }),
            Err(error) => return Err(error),
        }
    }
    if refused.len() < left.len() {
        server.command(commands::Data)?;
    }
    Ok(refused)
}

/// A server that answers hears a goodbye.
fn end(server: &mut SmtpConnection, failure: Failure) -> Failure {
    match &failure {
        Failure::Lasting(_) => server.abort(),
        Failure::Passing(_) => {}
    }
    failure
}

fn failure(server: &impl Display, error: &Error, within: Duration) -> Failure {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    let late = cause.is_some_and(|cause| {
        matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
    });
    match (late, error.is_permanent()) {
        (true, _) => {
            Failure::Passing(format!("{server}: no answer within {} s", within.as_secs_f64()))
        }
        (false, true) => Failure::Lasting(format!("{server}: {error}")),
        (false, false) => Failure::Passing(format!("{server}: {error}")),
    }
}

fn message(mail: &Mail) -> Result<Vec<u8>, lettre::error::Error> {
    let mut message = Message::builder().from(mail.from.clone()).subject(&mail.subject);
    for to in &mail.to {
        message = message.to(to.clone());
    }
    Ok(message.body(plain(&mail.body))?.formatted())
}

/// The text as it is, where mail can carry it: filters look for Keepalived's lines, and a reason
/// longer than a line of quoted-printable would have them encoded.
fn plain(body: &str) -> Body {
    let is_text = |byte: u8| matches!(byte, b'\t' | b' '..=b'~');
    let fits = |line: &str| line.len() <= LINE_MAX && line.bytes().all(is_text);
    match body.split("\r\n").all(fits) {
        true => Body::dangerous_pre_encoded(body.into(), ContentTransferEncoding::SevenBit),
        false => Body::new(body.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    /// A server of one connection that answers each line by `answer`; all lines it got.
    fn server(
        answer: impl Fn(&str) -> Option<&'static str> + Send + 'static,
    ) -> (u16, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let run = move || {
            let (mut out, _) = listener.accept().unwrap();
            out.write_all(b"220 sink\r\n").unwrap();
            let mut lines = Vec::new();
            let mut within = false;
            for line in BufReader::new(out.try_clone().unwrap()).lines() {
                let Ok(line) = line else { break };
                let told = match (within, line.as_str()) {
                    (true, ".") => answer("."),
                    (true, _) => None,
                    (false, "DATA") => Some("354 go on"),
                    (false, "QUIT") => Some("221 bye"),
                    (false, line) => answer(line),
                };
                within = line == "DATA" || (within && line != ".");
                if let Some(told) = told {
                    let _ = write!(out, "{told}\r\n");
                }
                lines.push(line);
            }
            lines
        };
        (port, thread::spawn(run))
    }

    fn mail(port: u16) -> (Mail, Vec<Mailbox>) {
        let to: Vec<Mailbox> =
            ["bad@example.com", "ops@example.com"].map(|it| it.parse().unwrap()).into();
        let mail = Mail {
            to: to.clone(),
            from: "root@example.com".parse().unwrap(),
            host: "127.0.0.1".into(),
            port,
            timeout: Duration::from_millis(300),
            subject: "S".into(),
            body: "text\r\n".into(),
            helo: "here".into(),
        };
        (mail, to)
    }

    #[test]
    fn a_recipient_refused_for_good_does_not_keep_others_from_their_mail() {
        let (port, lines) = server(|line| match line {
            "RCPT TO:<bad@example.com>" => Some("550 nobody"),
            _ => Some("250 fine"),
        });
        let (mail, mut left) = mail(port);
        assert_eq!(post(&mail, &mut left), Ok(()));
        assert!(left.is_empty());
        let lines = lines.join().unwrap();
        assert!(lines.contains(&"text".into()) && lines.contains(&".".into()), "{lines:?}");
    }

    #[test]
    fn a_recipient_refused_for_now_is_the_only_one_left() {
        let (port, lines) = server(|line| match line {
            "RCPT TO:<bad@example.com>" => Some("450 later"),
            _ => Some("250 fine"),
        });
        let (mail, mut left) = mail(port);
        let failure = post(&mail, &mut left).unwrap_err();
        assert!(matches!(failure, Failure::Passing(ref text) if text.contains("later")));
        assert_eq!(left, mail.to[..1]);
        assert!(lines.join().unwrap().contains(&".".into()));
    }

    #[test]
    fn a_refusal_for_good_is_not_worth_another_try() {
        for refused in ["MAIL", "RCPT", "."] {
            let (port, _lines) = server(move |line| match line.starts_with(refused) {
                true => Some("554 no"),
                false => Some("250 fine"),
            });
            let (mail, mut left) = mail(port);
            let failure = post(&mail, &mut left).unwrap_err();
            assert!(matches!(failure, Failure::Lasting(_)), "{refused}: {failure:?}");
        }
    }

    #[test]
    fn silence_is_called_so() {
        let (port, _lines) = server(|_| None);
        let (mail, mut left) = mail(port);
        let text = format!("127.0.0.1 port {port}: no answer within 0.3 s");
        assert_eq!(post(&mail, &mut left), Err(Failure::Passing(text)));
        assert_eq!(left.len(), 2);
    }

    #[test]
    fn a_server_that_has_the_whole_mail_may_take_its_time() {
        let (port, lines) = server(|line| {
            if line == "." {
                thread::sleep(Duration::from_millis(900));
            }
            Some("250 fine")
        });
        let (mail, mut left) = mail(port);
        assert_eq!(post(&mail, &mut left), Ok(()));
        assert!(lines.join().unwrap().contains(&".".into()));
    }
}
