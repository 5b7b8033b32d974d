//! Lines into sections: finds each line's row and lets it read.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::global::{self, Global};
use super::lexer::{self, Line};
use super::proxy::{Context, Keyword, Proxy, Sense, Settings};
use super::section::{self, Kind};
use super::table::{Table, list, refusal, unknown};
use super::{acl, bind, general, log, options, options_refused, proxy_refused, rules, server};
use crate::diagnostic::Diagnostic;
use crate::row::{RowInfo, Status};
use crate::source::{FileId, Files, Source, Span, Spanned};

/// Every keyword of proxy sections.
pub(super) static PROXY: Table<Keyword> = Table {
    parts: &[
        general::ROWS,
        log::ROWS,
        options::ROWS,
        bind::ROWS,
        acl::ROWS,
        rules::ROWS,
        server::ROWS,
        options_refused::ROWS,
        proxy_refused::ROWS,
    ],
    what: "keyword",
};

/// All sections, as written.
#[derive(Clone, Debug, Default)]
pub(super) struct Document {
    pub(super) global: Global,
    /// Frontends, listens and backends, in file order.
    pub(super) proxies: Vec<Proxy>,
}

/// Reads all files, in order, as one.
pub(super) fn read(
    source: &dyn Source,
    files: &Files,
    ids: &[FileId],
    diagnostics: &mut Vec<Diagnostic>,
) -> Document {
    let mut reader = Reader {
        document: Document::default(),
        defaults: BTreeMap::new(),
        latest: Settings::default(),
        open: Open::Nothing,
        seen_global: false,
    };
    for id in ids {
        let lines = lexer::lines(source, *id, files.file(*id), diagnostics);
        let mut context = Context { source, diagnostics };
        for line in &lines {
            reader.line(line, &mut context);
        }
        reader.close();
    }
    reader.document
}

/// The section that lines belong to.
enum Open {
    /// None yet in this file.
    Nothing,
    /// One that was reported as a whole.
    Refused,
    Global,
    Proxy(Box<Proxy>),
}

struct Reader {
    document: Document,
    /// Named defaults sections, with the place of their names.
    defaults: BTreeMap<String, (Settings, Span)>,
    /// The settings of the last defaults section.
    latest: Settings,
    open: Open,
    seen_global: bool,
}

impl Reader {
    fn line(&mut self, line: &Line, context: &mut Context<'_>) {
        let first = line.text(0);
        if self.is_torn_global(line) {
            context.diagnostics.push(
                Diagnostic::error(line.span(), "`global` alone on an indented line")
                    .help("write `log global` on one line"),
            );
            return;
        }
        if let Some(row) = section::TABLE.find(first) {
            match (row.parse, row.info.status) {
                (Some(kind), Status::Supported | Status::NoEffect(_)) => {
                    self.begin(kind, line, context)
                }
                (_, status) => {
                    self.close();
                    self.open = Open::Refused;
                    let instead = match status {
                        Status::Rejected(instead) => instead,
                        Status::Supported | Status::NoEffect(_) => "remove it",
                    };
                    let mut diagnostic = refusal(line.span(), first, instead);
                    diagnostic.message =
                        format!("sections `{first}` are not supported by this version");
                    context.diagnostics.push(diagnostic);
                }
            }
            return;
        }
        if first.starts_with('.') && matches!(first, ".if" | ".elif" | ".else" | ".endif") {
            let hint = "write the file for one case";
            let mut diagnostic = refusal(line.span(), first, hint);
            if matches!(first, ".elif" | ".else" | ".endif") {
                return;
            }
            diagnostic.message = "conditional blocks are not supported by this version".into();
            context.diagnostics.push(diagnostic);
            return;
        }
        if matches!(first, ".notice" | ".warning" | ".alert" | ".diag") {
            context.diagnostics.push(refusal(line.span(), first, "make the line a comment"));
            return;
        }
        if self.begins_mistyped(line, context) {
            return;
        }
        match &mut self.open {
            Open::Nothing => {
                let names = section::TABLE.infos().map(|info| info.name);
                context
                    .diagnostics
                    .push(unknown(first, line.rest(0)[0].span, "section", names).help(
                    "a file begins with a section: global, defaults, frontend, listen or backend",
                ));
                self.open = Open::Refused;
            }
            Open::Refused => {}
            Open::Global => global::read(&mut self.document.global, line, context),
            Open::Proxy(proxy) => read_proxy_line(proxy, line, context),
        }
    }

    /// The value of `log global` on a line of its own, as scanners leave columns. A second global
    /// section looks the same only where sections are indented like their lines.
    fn is_torn_global(&self, line: &Line) -> bool {
        let Open::Proxy(proxy) = &self.open else {
            return false;
        };
        self.seen_global
            && line.text(0) == "global"
            && line.word(1).is_none()
            && line.indent() > proxy.indent
    }

