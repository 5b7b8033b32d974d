//! Ends: broken sessions, answers in the server's place, and closing without losing them.

use proxy::http1::request::Method;
use proxy::http1::{Body, HEADROOM};
use proxy::log::{EndedBy, EndedIn};
use proxy::reply::Reply;

use crate::flow::{CHUNK, Pumped, Read};
use crate::session::{Phase, Session, Step};
use crate::worker::Worker;

impl Worker {
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

    pub(crate) fn begin_linger(&mut self, s: &mut Session) -> Step {
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
