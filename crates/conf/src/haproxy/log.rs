//! `log`: where lines go (configuration manual, 4.2 "log" and 8.1).

use alloc::format;
use alloc::string::String;
use core::net::SocketAddr;

use model::proxy::{LogDestination, LogTarget};

use super::lexer::{Line, Word};
use super::proxy::{Context, Keyword, Log, Proxy, Sense, invertible, plain};
use super::table::{PROXIES, row, superfluous};
use super::value;
use crate::diagnostic::Diagnostic;
use crate::row::Row;
use crate::source::Span;
use crate::suggest;

const SYSLOG_PORT: u16 = 514;
const LENGTH: u32 = 1024;

/// Syslog facilities by number, with HAProxy's names.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2",
    "ftp", "ntp", "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

/// Syslog levels by number.
const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// The arguments of both kinds of `log` line.
pub(super) const SYNTAX: &str =
    "<address>|stdout|stderr [format <format>] <facility> [<level> [<minlevel>]]";

/// The rows for proxies.
pub(super) static ROWS: &[Row<Keyword>] = &[
    row("log", PROXIES)
        .syntax(
            "global | <address>|stdout|stderr [format <format>] <facility> [<level> [<minlevel>]]",
        )
        .doc("Receiver of log lines; `global` takes those of the global section; `no log` none.")
        .parse(invertible(read)),
    row("log-tag", PROXIES)
        .syntax("<text>")
        .default("haproxy")
        .doc("Program name in log lines.")
        .parse(plain(read_tag)),
];

fn read(
    proxy: &mut Proxy,
    line: &Line,
    sense: Sense,
    context: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    if sense != Sense::Plain {
        proxy.settings.log.clear();
        return superfluous("no log", line.rest(1));
    }
    if line.text(1) == "global" {
        superfluous("log global", line.rest(2))?;
        if !proxy.settings.log.contains(&Log::Global) {
            proxy.settings.log.push(Log::Global);
        }
        return Ok(());
    }
    let target = target(line, context)?;
    proxy.settings.log.push(Log::Target(target));
    Ok(())
}

fn read_tag(
    proxy: &mut Proxy,
    line: &Line,
    _: Sense,
    _: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    proxy.settings.log_tag = Some(value::text(value::argument(line, 1, "a name")?));
    Ok(())
}

/// Reads `log <address> ...`.
pub(super) fn target(line: &Line, context: &mut Context<'_>) -> Result<LogTarget, Diagnostic> {
    let Some(word) = line.word(1) else {
        return Err(Diagnostic::error(line.span(), "`log` needs a receiver and a facility")
            .help("log 127.0.0.1 local0"));
    };
    let to = destination(word, context)?;
    let raw = matches!(to, LogDestination::Stdout | LogDestination::Stderr);
    let mut at = 2;
    let mut format_seen = false;
    loop {
        match line.text(at) {
            "len" => length(line, at, context)?,
            "format" => {
                format(line, at, raw)?;
                format_seen = true;
            }
            "sample" => {
                let hint = "every line goes to every receiver; remove `sample` and its arguments";
                return Err(super::table::refusal(line.rest(at)[0].span, "log sample", hint));
            }
            _ => break,
        }
        at += 2;
    }
    if raw && !format_seen {
        let message = format!("lines to {} are written raw, without a header", word.text);
        context.diagnostics.push(
            Diagnostic::warning(word.span, message)
                .help(format!("say so: log {} format raw ...", word.text)),
        );
    }
    let Some(facility) = line.word(at) else {
        return Err(Diagnostic::error(line.span(), "`log` needs a facility")
            .help(format!("log {} local0", word.text)));
    };
    let facility = one_of(facility, &FACILITIES, "facility")?;
    let level = |at: usize, default: u8| match line.word(at) {
        Some(word) => one_of(word, &LEVELS, "level"),
        None => Ok(default),
    };
    let target =
        LogTarget { to, facility, max_level: level(at + 1, 7)?, min_level: level(at + 2, 0)? };
    superfluous("log", line.rest(at + 3))?;
    Ok(target)
}

