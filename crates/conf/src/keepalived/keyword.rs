//! The keyword tables together: which word means what where.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::ast::{
    Authentication, Bfd, Common, Configuration, File, Garp, GarpGroup, Global, Hmac, Http,
    Instance, Misc, Notify, Process, RealServer, Script, Smtp, SyncGroup, Timers, TrackLine,
    VirtualServer,
};
use super::reader::Reader;
use super::structure::Statement;
use super::{
    bfd, checkers, global, interfaces, language, rejected, servers, statics, timers, tracking,
    virtual_server, vrrp,
};
use model::check::DnsCheck;
use model::layer4::TlsFiles;
use model::vrrp::TrackGroup;

use crate::row::{Language, Row, RowInfo};

/// Names of the blocks, as [`RowInfo::sections`] has them.
pub(crate) mod section {
    pub(crate) const TOP: &str = "top level";
    pub(crate) const GLOBAL: &str = "global_defs";
    pub(crate) const EMAIL: &str = "notification_email";
    pub(crate) const SYNC_GROUP: &str = "vrrp_sync_group";
    pub(crate) const TRACK_GROUP: &str = "track_group";
    pub(crate) const GROUP: &str = "group";
    pub(crate) const INSTANCE: &str = "vrrp_instance";
    pub(crate) const AUTHENTICATION: &str = "authentication";
    pub(crate) const ADDRESSES: &str = "virtual_ipaddress";
    pub(crate) const EXCLUDED: &str = "virtual_ipaddress_excluded";
    pub(crate) const ROUTES: &str = "virtual_routes";
    pub(crate) const RULES: &str = "virtual_rules";
    pub(crate) const PEERS: &str = "unicast_peer";
    /// Not one block: `track_interface`, `track_script`...
    pub(crate) const TRACKERS: &str = "a list of trackers";
    pub(crate) const HMAC: &str = "auth_hmac";
    pub(crate) const SCRIPT: &str = "vrrp_script";
    pub(crate) const FILE: &str = "track_file";
    pub(crate) const PROCESS: &str = "vrrp_track_process";
    pub(crate) const BFD: &str = "bfd_instance";
    pub(crate) const GARP_GROUP: &str = "garp_group";
    pub(crate) const INTERFACES: &str = "interfaces";
    pub(crate) const LINK_DELAYS: &str = "interface_up_down_delays";
    pub(crate) const SERVER_GROUP: &str = "virtual_server_group";
    pub(crate) const VIRTUAL_SERVER: &str = "virtual_server";
    pub(crate) const REAL_SERVER: &str = "real_server";
    pub(crate) const TCP_CHECK: &str = "TCP_CHECK";
    pub(crate) const HTTP_GET: &str = "HTTP_GET";
    pub(crate) const SSL_GET: &str = "SSL_GET";
    pub(crate) const URL: &str = "url";
    pub(crate) const SMTP_CHECK: &str = "SMTP_CHECK";
    pub(crate) const HOST: &str = "host";
    pub(crate) const DNS_CHECK: &str = "DNS_CHECK";
    pub(crate) const UDP_CHECK: &str = "UDP_CHECK";
    pub(crate) const PING_CHECK: &str = "PING_CHECK";
    pub(crate) const MISC_CHECK: &str = "MISC_CHECK";
    pub(crate) const BFD_CHECK: &str = "BFD_CHECK";
    pub(crate) const FILE_CHECK: &str = "FILE_CHECK";
    pub(crate) const SSL: &str = "SSL";
    pub(crate) const LINKBEAT: &str = "linkbeat_interfaces";
    /// Not a block: the keyword may stand in all of them.
    pub(crate) const ANYWHERE: &str = "anywhere";

    /// Blocks whose lines are values, not keywords.
    pub(crate) const LISTS: &[&str] = &[
        EMAIL,
        GROUP,
        ADDRESSES,
        EXCLUDED,
        LINKBEAT,
        ROUTES,
        RULES,
        PEERS,
        TRACKERS,
        INTERFACES,
        LINK_DELAYS,
        SERVER_GROUP,
    ];
}

/// Reads one statement into the block it stands in.
pub(crate) type Parse<T> = for<'r, 's, 'a> fn(&mut Reader<'r>, &'s Statement<'a>, &mut T);

/// Reads the arguments of a keyword without effect.
pub(crate) type Check = for<'r, 's, 'a> fn(&mut Reader<'r>, &'s Statement<'a>);