    /// A line such as `bakend app` or `defau1ts`: reported, and then read as what was meant, so
    /// that the lines below it are not all wrong too.
    fn begins_mistyped(&mut self, line: &Line, context: &mut Context<'_>) -> bool {
        let first = line.text(0);
        let known = match &self.open {
            Open::Refused => return false,
            Open::Nothing => false,
            Open::Global => knows(&global::TABLE, first),
            Open::Proxy(_) => knows(&PROXY, first) || matches!(first, "no" | "default"),
        };
        let Some(kind) = section::meant(line).filter(|_| !known) else {
            return false;
        };
        let word = &line.rest(0)[0];
        context.diagnostics.push(
            Diagnostic::error(word.span, format!("unknown section `{first}`"))
                .help(format!("did you mean `{}`?", kind.name())),
        );
        self.begin(kind, line, context);
        true
    }

    fn begin(&mut self, kind: Kind, line: &Line, context: &mut Context<'_>) {
        self.close();
        if kind == Kind::Global {
            self.open = Open::Global;
            self.seen_global = true;
            if let [_, rest @ ..] = line.rest(0)
                && !rest.is_empty()
            {
                context.diagnostics.push(Diagnostic::error(
                    rest[0].span.to(rest[rest.len() - 1].span),
                    "`global` has no name",
                ));
            }
            return;
        }
        let mut broken = false;
        let head = section::head(line, kind).unwrap_or_else(|diagnostic| {
            context.diagnostics.push(diagnostic);
            broken = true;
            section::Head { length: line.rest(0).len(), ..section::Head::default() }
        });
        let settings = self.settings_for(kind, &head, context);
        let name =
            head.name.unwrap_or(Spanned { value: String::new(), span: line.rest(0)[0].span });
        let mut proxy = Proxy::new(kind, name, settings);
        proxy.settings.broken |= broken;
        proxy.indent = line.indent();
        if let Some(rest) = line.without(head.length) {
            superfluous_head(&mut proxy, line, &rest, head.length, context);
        }
        self.open = Open::Proxy(Box::new(proxy));
    }

    /// Where a section's settings begin.
    fn settings_for(
        &self,
        kind: Kind,
        head: &section::Head,
        context: &mut Context<'_>,
    ) -> Settings {
        let Some(from) = &head.from else {
            // A defaults section starts afresh, whatever was said before it.
            return if kind == Kind::Defaults { Settings::default() } else { self.latest.clone() };
        };
        if let Some((settings, _)) = self.defaults.get(&from.value) {
            return settings.clone();
        }
        let known = self.defaults.keys().map(String::as_str);
        let mut diagnostic = unknown(&from.value, from.span, "defaults section", known);
        if diagnostic.help.is_none() {
            diagnostic = diagnostic.help("a defaults section must stand above those that use it");
        }
        context.diagnostics.push(diagnostic);
        self.latest.clone()
    }

    /// The open section is complete.
    fn close(&mut self) {
        match core::mem::replace(&mut self.open, Open::Nothing) {
            Open::Proxy(proxy) if proxy.kind == Kind::Defaults => {
                if !proxy.name.value.is_empty() {
                    let entry = (proxy.settings.clone(), proxy.name.span);
                    self.defaults.insert(proxy.name.value, entry);
                }
                self.latest = proxy.settings;
            }
            Open::Proxy(proxy) => self.document.proxies.push(*proxy),
            Open::Nothing | Open::Refused | Open::Global => {}
        }
    }
}

/// A word of the table, or the first word of one of its keywords.
fn knows<P: Copy>(table: &Table<P>, first: &str) -> bool {
    table.infos().any(|info| info.name.split(' ').next() == Some(first))
}

/// The first word of a keyword of proxies.
pub(super) fn is_proxy_keyword(first: &str) -> bool {
    knows(&PROXY, first)
}

/// `frontend main bind 192.0.2.1:80`: reported once, then read as the lines it should have been.
fn superfluous_head(
    proxy: &mut Proxy,
    line: &Line,
    rest: &Line,
    length: usize,
    context: &mut Context<'_>,
) {
    let words: Vec<&str> = rest.rest(0).iter().map(|word| word.text.as_str()).collect();
    let keyword = find(rest).is_some();
    let message = if keyword {
        format!("`{}` stands on the first line of its section", words[0])
    } else {
        format!("`{}` behind the name of a section", words[0])
    };
    let diagnostic = Diagnostic::error(rest.span(), message)
        .related(line.head(length), "the section begins here");
    let looks_like_address = words[0].contains(':');
    context.diagnostics.push(if keyword {
        diagnostic.help(format!("write it on a line of its own: {}", words.join(" ")))
    } else if looks_like_address && proxy.kind.is_front() {
        diagnostic.help(format!("write it on a line of its own: bind {}", words.join(" ")))
    } else {
        diagnostic.help("remove it; every keyword stands on a line of its own")
    });
    proxy.settings.broken = true;
    if keyword {
        // Its own mistakes count too, but not what follows from lost line breaks.
        let mut lost = Vec::new();
        let mut inner = Context { source: context.source, diagnostics: &mut lost };
        read_proxy_line(proxy, rest, &mut inner);
    }
}