fn one_of(word: &Word, names: &[&str], what: &str) -> Result<u8, Diagnostic> {
    if let Some(number) = names.iter().position(|name| *name == word.text) {
        return Ok(number as u8);
    }
    let diagnostic = Diagnostic::error(word.span, format!("unknown log {what} `{}`", word.text));
    Err(match suggest::nearest(&word.text, names.iter().copied()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help(format!("one of {}", names.join(", "))),
    })
}

fn destination(word: &Word, context: &mut Context<'_>) -> Result<LogDestination, Diagnostic> {
    match word.text.as_str() {
        "stdout" | "fd@1" => return Ok(LogDestination::Stdout),
        "stderr" | "fd@2" => return Ok(LogDestination::Stderr),
        "" => {
            return Err(Diagnostic::error(word.span, "the log receiver is empty")
                .help("log 127.0.0.1 local0"));
        }
        _ => {}
    }
    if let Some((prefix, _)) = word.text.split_once('@')
        && !matches!(prefix, "udp" | "udp4" | "udp6" | "ipv4" | "ipv6" | "unix")
    {
        let message =
            format!("log receivers of the form `{prefix}@` are not supported by this version");
        return Err(Diagnostic::error(word.span, message)
            .help("send to a syslog server (127.0.0.1), a socket (/dev/log) or stdout"));
    }
    let path = word.text.strip_prefix("unix@").unwrap_or(&word.text);
    if path.starts_with('/') {
        return Ok(LogDestination::Unix(String::from(path)));
    }
    let udp = udp_address(&word.text, word.span, context)?;
    Ok(LogDestination::Udp(udp))
}

fn udp_address(
    text: &str,
    span: Span,
    context: &mut Context<'_>,
) -> Result<SocketAddr, Diagnostic> {
    let bare_v6 = text.parse::<core::net::Ipv6Addr>().ok();
    if let Some(ip) = bare_v6 {
        return Ok(SocketAddr::new(ip.into(), SYSLOG_PORT));
    }
    let address = value::address(text, span)?;
    if matches!(address.host, "" | "*") {
        return Err(
            Diagnostic::error(span, "the log receiver has no host").help("log 127.0.0.1 local0")
        );
    }
    let ip = value::resolve(context.source, &address, span)?;
    Ok(SocketAddr::new(ip, address.ports.map_or(SYSLOG_PORT, |ports| ports.first)))
}

fn length(line: &Line, at: usize, context: &mut Context<'_>) -> Result<(), Diagnostic> {
    let Some(word) = line.word(at + 1) else {
        return Err(Diagnostic::error(line.span(), "`len` needs a number of bytes"));
    };
    let length = value::number(word, 80, 65535)?;
    if length.value != LENGTH {
        context.diagnostics.push(
            Diagnostic::warning(
                length.span,
                format!(
                    "log lines are cut at {LENGTH} bytes by this version, whatever stands here"
                ),
            )
            .help("remove `len` and its argument"),
        );
    }
    Ok(())
}

fn format(line: &Line, at: usize, raw: bool) -> Result<(), Diagnostic> {
    const KNOWN: [&str; 8] =
        ["local", "rfc3164", "rfc5424", "priority", "short", "timed", "iso", "raw"];
    let Some(word) = line.word(at + 1) else {
        return Err(Diagnostic::error(line.span(), "`format` needs a name"));
    };
    let known = one_of(word, &KNOWN, "format")?;
    match (raw, KNOWN[usize::from(known)]) {
        (true, "raw") | (false, "local" | "rfc3164") => Ok(()),
        (true, name) => Err(Diagnostic::error(
            word.span,
            format!("log format `{name}` is not supported by this version for stdout and stderr"),
        )
        .help("use `format raw`")),
        (false, name) => Err(Diagnostic::error(
            word.span,
            format!("log format `{name}` is not supported by this version for syslog"),
        )
        .help("leave `format` away, or use `format rfc3164`")),
    }
}
