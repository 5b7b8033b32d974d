//! `option ...` of proxies.

use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;

use model::check::UrlCheck;
use model::proxy::{ConnectionMode, ForwardFor, LogFormat};

use super::lexer::Line;
use super::proxy::{Context, Keyword, Proxy, Sense, invertible, plain};
use super::table::{BACK, FRONT, PROXIES, row, superfluous};
use super::value;
use crate::diagnostic::Diagnostic;
use crate::row::Row;
use crate::source::Spanned;

/// The rows.
pub(super) static ROWS: &[Row<Keyword>] = &[
    row("option httplog", FRONT)
        .doc("One log line per request, with timers, status and headers' sizes (manual, 8.2.3).")
        .parse(plain(read_httplog)),
    row("option tcplog", FRONT)
        .doc("One log line per connection, with timers and bytes (manual, 8.2.2).")
        .parse(plain(read_tcplog)),
    row("option dontlognull", FRONT)
        .doc("No log line for a connection that carried nothing.")
        .parse(invertible(read_dontlognull)),
    row("option http-keep-alive", PROXIES)
        .doc("Connections stay open on both sides. The default.")
        .parse(invertible(read_keep_alive)),
    row("option http-server-close", PROXIES)
        .doc("The server's connection closes after each response.")
        .parse(invertible(read_server_close)),
    row("option httpclose", PROXIES)
        .doc("Both connections close after each response.")
        .parse(invertible(read_close)),
    row("option forwardfor", PROXIES)
        .syntax("[except <network>] [header <name>] [if-none]")
        .doc("Add the client's address to each request, in X-Forwarded-For.")
        .parse(plain(read_forwardfor)),
    row("option redispatch", BACK)
        .doc("The last try after failed connects may go to another server.")
        .parse(invertible(read_redispatch)),
    row("option httpchk", BACK)
        .syntax("GET <path> [<version>]")
        .doc("Checks ask for a page and accept status 200 to 399.")
        .parse(plain(read_httpchk)),
];

fn read_httplog(
    proxy: &mut Proxy,
    line: &Line,
    _: Sense,
    _: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    if line.text(2) == "clf" {
        return Err(super::table::refusal(line.span(), "option httplog clf", "leave `clf` away"));
    }
    superfluous("option httplog", line.rest(2))?;
    let span = line.span();
    proxy.settings.log_format = Some(Spanned { value: LogFormat::Http, span });
    Ok(())
}

fn read_tcplog(
    proxy: &mut Proxy,
    line: &Line,
    _: Sense,
    _: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    superfluous("option tcplog", line.rest(2))?;
    let span = line.span();
    proxy.settings.log_format = Some(Spanned { value: LogFormat::Tcp, span });
    Ok(())
}

fn read_dontlognull(
    proxy: &mut Proxy,
    line: &Line,
    sense: Sense,
    _: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    superfluous("option dontlognull", line.rest(2))?;
    proxy.settings.dont_log_null = switch(sense);
    Ok(())
}

/// What a switch says; nothing when set back.
fn switch(sense: Sense) -> Option<bool> {
    match sense {
        Sense::Plain => Some(true),
        Sense::No => Some(false),
        Sense::Default => None,
    }
}

fn read_keep_alive(
    proxy: &mut Proxy,
    line: &Line,
    sense: Sense,
    _: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    connection_mode(proxy, line, sense, ConnectionMode::KeepAlive)
}

fn read_server_close(
    proxy: &mut Proxy,
    line: &Line,
    sense: Sense,
    _: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    connection_mode(proxy, line, sense, ConnectionMode::ServerClose)
}

fn read_close(
    proxy: &mut Proxy,
    line: &Line,
    sense: Sense,
    _: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    connection_mode(proxy, line, sense, ConnectionMode::Close)
}

/// The three options replace each other; `no` takes away only the one that is in force.
fn connection_mode(
    proxy: &mut Proxy,
    line: &Line,
    sense: Sense,
    mode: ConnectionMode,
) -> Result<(), Diagnostic> {
    superfluous(&format!("option {}", line.text(1)), line.rest(2))?;
    let field = &mut proxy.settings.connection_mode;
    if sense == Sense::Plain {
        *field = Some(Spanned { value: mode, span: line.span() });
    } else if field.as_ref().is_some_and(|set| set.value == mode) {
        *field = None;
    }
    Ok(())
}

