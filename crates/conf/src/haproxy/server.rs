//! `server` and `default-server`: an address and its parameters (manual, 5.2).

use alloc::format;
use alloc::string::String;
use core::net::SocketAddr;
use core::time::Duration;

use super::lexer::{Line, Word};
use super::proxy::{Context, Keyword, Proxy, Sense, plain};
use super::section::is_name_character;
use super::table::{BACK, BACK_NAMED, Table, row};
use super::{parameters_refused, value};
use crate::diagnostic::Diagnostic;
use crate::row::Row;
use crate::source::{Span, Spanned};

/// The rows.
pub(super) static ROWS: &[Row<Keyword>] = &[
    row("server", BACK_NAMED)
        .syntax("<name> <address>:<port> [<parameter> ...]")
        .doc("A server of this backend.")
        .parse(plain(read_server)),
    row("default-server", BACK)
        .syntax("<parameter> ...")
        .doc("Parameters of the `server` lines that follow.")
        .parse(plain(read_default_server)),
];

/// What the parameters say.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters {
    pub(super) check: Option<Spanned<bool>>,
    pub(super) backup: Option<bool>,
    pub(super) weight: Option<u16>,
    pub(super) interval: Option<Spanned<Duration>>,
    pub(super) fast_interval: Option<Spanned<Duration>>,
    pub(super) down_interval: Option<Spanned<Duration>>,
    pub(super) rise: Option<Spanned<u32>>,
    pub(super) fall: Option<Spanned<u32>>,
    pub(super) check_port: Option<Spanned<u32>>,
    pub(super) check_address: Option<Spanned<core::net::IpAddr>>,
}

impl Parameters {
    /// The first of those that say something about the check only.
    fn about_check(&self) -> Option<Span> {
        let times = [&self.interval, &self.fast_interval, &self.down_interval];
        let numbers = [&self.rise, &self.fall, &self.check_port];
        times
            .into_iter()
            .filter_map(|time| time.as_ref().map(|time| time.span))
            .chain(numbers.into_iter().filter_map(|number| number.as_ref().map(|n| n.span)))
            .chain(self.check_address.as_ref().map(|address| address.span))
            .min()
    }
}

/// One `server` line.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) name: Spanned<String>,
    pub(super) address: SocketAddr,
    pub(super) parameters: Parameters,
}

