//! Which of several urls a checker tries next.

/// What a result of one of them means for the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It counts: all have been tried, or one failed.
    Whole,
    /// It was one of several; the others follow.
    Part,
    /// It failed while a server that is down shows them all: the same again after the retry
    /// interval.
    Again,
}

/// The way through several urls, as Keepalived goes it: one after the other with a wait between
/// them; each has its own retries; the one that took the server down is tried alone until it
/// answers, and then all of them before the server is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Course {
    /// Whose turn it is.
    pub(super) place: u16,
    /// The one that took the server down, and has not answered since.
    pub(super) failed: Option<u16>,
}

impl Course {
    /// The one whose turn it was has answered well. Of a single one there is nothing more to try.
    pub(super) fn handle_pass(&mut self, count: u16) -> Turn {
        if self.failed.take().is_some() && count > 1 {
            self.place = 0;
            return Turn::Part;
        }
        self.place = self.place.saturating_add(1);
        if self.place < count {
            return Turn::Part;
        }
        self.place = 0;
        Turn::Whole
    }

    /// It has not. `settled`: the server is down by a result, and not since it was configured.
    pub(super) fn handle_failure(&mut self, count: u16, settled: bool) -> Turn {
        if settled && self.failed.is_none() && count > 1 { Turn::Again } else { Turn::Whole }
    }

    /// The failure has taken the server down, or it was down.
    pub(super) fn handle_down(&mut self) {
        self.failed = Some(self.place);
    }
}
