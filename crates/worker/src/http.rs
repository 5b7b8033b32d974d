//! The way of an HTTP request: from its first byte to its server.

use std::rc::Rc;

use model::proxy::{ConnectionMode, LogFormat, Mode};
use proxy::forwarded;
use proxy::http1::{
    Body, HEAD_MAX, HEADROOM, Parsed, Request, edit, find_end, parse_request,
    request::{Method, leading_line_ends},
};
use proxy::log::{EndedBy, EndedIn};
use proxy::reply::Reply;

use crate::flow::{CHUNK, Read};
use crate::session::{Answer, Phase, Session, Step};
use crate::worker::Worker;

impl Worker {
    /// Reads until a request head is whole, then acts on it.
    pub(crate) fn read_request(&mut self, s: &mut Session) -> Step {
        let start = HEADROOM;
        let had = s.input.len();
        let mut filled = start + had;
        if s.partial || had == 0 {
            if !s.client.readable {
                return self.request_cannot_come(s);
            }
            // A head is bounded, so what came before always leaves room in the scratch buffer.
            match s.client.read(&mut self.kit.scratch()[filled..HEADROOM + CHUNK]) {
                Read::Data(count) => filled += count,
                Read::Nothing => return Step::Wait,
                Read::End | Read::Error => return self.request_cannot_come(s),
            }
            self.kit.moves += 1;
        }
        if s.times.first_byte == 0 {
            s.times.first_byte = self.now;
        }
        self.kit.scratch()[start..start + had].copy_from_slice(&s.input);
        if s.partial && find_end(&self.kit.scratch()[start..filled], had).is_none() {
            if filled - start > HEAD_MAX {
                return self.refuse(s, Reply::BadRequest, EndedBy::Proxy);
            }
            self.kit.keep(&mut s.input, start + had, filled);
            return Step::Wait;
        }
        let skipped = leading_line_ends(&self.kit.scratch()[start..filled]);
        let start = start + skipped;
        match parse_request(&self.kit.scratch()[start..filled]) {
            Parsed::Complete(request) if request.head.length <= HEAD_MAX => {
                self.kit.give(&mut s.input);
                s.partial = false;
                self.start_request(s, request, start, filled)
            }
            Parsed::Partial if filled - start < HEAD_MAX => {
                self.kit.give(&mut s.input);
                self.kit.keep(&mut s.input, start, filled);
                s.partial = filled > start;
                if !s.partial {
                    s.times.first_byte = 0;
                }
                s.touched = true;
                Step::Again
            }
            _ => self.refuse(s, Reply::BadRequest, EndedBy::Proxy),
        }
    }

    /// Nothing can be read until more arrives, or never again.
    fn request_cannot_come(&mut self, s: &mut Session) -> Step {
        if !s.client.ended {
            return Step::Wait;
        }
        if s.input.is_empty() && (s.requests > 0 || s.front().log.dont_log_null) {
            return Step::Close;
        }
        s.blame(EndedBy::Client, EndedIn::Request);
        self.reply(s, Reply::BadRequest)
    }

    fn start_request(
        &mut self,
        s: &mut Session,
        request: Request,
        start: usize,
        filled: usize,
    ) -> Step {
        let lives_on = self.adopt_program(s);
        s.requests += 1;
        s.front_counts().requests.add(1);
        s.times.request = self.now;
        let loaded = Rc::clone(&s.loaded);
        let front = &loaded.shape.program.frontends[s.frontend as usize];
        let head_end = start + request.head.length;
        let draining = self.is_draining();
        let scratch = self.kit.scratch();
        let bytes = &scratch[start..head_end];
        if front.log.format == LogFormat::Http && !front.log.targets.is_empty() {
            s.line.clear();
            let most = request.line_length.min(proxy::log::LINE_MAX);
            s.line.extend_from_slice(&bytes[..most]);
        }
        s.method = request.method;
        s.client_minor = request.head.minor;
        s.asks_upgrade = request.asks_upgrade();
        s.expects_continue = request.head.expects_continue;
        s.client_keep = request.head.keeps_alive() && lives_on && !draining;
        let Some(at) = front.route(bytes, Some(&request), s.peer.ip()) else {
            s.request_done = request.body().is_done();
            s.blame(EndedBy::Server, EndedIn::Connect);
            return self.reply(s, Reply::ServiceUnavailable);
        };
        s.backend = Some(at as u32);
        let back = &loaded.shape.program.backends[at];
        let mode = front.connection_mode(back);
        s.client_keep &= mode != ConnectionMode::Close;
        s.server_keep = mode == ConnectionMode::KeepAlive;

        self.insert.clear();
        if let Some(settings) = front.forward_for(back) {
            forwarded::append_line(settings, s.peer.ip(), bytes, &request, &mut self.insert);
        }
        if !s.server_keep && !s.asks_upgrade {
            self.insert.extend_from_slice(b"connection: close\r\n");
        }
        let mut body = if s.method == Method::Connect { Body::NONE } else { request.body() };
        let Ok(used) = body.consume(&scratch[head_end..filled]) else {
            return self.refuse(s, Reply::BadRequest, EndedBy::Proxy);
        };
        s.request_done = body.is_done();
        s.up.body = body;
        let message_end = head_end + used;
        if message_end < filled {
            self.kit.keep(&mut s.input, message_end, filled);
        }
        let lines = edit::lines_if(!s.asks_upgrade, &request.head.connection_lines);
        let range =
            edit::apply(self.kit.scratch(), start..head_end, message_end, lines, &self.insert);
        self.dispatch(s, range)
    }

