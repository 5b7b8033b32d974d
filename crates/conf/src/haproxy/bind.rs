//! `bind`: listening addresses.

use alloc::format;
use alloc::string::String;
use core::net::SocketAddr;

use super::lexer::Line;
use super::proxy::{Bind, Context, Keyword, Proxy, Sense, plain};
use super::table::{FRONT_NAMED, Table, row};
use super::{parameters_refused, value};
use crate::diagnostic::Diagnostic;
use crate::row::Row;

/// Addresses of one section; more are a mistyped range.
const BINDS_MAX: usize = 1024;

/// The rows.
pub(super) static ROWS: &[Row<Keyword>] = &[row("bind", FRONT_NAMED)
    .syntax("[<address>]:<port>[-<port>][, ...]")
    .doc("Listening addresses; `*` or nothing before the colon takes all IPv4 addresses.")
    .parse(plain(read))];

/// Parameters behind the addresses: this version has none.
pub(super) static PARAMETERS: Table<()> =
    Table { parts: &[parameters_refused::BIND], what: "bind parameter" };

fn read(
    proxy: &mut Proxy,
    line: &Line,
    _: Sense,
    context: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let Some(word) = line.word(1) else {
        return Err(Diagnostic::error(line.span(), "`bind` needs an address and a port")
            .help("bind :80 takes port 80 on all IPv4 addresses"));
    };
    for text in word.text.split(',') {
        let span = word.place_of(text);
        match addresses(text, span, context) {
            Ok((ip, ports)) => {
                for port in ports.first..=ports.last {
                    if proxy.binds.len() == BINDS_MAX {
                        let message = format!("more than {BINDS_MAX} addresses in one section");
                        return Err(Diagnostic::error(span, message));
                    }
                    proxy.binds.push(Bind { address: SocketAddr::new(ip, port), span });
                }
            }
            Err(diagnostic) => {
                proxy.settings.broken = true;
                context.diagnostics.push(diagnostic);
            }
        }
    }
    match line.word(2) {
        Some(word) => PARAMETERS.supported(&word.text, word.span).map(|_| ()),
        None => Ok(()),
    }
}

fn addresses(
    text: &str,
    span: crate::source::Span,
    context: &mut Context<'_>,
) -> Result<(core::net::IpAddr, value::Ports), Diagnostic> {
    let address = value::address(text, span)?;
    let Some(ports) = address.ports else {
        let host = if text.contains(':') && !text.starts_with('[') {
            format!("[{}]", text.trim_end_matches(':'))
        } else {
            String::from(text.trim_end_matches(':'))
        };
        return Err(Diagnostic::error(span, format!("`{text}` has no port"))
            .help(format!("write it behind a colon: bind {host}:80")));
    };
    Ok((value::resolve(context.source, &address, span)?, ports))
}
