//! The way of an HTTP request: its head, its server, the exchange, and what comes after it.

use std::rc::Rc;

use model::proxy::{ConnectionMode, LogFormat, Mode};
use proxy::forwarded;
use proxy::http1::{
    Body, HEAD_MAX, HEADROOM, Parsed, Request, edit, find_end, parse_request, parse_response,
    request::{Method, leading_line_ends},
};
use proxy::log::{EndedBy, EndedIn};
use proxy::reply::Reply;

use crate::flow::{CHUNK, Pumped, Read};
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

    /// Nothing can be read: for now, or ever again.
    fn request_cannot_come(&mut self, s: &mut Session) -> Step {
        if !s.client.ended {
            return Step::Wait;
        }
        if s.input.is_empty() && (s.requests > 0 || s.front().log.dont_log_null) {
            return Step::Close;
        }
        // Cut short: HAProxy counts it as a bad request and says so to the log only.
        s.status = 400;
        s.blame(EndedBy::Client, EndedIn::Request);
        self.log(s);
        Step::Close
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

    /// Moves what can be moved, both ways.
    pub(crate) fn exchange(&mut self, s: &mut Session) -> Step {
        let mut turn = Step::Wait;
        if !s.request_done || !s.up.is_flushed() {
            match self.pump_request(s) {
                Step::Wait => {}
                Step::Yield => turn = Step::Yield,
                step => return step,
            }
        }
        let answered = match s.answer {
            Answer::Head => self.read_response(s),
            Answer::Body => self.pump_response(s),
        };
        if answered == Step::Wait { turn } else { answered }
    }

    fn pump_request(&mut self, s: &mut Session) -> Step {
        let Some(upstream) = &mut s.upstream else { return Step::Close };
        let rest = Some(&mut s.input);
        match s.up.pump(&mut self.kit, &mut s.client, &mut upstream.io, rest) {
            Pumped::Done => {
                s.touched |= !s.request_done;
                s.request_done = true;
                Step::Wait
            }
            Pumped::Starved | Pumped::Blocked => Step::Wait,
            Pumped::Yield => Step::Yield,
            Pumped::SourceEnd | Pumped::SourceError => {
                let at = if s.answer == Answer::Head { EndedIn::Headers } else { EndedIn::Data };
                s.blame(EndedBy::Client, at);
                self.finish_broken(s)
            }
            Pumped::BadFraming => {
                s.blame(EndedBy::Client, EndedIn::Data);
                if s.answer == Answer::Head {
                    self.reply(s, Reply::BadRequest)
                } else {
                    self.finish_broken(s)
                }
            }
            // The server takes no more. What it has answered decides, so its end is read first.
            Pumped::SinkError => {
                s.server_keep = false;
                s.client_keep = false;
                s.up.reset(&mut self.kit);
                s.request_done = true;
                upstream.io.readable = true;
                Step::Wait
            }
        }
    }

    fn read_response(&mut self, s: &mut Session) -> Step {
        let Some(upstream) = &mut s.upstream else { return Step::Close };
        let start = HEADROOM;
        let had = upstream.input.len();
        let mut filled = start + had;
        let unseen = std::mem::take(&mut upstream.unseen);
        if !unseen {
            if !upstream.io.readable {
                return Step::Wait;
            }
            match upstream.io.read(&mut self.kit.scratch()[filled..HEADROOM + CHUNK]) {
                Read::Data(count) => filled += count,
                Read::Nothing => return Step::Wait,
                Read::End | Read::Error => return self.server_left(s),
            }
            self.kit.moves += 1;
        }
        self.kit.scratch()[start..start + had].copy_from_slice(&upstream.input);
        if !unseen
            && had > 0
            && find_end(&self.kit.scratch()[start..filled], had).is_none()
            && filled - start < HEAD_MAX
        {
            self.kit.keep(&mut upstream.input, start + had, filled);
            return Step::Again;
        }
        self.kit.give(&mut upstream.input);
        match parse_response(&self.kit.scratch()[start..filled]) {
            Parsed::Complete(response) if response.head.length <= HEAD_MAX => {
                if response.is_interim() {
                    return self.forward_interim(s, start, start + response.head.length, filled);
                }
                let tunnels = match s.method {
                    Method::Connect => response.status / 100 == 2,
                    _ => response.status == 101 && s.asks_upgrade,
                };
                if tunnels {
                    s.status = response.status;
                    return self.begin_tunnel(s, start, filled);
                }
                if response.status == 101 {
                    return self.bad_response(s);
                }
                self.start_response(s, response, start, filled)
            }
            Parsed::Partial if filled - start < HEAD_MAX => {
                self.kit.keep(&mut upstream.input, start, filled);
                Step::Again
            }
            _ => self.bad_response(s),
        }
    }

    fn start_response(
        &mut self,
        s: &mut Session,
        response: proxy::http1::Response,
        start: usize,
        filled: usize,
    ) -> Step {
        self.kit.give(&mut s.request);
        s.times.response = self.now;
        s.status = response.status;
        let head_end = start + response.head.length;
        let mut body = response.body(s.method);
        let scratch = self.kit.scratch();
        let Ok(used) = body.consume(&scratch[head_end..filled]) else {
            return self.bad_response(s);
        };
        let message_end = head_end + used;
        let until_close = body.is_until_close();
        s.server_keep &= response.head.keeps_alive() && !until_close && message_end == filled;
        s.client_keep &= !until_close && s.request_done;
        // A proxy answers in its own version (RFC 9112 2.3).
        scratch[start + 7] = b'1';
        let insert: &[u8] = match (s.client_keep, s.client_minor) {
            (false, _) => b"connection: close\r\n",
            (true, 0) => b"connection: keep-alive\r\n",
            (true, _) => b"",
        };
        let lines = response.head.connection_lines.iter();
        let range = edit::apply(scratch, start..head_end, message_end, lines, insert);
        s.down.body = body;
        s.answer = Answer::Body;
        s.touched = true;
        if s.down.write_scratch(&mut self.kit, &mut s.client, range.start, range.end).is_err() {
            s.blame(EndedBy::Client, EndedIn::Data);
            return self.finish_broken(s);
        }
        if s.down.body.is_done() && s.down.is_flushed() { self.finish(s) } else { Step::Again }
    }

    fn forward_interim(
        &mut self,
        s: &mut Session,
        start: usize,
        end: usize,
        filled: usize,
    ) -> Step {
        let Some(upstream) = &mut s.upstream else { return Step::Close };
        if end < filled {
            self.kit.keep(&mut upstream.input, end, filled);
            // What came behind it is looked at without waiting for more.
            upstream.unseen = true;
        }
        // HTTP/1.0 knows no interim responses.
        if s.client_minor == 1
            && s.down.write_scratch(&mut self.kit, &mut s.client, start, end).is_err()
        {
            s.blame(EndedBy::Client, EndedIn::Headers);
            return self.finish_broken(s);
        }
        Step::Again
    }

    fn pump_response(&mut self, s: &mut Session) -> Step {
        let Some(upstream) = &mut s.upstream else { return Step::Close };
        match s.down.pump(&mut self.kit, &mut upstream.io, &mut s.client, None) {
            Pumped::Done => self.finish(s),
            Pumped::Starved | Pumped::Blocked => Step::Wait,
            Pumped::Yield => Step::Yield,
            Pumped::SourceEnd if s.down.body.is_until_close() => self.finish(s),
            Pumped::SourceEnd | Pumped::SourceError => {
                s.blame(EndedBy::Server, EndedIn::Data);
                self.finish_broken(s)
            }
            Pumped::BadFraming => {
                s.blame(EndedBy::Proxy, EndedIn::Data);
                self.finish_broken(s)
            }
            Pumped::SinkError => {
                s.blame(EndedBy::Client, EndedIn::Data);
                self.finish_broken(s)
            }
        }
    }

    /// The server's end came before a response head.
    fn server_left(&mut self, s: &mut Session) -> Step {
        let Some(upstream) = s.upstream.take() else { return Step::Close };
        let untouched = upstream.input.is_empty();
        let stale = upstream.reused && untouched && !s.request.is_empty();
        self.drop_upstream(upstream);
        if stale && s.is_replayable() {
            s.force_fresh = true;
            self.release_server(s);
            return self.dispatch_again(s);
        }
        s.blame(EndedBy::Server, EndedIn::Headers);
        self.reply(s, Reply::BadGateway)
    }

    fn bad_response(&mut self, s: &mut Session) -> Step {
        s.times.response = 0;
        s.blame(EndedBy::Proxy, EndedIn::Headers);
        self.reply(s, Reply::BadGateway)
    }

    /// The response is with the client: what becomes of the two connections.
    fn finish(&mut self, s: &mut Session) -> Step {
        if !s.down.is_flushed() {
            return Step::Wait;
        }
        let class = usize::from(s.status / 100).clamp(1, 5) - 1;
        s.front_counts().responses[class].add(1);
        self.log(s);
        self.count_bytes(s);
        if let Some(upstream) = s.upstream.take() {
            let keep = s.server_keep && s.request_done && s.up.is_flushed() && !upstream.io.gone;
            if keep { self.pool(upstream) } else { self.drop_upstream(upstream) }
        }
        self.release_server(s);
        let unread = !s.request_done || !s.input.is_empty();
        if !s.client_keep || !s.request_done || self.is_draining() {
            if unread || s.client.readable {
                return self.begin_linger(s);
            }
            return Step::Close;
        }
        s.up.reset(&mut self.kit);
        s.down.reset(&mut self.kit);
        s.backend = None;
        s.status = 0;
        s.retries = 0;
        s.redispatched = false;
        s.avoid = None;
        s.force_fresh = false;
        let again = !s.input.is_empty();
        s.times = crate::session::Times {
            accepted: s.times.accepted,
            idle: self.now,
            ..crate::session::Times::default()
        };
        s.enter(Phase::Head);
        if again || s.client.readable { Step::Again } else { Step::Wait }
    }

    /// Something broke in the middle: nothing can be said to the client any more.
    pub(crate) fn finish_broken(&mut self, s: &mut Session) -> Step {
        if s.status > 0 {
            let class = usize::from(s.status / 100).clamp(1, 5) - 1;
            s.front_counts().responses[class].add(1);
        }
        self.log(s);
        self.count_bytes(s);
        Step::Close
    }

    /// Answers a message that is no request.
    pub(crate) fn refuse(&mut self, s: &mut Session, reply: Reply, by: EndedBy) -> Step {
        s.request_done = false;
        s.requests += 1;
        s.front_counts().requests.add(1);
        s.blame(by, EndedIn::Request);
        self.reply(s, reply)
    }

    /// Answers in the server's place and closes the connection behind it.
    pub(crate) fn reply(&mut self, s: &mut Session, reply: Reply) -> Step {
        if let Some(upstream) = s.upstream.take() {
            self.drop_upstream(upstream);
        }
        self.kit.give(&mut s.request);
        s.status = reply.status();
        s.client_keep = false;
        s.down.body = Body::NONE;
        let text = if s.method == Method::Head { reply.head() } else { reply.message() };
        s.down.queue(&mut self.kit, text);
        s.times.turn = self.now;
        s.enter(Phase::Flush);
        Step::Again
    }

    /// Writes the last bytes; then the log line, then the end.
    pub(crate) fn flush_and_close(&mut self, s: &mut Session) -> Step {
        let sent = s.down.drain(&mut self.kit, &mut s.client);
        if sent == Pumped::Blocked {
            return Step::Wait;
        }
        let class = usize::from(s.status / 100).clamp(1, 5) - 1;
        s.front_counts().responses[class].add(1);
        self.log(s);
        self.count_bytes(s);
        self.release_server(s);
        if sent == Pumped::Done { self.begin_linger(s) } else { Step::Close }
    }

    fn begin_linger(&mut self, s: &mut Session) -> Step {
        crate::sys::shutdown_write(&s.client.fd);
        s.times.turn = self.now;
        s.client.readable = true;
        s.enter(Phase::Linger);
        Step::Again
    }

    /// Throws away what the client still sends.
    pub(crate) fn linger(&mut self, s: &mut Session) -> Step {
        let mut budget = 32;
        while s.client.readable {
            if budget == 0 {
                return Step::Yield;
            }
            budget -= 1;
            match s.client.read(&mut self.kit.scratch()[HEADROOM..HEADROOM + CHUNK]) {
                Read::Data(_) => {}
                Read::Nothing => break,
                Read::End | Read::Error => return Step::Close,
            }
        }
        Step::Wait
    }
}
