//! HTTP_GET and SSL_GET.

use alloc::string::ToString;
use alloc::vec::Vec;

use model::check::{HttpCheck, HttpVersion, ServerName, TlsCheck};

use super::read;
use crate::keepalived::ast::{Checker, CheckerKind, Http, RealServer};
use crate::keepalived::keyword::section::{HTTP_GET, REAL_SERVER, SSL_GET};
use crate::keepalived::keyword::{Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;
use crate::keepalived::virtual_server::host;

/// Both checkers.
pub(super) const BOTH: &[&str] = &[HTTP_GET, SSL_GET];

const NO_TLS: &str = "HTTP_GET has no TLS; SSL_GET has";

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("HTTP_GET", &[REAL_SERVER]).syntax("{ ... }")
        .example("{ url { path /; status_code 200 } }")
        .doc("The server is up when every page answers as it should.")
        .parse(Rule::blocks(Fill::RealServer(http_get), HTTP_GET)),
    keyword("SSL_GET", &[REAL_SERVER]).syntax("{ ... }")
        .example("{ url { path /; status_code 200 } }")
        .doc("HTTP_GET over TLS. Certificates are not verified.")
        .parse(Rule::blocks(Fill::RealServer(ssl_get), SSL_GET)),
    keyword("http_protocol", BOTH).syntax("1.0|1.0C|1.0K|1.1|1.1K").example("1.1").default("1.0")
        .doc("HTTP version of the requests; C asks the server to close, K to keep the connection; 1.1 asks to close.")
        .parse(Rule::value(Fill::Http(http_protocol))),
    keyword("fast_recovery", BOTH).syntax("[BOOL]").example("").default("false")
        .doc("No wait of delay_loop between the pages at start and after a failure.")
        .parse(Rule::value(Fill::Http(fast_recovery))),
    keyword("virtualhost", BOTH).syntax("HOST").example("www.example.com")
        .default("the real server's")
        .doc("Host header of this check.")
        .parse(Rule::value(Fill::Http(virtual_host))),
    keyword("enable_sni", &[SSL_GET]).syntax("[BOOL]").example("").default("false")
        .doc("The page's virtualhost is sent in the TLS handshake.")
        .parse(Rule::value(Fill::Http(enable_sni))),
    keyword("sni_name", &[SSL_GET]).syntax("[NAME]").example("www.example.net").since("2.4.4")
        .doc("This name is sent in the TLS handshake; without a name as enable_sni.")
        .parse(Rule::value(Fill::Http(sni_name))),
    keyword("tls_compliant", &[SSL_GET]).syntax("[BOOL]").example("").default("false").since("2.2.8")
        .doc("Connections end with close_notify, as TLS asks for.")
        .parse(Rule::value(Fill::Http(tls_compliant))),
    keyword("enable_sni", &[HTTP_GET]).syntax("[BOOL]").example("")
        .doc("Server name in the TLS handshake.")
        .no_effect(NO_TLS, Rule::value(Fill::Http(enable_sni))),
    keyword("sni_name", &[HTTP_GET]).syntax("[NAME]").example("www.example.net").since("2.4.4")
        .doc("Server name in the TLS handshake.")
        .no_effect(NO_TLS, Rule::value(Fill::Http(sni_name))),
];

fn http_get(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut RealServer) {
    pages(reader, statement, None, to);
}

fn ssl_get(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut RealServer) {
    pages(reader, statement, Some(TlsCheck::default()), to);
}

fn pages(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    tls: Option<TlsCheck>,
    to: &mut RealServer,
) {
    let check = HttpCheck { tls, ..HttpCheck::plain(Vec::new()) };
    let mut http = Http { check, virtual_host: None };
    let common = read(reader, statement, |reader, statement, fill| {
        if let Fill::Http(parse) = fill {
            parse(reader, statement, &mut http);
        }
    });
    if !common.written.has("url") {
        let message = alloc::format!("{} without a url tests nothing", statement.keyword().text);
        let help = "write url { path / } in it, or use TCP_CHECK";
        reader.error(statement.header(), message, help);
    }
    to.check(Checker { common, kind: CheckerKind::Http(http) });
}

fn http_protocol(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Http) {
    let choices = [
        ("1.0", HttpVersion::Http10),
        ("1.0C", HttpVersion::Http10Close),
        ("1.0c", HttpVersion::Http10Close),
        ("1.0K", HttpVersion::Http10KeepAlive),
        ("1.0k", HttpVersion::Http10KeepAlive),
        ("1.1", HttpVersion::Http11),
        ("1.1K", HttpVersion::Http11KeepAlive),
        ("1.1k", HttpVersion::Http11KeepAlive),
    ];
    to.check.version = reader.choice(statement, &choices, &[]).unwrap_or_default();
}

fn fast_recovery(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Http) {
    to.check.fast_recovery = reader.boolean(statement).unwrap_or(false);
}

fn virtual_host(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Http) {
    to.virtual_host = host(reader, statement);
}

fn enable_sni(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Http) {
    let wanted = reader.boolean(statement);
    let (Some(tls), Some(wanted)) = (&mut to.check.tls, wanted) else { return };
    tls.server_name = match (wanted, core::mem::take(&mut tls.server_name)) {
        (false, _) => ServerName::Absent,
        (true, ServerName::Name(name)) => ServerName::Name(name),
        (true, ServerName::Absent | ServerName::VirtualHost) => ServerName::VirtualHost,
    };
}

fn sni_name(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Http) {
    let name = if statement.arguments().is_empty() {
        ServerName::VirtualHost
    } else {
        let Some(name) = host(reader, statement) else { return };
        if name.contains(':') || name.parse::<core::net::IpAddr>().is_ok() {
            let message = "a server name is neither an address nor has it a port".to_string();
            reader.error(statement.header(), message, "write a name like www.example.org");
            return;
        }
        ServerName::Name(name)
    };
    if let Some(tls) = &mut to.check.tls {
        tls.server_name = name;
    }
}

fn tls_compliant(reader: &mut Reader<'_>, statement: &Statement<'_>, to: &mut Http) {
    let compliant = reader.boolean(statement);
    if let (Some(tls), Some(compliant)) = (&mut to.check.tls, compliant) {
        tls.compliant = compliant;
    }
}
