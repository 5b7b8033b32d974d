//! Look-up in the keyword tables, and the findings that come of it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::lexer::Word;
use crate::diagnostic::Diagnostic;
use crate::row::{Language, Row, RowInfo, Status};
use crate::source::Span;
use crate::suggest;

/// Where process settings may stand.
pub(super) const GLOBAL: &[&str] = &["global"];
/// Everywhere but in `global`.
pub(super) const PROXIES: &[&str] = &["defaults", "frontend", "listen", "backend"];
/// What concerns the client's side.
pub(super) const FRONT: &[&str] = &["defaults", "frontend", "listen"];
/// What concerns the server's side.
pub(super) const BACK: &[&str] = &["defaults", "listen", "backend"];
/// The client's side, not in `defaults`.
pub(super) const FRONT_NAMED: &[&str] = &["frontend", "listen"];
/// The server's side, not in `defaults`.
pub(super) const BACK_NAMED: &[&str] = &["listen", "backend"];
/// Both sides, not in `defaults`.
pub(super) const NAMED: &[&str] = &["frontend", "listen", "backend"];

/// Begins a row of this language.
pub(super) const fn row(name: &'static str, sections: &'static [&'static str]) -> RowInfo {
    crate::row::row(Language::Haproxy, name).within(sections)
}

/// A keyword of HAProxy that this version refuses.
pub(super) const fn refused<P>(
    name: &'static str,
    sections: &'static [&'static str],
    instead: &'static str,
) -> Row<P> {
    row(name, sections).rejected(instead)
}

/// All keywords of one kind: the supported ones and those that are refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<P: 'static> {
    /// The parts, in order of importance.
    pub(super) parts: &'static [&'static [Row<P>]],
    /// What the keywords are called in messages: `option`, `server parameter`.
    pub(super) what: &'static str,
}

impl<P: Copy> Table<P> {
    /// All rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = &'static Row<P>> + use<P> {
        let parts = self.parts;
        parts.iter().flat_map(|part| part.iter())
    }

    /// Every row's public half.
    pub(super) fn infos(&self) -> impl Iterator<Item = &'static RowInfo> + use<P> {
        self.rows().map(|row| &row.info)
    }

    /// The row of this name, refused or not.
    pub(super) fn find(&self, name: &str) -> Option<&'static Row<P>> {
        self.rows().find(|row| row.info.is_named(name))
    }

    /// What the keyword does, or the finding that says why not. `span` covers the keyword.
    pub(super) fn supported(
        &self,
        name: &str,
        span: Span,
    ) -> Result<(P, &'static RowInfo), Diagnostic> {
        let Some(row) = self.find(name) else {
            return Err(self.unknown(name, span));
        };
        match (row.parse, row.info.status) {
            (Some(parse), Status::Supported | Status::NoEffect(_)) => Ok((parse, &row.info)),
            (_, Status::Rejected(instead)) => Err(refusal(span, row.info.name, instead)),
            (None, Status::Supported | Status::NoEffect(_)) => {
                Err(refusal(span, row.info.name, "remove it"))
            }
        }
    }

    /// The finding for a word that is no keyword, with the nearest one as its help.
    pub(super) fn unknown(&self, name: &str, span: Span) -> Diagnostic {
        unknown(name, span, self.what, self.infos().map(|info| info.name))
    }
}

/// The finding for a keyword that HAProxy has and this version has not.
pub(super) fn refusal(span: Span, name: &str, instead: &str) -> Diagnostic {
    Diagnostic::error(span, format!("`{name}` is not supported by this version")).help(instead)
}

/// The finding for a word that is none of `known`, with the nearest one as its help.
pub(super) fn unknown<'a>(
    name: &str,
    span: Span,
    what: &str,
    known: impl Iterator<Item = &'a str>,
) -> Diagnostic {
    let diagnostic = Diagnostic::error(span, format!("unknown {what} `{name}`"));
    match suggest::nearest(name, known) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic,
    }
}

/// The finding for words after the last one a keyword can use.
pub(super) fn superfluous(keyword: &str, words: &[Word]) -> Result<(), Diagnostic> {
    match words {
        [] => Ok(()),
        [first, ..] => Err(Diagnostic::error(
            first.span.to(words[words.len() - 1].span),
            format!("`{}` is too much behind `{keyword}`", first.text),
        )
        .help("remove it; a value with spaces needs quotes")),
    }
}

/// `a`, `b` and `c`
pub(super) fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => format!("`{one}`"),
        [most @ .., last] => {
            let most: Vec<String> = most.iter().map(|name| format!("`{name}`")).collect();
            format!("{} and `{last}`", most.join(", "))
        }
    }
}
