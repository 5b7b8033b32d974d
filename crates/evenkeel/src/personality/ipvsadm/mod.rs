//! Called as `ipvsadm`, or by `evenkeel ipvsadm`: the command line, listings, words and exit codes of
//! ipvsadm(8) 1.31, for the tables of a running Evenkeel.

mod legal;
mod listing;
mod names;
mod options;
mod popt;
mod usage;

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::ExitCode;

use model::layer4::Timeouts;
use model::status::{ConnectionStatus, DirectorReport};

use crate::control::{MISTAKEN, Request, Response, ask};
use crate::manual::{ORDERS_MAX, Order, Outcome};
use names::Names;
use options::{Command, End, Entry, Opt, Options};

/// Exit code of a command that could not be done, and of a word that popt does not know: -1.
const FAILED: u8 = 255;
/// Exit code of a command line that makes no sense.
const MISUSED: u8 = 2;
/// Exit code of a listing of what is not there.
const MISSING: u8 = 1;

const RUNTIME: &str = "--runtime-dir";
const RUNTIME_DEFAULT: &str = "/run/evenkeel";
const RUNTIME_VARIABLE: &str = "EVENKEEL_RUNTIME_DIR";

/// Why a daemon is not started.
const NO_DAEMON: &str = "connections are not synchronised between directors: after a failover \
                         clients open theirs anew";

/// Does what ipvsadm would do for this command line. `program` is its name in messages.
pub(crate) fn run(program: &str, words: &[OsString]) -> ExitCode {
    let words: Vec<String> = words.iter().map(|it| it.to_string_lossy().into_owned()).collect();
    let (words, runtime_directory, json) = match ours(&words) {
        Ok(ours) => ours,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(MISUSED);
        }
    };
    let mut session = Session { program, runtime_directory, json, orders: Vec::new() };
    let code = match session.process(&words, false) {
        Ok(code) => code,
        Err(Stop(code)) => code,
    };
    let _ = io::stdout().flush();
    ExitCode::from(code)
}

/// Takes our own options out of ipvsadm's: where to ask, and in what form to answer.
fn ours(words: &[String]) -> Result<(Vec<String>, String, bool), String> {
    let directory = std::env::var(RUNTIME_VARIABLE).ok().filter(|value| !value.is_empty());
    let mut directory = directory.unwrap_or_else(|| RUNTIME_DEFAULT.to_owned());
    let (mut json, mut rest) = (false, Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let glued = word.strip_prefix(RUNTIME).and_then(|rest| rest.strip_prefix('='));
        match (word.as_str(), glued) {
            ("--json", _) => json = true,
            (RUNTIME, _) => {
                let next = words.next().ok_or_else(|| format!("{RUNTIME}: missing argument"))?;
                directory.clone_from(next);
            }
            (_, Some(glued)) => glued.clone_into(&mut directory),
            (_, None) => rest.push(word.clone()),
        }
    }
    Ok((rest, directory, json))
}

/// The program ends with this code, whatever would come after.
struct Stop(u8);

/// One run.
struct Session<'a> {
    program: &'a str,
    runtime_directory: String,
    json: bool,
    /// Changes of `-R` that were not sent yet.
    orders: Vec<Order>,
}

