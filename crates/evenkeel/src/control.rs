//! What `evenkeel status`, `reload` and the others ask of a running Evenkeel, over the Unix socket
//! `control.sock` in its runtime directory.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge::ipc::{Channel, Received};
use model::Plan;
use model::control::{Event, ServerAction};
use model::diff::Change;
use model::layer4::{ServiceKey, Timeouts};
use model::status::{ConnectionStatus, DirectorReport, ProxyReport, VrrpReport};
use serde::{Deserialize, Serialize};

use crate::manual::{Order, Outcome};

/// A question to the supervisor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Everything `evenkeel status` shows.
    Status,
    /// What it shows of one virtual server, by one of its names: `TCP 192.0.2.1:80`,
    /// `192.0.2.1:80`, `group web`.
    VirtualServer(String),
    /// Read the configuration again and apply what changed.
    Reload,
    /// The Plan in force.
    Plan,
    /// The layer-4 connections.
    Connections,
    /// Change a real server without a reload.
    Server(ServerOrder),
    /// The changes of real servers that are in force, or that of one.
    Servers {
        /// This one alone.
        only: Option<ServerName>,
    },
    /// Change the layer-4 tables as ipvsadm does, one after the other. At most
    /// [`ORDERS_MAX`](crate::manual::ORDERS_MAX).
    Tables(Vec<Order>),
    /// Take back what was changed at run time of this virtual server, or of this real server of it;
    /// everything when none is named.
    Reset {
        /// `TCP 192.0.2.1:80`, `192.0.2.1:80`
        virtual_server: Option<String>,
        /// `10.0.0.1:80`
        server: Option<String>,
    },
    /// Count anew: of this service, or of all.
    Zero(Option<ServiceKey>),
    /// How long connections last without a packet.
    Timeouts,
    /// The last events, and with `follow` those to come, as long as the asker stays.
    Events { follow: bool },
}

/// Something that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EventRecord {
    /// Counts up from 1 at the start of the program.
    pub(crate) number: u64,
    /// When, milliseconds since the epoch.
    pub(crate) at_ms: u64,
    /// The role, or `supervisor`.
    pub(crate) from: String,
    /// As in the log.
    pub(crate) text: String,
    /// The same as data.
    pub(crate) event: Happening,
}

/// What can happen.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Happening {
    /// A role told it.
    Role(Event),
    /// The supervisor did it.
    Deed(Deed),
}

/// What the supervisor does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Deed {
    /// The files were read again.
    Reload {
        /// They are in force; otherwise the former configuration still is.
        applied: bool,
        /// How many changes that is.
        changes: usize,
    },
    /// A real server was changed at run time.
    Server(ServerDone),
    /// ipvsadm changed the layer-4 tables, or that was taken back.
    Tables {
        /// What was done, in words, in order.
        orders: Vec<String>,
    },
    /// A role's process ended without being asked to.
    RoleEnded {
        /// Which one.
        role: String,
    },
}

/// A change of a real server, as somebody wrote it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ServerOrder {
    /// `TCP 192.0.2.1:80`, `192.0.2.1:80`, `group web`
    pub(crate) virtual_server: String,
    /// `10.0.0.1:80`, or `10.0.0.1` where that says enough.
    pub(crate) server: String,
    pub(crate) action: ServerAction,
}

/// A real server by its names in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServerName {
    /// `TCP 192.0.2.1:80`
    pub(crate) virtual_server: String,
    /// `10.0.0.1:80`
    pub(crate) server: String,
}

/// The supervisor's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Response {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::VirtualServer`]: its services and no others.
    VirtualServer(Box<DirectorReport>),
    /// To [`Request::Reload`].
    Reloaded(ReloadOutcome),
    /// To [`Request::Plan`].
    Plan(Box<Plan>),
    /// To [`Request::Connections`].
    Connections(Vec<ConnectionStatus>),
    /// To [`Request::Server`].
    Server(ServerDone),
    /// To [`Request::Servers`].
    Servers(Vec<ServerChange>),
    /// To [`Request::Tables`], what became of each order; to [`Request::Zero`].
    Tables(Vec<Outcome>),
    /// To [`Request::Reset`]: what was done, in words.
    Reset(String),
    /// To [`Request::Timeouts`].
    Timeouts(Timeouts),
    /// To [`Request::Events`], one at a time.
    Event(Box<EventRecord>),
    /// That was all.
    Done,
    /// It could not be answered.
    Failed(String),
}

/// A change that was made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ServerDone {
    /// Its name in full: `TCP 192.0.2.1:80`.
    pub(crate) virtual_server: String,
    /// `10.0.0.1:80`
    pub(crate) server: String,
    /// What was done, in words.
    pub(crate) text: String,
}

/// A change of a real server that is in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ServerChange {
    /// `TCP 192.0.2.1:80`
    pub(crate) virtual_server: String,
    /// `10.0.0.1:80`; empty: the virtual server itself.
    pub(crate) server: String,
    /// `drain`, `weight 3`, `added`, `deleted`, or several of them; `set by ipvsadm`.
    pub(crate) change: String,
    /// It takes no new connections.
    pub(crate) drains: bool,
    pub(crate) since_seconds: u64,
    /// Until what is left of its connections is cut off, milliseconds; zero: it was.
    pub(crate) remaining_ms: Option<u64>,
    /// The director told of it: the following is known.
    pub(crate) known: bool,
    /// It is in the tables.
    pub(crate) in_table: bool,
    /// Its TCP connections between their SYN and the first FIN or RST.
    pub(crate) active: u64,
    /// Its other connections.
    pub(crate) inactive: u64,
}

