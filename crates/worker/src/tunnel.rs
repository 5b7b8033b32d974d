//! Bytes both ways: TCP mode, CONNECT, upgraded connections.

use proxy::http1::{Body, HEADROOM};
use proxy::log::{EndedBy, EndedIn};

use crate::flow::Pumped;
use crate::session::{Phase, Session, Step};
use crate::sys;
use crate::worker::Worker;

impl Worker {
    /// A TCP client is here: its server is chosen before it says anything.
    pub(crate) fn tcp_start(&mut self, s: &mut Session) -> Step {
        s.request_done = true;
        s.backend = s.front().route(b"", None, s.peer.ip()).map(|at| at as u32);
        if s.backend.is_none() {
            s.blame(EndedBy::Server, EndedIn::Connect);
            return self.finish_broken(s);
        }
        self.tcp_connect(s)
    }

    pub(crate) fn tcp_connect(&mut self, s: &mut Session) -> Step {
        if let Err(step) = self.choose_server(s) {
            return step;
        }
        match self.open_upstream(s) {
            Ok(upstream) => {
                s.upstream = Some(upstream);
                s.enter(Phase::Connect);
                Step::Wait
            }
            Err(_) => self.connect_failed(s, EndedBy::Server),
        }
    }

    pub(crate) fn tcp_connected(&mut self, s: &mut Session) -> Step {
        let Some(upstream) = &mut s.upstream else { return Step::Close };
        if upstream.io.gone && sys::socket_error(&upstream.io.fd) != 0 {
            return self.connect_failed(s, EndedBy::Server);
        }
        s.times.connected = self.now;
        s.up.body = Body::UNTIL_CLOSE;
        s.down.body = Body::UNTIL_CLOSE;
        s.enter(Phase::Tunnel);
        Step::Again
    }

    /// The response at `start..filled` opens a tunnel: it and what is behind it go to the client,
    /// what the client sent behind its request goes to the server.
    pub(crate) fn begin_tunnel(&mut self, s: &mut Session, start: usize, filled: usize) -> Step {
        s.times.response = self.now;
        self.kit.give(&mut s.request);
        let early = std::mem::take(&mut s.input);
        if !early.is_empty() {
            s.up.queue(&mut self.kit, &early);
        }
        s.request_done = true;
        s.client_keep = false;
        s.server_keep = false;
        s.up.body = Body::UNTIL_CLOSE;
        s.down.body = Body::UNTIL_CLOSE;
        s.enter(Phase::Tunnel);
        debug_assert!(start >= HEADROOM);
        if s.down.write_scratch(&mut self.kit, &mut s.client, start, filled).is_err() {
            s.blame(EndedBy::Client, EndedIn::Data);
            return self.finish_broken(s);
        }
        Step::Again
    }

    /// Moves bytes both ways; each end is passed on when everything before it is.
    pub(crate) fn tunnel(&mut self, s: &mut Session) -> Step {
        let Some(upstream) = &mut s.upstream else { return Step::Close };
        let mut turn = Step::Wait;
        let mut broken = None;
        if !s.up_shut {
            match s.up.pump(&mut self.kit, &mut s.client, &mut upstream.io, None) {
                Pumped::SourceEnd | Pumped::Done => {
                    sys::shutdown_write(&upstream.io.fd);
                    s.up_shut = true;
                    s.touched = true;
                }
                Pumped::Yield => turn = Step::Yield,
                Pumped::Starved | Pumped::Blocked => {}
                Pumped::SourceError | Pumped::BadFraming => broken = Some(EndedBy::Client),
                Pumped::SinkError => broken = Some(EndedBy::Server),
            }
        }
        if !s.down_shut && broken.is_none() {
            match s.down.pump(&mut self.kit, &mut upstream.io, &mut s.client, None) {
                Pumped::SourceEnd | Pumped::Done => {
                    sys::shutdown_write(&s.client.fd);
                    s.down_shut = true;
                    s.touched = true;
                }
                Pumped::Yield => turn = Step::Yield,
                Pumped::Starved | Pumped::Blocked => {}
                Pumped::SourceError | Pumped::BadFraming => broken = Some(EndedBy::Server),
                Pumped::SinkError => broken = Some(EndedBy::Client),
            }
        }
        if let Some(by) = broken {
            s.blame(by, EndedIn::Data);
        }
        if broken.is_some() || (s.up_shut && s.down_shut) {
            return self.finish_broken(s);
        }
        turn
    }
}
