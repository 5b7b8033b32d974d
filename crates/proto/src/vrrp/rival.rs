//! Another master beside us: an episode of it, and its end.

use core::net::IpAddr;

use model::units::Time;

/// What a master remembers of other masters.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rival {
    /// The one that is there now, and when it counts as gone.
    now: Option<(IpAddr, u8, Time)>,
    /// Adverts of rivals heard while master.
    pub(super) count: u64,
    /// The last one heard, and when.
    pub(super) last: Option<(IpAddr, u8, Time)>,
}

impl Rival {
    /// An advert of a rival was heard.
    pub(super) fn count(&mut self, now: Time, source: IpAddr, priority: u8) {
        self.count += 1;
        self.last = Some((source, priority, now));
    }

    /// That rival is there until it is not heard by `until`. True when an episode begins.
    pub(super) fn begin(&mut self, source: IpAddr, priority: u8, until: Time) -> bool {
        match &mut self.now {
            Some((_, _, end)) => {
                *end = until.max(*end);
                false
            }
            None => {
                self.now = Some((source, priority, until));
                true
            }
        }
    }

    /// When the episode is over.
    pub(super) fn until(&self) -> Time {
        self.now.map_or(Time::NEVER, |(_, _, until)| until)
    }

    /// Whether it is this one.
    pub(super) fn is(&self, source: IpAddr) -> bool {
        self.now.is_some_and(|(rival, _, _)| rival == source)
    }

    /// Ends the episode, if there is one.
    pub(super) fn end(&mut self) -> Option<(IpAddr, u8)> {
        self.now.take().map(|(source, priority, _)| (source, priority))
    }
}
