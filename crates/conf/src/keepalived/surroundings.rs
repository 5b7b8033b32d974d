//! What keywords may ask beyond their own words: the machine, its names of routing tables and
//! protocols, and what was read before them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell};

use model::vrrp::Family;

use crate::source::Source;

/// The window to the machine, and names read once.
pub(crate) struct Surroundings<'m> {
    /// The machine.
    pub(crate) source: &'m dyn Source,
    names: [OnceCell<Vec<(u32, String)>>; TABLES],
    /// The next preference for an IPv4 and an IPv6 rule that gives none.
    preferences: [Cell<u32>; 2],
}

/// Keepalived's first preference of a rule without one; the next ones count down.
const FIRST_PREFERENCE: u32 = 16_384;
const TABLES: usize = 6;

/// Numbers that iproute2 gives names to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// Routing tables (/etc/iproute2/rt_tables).
    Table,
    /// Differentiated services (/etc/iproute2/rt_dsfield).
    Dsfield,
    /// Routing realms (/etc/iproute2/rt_realms).
    Realm,
    /// Makers of routes (/etc/iproute2/rt_protos).
    Protocol,
    /// Scopes (/etc/iproute2/rt_scopes).
    Scope,
    /// Groups of interfaces (/etc/iproute2/group).
    Group,
}

impl Name {
    /// What it is, for messages.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Name::Table => "routing table",
            Name::Dsfield => "type of service",
            Name::Realm => "realm",
            Name::Protocol => "routing protocol",
            Name::Scope => "scope",
            Name::Group => "interface group",
        }
    }

    /// Where iproute2 keeps the names; the second place since iproute2 6.5.
    pub(crate) fn files(self) -> [&'static str; 2] {
        match self {
            Name::Table => ["/etc/iproute2/rt_tables", "/usr/share/iproute2/rt_tables"],
            Name::Dsfield => ["/etc/iproute2/rt_dsfield", "/usr/share/iproute2/rt_dsfield"],
            Name::Realm => ["/etc/iproute2/rt_realms", "/usr/share/iproute2/rt_realms"],
            Name::Protocol => ["/etc/iproute2/rt_protos", "/usr/share/iproute2/rt_protos"],
            Name::Scope => ["/etc/iproute2/rt_scopes", "/usr/share/iproute2/rt_scopes"],
            Name::Group => ["/etc/iproute2/group", "/usr/share/iproute2/group"],
        }
    }

    /// Greatest number.
    pub(crate) fn most(self) -> u32 {
        match self {
            Name::Table => u32::MAX,
            Name::Group => i32::MAX as u32,
            Name::Dsfield | Name::Realm | Name::Protocol | Name::Scope => 255,
        }
    }

    /// Names that are known without a file (linux/rtnetlink.h).
    fn known(self) -> &'static [(u32, &'static str)] {
        match self {
            Name::Table => &[(255, "local"), (254, "main"), (253, "default")],
            Name::Protocol => &[
                (0, "none"),
                (0, "unspec"),
                (1, "redirect"),
                (2, "kernel"),
                (3, "boot"),
                (4, "static"),
                (8, "gated"),
                (9, "ra"),
                (10, "mrt"),
                (11, "zebra"),
                (12, "bird"),
                (13, "dnrouted"),
                (14, "xorp"),
                (15, "ntk"),
                (16, "dhcp"),
                (18, "keepalived"),
                (42, "babel"),
            ],
            Name::Scope => {
                &[(0, "global"), (255, "nowhere"), (254, "host"), (253, "link"), (200, "site")]
            }
            Name::Dsfield => &[(0, "default")],
            Name::Realm => &[(0, "cosmos")],
            Name::Group => &[(0, "default")],
        }
    }
}

impl<'m> Surroundings<'m> {
    /// Nothing read yet.
    pub(crate) fn new(source: &'m dyn Source) -> Surroundings<'m> {
        Surroundings {
            source,
            names: Default::default(),
            preferences: [Cell::new(FIRST_PREFERENCE), Cell::new(FIRST_PREFERENCE)],
        }
    }

    /// The number that `text` is or names: decimal, `0x` or octal after a `0`, as strtoul(3).
    pub(crate) fn number(&self, kind: Name, text: &str) -> Option<u32> {
        if let Some(number) = any_base(text) {
            return u32::try_from(number).ok().filter(|number| *number <= kind.most());
        }
        self.names(kind).iter().find(|(_, name)| name == text).map(|(number, _)| *number)
    }

    /// Every name of a kind.
    pub(crate) fn names(&self, kind: Name) -> &[(u32, String)] {
        self.names[kind as usize].get_or_init(|| {
            let mut names = Vec::new();
            let text = kind.files().iter().find_map(|path| self.source.read(path).ok());
            for line in text.iter().flat_map(|text| text.lines()) {
                names.extend(name_line(line).filter(|(number, _)| *number <= kind.most()));
            }
            let known = kind.known().iter().map(|(number, name)| (*number, name.to_string()));
            names.extend(known);
            names
        })
    }

    /// The preference of the next rule that gives none.
    pub(crate) fn next_preference(&self, family: Family) -> u32 {
        let next = &self.preferences[usize::from(family == Family::Ipv6)];
        next.replace(next.get().saturating_sub(1))
    }
}

/// `NUMBER NAME`; anything else says nothing.
fn name_line(line: &str) -> Option<(u32, String)> {
    let line = line.split('#').next().unwrap_or_default();
    let mut words = line.split_whitespace();
    let (number, name) = (words.next()?, words.next()?);
    let number = any_base(number).and_then(|number| u32::try_from(number).ok())?;
    words.next().is_none().then(|| (number, name.to_string()))
}

/// A number in the base its first characters say: `0x1f` is 31, `017` is 15, `17` is 17.
pub(crate) fn any_base(text: &str) -> Option<u64> {
    let (digits, base) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', _, ..] => (&text[1..], 8),
        _ => (text, 10),
    };
    // from_str_radix takes a sign, which strtoul takes too but nobody means.
    let good = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if good { u64::from_str_radix(digits, base).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_base_their_beginning_says() {
        assert_eq!(any_base("17"), Some(17));
        assert_eq!(any_base("017"), Some(15));
        assert_eq!(any_base("0x1F"), Some(31));
        assert_eq!(any_base("0"), Some(0));
        for wrong in ["", "x", "-1", "+1", "0x", "1x", "09"] {
            assert_eq!(any_base(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn lines_of_name_files_are_a_number_and_a_name() {
        assert_eq!(name_line("0x28\tAF11"), Some((0x28, "AF11".into())));
        assert_eq!(name_line("254 main # the usual"), Some((254, "main".into())));
        assert_eq!(name_line("# 1 x"), None);
        assert_eq!(name_line("1 a b"), None);
    }
}