impl Session<'_> {
    /// Does one command line. Its exit code, or that of the whole program.
    fn process(&mut self, words: &[String], restoring: bool) -> Result<u8, Stop> {
        if words.is_empty() {
            return self.list(&Options::default(), None);
        }
        let entry = match options::parse(words) {
            Ok(entry) => entry,
            Err(end) => return self.end(end),
        };
        if let Some(order) = order(&entry) {
            self.orders.push(order);
            let full = self.orders.len() >= ORDERS_MAX;
            return if restoring && !full { Ok(0) } else { self.send() };
        }
        self.send()?;
        match entry.command {
            Command::List if entry.options.has(Opt::Connection) => self.list_connections(&entry),
            Command::List if entry.options.has(Opt::Timeout) => self.list_timeouts(),
            // No daemon runs, and ipvsadm says nothing of that.
            Command::List if entry.options.has(Opt::Daemon) => Ok(0),
            Command::List => self.list(&entry.options, Some(&entry)),
            Command::Save => self.save(entry.options),
            Command::Zero => self.zero(&entry),
            Command::Restore if restoring => self.end(End::TryHelp),
            Command::Restore => self.restore(),
            Command::StartDaemon => {
                eprintln!("{NO_DAEMON}");
                Ok(FAILED)
            }
            Command::StopDaemon => {
                eprintln!("No daemon is running");
                Ok(FAILED)
            }
            Command::AddService
            | Command::EditService
            | Command::DeleteService
            | Command::Clear
            | Command::AddServer
            | Command::EditServer
            | Command::DeleteServer
            | Command::SetTimeouts => Ok(0),
        }
    }

    fn end(&mut self, end: End) -> Result<u8, Stop> {
        // What came before is done before.
        self.send()?;
        let program = self.program;
        match end {
            End::Help => {
                print!("{}", usage::text(program));
                Err(Stop(0))
            }
            End::Version => {
                println!("{}", usage::VERSION);
                Err(Stop(0))
            }
            End::TryHelp => {
                eprintln!("Try `{program} -h' or '{program} --help' for more information.");
                Err(Stop(FAILED))
            }
            // A word that popt does not know ends its line alone.
            End::Failed { code: FAILED, text } => {
                eprintln!("{text}");
                Ok(FAILED)
            }
            End::Failed { code, text } => {
                eprintln!("{text}");
                Err(Stop(code))
            }
        }
    }

    /// Command lines of the standard input; the exit code is the last one's.
    fn restore(&mut self) -> Result<u8, Stop> {
        let mut text = Vec::new();
        if let Err(error) = io::stdin().read_to_end(&mut text) {
            eprintln!("standard input: {error}");
            return Err(Stop(FAILED));
        }
        let mut code = 0;
        for line in String::from_utf8_lossy(&text).lines() {
            let words = line.split_whitespace().filter(|word| *word != "ipvsadm");
            let words: Vec<String> = words.map(str::to_owned).collect();
            if !words.is_empty() {
                code = self.process(&words, true)?;
            }
        }
        let pending = !self.orders.is_empty();
        let sent = self.send()?;
        Ok(if pending { sent } else { code })
    }

    fn ask(&self, request: &Request) -> Result<Response, Stop> {
        ask(&self.runtime_directory, request).map_err(|error| {
            eprintln!("Can't initialize ipvs: {error}");
            Stop(MISUSED)
        })
    }

    /// Sends what is to be changed. The exit code is that of the last change.
    fn send(&mut self) -> Result<u8, Stop> {
        if self.orders.is_empty() {
            return Ok(0);
        }
        let orders = std::mem::take(&mut self.orders);
        let Response::Tables(outcomes) = self.ask(&Request::Tables(orders))? else {
            return Err(mistaken());
        };
        let said = |outcome: &Outcome| match outcome {
            Ok(None) => 0,
            Ok(Some(text)) => {
                eprintln!("{text}");
                0
            }
            Err(text) => {
                eprintln!("{text}");
                FAILED
            }
        };
        Ok(outcomes.iter().map(said).fold(0, |_, code| code))
    }

    fn report(&self) -> Result<DirectorReport, Stop> {
        match self.ask(&Request::Status)? {
            Response::Status(status) => match status.director {
                Some(report) => Ok(report),
                // An empty table is something else.
                None if status.roles.iter().any(|it| it.role == "director" && it.is_needed()) => {
                    eprintln!("the director role does not answer: try in a moment");
                    Err(Stop(FAILED))
                }
                None => Ok(DirectorReport::default()),
            },
            _ => Err(mistaken()),
        }
    }

    fn list(&self, options: &Options, entry: Option<&Entry>) -> Result<u8, Stop> {
        let mut report = self.report()?;
        let only = entry.and_then(|entry| entry.service);
        if let Some(only) = only {
            report.services.retain(|service| service.key == only);
            if report.services.is_empty() {
                eprintln!("No such service");
                return Err(Stop(MISSING));
            }
        }
        if self.json {
            return self.print_json(&report.services);
        }
        let heading = if only.is_none() { listing::HEADING } else { "" };
        let mut names = names_for(*options);
        print!("{heading}{}", listing::services(&report.services, *options, &mut names));
        Ok(0)
    }

    fn list_connections(&self, entry: &Entry) -> Result<u8, Stop> {
        let Response::Connections(connections) = self.ask(&Request::Connections)? else {
            return Err(mistaken());
        };
        if self.json {
            return self.print_json::<Vec<ConnectionStatus>>(&connections);
        }
        let mut names = names_for(entry.options);
        print!("{}", listing::connections(&connections, entry.options, &mut names));
        Ok(0)
    }

    fn list_timeouts(&self) -> Result<u8, Stop> {
        let Response::Timeouts(timeouts) = self.ask(&Request::Timeouts)? else {
            return Err(mistaken());
        };
        if self.json {
            return self.print_json::<Timeouts>(&timeouts);
        }
        let [tcp, fin, udp] = [timeouts.tcp, timeouts.tcp_fin, timeouts.udp].map(|it| it.0);
        println!("Timeout (tcp tcpfin udp): {tcp} {fin} {udp}");
        Ok(0)
    }

    fn save(&self, options: Options) -> Result<u8, Stop> {
        let report = self.report()?;
        print!("{}", listing::rules(&report.services, options, &mut names_for(options)));
        Ok(0)
    }

    fn zero(&self, entry: &Entry) -> Result<u8, Stop> {
        match self.ask(&Request::Zero(entry.service))? {
            Response::Tables(outcomes) => match outcomes.into_iter().find_map(Result::err) {
                None => Ok(0),
                Some(text) => {
                    eprintln!("{text}");
                    Ok(FAILED)
                }
            },
            _ => Err(mistaken()),
        }
    }

    fn print_json<T: serde::Serialize>(&self, value: &T) -> Result<u8, Stop> {
        match serde_json::to_string_pretty(value) {
            Ok(text) => {
                println!("{text}");
                Ok(0)
            }
            Err(error) => {
                eprintln!("{error}");
                Err(Stop(FAILED))
            }
        }
    }
}