/// Which block's field a keyword fills, and how.
#[derive(Clone, Copy)]
pub(crate) enum Fill {
    /// None.
    Check(Check),
    /// Nothing: the expansion obeyed it before.
    Language,
    Top(Parse<Configuration>),
    Global(Parse<Global>),
    Garp(Parse<Garp>),
    SyncGroup(Parse<SyncGroup>),
    TrackGroup(Parse<TrackGroup>),
    Instance(Parse<Instance>),
    Authentication(Parse<Authentication>),
    Hmac(Parse<Hmac>),
    Notify(Parse<Notify>),
    Tracks(Parse<Vec<TrackLine>>),
    Script(Parse<Script>),
    File(Parse<File>),
    Process(Parse<Process>),
    Bfd(Parse<Bfd>),
    GarpGroup(Parse<GarpGroup>),
    VirtualServer(Parse<VirtualServer>),
    RealServer(Parse<RealServer>),
    Timers(Parse<Timers>),
    Checker(Parse<Common>),
    Http(Parse<Http>),
    Url(Parse<checkers::url::Url>),
    Smtp(Parse<Smtp>),
    Dns(Parse<DnsCheck>),
    Udp(Parse<checkers::udp::Udp>),
    Misc(Parse<Misc>),
    Follow(Parse<checkers::follow::Follow>),
    Tls(Parse<TlsFiles>),
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

    /// A keyword with arguments that add to those of its other lines.
    pub(crate) const fn values(fill: Fill) -> Rule {
        Rule { fill, opens: None, repeats: true }
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
static TABLES: &[&[KeywordRow]] = &[
    language::ROWS,
    global::ROWS,
    global::files::ROWS,
    global::processes::ROWS,
    global::programs::ROWS,
    global::tables::ROWS,
    global::vrrp::ROWS,
    vrrp::ROWS,
    vrrp::instance::ROWS,
    vrrp::adverts::ROWS,
    vrrp::authentication::ROWS,
    vrrp::destination::ROWS,
    vrrp::garp::ROWS,
    vrrp::links::ROWS,
    vrrp::notify::ROWS,
    tracking::ROWS,
    tracking::scripts::ROWS,
    tracking::files::ROWS,
    tracking::processes::ROWS,
    bfd::ROWS,
    interfaces::ROWS,
    statics::ROWS,
    virtual_server::ROWS,
    servers::scheduler::ROWS,
    servers::groups::ROWS,
    servers::quorum::ROWS,
    servers::life::ROWS,
    servers::conduct::ROWS,
    timers::ROWS,
    checkers::ROWS,
    checkers::http::ROWS,
    checkers::url::ROWS,
    checkers::smtp::ROWS,
    checkers::dns::ROWS,
    checkers::udp::ROWS,
    checkers::misc::ROWS,
    checkers::follow::ROWS,
    checkers::tls::ROWS,
];

/// Every row, those that work first.
pub(crate) fn rows() -> impl Iterator<Item = &'static KeywordRow> {
    TABLES.iter().chain(rejected::TABLES).flat_map(|table| table.iter())
}

/// The rows, found by word.
#[derive(Debug)]
pub(crate) struct Keywords {
    by_word: BTreeMap<&'static str, Vec<&'static KeywordRow>>,
    /// The same by section and word, in places numbered by them: for the many questions of a large
    /// file.
    quick: Vec<Vec<(&'static str, &'static str, &'static KeywordRow)>>,
    /// First bytes of the words that begin a chunk.
    chunk_initials: Vec<u8>,
}

/// Places of the quick index: a power of two, more than there are words and sections for them.
const PLACES: usize = 4096;

/// Where a word of a section stands in the quick index (FNV-1a).
fn place(section: &str, word: &str) -> usize {
    let mix = |sum: u32, byte: u8| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    // The length nearly tells sections apart.
    let start = mix(0x811c_9dc5, section.len() as u8);
    word.bytes().fold(start, mix) as usize % PLACES
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
        let mut quick = alloc::vec![Vec::new(); PLACES];
        for (&word, rows) in &by_word {
            for row in rows {
                for &section in row.info.sections {
                    quick[place(section, word)].push((section, word, *row));
                }
            }
        }
        let mut keywords = Keywords { by_word, quick, chunk_initials: Vec::new() };
        let begin = keywords.words().filter(|word| keywords.begins_chunk(word));
        let mut initials: Vec<u8> = begin.filter_map(|word| word.bytes().next()).collect();
        initials.sort_unstable();
        initials.dedup();
        keywords.chunk_initials = initials;
        keywords
    }

    /// The keyword `word` in `section`.
    pub(crate) fn find(&self, section: &str, word: &str) -> Option<&'static KeywordRow> {
        let within = |section: &str| {
            let here = |one: &&(&str, &str, _)| (one.0, one.1) == (section, word);
            self.quick[place(section, word)].iter().find(here).map(|(_, _, row)| *row)
        };
        within(section).or_else(|| within(section::ANYWHERE))
    }

