//! What a manual entry means: it is written as a keepalived.conf would have it and read by the
//! language's own rules, so that whatever no file may say is refused in the file's words.

use std::fmt::Write;
use std::net::IpAddr;

use conf::source::Source;
use conf::{Language, Severity};
use model::layer4::{Forwarding, RealServer, Scheduler, ServiceKey, VirtualServer};
use model::vrrp::Family;

use crate::manual::{Mask, Server, ServiceSettings};

/// What ipvsadm says of a scheduler that the kernel does not have.
const NO_SCHEDULER: &str = "Scheduler or persistence engine not found";

/// A virtual server without real servers.
pub(super) fn service(
    key: ServiceKey,
    settings: &ServiceSettings,
) -> Result<VirtualServer, String> {
    let scheduler = scheduler(&settings.scheduler).ok_or(NO_SCHEDULER)?;
    let mut body = format!(" lb_algo {}\n", scheduler.name());
    for flag in &settings.flags {
        let _ = writeln!(body, " {flag}");
    }
    if let Some(seconds) = settings.persistence {
        let _ = writeln!(body, " persistence_timeout {seconds}");
        match settings.mask {
            None => {}
            Some(Mask::V4(mask)) => drop(writeln!(body, " persistence_granularity {mask}")),
            Some(Mask::V6(bits)) => drop(writeln!(body, " persistence_granularity {bits}")),
        }
    }
    if settings.one_packet {
        body.push_str(" ops\n");
    }
    // Without persistence an engine has nothing to do, and ipvsadm lists none.
    if let Some(engine) = settings.engine.as_ref().filter(|_| settings.persistence.is_some()) {
        if !engine.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(NO_SCHEDULER.into());
        }
        let _ = writeln!(body, " persistence_engine {engine}");
    }
    read(key, &body)
}

/// A real server of a service.
pub(super) fn server(key: ServiceKey, server: &Server) -> Result<RealServer, String> {
    let way = match server.forwarding {
        forwarding @ (Forwarding::Nat | Forwarding::DirectRouting | Forwarding::Tunnel(_)) => {
            forwarding
        }
    };
    let Server { address, port, weight, upper_threshold, lower_threshold, .. } = server;
    let place = if *port == 0 { address.to_string() } else { format!("{address} {port}") };
    // Any service of all ports is persistent.
    let persistence = if key.port() == 0 { " persistence_timeout 60\n" } else { "" };
    let body = format!(
        " lb_algo wlc\n{persistence} real_server {place} {{\n  lvs_method {way}\n  weight {weight}\n  \
         uthreshold {upper_threshold}\n  lthreshold {lower_threshold}\n }}\n"
    );
    let mut lowered = read(key, &body)?;
    let found = lowered.real_servers.first().cloned();
    lowered.real_servers = Vec::new().into();
    found.ok_or_else(|| format!("{address} cannot be a real server of {key}"))
}

pub(super) fn scheduler(name: &str) -> Option<Scheduler> {
    Scheduler::ALL.into_iter().find(|scheduler| scheduler.name() == name)
}

fn read(key: ServiceKey, body: &str) -> Result<VirtualServer, String> {
    let head = match key {
        ServiceKey::Address { address, port: 0, protocol } => {
            format!("{address} {{\n protocol {}", protocol.name())
        }
        ServiceKey::Address { address, port, protocol } => {
            format!("{address} {port} {{\n protocol {}", protocol.name())
        }
        ServiceKey::Mark { mark, family: Family::Ipv4 } => format!("fwmark {mark} {{"),
        ServiceKey::Mark { mark, family: Family::Ipv6 } => {
            format!("fwmark {mark} {{\n ip_family inet6")
        }
    };
    let text = Text(format!("virtual_server {head}\n{body}}}\n"));
    let loaded = conf::load(&text, &[(String::new(), Some(Language::Keepalived))]);
    let mistake = loaded.diagnostics.iter().find(|one| one.severity == Severity::Error);
    if let Some(mistake) = mistake {
        return Err(match &mistake.help {
            Some(help) => format!("{}: {help}", mistake.message),
            None => mistake.message.clone(),
        });
    }
    let servers = loaded.plan.map(|plan| plan.layer4.virtual_servers).unwrap_or_default();
    let found = servers.into_iter().find(|server| server.services == [key]);
    found.ok_or_else(|| format!("{key} cannot be a virtual server"))
}

/// The one file there is.
struct Text(String);

impl Source for Text {
    fn read(&self, _: &str) -> Result<String, String> {
        Ok(self.0.clone())
    }

    fn environment(&self, _: &str) -> Option<String> {
        None
    }

    fn host_name(&self) -> String {
        String::new()
    }

    fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        Err(format!("{host} is no address"))
    }

    fn user_id(&self, _: &str) -> Option<u32> {
        None
    }

    fn primary_group(&self, _: &str) -> Option<u32> {
        None
    }

    fn group_id(&self, _: &str) -> Option<u32> {
        None
    }
}
