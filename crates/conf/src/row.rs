//! One row per keyword: the parser, `evenkeel help KEYWORD`, the generated reference and the
//! completeness test all read the same one.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The configuration languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// keepalived.conf
    Keepalived,
    /// haproxy.cfg
    Haproxy,
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Language::Keepalived => "keepalived.conf",
            Language::Haproxy => "haproxy.cfg",
        })
    }
}

/// Whether a keyword does something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It works.
    Supported,
    /// It is known and refused, with what to do instead.
    Rejected(&'static str),
    /// Its arguments are checked and it changes nothing, for this reason.
    NoEffect(&'static str),
}

/// Everything people may want to know about a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowInfo {
    /// The language it belongs to.
    pub language: Language,
    /// Its name as written.
    pub name: &'static str,
    /// Other names of the same thing.
    pub aliases: &'static [&'static str],
    /// Names of the sections or blocks where it may stand.
    pub sections: &'static [&'static str],
    /// What follows it: `ADDRESS [PORT]`.
    pub syntax: &'static str,
    /// The value when it is absent; empty when there is none.
    pub default: &'static str,
    /// One line: what it does, with units.
    pub doc: &'static str,
    /// Arguments that parse, as they would be written after the name; a block's content stands
    /// in braces. Empty for a keyword without arguments.
    pub example: &'static str,
    /// Version of the original program that brought it; empty when the version on Debian 12
    /// (Keepalived 2.2.7, HAProxy 2.6) has it.
    pub since: &'static str,
    /// Whether it works.
    pub status: Status,
}

impl RowInfo {
    /// The name or one of the aliases is `word`.
    pub fn is_named(&self, word: &str) -> bool {
        self.name == word || self.aliases.contains(&word)
    }

    /// It may stand in `section`.
    pub fn is_within(&self, section: &str) -> bool {
        self.sections.contains(&section)
    }
}

/// A keyword and the way its arguments become a field; `P` is the language's own parse type.
#[derive(Clone, Copy, Debug)]
pub struct Row<P: 'static> {
    /// The part without code.
    pub info: RowInfo,
    /// How it parses and which field it fills; absent exactly when the status is rejected.
    pub parse: Option<P>,
}

/// Begins a row: `row(Language::Keepalived, "lb_algo").alias(&["lvs_sched"]).within(..)...`,
/// ended by [`RowInfo::parse`], [`RowInfo::no_effect`] or [`RowInfo::rejected`].
pub const fn row(language: Language, name: &'static str) -> RowInfo {
    RowInfo {
        language,
        name,
        aliases: &[],
        sections: &[],
        syntax: "",
        default: "",
        doc: "",
        example: "",
        since: "",
        status: Status::Supported,
    }
}

impl RowInfo {
    /// Other names.
    pub const fn alias(mut self, aliases: &'static [&'static str]) -> RowInfo {
        self.aliases = aliases;
        self
    }

    /// Where it may stand.
    pub const fn within(mut self, sections: &'static [&'static str]) -> RowInfo {
        self.sections = sections;
        self
    }

    /// What follows it.
    pub const fn syntax(mut self, syntax: &'static str) -> RowInfo {
        self.syntax = syntax;
        self
    }

    /// The value when it is absent.
    pub const fn default(mut self, default: &'static str) -> RowInfo {
        self.default = default;
        self
    }

    /// One line of documentation.
    pub const fn doc(mut self, doc: &'static str) -> RowInfo {
        self.doc = doc;
        self
    }

    /// Arguments that parse.
    pub const fn example(mut self, example: &'static str) -> RowInfo {
        self.example = example;
        self
    }

    /// The version of the original program that brought it.
    pub const fn since(mut self, since: &'static str) -> RowInfo {
        self.since = since;
        self
    }

    /// A keyword that works, parsed by `parse`.
    pub const fn parse<P>(self, parse: P) -> Row<P> {
        Row { info: self, parse: Some(parse) }
    }

    /// A keyword whose arguments `parse` checks and that changes nothing: `why` is a sentence
    /// without a full stop (`the roles choose their priorities themselves`).
    pub const fn no_effect<P>(mut self, why: &'static str, parse: P) -> Row<P> {
        self.status = Status::NoEffect(why);
        Row { info: self, parse: Some(parse) }
    }

    /// A keyword that is refused: `instead` is a sentence without a full stop that shows the way
    /// out (`use TCP_CHECK`, `planned: ...`).
    pub const fn rejected<P>(mut self, instead: &'static str) -> Row<P> {
        self.status = Status::Rejected(instead);
        Row { info: self, parse: None }
    }
}