    /// Every section where `word` means something, those where it works first.
    pub(crate) fn sections_of(&self, word: &str) -> Vec<&'static str> {
        let named = self.by_word.get(word).map(Vec::as_slice).unwrap_or_default();
        let mut sections: Vec<&'static str> = Vec::new();
        for section in named.iter().flat_map(|row| row.info.sections) {
            if !sections.contains(section) {
                sections.push(section);
            }
        }
        sections
    }

    /// The first word of this text may be one that begins a chunk: most are not, at a glance.
    pub(crate) fn may_begin_chunk(&self, text: &str) -> bool {
        let first = text.bytes().next();
        first.is_some_and(|byte| !byte.is_ascii() || self.chunk_initials.contains(&byte))
    }

    /// Words that begin a top-level block and stand nowhere else. A directive of one line says
    /// little: it is often written into a block by mistake.
    pub(crate) fn begins_chunk(&self, word: &str) -> bool {
        let begins = |row: &&KeywordRow| {
            row.info.sections == [section::TOP] && row.parse.is_none_or(|rule| rule.opens.is_some())
        };
        self.by_word.get(word).is_some_and(|rows| rows.iter().all(begins))
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The block whose fields a keyword of `section` fills.
    fn fits(fill: Fill, section: &str) -> bool {
        match fill {
            Fill::Check(_) => true,
            Fill::Language => true,
            Fill::Top(_) => section == section::TOP,
            Fill::Global(_) => section == section::GLOBAL,
            Fill::Garp(_) => [section::GLOBAL, section::INSTANCE].contains(&section),
            Fill::SyncGroup(_) => section == section::SYNC_GROUP,
            Fill::TrackGroup(_) => section == section::TRACK_GROUP,
            Fill::Instance(_) => section == section::INSTANCE,
            Fill::Authentication(_) => section == section::AUTHENTICATION,
            Fill::Hmac(_) => section == section::HMAC,
            Fill::Notify(_) | Fill::Tracks(_) => {
                [section::INSTANCE, section::SYNC_GROUP].contains(&section)
            }
            Fill::Script(_) => section == section::SCRIPT,
            Fill::File(_) => section == section::FILE,
            Fill::Process(_) => section == section::PROCESS,
            Fill::Bfd(_) => section == section::BFD,
            Fill::GarpGroup(_) => section == section::GARP_GROUP,
            Fill::VirtualServer(_) => section == section::VIRTUAL_SERVER,
            Fill::RealServer(_) => section == section::REAL_SERVER,
            Fill::Timers(_) => {
                [section::VIRTUAL_SERVER, section::REAL_SERVER].contains(&section)
                    || is_checker(section)
            }
            Fill::Checker(_) => is_checker(section),
            Fill::Http(_) => [section::HTTP_GET, section::SSL_GET].contains(&section),
            Fill::Smtp(_) => section == section::SMTP_CHECK,
            Fill::Dns(_) => section == section::DNS_CHECK,
            Fill::Udp(_) => section == section::UDP_CHECK,
            Fill::Misc(_) => section == section::MISC_CHECK,
            Fill::Follow(_) => [section::BFD_CHECK, section::FILE_CHECK].contains(&section),
            Fill::Tls(_) => section == section::SSL,
            Fill::Url(_) => section == section::URL,
        }
    }

    fn is_checker(section: &str) -> bool {
        section.ends_with("_CHECK") || section.ends_with("_GET") || section == section::HOST
    }

    #[test]
    fn every_row_fills_a_field_of_the_blocks_it_stands_in() {
        for row in rows() {
            let Some(rule) = row.parse else { continue };
            for section in row.info.sections {
                assert!(fits(rule.fill, section), "{} in {section}", row.info.name);
            }
        }
    }

    #[test]
    fn a_word_means_one_thing_in_a_block() {
        let mut seen = BTreeSet::new();
        for row in rows() {
            for word in row.info.aliases.iter().chain([&row.info.name]) {
                for section in row.info.sections {
                    assert!(seen.insert((section, word)), "{word} twice in {section}");
                }
            }
        }
    }

    #[test]
    fn every_keyword_of_the_documents_works() {
        let keywords = Keywords::new();
        let documents = [
            include_str!("../../tests/documents/book-nat.conf"),
            include_str!("../../tests/documents/book-direct-routing.conf"),
            include_str!("../../tests/documents/video-cluster.conf"),
            include_str!("../../tests/documents/nat-smtp.conf"),
        ];
        let words = documents
            .iter()
            .flat_map(|text| text.lines())
            .filter_map(|line| line.split_whitespace().next().filter(|word| word.contains('_')));
        for word in words.filter(|word| !word.starts_with("RH_")) {
            let row = keywords.by_word.get(word).and_then(|named| named.first()).expect(word);
            assert!(row.parse.is_some(), "{word}");
        }
    }

    #[test]
    fn what_keepalived_knows_and_we_do_not_is_refused_with_advice() {
        let keywords = Keywords::new();
        for (section, word) in [
            (section::GLOBAL, "enable_dbus"),
            (section::VIRTUAL_SERVER, "persistence_engine"),
            (section::SSL, "password"),
        ] {
            let row = keywords.find(section, word).expect(word);
            let crate::row::Status::Rejected(instead) = row.info.status else {
                panic!("{word} works")
            };
            assert!(!instead.is_empty() && !instead.ends_with('.'), "{word}");
        }
    }
}
