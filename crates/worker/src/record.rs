//! What a session leaves behind: counters and a log line.

use std::sync::atomic::Ordering::Relaxed;

use model::proxy::{LogFormat, Mode};
use proxy::log::{Date, Record, append_header, append_line};

use crate::session::Session;
use crate::sys;
use crate::worker::Worker;

/// Wall-clock dates of points on the coarse clock; the calendar is asked once a second.
pub(crate) struct Calendar {
    offset_ms: i64,
    second: i64,
    date: Date,
}

impl Calendar {
    pub(crate) fn new(now_ms: u64) -> Calendar {
        let mut calendar = Calendar { offset_ms: 0, second: 0, date: Date::default() };
        calendar.adjust(now_ms);
        calendar
    }

    /// Follows steps of the wall clock.
    pub(crate) fn adjust(&mut self, now_ms: u64) {
        self.offset_ms = sys::wall_ms() - now_ms as i64;
    }

    pub(crate) fn date(&mut self, at_ms: u64) -> Date {
        let wall = at_ms as i64 + self.offset_ms;
        let second = wall.div_euclid(1000);
        if second != self.second {
            self.second = second;
            self.date = sys::local_date(second);
        }
        Date { millisecond: wall.rem_euclid(1000) as u16, ..self.date }
    }
}

impl Worker {
    /// Adds what went through the session since the last time.
    pub(crate) fn count_bytes(&mut self, s: &mut Session) {
        let counts = s.front_counts();
        counts.bytes_in.add(s.up.bytes);
        counts.bytes_out.add(s.down.bytes);
        s.up.bytes = 0;
        s.down.bytes = 0;
    }

    /// The line of a connection that was just accepted (default format only).
    pub(crate) fn log_accept(&mut self, s: &Session) {
        let log = &s.front().log;
        if log.format == LogFormat::Default && !log.targets.is_empty() {
            self.emit(s);
        }
    }

    /// The line of a request, or of a TCP session, at its end.
    pub(crate) fn log(&mut self, s: &Session) {
        let log = &s.front().log;
        if log.targets.is_empty() || log.format == LogFormat::Default {
            return;
        }
        let silent = s.down.bytes == 0 && s.up.bytes == 0 && s.times.first_byte == 0;
        let carried_nothing = match s.front().mode {
            Mode::Tcp => s.times.connected > 0 && s.down.bytes == 0 && s.up.bytes == 0,
            Mode::Http => silent || (s.requests <= 1 && s.times.first_byte == 0),
        };
        if !(log.dont_log_null && carried_nothing) {
            self.emit(s);
        }
    }

    fn emit(&mut self, s: &Session) {
        let front = s.front();
        let shape = &s.loaded.shape;
        let mut text = std::mem::take(&mut self.text);
        let mut line = std::mem::take(&mut self.line);
        text.clear();
        let record = self.record(s);
        append_line(front.log.format, &record, &mut text);
        // HAProxy's levels: what went wrong on our side or the server's is still `info`; a backend
        // without servers is the health checks' to report.
        let severity = 6;
        let now = self.calendar.date(self.now);
        let sinks = &shape.frontend_logs[s.frontend as usize];
        for (target, sink) in front.log.targets.iter().zip(sinks) {
            line.clear();
            let pid = shape.process.pid;
            if append_header(target, severity, &now, &front.log.tag, pid, &mut line).is_none() {
                continue;
            }
            if sink.is_raw() {
                line.clear();
            }
            line.extend_from_slice(&text);
            line.push(b'\n');
            if !sink.send(&line) {
                shape.process.logs_dropped.fetch_add(1, Relaxed);
            }
        }
        self.text = text;
        self.line = line;
    }

    fn record<'a>(&mut self, s: &'a Session) -> Record<'a> {
        let front = s.front();
        let times = &s.times;
        let is_http = front.mode == Mode::Http;
        let start = match times.first_byte {
            first if is_http && first > 0 => first,
            _ if is_http => times.idle,
            _ => times.accepted,
        };
        let span = |from: u64, to: u64| if to == 0 { -1 } else { to.saturating_sub(from) as i64 };
        let chosen_at = if is_http { times.request } else { times.accepted };
        let shape = &s.loaded.shape;
        // As HAProxy has it, a session no longer counts for its server when it is logged.
        let own = u64::from(s.server.is_some());
        let sessions = |server: &std::sync::Arc<crate::shared::ServerShared>| server.sessions();
        let of_backend = s.backend.map_or(&[][..], |at| &shape.servers[at as usize]);
        let in_backend: u64 = of_backend.iter().map(sessions).sum();
        let in_server = s.server.map_or(0, |at| sessions(&of_backend[at as usize]));
        let backend = s.back();
        Record {
            client: s.peer,
            destination: match front.log.format {
                LogFormat::Default => sys::local_address(&s.client.fd),
                LogFormat::Tcp | LogFormat::Http => None,
            },
            date: self.calendar.date(start),
            frontend: &front.name,
            mode: front.mode,
            backend: backend.map_or(&front.name, |backend| &backend.name),
            server: backend.zip(s.server).map(|(backend, at)| &*backend.servers[at as usize].name),
            request_ms: span(start, times.request),
            wait_ms: if times.connecting > 0 { 0 } else { -1 },
            connect_ms: span(chosen_at, times.connected),
            response_ms: span(times.connected, times.response),
            total_ms: self.now.saturating_sub(start) as i64,
            status: s.status,
            bytes: s.down.bytes,
            ended_by: s.ended.0,
            ended_in: s.ended.1,
            connections: [
                shape.process.open.load(Relaxed).into(),
                shape.frontends[s.frontend as usize].open.load(Relaxed).into(),
                in_backend.saturating_sub(own),
                in_server.saturating_sub(own),
            ],
            retries: s.retries,
            redispatched: s.redispatched,
            request_line: if times.request > 0 { Some(&s.line) } else { None },
        }
    }
}