    /// A connection that outlived a reload takes the new program with its next request.
    /// False when its frontend is no more.
    fn adopt_program(&mut self, s: &mut Session) -> bool {
        if Rc::ptr_eq(&s.loaded, &self.current) {
            return true;
        }
        let current = &self.current.shape;
        let name = &s.front().name;
        let same = |at: &usize| {
            let front = &current.program.frontends[*at];
            front.name == *name && front.mode == Mode::Http
        };
        let Some(at) = (0..current.program.frontends.len()).find(same) else { return false };
        // The frontend's living object is the same one: its counts of open connections stay.
        s.frontend = at as u32;
        s.loaded = Rc::clone(&self.current);
        true
    }

    /// Sends the request at `range` of the scratch buffer to a server.
    pub(crate) fn dispatch(&mut self, s: &mut Session, range: std::ops::Range<usize>) -> Step {
        loop {
            if let Err(step) = self.choose_server(s) {
                return step;
            }
            if let Some(mut upstream) = self.take_pooled(s) {
                let bytes = &self.kit.scratch()[range.clone()];
                let Ok(sent) = upstream.io.write(bytes) else {
                    self.drop_upstream(upstream);
                    continue;
                };
                self.kit.moves += 1;
                s.request.clear();
                if s.is_replayable() {
                    self.kit.keep(&mut s.request, range.start, range.end);
                }
                s.upstream = Some(upstream);
                self.connected(s);
                return self.request_left(s, sent, range);
            }
            let mut upstream = match self.open_upstream(s) {
                Ok(upstream) => upstream,
                Err(_) => {
                    if s.request.is_empty() {
                        self.kit.keep(&mut s.request, range.start, range.end);
                    }
                    return self.connect_failed(s, EndedBy::Server);
                }
            };
            // On a fast network the connection stands already.
            let bytes = &self.kit.scratch()[range.clone()];
            match upstream.io.write(bytes) {
                Ok(sent) if sent > 0 => {
                    self.kit.moves += 1;
                    s.upstream = Some(upstream);
                    self.connected(s);
                    return self.request_left(s, sent, range);
                }
                result => {
                    if s.request.is_empty() {
                        self.kit.keep(&mut s.request, range.start, range.end);
                    }
                    s.upstream = Some(upstream);
                    if result.is_err() {
                        return self.connect_failed(s, EndedBy::Server);
                    }
                    s.enter(Phase::Connect);
                    return Step::Wait;
                }
            }
        }
    }

    fn connected(&mut self, s: &mut Session) {
        s.times.connected = self.now;
        s.answer = Answer::Head;
        s.enter(Phase::Exchange);
    }

    /// `sent` bytes of the request are out; what is left waits for the server.
    fn request_left(
        &mut self,
        s: &mut Session,
        sent: usize,
        range: std::ops::Range<usize>,
    ) -> Step {
        s.up.bytes += sent as u64;
        if sent < range.len() {
            let rest = self.kit.scratch()[range.start + sent..range.end].to_vec();
            s.up.queue(&mut self.kit, &rest);
        }
        if s.request_done && sent == range.len() { Step::Wait } else { Step::Again }
    }

    /// Sends the kept request again, to whatever server is next.
    pub(crate) fn dispatch_again(&mut self, s: &mut Session) -> Step {
        let length = s.request.len();
        self.kit.scratch()[HEADROOM..HEADROOM + length].copy_from_slice(&s.request);
        self.dispatch(s, HEADROOM..HEADROOM + length)
    }

    /// The server's socket became writable, or failed.
    pub(crate) fn await_connect(&mut self, s: &mut Session) -> Step {
        let is_tcp = s.front().mode == Mode::Tcp;
        let Some(upstream) = &mut s.upstream else { return Step::Close };
        if !upstream.io.writable && !upstream.io.gone {
            return Step::Wait;
        }
        if is_tcp {
            return self.tcp_connected(s);
        }
        match upstream.io.write(&s.request) {
            Ok(0) => Step::Wait,
            Ok(sent) => {
                self.kit.moves += 1;
                let rest = s.request.split_off(sent);
                self.kit.give(&mut s.request);
                s.up.bytes += sent as u64;
                if !rest.is_empty() {
                    s.up.queue(&mut self.kit, &rest);
                }
                self.connected(s);
                Step::Again
            }
            Err(_) => self.connect_failed(s, EndedBy::Server),
        }
    }
}
