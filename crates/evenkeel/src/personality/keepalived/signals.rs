//! The signals that Keepalived's users send (keepalived(8) SIGNALS).

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    /// End.
    Stop,
    /// Read the configuration again.
    Reload,
    /// Write the state to keepalived.data.
    Data,
    /// Write the counters to keepalived.stats.
    Stats,
    /// The same, and begin counting anew.
    StatsClear,
    /// Write state and counters to keepalived.json.
    Json,
}

impl Function {
    /// All of them, by the names `--signum` takes.
    const ALL: [(&'static str, Function); 6] = [
        ("STOP", Function::Stop),
        ("RELOAD", Function::Reload),
        ("DATA", Function::Data),
        ("STATS", Function::Stats),
        ("STATS_CLEAR", Function::StatsClear),
        ("JSON", Function::Json),
    ];

    /// By name.
    pub(crate) fn named(name: &str) -> Option<Function> {
        Function::ALL.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
    }

    /// The number of its signal: the same as Debian's Keepalived 2.2.7 says, where the real-time
    /// signals begin at 34.
    pub(crate) fn signal(self) -> i32 {
        match self {
            Function::Stop => libc::SIGTERM,
            Function::Reload => libc::SIGHUP,
            Function::Data => libc::SIGUSR1,
            Function::Stats => libc::SIGUSR2,
            Function::StatsClear => libc::SIGRTMAX() - 1,
            Function::Json => libc::SIGRTMIN() + 2,
        }
    }

    /// What a signal asks for, if anything.
    pub(crate) fn of(signal: i32) -> Option<Function> {
        if signal == libc::SIGINT {
            return Some(Function::Stop);
        }
        Function::ALL.iter().map(|(_, one)| *one).find(|one| one.signal() == signal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_debians_keepalived() {
        let numbers = Function::ALL.map(|(_, function)| function.signal());
        assert_eq!(numbers, [15, 1, 10, 12, 63, 36]);
        for (name, function) in Function::ALL {
            assert_eq!(Function::named(name), Some(function));
            assert_eq!(Function::of(function.signal()), Some(function));
        }
        assert_eq!(Function::named("TDATA"), None);
        assert_eq!(Function::of(libc::SIGINT), Some(Function::Stop));
    }
}
