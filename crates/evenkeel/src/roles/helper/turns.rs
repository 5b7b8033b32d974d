//! The programs that are told of changes: those of one change of an instance or group begin when
//! those of the change before have ended, so that what a program leaves behind is about the last
//! change. One that hangs holds up the others for a moment only.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::Time;
use model::vrrp::Command;

/// How long the programs of a change wait for those of the change before.
const PATIENCE: Duration = Duration::from_secs(1);
/// Changes that wait, of all subjects; one more, and the oldest of its subject begins.
const WAITING_MAX: usize = 4096;

/// A group or instance by name.
pub(super) type Key = (bool, String);
/// Programs with the arguments after their own.
pub(super) type Told = Vec<(Command, Vec<String>)>;

#[derive(Default)]
pub(super) struct Turns {
    subjects: BTreeMap<Key, Turn>,
    waiting: usize,
}

#[derive(Default)]
struct Turn {
    /// Programs that have not ended.
    running: usize,
    /// What begins next, at the latest then.
    waiting: VecDeque<(Time, Told)>,
}

impl Turns {
    /// Puts the programs of a change in line.
    pub(super) fn push(&mut self, now: Time, key: Key, told: Told) {
        if told.is_empty() {
            return;
        }
        self.waiting += 1;
        let turn = self.subjects.entry(key).or_default();
        turn.waiting.push_back((now + PATIENCE, told));
        if self.waiting > WAITING_MAX
            && let Some((latest, _)) = turn.waiting.front_mut()
        {
            *latest = now;
        }
    }

    /// A program of this subject has ended, or did not begin.
    pub(super) fn handle_end(&mut self, key: &Key) {
        if let Some(turn) = self.subjects.get_mut(key) {
            turn.running = turn.running.saturating_sub(1);
            if turn.running == 0 && turn.waiting.is_empty() {
                self.subjects.remove(key);
            }
        }
    }

    /// What begins now. Each of its programs is reported by [`handle_end`](Self::handle_end)
    /// afterwards. With `all`, nothing waits any longer.
    pub(super) fn poll(&mut self, now: Time, all: bool) -> Option<(Key, Told)> {
        let due = |turn: &Turn| {
            let front = turn.waiting.front();
            front.is_some_and(|(latest, _)| all || turn.running == 0 || *latest <= now)
        };
        let (key, turn) = self.subjects.iter_mut().find(|(_, turn)| due(turn))?;
        let (_, told) = turn.waiting.pop_front()?;
        turn.running += told.len();
        self.waiting -= 1;
        Some((key.clone(), told))
    }

    /// When something has waited long enough.
    pub(super) fn next_deadline(&self) -> Time {
        let fronts = self.subjects.values().filter_map(|turn| turn.waiting.front());
        fronts.map(|(latest, _)| *latest).min().unwrap_or(Time::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str) -> Told {
        vec![(Command { words: vec![name.into()], user: None }, Vec::new())]
    }

    fn begin(turns: &mut Turns, milliseconds: u64) -> Vec<String> {
        let now = Time::from_nanos(milliseconds * 1_000_000);
        let next = |turns: &mut Turns| turns.poll(now, false);
        let name = |(_, told): (Key, Told)| told[0].0.words[0].clone();
        std::iter::from_fn(|| next(turns)).map(name).collect()
    }

    #[test]
    fn programs_of_one_subject_begin_one_after_the_other_and_wait_a_second_at_most() {
        let (mut turns, one, other) =
            (Turns::default(), (false, "a".to_owned()), (false, "b".to_owned()));
        for name in ["first", "second", "third"] {
            turns.push(Time::ZERO, one.clone(), told(name));
        }
        turns.push(Time::ZERO, other.clone(), told("other"));
        assert_eq!(begin(&mut turns, 0), ["first", "other"]);
        turns.handle_end(&one);
        assert_eq!(begin(&mut turns, 1), ["second"]);
        assert_eq!(turns.next_deadline(), Time::ZERO + PATIENCE);
        assert_eq!(begin(&mut turns, 999), [""; 0]);
        assert_eq!(begin(&mut turns, 1_000), ["third"]);
        for key in [&one, &one, &other] {
            turns.handle_end(key);
        }
        assert!(turns.subjects.is_empty());
        assert_eq!(turns.next_deadline(), Time::NEVER);
    }

    #[test]
    fn what_waits_is_bounded_and_nothing_is_lost() {
        let (mut turns, key) = (Turns::default(), (true, "g".to_owned()));
        let mut begun = 0;
        for number in 0..2 * WAITING_MAX {
            turns.push(Time::ZERO, key.clone(), told(&number.to_string()));
            for name in begin(&mut turns, 0) {
                assert_eq!(name, begun.to_string());
                begun += 1;
            }
            assert!(turns.waiting <= WAITING_MAX);
        }
        assert_eq!(begun + turns.waiting, 2 * WAITING_MAX);
    }
}