/// The rows as a Markdown reference: one table per language, sorted by name.
pub fn reference_markdown(rows: impl Iterator<Item = &'static RowInfo>) -> String {
    let mut rows: Vec<&RowInfo> = rows.collect();
    rows.sort_by_key(|row| (row.language, row.name, row.sections));
    let mut text = String::from("# Keyword reference\n\nGenerated from the keyword tables.\n");
    for language in [Language::Keepalived, Language::Haproxy] {
        text += &format!("\n## {language}\n\n");
        text += "| Keyword | Where | Arguments | Default | What it does |\n|---|---|---|---|---|\n";
        for row in rows.iter().filter(|row| row.language == language) {
            text += &reference_line(row);
        }
    }
    text
}

fn reference_line(row: &RowInfo) -> String {
    let mut names = format!("`{}`", row.name);
    for alias in row.aliases {
        names += &format!(", `{alias}`");
    }
    let mut doc = String::from(row.doc);
    let outcome = match row.status {
        Status::Supported => String::new(),
        Status::Rejected(instead) => format!("Not supported: {instead}."),
        Status::NoEffect(why) => format!("Accepted, no effect: {why}."),
    };
    let since = match row.since {
        "" => String::new(),
        version => format!("New in {version}."),
    };
    for sentence in [since, outcome].iter().filter(|sentence| !sentence.is_empty()) {
        if !doc.is_empty() {
            doc.push(' ');
        }
        doc += sentence;
    }
    let cell = |text: &str| text.replace('|', "\\|");
    format!(
        "| {} | {} | {} | {} | {} |\n",
        cell(&names),
        cell(&row.sections.join(", ")),
        cell(row.syntax),
        cell(row.default),
        cell(&doc)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHT: Row<u8> = row(Language::Keepalived, "weight")
        .within(&["real_server"])
        .syntax("0..65535")
        .default("1")
        .doc("Share of new connections.")
        .parse(7);
    const PRIORITY: Row<u8> = row(Language::Keepalived, "vrrp_priority")
        .within(&["global_defs"])
        .doc("Nice value.")
        .since("2.3.0")
        .no_effect("the role sets it", 9);
    const TUNNEL: Row<u8> =
        row(Language::Keepalived, "quorum").within(&["virtual_server"]).rejected("planned");

    #[test]
    fn a_rejected_row_has_no_parser() {
        assert_eq!(WEIGHT.parse, Some(7));
        assert_eq!(TUNNEL.parse, None);
        assert_eq!(TUNNEL.info.status, Status::Rejected("planned"));
    }

    #[test]
    fn a_row_without_effect_has_a_parser_and_a_reason() {
        assert_eq!(PRIORITY.parse, Some(9));
        assert_eq!(PRIORITY.info.status, Status::NoEffect("the role sets it"));
    }

    #[test]
    fn the_reference_has_one_line_per_row() {
        static INFOS: [RowInfo; 3] = [WEIGHT.info, TUNNEL.info, PRIORITY.info];
        let text = reference_markdown(INFOS.iter());
        assert!(text.contains("| `weight` | real_server | 0..65535 | 1 | Share of new"));
        assert!(text.contains("| `quorum` | virtual_server |  |  | Not supported: planned. |"));
        let no_effect = "Nice value. New in 2.3.0. Accepted, no effect: the role sets it. |";
        assert!(text.contains(no_effect), "{text}");
    }
}
