//! Sections: which there are, and what their first line says.

use alloc::format;
use alloc::string::String;

use super::lexer::Line;
use super::table::{self, Table};
use crate::diagnostic::Diagnostic;
use crate::row::{Language, Row};
use crate::source::Spanned;
use crate::suggest;

/// What a section is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Global,
    Defaults,
    Frontend,
    Listen,
    Backend,
}

impl Kind {
    /// The keyword that begins it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Kind::Global => "global",
            Kind::Defaults => "defaults",
            Kind::Frontend => "frontend",
            Kind::Listen => "listen",
            Kind::Backend => "backend",
        }
    }

    /// It accepts clients.
    pub(super) const fn is_front(self) -> bool {
        matches!(self, Kind::Frontend | Kind::Listen)
    }

    /// It has servers.
    pub(super) const fn is_back(self) -> bool {
        matches!(self, Kind::Listen | Kind::Backend)
    }
}

const fn row(name: &'static str, syntax: &'static str, doc: &'static str, kind: Kind) -> Row<Kind> {
    table::row(name, &[]).syntax(syntax).doc(doc).parse(kind)
}

const fn refused(name: &'static str, instead: &'static str) -> Row<Kind> {
    crate::row::row(Language::Haproxy, name).rejected(instead)
}

static ROWS: &[Row<Kind>] = &[
    row("global", "", "Settings of the process: user, logs, limits.", Kind::Global),
    row(
        "defaults",
        "[<name>] [from <defaults>]",
        "Initial settings of the proxies that follow. Each such section starts afresh.",
        Kind::Defaults,
    ),
    row(
        "frontend",
        "<name> [from <defaults>]",
        "Listening addresses, and which backend a client gets.",
        Kind::Frontend,
    ),
    row(
        "listen",
        "<name> [from <defaults>]",
        "A frontend and a backend of the same name in one.",
        Kind::Listen,
    ),
    row(
        "backend",
        "<name> [from <defaults>]",
        "Servers, and how one of them is chosen.",
        Kind::Backend,
    ),
    refused("userlist", "authentication is not part of this version; remove the section"),
    refused("resolvers", "names are resolved by the system when the file is loaded"),
    refused("peers", "remove the section and what refers to it"),
    refused("mailers", "remove the section and what refers to it"),
    refused("cache", "remove the section and what refers to it"),
    refused("program", "start the program as a service of its own"),
    refused("http-errors", "error pages are built in; remove the section"),
    refused("ring", "send logs to a syslog server: log 127.0.0.1 local0"),
    refused("log-forward", "let a syslog server forward logs"),
    refused("log-profile", "log lines have the form of option httplog and option tcplog"),
    refused("fcgi-app", "put a web server that speaks FastCGI behind the proxy"),
    refused("crt-store", "TLS is not part of this version; remove the section"),
    refused("acme", "TLS is not part of this version; remove the section"),
    refused("traces", "remove the section"),
];

/// Every section.
pub(super) static TABLE: Table<Kind> = Table { parts: &[ROWS], what: "section" };

/// The word begins a section, of this version or of HAProxy.
pub(super) fn is_section(word: &str) -> bool {
    TABLE.find(word).is_some()
}

/// The section a word was probably meant to begin: scanned files read `defau1ts`.
pub(super) fn meant(line: &Line) -> Option<Kind> {
    // `frontend x` or `defaults`: a longer line is hardly the first of a section.
    if line.rest(0).len() > 2 {
        return None;
    }
    let supported = ROWS.iter().filter(|row| row.parse.is_some());
    let near = suggest::nearest(line.text(0), supported.map(|row| row.info.name))?;
    TABLE.find(near).and_then(|row| row.parse)
}

/// What the first line of a proxy section says.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    /// Absent only for `defaults`.
    pub(super) name: Option<Spanned<String>>,
    /// `from NAME`
    pub(super) from: Option<Spanned<String>>,
    /// Number of words read; what follows does not belong there.
    pub(super) length: usize,
}

/// Reads the first line of a proxy section.
pub(super) fn head(line: &Line, kind: Kind) -> Result<Head, Diagnostic> {
    let mut head = Head { length: 1, ..Head::default() };
    let nameless = kind == Kind::Defaults && line.text(1) == "from" && line.word(3).is_none();
    match line.word(1).filter(|_| !nameless) {
        Some(word) => {
            if let Some(wrong) = word.text.chars().find(|c| !is_name_character(*c)) {
                return Err(Diagnostic::error(
                    word.span,
                    format!("`{wrong}` is not allowed in the name of a section"),
                )
                .help("names consist of letters, digits, `-`, `_`, `.` and `:`"));
            }
            head.name = Some(Spanned { value: word.text.clone(), span: word.span });
            head.length = 2;
        }
        None if kind != Kind::Defaults => {
            let name = kind.name();
            return Err(Diagnostic::error(line.span(), format!("this {name} has no name"))
                .help(format!("write one behind it: {name} web")));
        }
        None => {}
    }
    if line.text(head.length) == "from" {
        let Some(word) = line.word(head.length + 1) else {
            let message = "`from` needs the name of a defaults section";
            return Err(Diagnostic::error(line.span(), message));
        };
        head.from = Some(Spanned { value: word.text.clone(), span: word.span });
        head.length += 2;
    }
    Ok(head)
}

/// May stand in the name of a proxy, a server or an ACL.
pub(super) fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':')
}
