//! Plain settings of proxies: mode, maxconn, retries, balance, default_backend, timeouts.

use alloc::format;

use core::time::Duration;

use model::proxy::{Balance, Mode};

use super::lexer::Line;
use super::proxy::{Context, Keyword, Proxy, Sense, Timeouts, plain};
use super::table::{BACK, FRONT, PROXIES, Table, refused, row, superfluous, unknown};
use super::value;
use crate::diagnostic::Diagnostic;
use crate::row::Row;
use crate::source::Spanned;

/// The rows.
pub(super) static ROWS: &[Row<Keyword>] = &[
    row("mode", PROXIES)
        .syntax("tcp|http")
        .default("tcp")
        .doc("Forward bytes, or understand HTTP.")
        .parse(plain(read_mode)),
    row("maxconn", FRONT)
        .syntax("<number>")
        .doc("Connections accepted at a time by this frontend.")
        .parse(plain(read_maxconn)),
    row("retries", BACK)
        .syntax("<number>")
        .default("3")
        .doc("Tries after a failed connect to a server.")
        .parse(plain(read_retries)),
    row("balance", BACK)
        .syntax("roundrobin")
        .default("roundrobin")
        .doc("How a server is chosen.")
        .parse(plain(read_balance)),
    row("default_backend", FRONT)
        .syntax("<backend>")
        .doc("The backend taken when no use_backend rule chose one.")
        .parse(plain(read_default_backend)),
    row("timeout client", FRONT)
        .syntax("<time>")
        .doc("Longest inactivity on the client's side.")
        .parse(plain(read_timeout)),
    row("timeout http-request", PROXIES)
        .syntax("<time>")
        .doc("Longest time for a complete request head; 408 after it.")
        .parse(plain(read_timeout)),
    row("timeout http-keep-alive", PROXIES)
        .syntax("<time>")
        .default("timeout http-request")
        .doc("Longest wait for the next request on an open connection.")
        .parse(plain(read_timeout)),
    row("timeout connect", BACK)
        .syntax("<time>")
        .doc("Longest time to establish a connection to a server.")
        .parse(plain(read_timeout)),
    row("timeout server", BACK)
        .syntax("<time>")
        .doc("Longest inactivity on the server's side; 504 after it.")
        .parse(plain(read_timeout)),
    row("timeout queue", BACK)
        .syntax("<time>")
        .default("timeout connect")
        .doc("Longest wait for a free slot; 503 after it.")
        .parse(plain(read_timeout)),
    row("timeout tunnel", BACK)
        .syntax("<time>")
        .doc("Longest inactivity on both sides once a tunnel stands.")
        .parse(plain(read_timeout)),
    row("timeout check", BACK)
        .syntax("<time>")
        .doc("Bound on a check's answer; without it `inter` bounds the whole check.")
        .parse(plain(read_timeout)),
];

/// Algorithms, for `balance`.
pub(super) static BALANCE: Table<Balance> = Table { parts: &[ALGORITHMS], what: "algorithm" };

const USE_ROUNDROBIN: &str = "use roundrobin";

static ALGORITHMS: &[Row<Balance>] = &[
    row("roundrobin", &["balance"])
        .doc("One after the other by weight, smoothly.")
        .parse(Balance::RoundRobin),
    refused("static-rr", &["balance"], USE_ROUNDROBIN),
    refused("leastconn", &["balance"], USE_ROUNDROBIN),
    refused("first", &["balance"], USE_ROUNDROBIN),
    refused("source", &["balance"], USE_ROUNDROBIN),
    refused("uri", &["balance"], USE_ROUNDROBIN),
    refused("url_param", &["balance"], USE_ROUNDROBIN),
    refused("hdr", &["balance"], USE_ROUNDROBIN),
    refused("random", &["balance"], USE_ROUNDROBIN),
    refused("rdp-cookie", &["balance"], USE_ROUNDROBIN),
    refused("hash", &["balance"], USE_ROUNDROBIN),
    refused("sticky", &["balance"], USE_ROUNDROBIN),
];

fn read_mode(
    proxy: &mut Proxy,
    line: &Line,
    _: Sense,
    _: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let word = value::argument(line, 1, "`tcp` or `http`")?;
    let mode = match word.text.as_str() {
        "tcp" => Mode::Tcp,
        "http" => Mode::Http,
        "health" => {
            return Err(Diagnostic::error(word.span, "`mode health` was removed from HAProxy")
                .help("use `mode http`"));
        }
        other => return Err(unknown(other, word.span, "mode", ["tcp", "http"].into_iter())),
    };
    proxy.settings.mode = Some(Spanned { value: mode, span: word.span });
    Ok(())
}

fn read_maxconn(
    proxy: &mut Proxy,
    line: &Line,
    _: Sense,
    _: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let word = value::argument(line, 1, "a number")?;
    proxy.settings.max_connections = Some(value::number(word, 0, i32::MAX as u32)?);
    Ok(())
}

fn read_retries(
    proxy: &mut Proxy,
    line: &Line,
    _: Sense,
    _: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let word = value::argument(line, 1, "a number")?;
    proxy.settings.retries = Some(value::number(word, 0, i32::MAX as u32)?);
    Ok(())
}

fn read_balance(
    proxy: &mut Proxy,
    line: &Line,
    _: Sense,
    _: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let Some(word) = line.word(1) else {
        return Err(Diagnostic::error(line.span(), "`balance` needs an algorithm")
            .help("balance roundrobin"));
    };
    let name = word.text.split('(').next().unwrap_or("");
    let (balance, info) = BALANCE.supported(name, word.span)?;
    if name != word.text {
        return Err(Diagnostic::error(word.span, format!("`{}` takes no argument", info.name)));
    }
    superfluous("balance roundrobin", line.rest(2))?;
    proxy.settings.balance = Some(Spanned { value: balance, span: word.span });
    Ok(())
}

fn read_default_backend(
    proxy: &mut Proxy,
    line: &Line,
    _: Sense,
    _: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let word = value::argument(line, 1, "the name of a backend")?;
    proxy.settings.default_backend = Some(value::text(word));
    Ok(())
}

fn read_timeout(
    proxy: &mut Proxy,
    line: &Line,
    _: Sense,
    context: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let word = value::argument(line, 2, "a time")?;
    let time = value::time(word)?;
    let Some(field) = timeout(&mut proxy.settings.timeouts, line.text(1)) else {
        return Ok(());
    };
    *field = Some(time.value);
    if time.value == Duration::ZERO {
        context.diagnostics.push(
            Diagnostic::warning(time.span, "zero means that there is no bound at all")
                .help("write a time, such as 1m"),
        );
    }
    Ok(())
}

/// The field of a `timeout` line.
fn timeout<'a>(timeouts: &'a mut Timeouts, name: &str) -> Option<&'a mut Option<Duration>> {
    Some(match name {
        "client" => &mut timeouts.client,
        "http-request" => &mut timeouts.http_request,
        "http-keep-alive" => &mut timeouts.http_keep_alive,
        "connect" => &mut timeouts.connect,
        "server" => &mut timeouts.server,
        "queue" => &mut timeouts.queue,
        "tunnel" => &mut timeouts.tunnel,
        "check" => &mut timeouts.check,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timeout_row_fills_a_field() {
        for row in ROWS {
            if let Some(name) = row.info.name.strip_prefix("timeout ") {
                assert!(timeout(&mut Timeouts::default(), name).is_some(), "{name}");
            }
        }
    }
}
