//! The plan in the form the data path runs: names resolved to indices, rules compiled.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use model::proxy::{
    ClientTimeouts, ConnectionMode, ForwardFor, LogSettings, Mode, ProxyPlan, ServerTimeouts,
};

use crate::forwarded::NAME_MAX;
use crate::http1::Request;
use crate::rules::{Rule, Scene};

/// Everything a session asks, immutable.
#[derive(Debug)]
pub struct Program {
    /// Number of the configuration.
    pub generation: u64,
    /// In file order.
    pub frontends: Vec<Frontend>,
    /// In file order.
    pub backends: Vec<Backend>,
}

/// A frontend, ready to serve.
#[derive(Debug)]
pub struct Frontend {
    /// Its name.
    pub name: String,
    /// TCP or HTTP.
    pub mode: Mode,
    /// Where it listens.
    pub binds: Vec<SocketAddr>,
    /// Connections at a time.
    pub max_connections: Option<u32>,
    /// Log targets and format.
    pub log: LogSettings,
    /// Bounds on the client's side.
    pub timeouts: ClientTimeouts,
    connection_mode: ConnectionMode,
    forward_for: Option<ForwardFor>,
    rules: Vec<(Rule, usize)>,
    default_backend: Option<usize>,
}

/// A backend, ready to serve.
#[derive(Debug)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// TCP or HTTP.
    pub mode: Mode,
    /// In file order.
    pub servers: Vec<Server>,
    /// Bounds on the server's side.
    pub timeouts: ServerTimeouts,
    /// Tries after a failed connect.
    pub retries: u32,
    /// The last try may go to another server.
    pub redispatch: bool,
    /// Where state changes are logged.
    pub log: LogSettings,
    connection_mode: ConnectionMode,
    forward_for: Option<ForwardFor>,
}

/// A server.
#[derive(Debug)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// Share of requests.
    pub weight: u16,
    /// Only when no other is up.
    pub backup: bool,
    /// It has a health check.
    pub checked: bool,
}

impl Program {
    /// Resolves a plan. The error is a sentence about a plan that contradicts itself.
    pub fn compile(plan: &ProxyPlan, generation: u64) -> Result<Program, String> {
        let backend = |name: &str| {
            plan.backends
                .iter()
                .position(|backend| backend.name == name)
                .ok_or_else(|| format!("there is no backend {name:?}"))
        };
        let frontends = plan
            .frontends
            .iter()
            .map(|frontend| {
                check_header(frontend.forward_for.as_ref())?;
                Ok(Frontend {
                    name: frontend.name.clone(),
                    mode: frontend.mode,
                    binds: frontend.binds.iter().map(|bind| bind.address).collect(),
                    max_connections: frontend.max_connections,
                    log: frontend.log.clone(),
                    timeouts: frontend.timeouts,
                    connection_mode: frontend.connection_mode,
                    forward_for: frontend.forward_for.clone(),
                    rules: frontend
                        .use_backends
                        .iter()
                        .map(|rule| {
                            Ok((Rule::compile(rule.condition.as_ref()), backend(&rule.backend)?))
                        })
                        .collect::<Result<_, String>>()?,
                    default_backend: frontend
                        .default_backend
                        .as_deref()
                        .map(backend)
                        .transpose()?,
                })
            })
            .collect::<Result<_, String>>()?;
        let backends = plan.backends.iter().map(compile_backend).collect::<Result<_, String>>()?;
        Ok(Program { generation, frontends, backends })
    }
}

fn compile_backend(backend: &model::proxy::Backend) -> Result<Backend, String> {
    check_header(backend.forward_for.as_ref())?;
    Ok(Backend {
        name: backend.name.clone(),
        mode: backend.mode,
        servers: backend
            .servers
            .iter()
            .map(|server| Server {
                name: server.name.clone(),
                address: server.address,
                weight: server.weight,
                backup: server.backup,
                checked: server.check.is_some(),
            })
            .collect(),
        timeouts: backend.timeouts,
        retries: backend.retries,
        redispatch: backend.redispatch,
        log: backend.log.clone(),
        connection_mode: backend.connection_mode,
        forward_for: backend.forward_for.clone(),
    })
}

fn check_header(settings: Option<&ForwardFor>) -> Result<(), String> {
    match settings {
        Some(settings) if settings.header.len() > NAME_MAX => {
            Err(format!("a forwardfor header name has more than {NAME_MAX} bytes"))
        }
        _ => Ok(()),
    }
}

impl Frontend {
    /// The backend for a request (or, in TCP mode, a connection): the first rule that holds, else
    /// the default one.
    pub fn route(
        &self,
        bytes: &[u8],
        request: Option<&Request>,
        source: core::net::IpAddr,
    ) -> Option<usize> {
        if self.rules.is_empty() {
            return self.default_backend;
        }
        let scene = Scene { bytes, request, source };
        self.rules
            .iter()
            .find(|(rule, _)| rule.holds(&scene))
            .map(|&(_, backend)| backend)
            .or(self.default_backend)
    }

    /// How connections through this frontend and that backend live: as short as either asks for.
    pub fn connection_mode(&self, backend: &Backend) -> ConnectionMode {
        self.connection_mode.max(backend.connection_mode)
    }

    /// X-Forwarded-For settings of this pair; the backend's count first.
    pub fn forward_for<'a>(&'a self, backend: &'a Backend) -> Option<&'a ForwardFor> {
        backend.forward_for.as_ref().or(self.forward_for.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::proxy::UseBackend;

    #[test]
    fn a_rule_that_names_no_backend_is_an_error() {
        let frontend = model::proxy::Frontend {
            name: "f".into(),
            mode: Mode::Http,
            binds: vec![],
            max_connections: None,
            log: LogSettings::default(),
            timeouts: ClientTimeouts::default(),
            forward_for: None,
            connection_mode: ConnectionMode::KeepAlive,
            use_backends: vec![UseBackend { backend: "nowhere".into(), condition: None }],
            default_backend: None,
        };
        let plan = ProxyPlan { frontends: vec![frontend], ..ProxyPlan::default() };
        assert_eq!(Program::compile(&plan, 1).unwrap_err(), "there is no backend \"nowhere\"");
    }
}