fn mistaken() -> Stop {
    eprintln!("{MISTAKEN}");
    Stop(FAILED)
}

fn names_for(options: Options) -> Names {
    match options.has(Opt::Numeric) {
        true => Names::numeric(),
        false => Names::of_this_machine(),
    }
}

/// The change that a command line wants.
fn order(entry: &Entry) -> Option<Order> {
    let service = entry.service;
    let settings = || entry.settings.clone();
    let server = entry.server;
    match entry.command {
        Command::AddService => Some(Order::AddService(service?, settings())),
        Command::EditService => Some(Order::EditService(service?, settings())),
        Command::DeleteService => Some(Order::DeleteService(service?)),
        Command::AddServer => Some(Order::AddServer(service?, server?)),
        Command::EditServer => Some(Order::EditServer(service?, server?)),
        Command::DeleteServer => {
            server.and_then(|one| Some(Order::DeleteServer(service?, one.address, one.port)))
        }
        Command::Clear => Some(Order::Clear),
        Command::SetTimeouts => {
            let [tcp, tcp_fin, udp] = entry.timeouts;
            Some(Order::Timeouts { tcp, tcp_fin, udp })
        }
        Command::List
        | Command::Save
        | Command::Zero
        | Command::Restore
        | Command::StartDaemon
        | Command::StopDaemon => None,
    }
}