/// One parameter: words it takes, and how it is read.
#[derive(Clone, Copy)]
pub(super) struct Parameter {
    argument: bool,
    read: fn(&mut Parameters, &Word, &mut Context<'_>) -> Result<(), Diagnostic>,
}

type ReadParameter = fn(&mut Parameters, &Word, &mut Context<'_>) -> Result<(), Diagnostic>;

const fn flag(read: ReadParameter) -> Parameter {
    Parameter { argument: false, read }
}

const fn with_argument(read: ReadParameter) -> Parameter {
    Parameter { argument: true, read }
}

/// Every parameter.
pub(super) static PARAMETERS: Table<Parameter> =
    Table { parts: &[PARAMETER_ROWS, parameters_refused::SERVER], what: "server parameter" };

const SERVER: &[&str] = &["server", "default-server"];

static PARAMETER_ROWS: &[Row<Parameter>] = &[
    row("check", SERVER).doc("Check the server; without it the server counts as up.").parse(flag(
        |parameters, word, _| {
            parameters.check = Some(Spanned { value: true, span: word.span });
            Ok(())
        },
    )),
    row("no-check", SERVER).doc("No check: takes back a default.").parse(flag(
        |parameters, word, _| {
            parameters.check = Some(Spanned { value: false, span: word.span });
            Ok(())
        },
    )),
    row("backup", SERVER).doc("Used only when no other server is up.").parse(flag(
        |parameters, _, _| {
            parameters.backup = Some(true);
            Ok(())
        },
    )),
    row("no-backup", SERVER).doc("No backup: takes back a default.").parse(flag(
        |parameters, _, _| {
            parameters.backup = Some(false);
            Ok(())
        },
    )),
    row("weight", SERVER)
        .syntax("0..256")
        .default("1")
        .doc("Share of requests; 0 takes none.")
        .parse(with_argument(|parameters, word, _| {
            parameters.weight = Some(value::number(word, 0, 256)?.value as u16);
            Ok(())
        })),
    row("inter", SERVER).syntax("<time>").default("2s").doc("Time between two checks.").parse(
        with_argument(|parameters, word, _| {
            parameters.interval = Some(interval(word)?);
            Ok(())
        }),
    ),
    row("fastinter", SERVER)
        .syntax("<time>")
        .default("inter")
        .doc("Time between two checks while results disagree with the state.")
        .parse(with_argument(|parameters, word, _| {
            parameters.fast_interval = Some(interval(word)?);
            Ok(())
        })),
    row("downinter", SERVER)
        .syntax("<time>")
        .default("inter")
        .doc("Time between two checks while the server is down.")
        .parse(with_argument(|parameters, word, _| {
            parameters.down_interval = Some(interval(word)?);
            Ok(())
        })),
    row("rise", SERVER)
        .syntax("<number>")
        .default("2")
        .doc("Good checks in a row that bring the server up.")
        .parse(with_argument(|parameters, word, _| {
            parameters.rise = Some(value::number(word, 1, i32::MAX as u32)?);
            Ok(())
        })),
    row("fall", SERVER)
        .syntax("<number>")
        .default("3")
        .doc("Failed checks in a row that take the server down.")
        .parse(with_argument(|parameters, word, _| {
            parameters.fall = Some(value::number(word, 1, i32::MAX as u32)?);
            Ok(())
        })),
    row("port", SERVER)
        .syntax("<port>")
        .doc("Port of the check, if it is not that of the server.")
        .parse(with_argument(|parameters, word, _| {
            parameters.check_port = Some(value::number(word, 1, 65535)?);
            Ok(())
        })),
    row("addr", SERVER)
        .syntax("<address>")
        .doc("Address of the check, if it is not that of the server.")
        .parse(with_argument(read_check_address)),
];

fn interval(word: &Word) -> Result<Spanned<Duration>, Diagnostic> {
    let time = value::time(word)?;
    if time.value == Duration::ZERO {
        return Err(Diagnostic::error(word.span, "the time between two checks cannot be zero"));
    }
    Ok(time)
}

fn read_check_address(
    parameters: &mut Parameters,
    word: &Word,
    context: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    // A bare IPv6 address ends in something that looks like a port.
    let ip = match word.text.parse() {
        Ok(ip) => ip,
        Err(_) => {
            let address = value::address(&word.text, word.span)?;
            if let Some(ports) = address.ports {
                let number = Spanned { value: u32::from(ports.first), span: word.span };
                parameters.check_port = Some(number);
            }
            value::resolve(context.source, &address, word.span)?
        }
    };
    parameters.check_address = Some(Spanned { value: ip, span: word.span });
    Ok(())
}

fn read_default_server(
    proxy: &mut Proxy,
    line: &Line,
    _: Sense,
    context: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    if line.word(1).is_none() {
        return Err(Diagnostic::error(line.span(), "`default-server` needs parameters")
            .help("default-server inter 2s rise 2 fall 3"));
    }
    let mut parameters = core::mem::take(&mut proxy.settings.default_server);
    read_parameters(&mut parameters, line.rest(1), context);
    proxy.settings.default_server = parameters;
    Ok(())
}

fn read_server(
    proxy: &mut Proxy,
    line: &Line,
    _: Sense,
    context: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let (Some(name), Some(place)) = (line.word(1), line.word(2)) else {
        return Err(Diagnostic::error(line.span(), "`server` needs a name and an address")
            .help("server web1 192.0.2.11:80 check"));
    };
    if name.text.is_empty() || !name.text.chars().all(is_name_character) {
        let message = format!("`{}` cannot be the name of a server", name.text);
        return Err(Diagnostic::error(name.span, message)
            .help("names consist of letters, digits, `-`, `_`, `.` and `:`"));
    }
    let mut parameters = proxy.settings.default_server.clone();
    let mut own = Parameters::default();
    let findings = context.diagnostics.len();
    read_parameters(&mut own, line.rest(3), context);
    let broken = context.diagnostics.len() > findings;
    merge(&mut parameters, &own);
    if let (Some(span), false, false) =
        (own.about_check(), broken, parameters.check.as_ref().is_some_and(|check| check.value))
    {
        context.diagnostics.push(
            Diagnostic::warning(span, "this has no effect, the server is not checked")
                .help("write `check` behind the address"),
        );
    }
    let address = server_address(place, context)?;
    if let Some(first) = proxy.servers.iter().find(|server| server.name.value == name.text) {
        let message = format!("a second server with the name `{}`", name.text);
        return Err(Diagnostic::error(name.span, message)
            .related(first.name.span, "the first one is here")
            .help("give it another name"));
    }
    proxy.servers.push(Server { name: value::text(name), address, parameters });
    Ok(())
}

fn server_address(word: &Word, context: &mut Context<'_>) -> Result<SocketAddr, Diagnostic> {
    let address = value::address(&word.text, word.span)?;
    if matches!(address.host, "" | "*") {
        return Err(Diagnostic::error(
            word.span,
            "a server at the address the client asked for is not supported by this version",
        )
        .help("write the server's address: 192.0.2.11:80"));
    }
    let Some(ports) = address.ports else {
        return Err(Diagnostic::error(word.span, format!("`{}` has no port", word.text))
            .help(format!("write it behind a colon: {}:80", word.text.trim_end_matches(':'))));
    };
    if ports.first != ports.last {
        let message = format!("`{}` has a range of ports", word.text);
        return Err(Diagnostic::error(word.span, message).help("a server has one port"));
    }
    Ok(SocketAddr::new(value::resolve(context.source, &address, word.span)?, ports.first))
}

/// Reads parameters to the end of the line; every wrong one is reported.
fn read_parameters(parameters: &mut Parameters, mut words: &[Word], context: &mut Context<'_>) {
    while let [word, rest @ ..] = words {
        words = rest;
        let result = PARAMETERS.supported(&word.text, word.span).and_then(|(parameter, _)| {
            if !parameter.argument {
                return (parameter.read)(parameters, word, context);
            }
            let Some((argument, rest)) = rest.split_first() else {
                let message = format!("`{}` needs an argument", word.text);
                return Err(Diagnostic::error(word.span, message));
            };
            words = rest;
            (parameter.read)(parameters, argument, context)
        });
        if let Err(diagnostic) = result {
            context.diagnostics.push(diagnostic);
            // What follows a word that is not understood may be its argument.
            let is_parameter = |word: &Word| PARAMETERS.find(&word.text).is_some();
            while words.first().is_some_and(|word| !is_parameter(word)) {
                words = &words[1..];
            }
        }
    }
}

/// What `own` says wins.
fn merge(parameters: &mut Parameters, own: &Parameters) {
    fn over<T: Clone>(field: &mut Option<T>, own: &Option<T>) {
        if own.is_some() {
            field.clone_from(own);
        }
    }
    over(&mut parameters.check, &own.check);
    over(&mut parameters.backup, &own.backup);
    over(&mut parameters.weight, &own.weight);
    over(&mut parameters.interval, &own.interval);
    over(&mut parameters.fast_interval, &own.fast_interval);
    over(&mut parameters.down_interval, &own.down_interval);
    over(&mut parameters.rise, &own.rise);
    over(&mut parameters.fall, &own.fall);
    over(&mut parameters.check_port, &own.check_port);
    over(&mut parameters.check_address, &own.check_address);
}