/// The row of a line in a proxy section: two words make a name before one does.
fn find(line: &Line) -> Option<(&'static RowInfo, Option<Keyword>, usize)> {
    let two = format!("{} {}", line.text(0), line.text(1));
    let found = PROXY.find(&two).map(|row| (row, 2));
    let (row, words) = found.or_else(|| PROXY.find(line.text(0)).map(|row| (row, 1)))?;
    Some((&row.info, row.parse, words))
}

fn read_proxy_line(proxy: &mut Proxy, line: &Line, context: &mut Context<'_>) {
    if let Err(diagnostic) = try_proxy_line(proxy, line, context) {
        proxy.settings.broken = true;
        context.diagnostics.push(diagnostic);
    }
}

fn try_proxy_line(
    proxy: &mut Proxy,
    line: &Line,
    context: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let (sense, prefix) = match line.text(0) {
        "no" => (Sense::No, "no"),
        "default" => (Sense::Default, "default"),
        _ => (Sense::Plain, ""),
    };
    let bare;
    let line = if sense == Sense::Plain {
        line
    } else {
        let Some(rest) = line.without(1) else {
            return Err(Diagnostic::error(line.span(), format!("`{prefix}` before nothing")));
        };
        bare = rest;
        &bare
    };
    let Some((info, keyword, words)) = find(line) else {
        return Err(unknown_keyword(line));
    };
    let span = line.head(words);
    let keyword = match (keyword, info.status) {
        (Some(keyword), _) => keyword,
        (None, Status::Rejected(instead)) => return Err(refusal(span, info.name, instead)),
        (None, Status::Supported | Status::NoEffect(_)) => {
            return Err(refusal(span, info.name, "remove it"));
        }
    };
    let is_option = info.name.starts_with("option ");
    if sense != Sense::Plain && (!keyword.invertible || sense == Sense::Default && !is_option) {
        let message = format!("`{prefix}` cannot stand before `{}`", info.name);
        return Err(Diagnostic::error(span, message).help("remove the line"));
    }
    if !info.is_within(proxy.kind.name()) {
        misplaced(proxy, info, span, context)?;
    }
    (keyword.read)(proxy, line, sense, context)
}

/// HAProxy only warns of most keywords on the wrong side.
fn misplaced(
    proxy: &Proxy,
    info: &RowInfo,
    span: Span,
    context: &mut Context<'_>,
) -> Result<(), Diagnostic> {
    let help = format!("it belongs into {}", list(info.sections));
    if proxy.kind == Kind::Defaults || info.name == "server" {
        let message = format!("`{}` cannot stand in a {} section", info.name, proxy.kind.name());
        return Err(Diagnostic::error(span, message).help(help));
    }
    let side = if proxy.kind == Kind::Frontend { "servers" } else { "clients" };
    let message = format!("`{}` has no effect: {} has no {side}", info.name, proxy.title());
    context.diagnostics.push(Diagnostic::warning(span, message).help(help));
    Ok(())
}

/// No keyword begins like this line.
fn unknown_keyword(line: &Line) -> Diagnostic {
    let first = &line.rest(0)[0];
    let second = line.word(1);
    // `option htplog`: the first word is right, so the second is compared.
    if let Some(second) = second.filter(|_| is_proxy_keyword(&first.text)) {
        let seconds = PROXY
            .infos()
            .filter_map(|info| info.name.split_once(' '))
            .filter(|(group, _)| *group == first.text)
            .map(|(_, second)| second);
        return unknown(&second.text, second.span, &first.text, seconds);
    }
    if is_proxy_keyword(&first.text) {
        return Diagnostic::error(first.span, format!("`{}` needs a word behind it", first.text))
            .help(format!("`evenkeel help {}` shows which", first.text));
    }
    let option = format!("option {}", first.text);
    if PROXY.find(&option).is_some() {
        return Diagnostic::error(first.span, format!("unknown keyword `{}`", first.text))
            .help(format!("write `{option}`"));
    }
    let mut firsts: Vec<&str> =
        PROXY.infos().filter_map(|info| info.name.split(' ').next()).collect();
    firsts.dedup();
    let diagnostic = unknown(&first.text, first.span, "keyword", firsts.into_iter());
    if diagnostic.help.is_none() && second.is_none() {
        return diagnostic.help("a value alone on its line? write it behind its keyword");
    }
    diagnostic
}
