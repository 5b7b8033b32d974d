//! What a checker tries.

use alloc::string::ToString;

use model::check::{CheckKind, FileCheck, HttpCheck, MiscCheck, SmtpCheck, UrlCheck};
use model::vrrp::Command;

use super::Place;
use crate::keepalived::ast::{CheckerKind, FileTrack, Http, Misc, Smtp};

/// Keepalived's name in HELO.
const HELO: &str = "smtpchecker.keepalived.org";
/// Status codes of a page that names none.
const STATUS: (u16, u16) = (200, 299);

/// The keyword.
pub(super) fn name(kind: &CheckerKind) -> &'static str {
    match kind {
        CheckerKind::Tcp => "TCP_CHECK",
        CheckerKind::Http(Http { check: HttpCheck { tls: None, .. }, .. }) => "HTTP_GET",
        CheckerKind::Http(Http { check: HttpCheck { tls: Some(_), .. }, .. }) => "SSL_GET",
        CheckerKind::Smtp(_) => "SMTP_CHECK",
        CheckerKind::Dns(_) => "DNS_CHECK",
        CheckerKind::Udp(_) => "UDP_CHECK",
        CheckerKind::Ping => "PING_CHECK",
        CheckerKind::Misc(_) => "MISC_CHECK",
        CheckerKind::Bfd(_) => "BFD_CHECK",
        CheckerKind::File(_) => "FILE_CHECK",
    }
}

pub(super) fn lower(place: &Place<'_>, kind: &CheckerKind) -> CheckKind {
    match kind {
        CheckerKind::Tcp => CheckKind::Tcp,
        CheckerKind::Http(http) => CheckKind::Http(pages(place, http)),
        CheckerKind::Smtp(smtp) => CheckKind::Smtp(mail(smtp)),
        CheckerKind::Dns(dns) => CheckKind::Dns(dns.clone()),
        CheckerKind::Udp(udp) => CheckKind::Udp(udp.clone()),
        CheckerKind::Ping => CheckKind::Ping,
        CheckerKind::Misc(misc) => CheckKind::Misc(program(place, misc)),
        CheckerKind::Bfd(name) => CheckKind::Bfd(name.value.clone()),
        CheckerKind::File(file) => CheckKind::File(number(file)),
    }
}

fn pages(place: &Place<'_>, http: &Http) -> HttpCheck {
    let outer = [&http.virtual_host, &place.server.virtual_host, &place.service.virtual_host];
    let host = outer.into_iter().flatten().next();
    let page = |url: &UrlCheck| {
        let mut url = url.clone();
        url.virtual_host = url.virtual_host.or_else(|| host.cloned());
        if url.status.is_empty() {
            url.status.push(STATUS);
        }
        url
    };
    let check = &http.check;
    HttpCheck {
        tls: check.tls.clone(),
        version: check.version,
        urls: check.urls.iter().map(page).collect(),
        fast_recovery: check.fast_recovery,
    }
}

fn mail(smtp: &Smtp) -> SmtpCheck {
    let helo_name = smtp.helo_name.clone().unwrap_or_else(|| HELO.to_string());
    SmtpCheck { helo_name }
}

fn program(place: &Place<'_>, misc: &Misc) -> MiscCheck {
    let command = Command { words: misc.words.clone(), user: misc.user.clone() };
    let configured_weight =
        if misc.dynamic { place.server.weight.or(place.service.weight).unwrap_or(1) } else { 0 };
    MiscCheck { command, dynamic: misc.dynamic, configured_weight }
}

/// The weight was settled by [`super::settle`]; a file that does not exist is an error.
fn number(file: &FileTrack) -> FileCheck {
    let (weight, reverse) = file.weight.unwrap_or_default();
    FileCheck { name: file.name.value.clone(), weight, reverse, dynamic: weight != 0 }
}
