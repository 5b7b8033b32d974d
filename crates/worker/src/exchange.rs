//! The exchange of a request and its response, and what becomes of the connections after it.

use proxy::http1::request::Method;
use proxy::http1::{HEAD_MAX, HEADROOM, Parsed, Response, edit, find_end, parse_response};
use proxy::log::{EndedBy, EndedIn};
use proxy::reply::Reply;

use crate::flow::{CHUNK, Pumped, Read};
use crate::session::{Answer, Phase, Session, Step, Times};
use crate::worker::Worker;

impl Worker {
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
            Pumped::SourceEnd if s.answer == Answer::Head => {
                s.blame(EndedBy::Client, EndedIn::Last);
                self.finish_broken(s)
            }
            Pumped::SourceEnd | Pumped::SourceError => {
                s.blame(EndedBy::Client, EndedIn::Data);
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
                s.upload_cut |= !s.request_done;
                s.request_done = true;
                upstream.io.readable = true;
                Step::Wait
            }
        }
    }

    fn read_response(&mut self, s: &mut Session) -> Step {
        let Some(upstream) = &mut s.upstream else { return Step::Close };
        // Interim responses wait no more than anything else for a client that does not read.
        if !s.down.is_flushed() {
            match s.down.drain(&mut self.kit, &mut s.client) {
                Pumped::Done => {}
                Pumped::Blocked => return Step::Wait,
                _ => {
                    s.blame(EndedBy::Client, EndedIn::Headers);
                    return self.finish_broken(s);
                }
            }
        }
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
        response: Response,
        start: usize,
        filled: usize,
    ) -> Step {
        self.kit.give(&mut s.request);
        s.times.response = self.now;
        s.status = response.status;
        let head_end = start + response.head.length;
        let mut body = response.body(s.method);
        // Told with the response, the client does not send its next request into a closed door.
        let draining = self.is_draining();
        let scratch = self.kit.scratch();
        let Ok(used) = body.consume(&scratch[head_end..filled]) else {
            return self.bad_response(s);
        };
        let message_end = head_end + used;
        let until_close = body.is_until_close();
        s.server_keep &= response.head.keeps_alive() && !until_close && message_end == filled;
        s.client_keep &= !until_close && s.request_done && !draining;
        // HTTP/1.0 knows no chunks: only the connection's end says where they are over.
        s.client_keep &= !response.head.chunked || s.client_minor == 1;
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
                s.blame(EndedBy::Server, EndedIn::Data);
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
        let unread = !s.request_done || s.upload_cut || !s.input.is_empty();
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
        s.times = Times { accepted: s.times.accepted, idle: self.now, ..Times::default() };
        s.enter(Phase::Head);
        if again || s.client.readable { Step::Again } else { Step::Wait }
    }
}
