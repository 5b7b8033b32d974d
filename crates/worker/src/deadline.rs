//! When a session has waited long enough, and what happens then.

use std::time::Duration;

use proxy::log::{EndedBy, EndedIn};
use proxy::reply::Reply;

use crate::session::{Answer, Phase, Session, Step};
use crate::worker::Worker;

/// For a client to take our FIN, and to take the last bytes when `timeout client` says nothing.
const LINGER_MS: u64 = 2_000;
const FLUSH_MS: u64 = 10_000;

fn ms(bound: Option<Duration>) -> u64 {
    bound.map_or(u64::MAX, |bound| u64::try_from(bound.as_millis()).unwrap_or(u64::MAX))
}

impl Session {
    /// The exchange waits for the client rather than for the server.
    fn waits_for_client(&self) -> bool {
        !self.down.is_flushed() || (!self.request_done && self.up.is_flushed())
    }

    pub(crate) fn next_deadline(&self, now: u64) -> u64 {
        let client = &self.front().timeouts;
        let server = self.back().map(|back| &back.timeouts);
        let times = &self.times;
        match self.phase {
            Phase::Head => {
                let request = client.http_request.or(client.client);
                if times.first_byte > 0 {
                    times.first_byte.saturating_add(ms(request))
                } else if self.requests == 0 {
                    times.accepted.saturating_add(ms(request).min(ms(client.client)))
                } else {
                    times.idle.saturating_add(ms(client.http_keep_alive.or(request)))
                }
            }
            Phase::Connect => {
                times.connecting.saturating_add(ms(server.and_then(|server| server.connect)))
            }
            Phase::Pause => times.turn,
            Phase::Exchange if self.waits_for_client() => now.saturating_add(ms(client.client)),
            Phase::Exchange => now.saturating_add(ms(server.and_then(|server| server.server))),
            Phase::Tunnel => {
                now.saturating_add(server.and_then(|server| server.tunnel).map_or_else(
                    || ms(client.client).min(ms(server.and_then(|server| server.server))),
                    |tunnel| ms(Some(tunnel)),
                ))
            }
            Phase::Flush => now.saturating_add(ms(client.client).min(FLUSH_MS)),
            Phase::Linger => times.turn.saturating_add(LINGER_MS),
        }
    }
}

impl Worker {
    /// The session's deadline has passed.
    pub(crate) fn handle_deadline(&mut self, s: &mut Session) -> Step {
        match s.phase {
            Phase::Head if s.times.first_byte == 0 && s.requests > 0 => Step::Close,
            Phase::Head => self.refuse(s, Reply::RequestTimeout, EndedBy::ClientTimeout),
            Phase::Connect => self.connect_failed(s, EndedBy::ServerTimeout),
            Phase::Pause => Step::Again,
            Phase::Exchange => {
                let (by, reply) = if s.waits_for_client() {
                    (EndedBy::ClientTimeout, Reply::RequestTimeout)
                } else {
                    (EndedBy::ServerTimeout, Reply::GatewayTimeout)
                };
                match (s.answer, by) {
                    (Answer::Head, EndedBy::ClientTimeout) => s.blame(by, EndedIn::Data),
                    (Answer::Head, _) => s.blame(by, EndedIn::Headers),
                    (Answer::Body, _) => s.blame(by, EndedIn::Data),
                }
                match s.answer {
                    Answer::Head => self.reply(s, reply),
                    Answer::Body => self.finish_broken(s),
                }
            }
            Phase::Tunnel => {
                let client = ms(s.front().timeouts.client);
                let server = ms(s.back().and_then(|back| back.timeouts.server));
                let by =
                    if client <= server { EndedBy::ClientTimeout } else { EndedBy::ServerTimeout };
                s.blame(by, EndedIn::Data);
                self.finish_broken(s)
            }
            Phase::Flush => self.finish_broken(s),
            Phase::Linger => Step::Close,
        }
    }
}