/// How a reload ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReloadOutcome {
    /// The new configuration is in force; otherwise the former one still is.
    pub(crate) applied: bool,
    /// What changed, or would have.
    pub(crate) changes: Vec<Change>,
    /// The diagnostics, rendered, and the reasons of roles that refused.
    pub(crate) messages: String,
    /// When, seconds since the epoch.
    pub(crate) at: u64,
}

/// The live state.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) uptime_seconds: u64,
    pub(crate) host: String,
    pub(crate) files: Vec<String>,
    /// Configurations applied since the start; the first is 1.
    pub(crate) generation: u64,
    pub(crate) last_reload: Option<ReloadOutcome>,
    pub(crate) roles: Vec<RoleStatus>,
    pub(crate) vrrp: Option<VrrpReport>,
    pub(crate) director: Option<DirectorReport>,
    pub(crate) proxy: Option<ProxyReport>,
    /// What became of mails to the administrators.
    #[serde(default)]
    pub(crate) alerts: AlertStatus,
    /// What ipvsadm changed of the layer-4 tables.
    #[serde(default)]
    pub(crate) manual: Vec<ManualChange>,
}

/// Something that ipvsadm changed, in force until it is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManualChange {
    /// `TCP 192.0.2.1:80`; empty: the time-outs.
    pub(crate) virtual_server: String,
    /// `10.0.0.1:80`; absent: the virtual server itself.
    pub(crate) server: Option<String>,
    /// `added`, `deleted`, `settings changed`, `set`
    pub(crate) change: String,
    pub(crate) since_seconds: u64,
}

/// What became of mails since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AlertStatus {
    /// They wait for their turn.
    pub(crate) waiting: usize,
    /// The mail server took them.
    pub(crate) sent: u64,
    /// It did not, for as often as it was tried.
    pub(crate) failed: u64,
    /// Too many waited already.
    pub(crate) dropped: u64,
}

/// One role's process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RoleStatus {
    pub(crate) role: String,
    /// Absent while it does not run.
    pub(crate) pid: Option<u32>,
    /// `running`, `restarting in 3 s`, `not needed`.
    pub(crate) state: String,
    pub(crate) restarts: u64,
}

/// State of a role that has nothing to do.
pub(crate) const NOT_NEEDED: &str = "not needed";

impl RoleStatus {
    /// There is something for it to do.
    pub(crate) fn is_needed(&self) -> bool {
        self.state != NOT_NEEDED
    }
}

/// The socket in a runtime directory.
pub(crate) fn socket_path(runtime_directory: &str) -> PathBuf {
    Path::new(runtime_directory).join("control.sock")
}

/// Asks a running Evenkeel. Errors, of what could not be answered too, are sentences for the user.
pub(crate) fn ask(runtime_directory: &str, request: &Request) -> Result<Response, String> {
    let (mut channel, path) = connect(runtime_directory, request)?;
    let answer = next(&mut channel, Some(PATIENCE)).map_err(|error| no_answer(&path, &error))?;
    match answer {
        Some(Response::Failed(error)) => Err(error),
        Some(response) => Ok(response),
        None => Err(no_answer(&path, &io::ErrorKind::UnexpectedEof.into())),
    }
}

/// What is said of an answer that is none to the question.
pub(crate) const MISTAKEN: &str = "the running Evenkeel gave an answer to another question";

/// Asks for something that has many answers: `take` gets each until it breaks off or the other
/// side ends. With `follow`, they may take as long as they like.
pub(crate) fn listen(
    runtime_directory: &str,
    request: &Request,
    follow: bool,
    mut take: impl FnMut(Response) -> ControlFlow<()>,
) -> Result<(), String> {
    let (mut channel, path) = connect(runtime_directory, request)?;
    let patience = (!follow).then_some(PATIENCE);
    while let Some(response) =
        next(&mut channel, patience).map_err(|error| no_answer(&path, &error))?
    {
        if take(response).is_break() {
            return Ok(());
        }
    }
    Err(format!("{}: the running Evenkeel ended, or this reader was too slow", path.display()))
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(45);

fn no_answer(path: &Path, error: &io::Error) -> String {
    format!("{}: no answer: {error}", path.display())
}

fn connect(runtime_directory: &str, request: &Request) -> Result<(Channel, PathBuf), String> {
    let path = socket_path(runtime_directory);
    let stream = UnixStream::connect(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
            "no Evenkeel is running here: nobody answers at {} (start one with `evenkeel run`, or \
             name its --runtime-dir)",
            path.display()
        ),
        io::ErrorKind::PermissionDenied => {
            format!("{}: permission denied; try as root", path.display())
        }
        _ => format!("{}: {error}", path.display()),
    })?;
    let ask = || -> io::Result<Channel> {
        let mut channel = Channel::from_socket(OwnedFd::from(stream))?;
        channel.queue(serde_json::to_vec(request)?, Vec::new());
        Ok(channel)
    };
    let channel = ask().map_err(|error| no_answer(&path, &error))?;
    Ok((channel, path))
}

/// The next answer; nothing at the end. Without patience there is no hurry.
fn next(channel: &mut Channel, patience: Option<Duration>) -> io::Result<Option<Response>> {
    loop {
        match channel.wait(patience.unwrap_or(PATIENCE))? {
            Received::Frame(frame) => return Ok(Some(serde_json::from_slice(&frame.bytes)?)),
            Received::Nothing if patience.is_none() => {}
            Received::Nothing => return Err(io::ErrorKind::TimedOut.into()),
            Received::Closed => return Ok(None),
        }
    }
}
