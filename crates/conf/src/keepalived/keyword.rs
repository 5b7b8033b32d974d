//! The keyword tables together: which word means what where.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::ast::{
    Authentication, Checker, Configuration, Garp, Global, Instance, RealServer, SyncGroup, Timers,
    VirtualServer,
};
use super::reader::Reader;
use super::structure::Statement;
use super::{checker, global, rejected, timers, virtual_server, vrrp};
use crate::row::{Language, Row, RowInfo};

/// Names of the blocks, as [`RowInfo::sections`] has them.
pub(crate) mod section {
    pub(crate) const TOP: &str = "top level";
    pub(crate) const GLOBAL: &str = "global_defs";
    pub(crate) const EMAIL: &str = "notification_email";
    pub(crate) const SYNC_GROUP: &str = "vrrp_sync_group";
    pub(crate) const GROUP: &str = "group";
    pub(crate) const INSTANCE: &str = "vrrp_instance";
    pub(crate) const AUTHENTICATION: &str = "authentication";
    pub(crate) const ADDRESSES: &str = "virtual_ipaddress";
    pub(crate) const EXCLUDED: &str = "virtual_ipaddress_excluded";
    pub(crate) const VIRTUAL_SERVER: &str = "virtual_server";
    pub(crate) const REAL_SERVER: &str = "real_server";
    pub(crate) const TCP_CHECK: &str = "TCP_CHECK";
    pub(crate) const HTTP_GET: &str = "HTTP_GET";
    pub(crate) const URL: &str = "url";
    /// Not a block: the keyword may stand in all of them.
    pub(crate) const ANYWHERE: &str = "anywhere";

    /// Blocks whose lines are values, not keywords.
    pub(crate) const LISTS: &[&str] = &[EMAIL, GROUP, ADDRESSES, EXCLUDED];
}

/// Reads one statement into the block it stands in.
pub(crate) type Parse<T> = for<'r, 's, 'a> fn(&mut Reader<'r>, &'s Statement<'a>, &mut T);

/// Which block's field a keyword fills, and how.
#[derive(Clone, Copy)]
pub(crate) enum Fill {
    Top(Parse<Configuration>),
    Global(Parse<Global>),
    Garp(Parse<Garp>),
    SyncGroup(Parse<SyncGroup>),
    Instance(Parse<Instance>),
    Authentication(Parse<Authentication>),
    VirtualServer(Parse<VirtualServer>),
    RealServer(Parse<RealServer>),
    Timers(Parse<Timers>),
    Checker(Parse<Checker>),
    Url(Parse<checker::Url>),
}

/// How a keyword parses.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    /// What it fills.
    pub(crate) fill: Fill,
    /// The block it opens.
    pub(crate) opens: Option<&'static str>,
    /// It may be written several times in one block.
    pub(crate) repeats: bool,
}

impl Rule {
    /// A keyword with arguments, once per block.
    pub(crate) const fn value(fill: Fill) -> Rule {
        Rule { fill, opens: None, repeats: false }
    }

    /// A keyword with a block, once.
    pub(crate) const fn block(fill: Fill, opens: &'static str) -> Rule {
        Rule { fill, opens: Some(opens), repeats: false }
    }

    /// A keyword with a block, any number of times.
    pub(crate) const fn blocks(fill: Fill, opens: &'static str) -> Rule {
        Rule { fill, opens: Some(opens), repeats: true }
    }
}

/// A row of this language.
pub(crate) type KeywordRow = Row<Rule>;

/// Begins a row of this language.
pub(crate) const fn keyword(name: &'static str, within: &'static [&'static str]) -> RowInfo {
    crate::row::row(Language::Keepalived, name).within(within)
}

/// The rows that work, one table per family.
static TABLES: &[&[KeywordRow]] =
    &[global::ROWS, vrrp::ROWS, virtual_server::ROWS, timers::ROWS, checker::ROWS];

/// Every row, those that work first.
pub(crate) fn rows() -> impl Iterator<Item = &'static KeywordRow> {
    TABLES.iter().chain(rejected::TABLES).flat_map(|table| table.iter())
}

/// The rows, found by word.
#[derive(Debug)]
pub(crate) struct Keywords {
    by_word: BTreeMap<&'static str, Vec<&'static KeywordRow>>,
}

impl core::fmt::Debug for Rule {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Rule").field("opens", &self.opens).finish_non_exhaustive()
    }
}

impl Keywords {
    /// The index over all tables.
    pub(crate) fn new() -> Keywords {
        let mut by_word: BTreeMap<&'static str, Vec<&'static KeywordRow>> = BTreeMap::new();
        for row in rows() {
            by_word.entry(row.info.name).or_default().push(row);
            for alias in row.info.aliases {
                by_word.entry(alias).or_default().push(row);
            }
        }
        Keywords { by_word }
    }

    /// The keyword `word` in `section`.
    pub(crate) fn find(&self, section: &str, word: &str) -> Option<&'static KeywordRow> {
        let named = self.by_word.get(word)?;
        let within = |place| named.iter().copied().find(|row| row.info.is_within(place));
        within(section).or_else(|| within(section::ANYWHERE))
    }

    /// The keyword `word` in any section.
    pub(crate) fn find_elsewhere(&self, word: &str) -> Option<&'static KeywordRow> {
        self.by_word.get(word).and_then(|named| named.first().copied())
    }

    /// Words that begin a top-level block and stand nowhere else.
    pub(crate) fn begins_chunk(&self, word: &str) -> bool {
        self.by_word
            .get(word)
            .is_some_and(|named| named.iter().all(|row| row.info.sections == [section::TOP]))
    }

    /// All words known in `section`, those that work first.
    pub(crate) fn words_in(&self, section: &str) -> impl Iterator<Item = &'static str> {
        let (supported, rejected): (Vec<_>, Vec<_>) = self
            .by_word
            .iter()
            .filter(|(_, named)| named.iter().any(|row| row.info.is_within(section)))
            .partition(|(_, named)| named.iter().any(|row| row.parse.is_some()));
        supported.into_iter().chain(rejected).map(|(word, _)| *word).collect::<Vec<_>>().into_iter()
    }

    /// All words of the language.
    pub(crate) fn words(&self) -> impl Iterator<Item = &'static str> {
        self.by_word.keys().copied()
    }
}
