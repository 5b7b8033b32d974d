//! SMTP_CHECK: a mail server greets, takes a HELO and a QUIT.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use model::check::SmtpCheck;

use super::probe::Step;
use super::words::seconds;

/// Longest reply, all its lines together. RFC 5321 4.5.3.1.5 allows 512 bytes for a line.
const REPLY_MAX: usize = 8 << 10;

/// What the server is to answer next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Banner,
    Helo,
    Quit,
}

#[derive(Debug)]
pub(super) struct SmtpProbe {
    stage: Stage,
    helo: Vec<u8>,
    /// Bytes that are no whole reply yet.
    unread: Vec<u8>,
}

impl SmtpProbe {
    pub(super) fn new(smtp: &SmtpCheck) -> SmtpProbe {
        let name: String = smtp.helo_name.chars().filter(|it| !it.is_control()).collect();
        let helo = format!("HELO {name}\r\n").into_bytes();
        SmtpProbe { stage: Stage::Banner, helo, unread: Vec::new() }
    }

    pub(super) fn handle_bytes(&mut self, bytes: &[u8]) -> Step {
        self.unread.extend_from_slice(bytes);
        let code = match first_reply(&self.unread) {
            Ok(Some(code)) => code,
            Ok(None) if self.unread.len() > REPLY_MAX => {
                let text = format!("reply longer than {REPLY_MAX} bytes");
                return Step::Fail(text.into());
            }
            Ok(None) => return Step::Wait,
            Err(Malformed) => return Step::Fail(self.nonsense().into()),
        };
        // Nothing more was asked for: what follows a reply belongs to no question of ours.
        self.unread.clear();
        self.follow(code)
    }

    /// Keepalived wants to read an answer to QUIT as well.
    pub(super) fn handle_end(&mut self) -> Step {
        let text = match self.stage {
            Stage::Banner => "connection closed without a greeting",
            Stage::Helo => "connection closed without an answer to HELO",
            Stage::Quit => "connection closed without an answer to QUIT",
        };
        Step::Fail(text.into())
    }

    pub(super) fn handle_late(&self, within: Duration) -> Step {
        let waited = seconds(within);
        let text = match (self.stage, self.unread.is_empty()) {
            (Stage::Banner, true) => format!("no greeting within {waited}").into(),
            (Stage::Banner, false) => format!("greeting not complete within {waited}").into(),
            (Stage::Helo, _) => format!("no answer to HELO within {waited}").into(),
            (Stage::Quit, _) => format!("no answer to QUIT within {waited}").into(),
        };
        Step::Fail(text)
    }

    fn nonsense(&self) -> &'static str {
        match self.stage {
            Stage::Banner => "greeting is not an SMTP reply",
            Stage::Helo => "HELO answered with no SMTP reply",
            Stage::Quit => "QUIT answered with no SMTP reply",
        }
    }

    fn follow(&mut self, code: u16) -> Step {
        match (self.stage, code) {
            (Stage::Banner, 220) => {
                self.stage = Stage::Helo;
                Step::Send(self.helo.clone())
            }
            (Stage::Banner, code) => Step::Fail(format!("greeting with code {code}").into()),
            (Stage::Helo, 250) => {
                self.stage = Stage::Quit;
                Step::Send(Vec::from(b"QUIT\r\n"))
            }
            (Stage::Helo, code) => Step::Fail(format!("HELO answered with code {code}").into()),
            (Stage::Quit, _) => Step::Pass("greeting, HELO and QUIT answered".into()),
        }
    }
}

/// What Keepalived's SMTP_CHECK tells apart when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpFailure {
    /// The connection could not be opened.
    NoConnection,
    /// Nor was it refused.
    ConnectTimeout,
    /// It is open, and an answer did not come in time.
    ReadTimeout,
    /// It broke, or was closed.
    ReadFailure,
    /// The greeting is not one.
    Greeting,
    /// HELO was not taken.
    Helo,
}

impl SmtpFailure {
    /// Which one this result of an SMTP_CHECK is.
    pub fn of(result: &str) -> SmtpFailure {
        let begins = |starts: &[&str]| starts.iter().any(|start| result.starts_with(start));
        if begins(&["no answer within", "connection timed out"]) {
            SmtpFailure::ConnectTimeout
        } else if begins(&["no greeting", "no answer to", "greeting not complete"]) {
            SmtpFailure::ReadTimeout
        } else if begins(&["connection closed", "connection reset"]) {
            SmtpFailure::ReadFailure
        } else if begins(&["greeting", "reply longer"]) {
            SmtpFailure::Greeting
        } else if begins(&["HELO answered", "QUIT answered"]) {
            SmtpFailure::Helo
        } else {
            SmtpFailure::NoConnection
        }
    }
}

/// The bytes are no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Malformed;

/// The code of the first reply among these bytes, if it is there as a whole (RFC 5321 4.2): lines
/// `250-text` and a last one `250 text`, all of one code.
fn first_reply(bytes: &[u8]) -> Result<Option<u16>, Malformed> {
    let mut first = None;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else {
            return Ok(None);
        };
        let (code, last) = read_line(line.strip_suffix(b"\r").unwrap_or(line))?;
        if first.is_some_and(|first| first != code) {
            return Err(Malformed);
        }
        if last {
            return Ok(Some(code));
        }
        first = Some(code);
    }
    Ok(None)
}

/// The code of a line, and whether it is the last of its reply.
fn read_line(line: &[u8]) -> Result<(u16, bool), Malformed> {
    let (code, rest) = line.split_first_chunk::<3>().ok_or(Malformed)?;
    let mut number = 0;
    for digit in code {
        if !digit.is_ascii_digit() {
            return Err(Malformed);
        }
        number = number * 10 + u16::from(digit - b'0');
    }
    match rest.first() {
        None | Some(b' ') => Ok((number, true)),
        Some(b'-') => Ok((number, false)),
        Some(_) => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_one_code_over_as_many_lines_as_it_takes() {
        type Read = Result<Option<u16>, Malformed>;
        let cases: [(&[u8], Read); 11] = [
            (b"220 mail.example.org ESMTP\r\n", Ok(Some(220))),
            (b"220\r\n", Ok(Some(220))),
            (b"220 bare line feed\n", Ok(Some(220))),
            (b"250-a\r\n250-b\r\n250 c\r\n", Ok(Some(250))),
            (b"250-a\r\n250-b\r\n", Ok(None)),
            (b"22", Ok(None)),
            (b"", Ok(None)),
            (b"250-a\r\n550 b\r\n", Err(Malformed)),
            (b"SSH-2.0-OpenSSH\r\n", Err(Malformed)),
            (b"2200 x\r\n", Err(Malformed)),
            (b"22\n", Err(Malformed)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(first_reply(bytes), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