fn read_forwardfor(
    proxy: &mut Proxy,
    line: &Line,
    _: Sense,
    _: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let mut forward_for =
        ForwardFor { header: "X-Forwarded-For".to_string(), except: None, if_none: false };
    let mut at = 2;
    while let Some(word) = line.word(at) {
        let argument = line.word(at + 1).filter(|word| !word.text.is_empty());
        match (word.text.as_str(), argument) {
            ("if-none", _) => {
                forward_for.if_none = true;
                at += 1;
            }
            ("except", Some(network)) => {
                forward_for.except = Some(value::network(&network.text, network.span)?);
                at += 2;
            }
            ("header", Some(header)) => {
                if !header.text.bytes().all(is_token) {
                    let message = format!("`{}` is not the name of a header", header.text);
                    return Err(Diagnostic::error(header.span, message));
                }
                forward_for.header = header.text.clone();
                at += 2;
            }
            (name @ ("except" | "header"), None) => {
                return Err(Diagnostic::error(word.span, format!("`{name}` needs an argument")));
            }
            (name, _) => {
                let known = ["except", "header", "if-none"].into_iter();
                return Err(super::table::unknown(
                    name,
                    word.span,
                    "argument of forwardfor",
                    known,
                ));
            }
        }
    }
    proxy.settings.forward_for = Some(Spanned { value: forward_for, span: line.span() });
    Ok(())
}

/// A byte of a header's name (RFC 9110 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn read_redispatch(
    proxy: &mut Proxy,
    line: &Line,
    sense: Sense,
    _: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    if let Some(interval) = line.word(2).filter(|word| word.text != "-1") {
        return Err(super::table::refusal(
            interval.span,
            "option redispatch <interval>",
            "leave the number away: the last try is redispatched",
        ));
    }
    superfluous("option redispatch", line.rest(3))?;
    proxy.settings.redispatch = switch(sense);
    Ok(())
}

fn read_httpchk(
    proxy: &mut Proxy,
    line: &Line,
    _: Sense,
    _: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let method = line.text(2);
    if method != "GET" {
        let sent = if method.is_empty() || method.starts_with('/') { "OPTIONS" } else { method };
        let path = line.rest(2).iter().find(|word| word.text.starts_with('/'));
        let path = path.map_or("/", |word| &word.text);
        let message = format!("checks with the method {sent} are not supported by this version");
        return Err(Diagnostic::error(line.span(), message)
            .help(format!("use GET: option httpchk GET {path}")));
    }
    let path = match line.word(3) {
        Some(word) if word.text.starts_with('/') => word.text.clone(),
        Some(word) => {
            let message = format!("`{}` is not a path", word.text);
            return Err(Diagnostic::error(word.span, message).help("it begins with `/`"));
        }
        None => String::from("/"),
    };
    let virtual_host = match line.word(4) {
        Some(word) => host_behind_version(&word.text).ok_or_else(|| {
            Diagnostic::error(word.span, "this is neither HTTP/1.0 nor HTTP/1.1 with a Host header")
                .help("write it as HTTP/1.1\\r\\nHost:\\ www.example.com")
        })?,
        None => None,
    };
    superfluous("option httpchk", line.rest(5))?;
    // Any answer that is not an error is good (manual, "option httpchk").
    let status = Vec::from([(200, 399)]);
    let check = UrlCheck { path, virtual_host, status, ..UrlCheck::default() };
    proxy.settings.http_check = Some(Spanned { value: check, span: line.span() });
    Ok(())
}

/// `HTTP/1.1\r\nHost:\ www`: the old way to send a Host header. The outer option is absent for
/// anything else.
fn host_behind_version(text: &str) -> Option<Option<String>> {
    let rest = text.strip_prefix("HTTP/1.0").or_else(|| text.strip_prefix("HTTP/1.1"))?;
    let rest = rest.strip_suffix("\r\n").unwrap_or(rest);
    if rest.is_empty() {
        return Some(None);
    }
    let (name, value) = rest.strip_prefix("\r\n")?.split_once(':')?;
    let value = value.trim();
    let good = name.eq_ignore_ascii_case("host") && !value.is_empty();
    (good && !value.contains(|c: char| c.is_ascii_control() || c == ' '))
        .then(|| Some(String::from(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_stand_behind_the_version() {
        assert_eq!(host_behind_version("HTTP/1.0"), Some(None));
        assert_eq!(host_behind_version("HTTP/1.1\r\nHost: www"), Some(Some("www".into())));
        assert_eq!(host_behind_version("HTTP/1.1\r\nhost:www\r\n"), Some(Some("www".into())));
        assert_eq!(host_behind_version("HTTP/1.1\r\nX: a"), None);
        assert_eq!(host_behind_version("HTTP/1.1\r\nHost: a\r\nX: b"), None);
        assert_eq!(host_behind_version("www"), None);
    }
}
