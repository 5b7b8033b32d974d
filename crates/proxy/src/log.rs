//! Log lines in HAProxy's formats (configuration manual, chapter 8.2), byte for byte.

use alloc::vec::Vec;
use core::fmt::Write;
use core::net::SocketAddr;

use model::proxy::{LogFormat, LogTarget, Mode};

use crate::forwarded::Text;

/// Longest line, as HAProxy's `len` default.
pub const LINE_MAX: usize = 1024;

/// A point of the local calendar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Date {
    /// Year, as 2026.
    pub year: u16,
    /// Month, 0 to 11.
    pub month: u8,
    /// Day of the month.
    pub day: u8,
    /// Hour.
    pub hour: u8,
    /// Minute.
    pub minute: u8,
    /// Second.
    pub second: u8,
    /// Millisecond.
    pub millisecond: u16,
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Date {
    fn month_name(&self) -> &'static str {
        MONTHS.get(usize::from(self.month)).copied().unwrap_or("???")
    }
}

/// Who ended a session, first character of the termination state (8.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndedBy {
    /// `-`: both, in order.
    #[default]
    Nobody,
    /// `C`: the client gave up.
    Client,
    /// `c`: the client was too slow.
    ClientTimeout,
    /// `S`: the server gave up.
    Server,
    /// `s`: the server was too slow.
    ServerTimeout,
    /// `P`: the proxy refused.
    Proxy,
    /// `R`: a resource ran out.
    Resource,
    /// `K`: an administrator (or the end of the grace at a stop).
    Killed,
}

/// In which state it was, second character of the termination state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndedIn {
    /// `-`: behind the last byte.
    #[default]
    Nowhere,
    /// `R`: waiting for the request.
    Request,
    /// `Q`: waiting for a slot.
    Queue,
    /// `C`: connecting.
    Connect,
    /// `H`: waiting for response headers.
    Headers,
    /// `D`: transferring data.
    Data,
    /// `L`: sending the last bytes to the client.
    Last,
}

/// Everything a line may tell; times are milliseconds, -1 where a step was not reached.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// The client.
    pub client: SocketAddr,
    /// The address it connected to (default format only).
    pub destination: Option<SocketAddr>,
    /// When the connection was accepted; in HTTP mode when the request's first byte came.
    pub date: Date,
    /// Frontend.
    pub frontend: &'a str,
    /// Mode of the frontend.
    pub mode: Mode,
    /// Backend, or the frontend when none was chosen.
    pub backend: &'a str,
    /// Server, if one was chosen.
    pub server: Option<&'a str>,
    /// Time to read the request.
    pub request_ms: i64,
    /// Time in queues.
    pub wait_ms: i64,
    /// Time to connect.
    pub connect_ms: i64,
    /// Time to the response's head.
    pub response_ms: i64,
    /// Time altogether.
    pub total_ms: i64,
    /// Status sent to the client; 0 for none.
    pub status: u16,
    /// Bytes sent to the client.
    pub bytes: u64,
    /// How it ended.
    pub ended_by: EndedBy,
    /// Where it ended.
    pub ended_in: EndedIn,
    /// Connections of the process, frontend, backend and server.
    pub connections: [u64; 4],
    /// Retries.
    pub retries: u32,
    /// The last try went to another server.
    pub redispatched: bool,
    /// The request line; `<BADREQ>` when absent.
    pub request_line: Option<&'a [u8]>,
}

/// Appends the line's text, without syslog header and line end.
pub fn append_line(format: LogFormat, record: &Record<'_>, line: &mut Vec<u8>) {
    let start = line.len();
    // Writing to memory cannot fail.
    let _ = match format {
        LogFormat::Default => write_default(record, line),
        LogFormat::Tcp => write_tcp(record, line),
        LogFormat::Http => write_http(record, line),
    };
    line.truncate(start + LINE_MAX);
}

fn write_default(r: &Record<'_>, line: &mut Vec<u8>) -> core::fmt::Result {
    let mode = if r.mode == Mode::Http { "HTTP" } else { "TCP" };
    let mut text = Text(line);
    write!(text, "Connect from {}:{}", r.client.ip().to_canonical(), r.client.port())?;
    if let Some(to) = r.destination {
        write!(text, " to {}:{}", to.ip().to_canonical(), to.port())?;
    }
    write!(text, " ({}/{mode})", r.frontend)
}

fn write_origin(r: &Record<'_>, line: &mut Vec<u8>) -> core::fmt::Result {
    let d = &r.date;
    write!(
        Text(line),
        "{}:{} [{:02}/{}/{:04}:{:02}:{:02}:{:02}.{:03}] {} {}/{} ",
        r.client.ip().to_canonical(),
        r.client.port(),
        d.day,
        d.month_name(),
        d.year,
        d.hour,
        d.minute,
        d.second,
        d.millisecond,
        r.frontend,
        r.backend,
        r.server.unwrap_or("<NOSRV>"),
    )
}

fn write_counts(r: &Record<'_>, line: &mut Vec<u8>) -> core::fmt::Result {
    let [process, frontend, backend, server] = r.connections;
    let plus = if r.redispatched { "+" } else { "" };
    write!(Text(line), "{process}/{frontend}/{backend}/{server}/{plus}{} 0/0", r.retries)
}

fn write_tcp(r: &Record<'_>, line: &mut Vec<u8>) -> core::fmt::Result {
    write_origin(r, line)?;
    let (by, at) = (r.ended_by.letter(), r.ended_in.letter());
    write!(Text(line), "{}/{}/{} {} {by}{at} ", r.wait_ms, r.connect_ms, r.total_ms, r.bytes)?;
    write_counts(r, line)
}

