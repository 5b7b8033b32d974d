//! The names that existing scripts call: linked as `keepalived`, `genhash` or `ipvsadm`, the program
//! takes that program's command line.

pub(crate) mod genhash;
pub(crate) mod ipvsadm;
pub(crate) mod keepalived;

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// Whose command line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Personality {
    /// Our own.
    Evenkeel,
    /// Keepalived's.
    Keepalived,
    /// genhash's.
    Genhash,
    /// ipvsadm's.
    Ipvsadm,
}

impl Personality {
    /// By the name the program was called by. A supervisor of ours that goes by the name of
    /// `keepalived` for `killall` and `pidof` has a command of ours as its first argument, which
    /// Keepalived's command line never has.
    pub(crate) fn of(arguments: &[OsString]) -> Personality {
        let name = arguments.first().map(Path::new).and_then(Path::file_name);
        let ours = arguments.get(1).is_some_and(|first| !is_option(first));
        match name.and_then(OsStr::to_str) {
            Some("keepalived") if !ours => Personality::Keepalived,
            Some("genhash") => Personality::Genhash,
            Some("ipvsadm") => Personality::Ipvsadm,
            Some(_) | None => Personality::Evenkeel,
        }
    }
}

fn is_option(argument: &OsStr) -> bool {
    argument.as_encoded_bytes().first() == Some(&b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &str) -> Personality {
        let arguments: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
        Personality::of(&arguments)
    }

    #[test]
    fn the_name_decides_unless_a_command_of_ours_follows() {
        assert_eq!(of("/usr/sbin/keepalived -n -f x"), Personality::Keepalived);
        assert_eq!(of("keepalived"), Personality::Keepalived);
        assert_eq!(of("keepalived run -f x"), Personality::Evenkeel);
        assert_eq!(of("keepalived role vrrp"), Personality::Evenkeel);
        assert_eq!(of("/usr/bin/genhash -h"), Personality::Genhash);
        assert_eq!(of("genhash run"), Personality::Genhash);
        assert_eq!(of("/usr/sbin/ipvsadm"), Personality::Ipvsadm);
        assert_eq!(of("/usr/bin/evenkeel check"), Personality::Evenkeel);
        assert_eq!(of(""), Personality::Evenkeel);
    }
}
