//! One try of any kind: what it opens, and what it makes of what happens then.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use model::check::{CheckKind, Checker as Plan};
use model::vrrp::Command;

use super::Output;
use super::dns::DnsProbe;
use super::http::HttpProbe;
use super::ping::PingProbe;
use super::random::Random;
use super::smtp::SmtpProbe;
use super::tcp;
use super::udp::UdpProbe;
use super::words::{Text, no_answer};

/// A probe under way. Boxed: most of forty thousand checkers have none.
#[derive(Debug)]
pub(super) enum Probe {
    Tcp,
    Http(Box<HttpProbe>),
    Smtp(Box<SmtpProbe>),
    Dns(Box<DnsProbe>),
    Udp(Box<UdpProbe>),
    Ping(Box<PingProbe>),
}

/// What a checker begins with.
pub(super) enum Begin<'a> {
    /// Open this; the probe goes on from there.
    Open(Output, Probe),
    /// Run this program.
    Run(&'a Command),
    /// Nothing is to be tried: somebody tells.
    Listen,
}

/// What a probe makes of something that happened.
pub(super) enum Step {
    /// Nothing yet.
    Wait,
    /// Ask this.
    Send(Vec<u8>),
    /// The server is well.
    Pass(Text),
    /// It is not.
    Fail(Text),
}

impl Probe {
    /// The try of a checker's url at this place.
    pub(super) fn begin<'a>(plan: &'a Plan, place: u16, random: &mut Random) -> Begin<'a> {
        let (target, source) = (plan.target, plan.source.clone());
        match &plan.kind {
            CheckKind::Tcp => {
                Begin::Open(Output::Connect { target, source, tls: None }, Probe::Tcp)
            }
            CheckKind::Http(http) => {
                let probe = HttpProbe::new(http, place, target);
                let connect = Output::Connect { target, source, tls: probe.tls(http) };
                Begin::Open(connect, Probe::Http(Box::new(probe)))
            }
            CheckKind::Smtp(smtp) => {
                let probe = Probe::Smtp(Box::new(SmtpProbe::new(smtp)));
                Begin::Open(Output::Connect { target, source, tls: None }, probe)
            }
            CheckKind::Dns(dns) => {
                let probe = Probe::Dns(Box::new(DnsProbe::new(dns, random)));
                Begin::Open(Output::OpenUdp { target, source }, probe)
            }
            CheckKind::Udp(udp) => {
                let probe = Probe::Udp(Box::new(UdpProbe::new(udp, random)));
                Begin::Open(Output::OpenUdp { target, source }, probe)
            }
            CheckKind::Ping => {
                let probe = Probe::Ping(Box::new(PingProbe::new(random)));
                Begin::Open(Output::OpenEcho { target, source }, probe)
            }
            CheckKind::Misc(misc) => Begin::Run(&misc.command),
            CheckKind::Bfd(_) | CheckKind::File(_) => Begin::Listen,
        }
    }

    /// What was to be opened is open.
    pub(super) fn handle_open(&mut self) -> Step {
        match self {
            Probe::Tcp => tcp::handle_open(),
            Probe::Http(http) => http.handle_open(),
            Probe::Smtp(_) => Step::Wait,
            Probe::Dns(dns) => dns.handle_open(),
            Probe::Udp(udp) => udp.handle_open(),
            Probe::Ping(ping) => ping.handle_open(),
        }
    }

    pub(super) fn handle_bytes(&mut self, bytes: &[u8]) -> Step {
        match self {
            Probe::Tcp => Step::Wait,
            Probe::Http(http) => http.handle_bytes(bytes),
            Probe::Smtp(smtp) => smtp.handle_bytes(bytes),
            Probe::Dns(dns) => dns.handle_bytes(bytes),
            Probe::Udp(udp) => udp.handle_bytes(bytes),
            Probe::Ping(ping) => ping.handle_bytes(bytes),
        }
    }

    /// The other side has closed. Datagrams have no end.
    pub(super) fn handle_end(&mut self) -> Step {
        match self {
            Probe::Http(http) => http.handle_end(),
            Probe::Smtp(smtp) => smtp.handle_end(),
            Probe::Tcp | Probe::Dns(_) | Probe::Udp(_) | Probe::Ping(_) => Step::Wait,
        }
    }

    /// The connection broke for this cause, could not be opened, or was refused.
    pub(super) fn handle_broken(&mut self, cause: Text) -> Step {
        match self {
            Probe::Http(http) => Step::Fail(http.at_url(cause)),
            Probe::Tcp | Probe::Smtp(_) | Probe::Dns(_) | Probe::Udp(_) | Probe::Ping(_) => {
                Step::Fail(cause)
            }
        }
    }

    /// The exchange has taken as long as it may.
    pub(super) fn handle_late(&mut self, within: Duration) -> Step {
        match self {
            Probe::Tcp | Probe::Ping(_) => Step::Fail(no_answer(within)),
            Probe::Http(http) => http.handle_late(within),
            Probe::Smtp(smtp) => smtp.handle_late(within),
            Probe::Dns(dns) => dns.handle_late(within),
            Probe::Udp(udp) => udp.handle_late(within),
        }
    }
}