fn write_http(r: &Record<'_>, line: &mut Vec<u8>) -> core::fmt::Result {
    write_origin(r, line)?;
    let status: i32 = if r.status == 0 { -1 } else { r.status.into() };
    let (by, at) = (r.ended_by.letter(), r.ended_in.letter());
    write!(
        Text(line),
        "{}/{}/{}/{}/{} {status} {} - - {by}{at}-- ",
        r.request_ms,
        r.wait_ms,
        r.connect_ms,
        r.response_ms,
        r.total_ms,
        r.bytes
    )?;
    write_counts(r, line)?;
    line.extend_from_slice(b" \"");
    match r.request_line {
        Some(text) => append_encoded(text, line),
        None => line.extend_from_slice(b"<BADREQ>"),
    }
    line.push(b'"');
    Ok(())
}

/// Quotes, `#` and what is not printable ASCII as `#XX`.
fn append_encoded(text: &[u8], line: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' | b'#' | 0..0x20 | 0x7f.. => {
                let _ = write!(Text(line), "#{byte:02X}");
            }
            _ => line.push(byte),
        }
    }
}

/// Appends the syslog header of HAProxy's `local` format: `<134>Nov 21 02:45:00 haproxy[7]: `.
/// `None` when the target does not want lines of this severity.
pub fn append_header(
    target: &LogTarget,
    severity: u8,
    now: &Date,
    tag: &str,
    pid: u32,
    line: &mut Vec<u8>,
) -> Option<()> {
    if severity > target.max_level {
        return None;
    }
    let priority = u32::from(target.facility) * 8 + u32::from(severity.max(target.min_level));
    let tag = if tag.is_empty() { "haproxy" } else { tag };
    let _ = write!(
        Text(line),
        "<{priority}>{} {:2} {:02}:{:02}:{:02} {tag}[{pid}]: ",
        now.month_name(),
        now.day,
        now.hour,
        now.minute,
        now.second
    );
    Some(())
}

impl EndedBy {
    fn letter(self) -> char {
        match self {
            EndedBy::Nobody => '-',
            EndedBy::Client => 'C',
            EndedBy::ClientTimeout => 'c',
            EndedBy::Server => 'S',
            EndedBy::ServerTimeout => 's',
            EndedBy::Proxy => 'P',
            EndedBy::Resource => 'R',
            EndedBy::Killed => 'K',
        }
    }
}

impl EndedIn {
    fn letter(self) -> char {
        match self {
            EndedIn::Nowhere => '-',
            EndedIn::Request => 'R',
            EndedIn::Queue => 'Q',
            EndedIn::Connect => 'C',
            EndedIn::Headers => 'H',
            EndedIn::Data => 'D',
            EndedIn::Last => 'L',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::proxy::LogDestination;

    fn record() -> Record<'static> {
        Record {
            client: "10.0.1.2:33317".parse().unwrap(),
            destination: "10.0.3.31:8012".parse().ok(),
            date: Date {
                year: 2009,
                month: 1,
                day: 6,
                hour: 12,
                minute: 14,
                second: 14,
                millisecond: 655,
            },
            frontend: "http-in",
            mode: Mode::Http,
            backend: "static",
            server: Some("srv1"),
            request_ms: 10,
            wait_ms: 0,
            connect_ms: 30,
            response_ms: 69,
            total_ms: 109,
            status: 200,
            bytes: 2750,
            ended_by: EndedBy::Nobody,
            ended_in: EndedIn::Nowhere,
            connections: [1, 1, 1, 1],
            retries: 0,
            redispatched: false,
            request_line: Some(b"GET /index.html HTTP/1.1"),
        }
    }

    fn line(format: LogFormat, record: &Record<'_>) -> String {
        let mut line = Vec::new();
        append_line(format, record, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn lines_are_those_of_the_manual() {
        assert_eq!(
            line(LogFormat::Http, &record()),
            "10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 \"GET /index.html HTTP/1.1\""
        );
        let tcp = Record {
            retries: 3,
            redispatched: true,
            ended_by: EndedBy::Server,
            ended_in: EndedIn::Connect,
            ..record()
        };
        assert_eq!(
            line(LogFormat::Tcp, &tcp),
            "10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 0/30/109 2750 SC 1/1/1/1/+3 0/0"
        );
        assert_eq!(
            line(LogFormat::Default, &record()),
            "Connect from 10.0.1.2:33317 to 10.0.3.31:8012 (http-in/HTTP)"
        );
    }

    #[test]
    fn a_request_line_cannot_forge_a_line() {
        let odd = Record { request_line: Some(b"GET /\"x#\n\xff HTTP/1.1"), ..record() };
        assert!(line(LogFormat::Http, &odd).ends_with("\"GET /#22x#23#0A#FF HTTP/1.1\""));
        let long = vec![b'a'; 5000];
        let long = Record { request_line: Some(&long), ..record() };
        assert_eq!(line(LogFormat::Http, &long).len(), LINE_MAX);
    }

    #[test]
    fn the_header_obeys_the_levels() {
        let target =
            LogTarget { to: LogDestination::Stdout, facility: 16, max_level: 5, min_level: 4 };
        let date = Date { year: 2009, month: 1, day: 6, ..Date::default() };
        let mut text = Vec::new();
        assert!(append_header(&target, 6, &date, "", 7, &mut text).is_none());
        append_header(&target, 3, &date, "", 7, &mut text).unwrap();
        assert_eq!(text, b"<132>Feb  6 00:00:00 haproxy[7]: ");
    }
}
