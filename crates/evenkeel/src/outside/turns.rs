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
const WAITING_MAX: usize = 65_536;
/// Changes that wait when nothing may begin; one more, and the oldest of its subject is given up.
const GIVEN_UP_MAX: usize = 2 * WAITING_MAX;

/// Programs with the arguments after their own.
pub(crate) type Told = Vec<(Command, Vec<String>)>;

/// Changes of subjects, each with its programs.
pub(crate) struct Turns<K> {
    subjects: BTreeMap<K, Turn>,
    /// Subjects of which something waits and nothing runs, the first of them first.
    ready: VecDeque<K>,
    /// When each change that waits has waited long enough, in order; some have begun since.
    patience: VecDeque<(Time, K)>,
    waiting: usize,
    running: usize,
    /// Programs that may run at the same time; the others wait.
    limit: usize,
    given_up: usize,
}

#[derive(Default)]
struct Turn {
    /// Programs that have not ended.
    running: usize,
    /// It is among those that are ready.
    ready: bool,
    /// What begins next, at the latest then.
    waiting: VecDeque<(Time, Told)>,
}

impl<K: Ord + Clone> Turns<K> {
    /// No changes, and so many programs at the same time at most.
    pub(crate) fn new(limit: usize) -> Turns<K> {
        Turns {
            subjects: BTreeMap::new(),
            ready: VecDeque::new(),
            patience: VecDeque::new(),
            waiting: 0,
            running: 0,
            limit,
            given_up: 0,
        }
    }

    /// Puts the programs of a change in line.
    pub(crate) fn push(&mut self, now: Time, key: K, told: Told) {
        if told.is_empty() {
            return;
        }
        self.waiting += 1;
        let turn = self.subjects.entry(key.clone()).or_default();
        turn.waiting.push_back((now + PATIENCE, told));
        self.patience.push_back((now + PATIENCE, key.clone()));
        if self.waiting > GIVEN_UP_MAX {
            turn.waiting.pop_front();
            self.waiting -= 1;
            self.given_up += 1;
        } else if self.waiting > WAITING_MAX
            && let Some((latest, _)) = turn.waiting.front_mut()
        {
            *latest = now;
            self.patience.push_front((now, key.clone()));
        }
        if turn.running == 0 && !turn.ready {
            turn.ready = true;
            self.ready.push_back(key);
        }
    }

    /// A program of this subject has ended, or did not begin.
    pub(crate) fn handle_end(&mut self, key: &K) {
        let Some(turn) = self.subjects.get_mut(key) else { return };
        turn.running = turn.running.saturating_sub(1);
        self.running = self.running.saturating_sub(1);
        match (turn.running, turn.waiting.is_empty()) {
            (0, true) => {
                self.subjects.remove(key);
            }
            (0, false) if !turn.ready => {
                turn.ready = true;
                self.ready.push_back(key.clone());
            }
            (_, _) => {}
        }
    }

    /// What begins now. Each of its programs is reported by [`handle_end`](Self::handle_end)
    /// afterwards. With `all`, nothing waits for the change before it any longer.
    pub(crate) fn poll(&mut self, now: Time, all: bool) -> Option<(K, Told)> {
        self.forget_begun();
        if self.running >= self.limit {
            return None;
        }
        while let Some(key) = self.ready.pop_front() {
            let Some(turn) = self.subjects.get_mut(&key) else { continue };
            turn.ready = false;
            if turn.running == 0
                && let Some(told) = self.begin(&key)
            {
                return Some((key, told));
            }
        }
        if self.patience.front().is_some_and(|(latest, _)| all || *latest <= now) {
            let (_, key) = self.patience.pop_front()?;
            let told = self.begin(&key)?;
            return Some((key, told));
        }
        None
    }

    fn begin(&mut self, key: &K) -> Option<Told> {
        let turn = self.subjects.get_mut(key)?;
        let (_, told) = turn.waiting.pop_front()?;
        turn.running += told.len();
        self.running += told.len();
        self.waiting -= 1;
        self.forget_begun();
        Some(told)
    }

    /// What has begun does not wait.
    fn forget_begun(&mut self) {
        while let Some((latest, key)) = self.patience.front() {
            let front = self.subjects.get(key).and_then(|turn| turn.waiting.front());
            if front.is_some_and(|(waits_until, _)| waits_until <= latest) {
                return;
            }
            self.patience.pop_front();
        }
    }

    /// When something begins that waits.
    pub(crate) fn next_deadline(&self) -> Time {
        if self.running >= self.limit {
            // The end of a program comes first.
            Time::NEVER
        } else if self.ready.is_empty() {
            self.patience.front().map_or(Time::NEVER, |(latest, _)| *latest)
        } else {
            Time::ZERO
        }
    }

    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// How many changes were given up since the last question.
    pub(crate) fn poll_given_up(&mut self) -> usize {
        std::mem::take(&mut self.given_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Key = (bool, String);

    fn told(name: &str) -> Told {
        vec![(Command { words: vec![name.into()], user: None }, Vec::new())]
    }

    fn begin(turns: &mut Turns<Key>, milliseconds: u64) -> Vec<String> {
        let now = Time::from_nanos(milliseconds * 1_000_000);
        let next = |turns: &mut Turns<Key>| turns.poll(now, false);
        let name = |(_, told): (Key, Told)| told[0].0.words[0].clone();
        std::iter::from_fn(|| next(turns)).map(name).collect()
    }

    #[test]
    fn programs_of_one_subject_begin_one_after_the_other_and_wait_a_second_at_most() {
        let (mut turns, one, other) =
            (Turns::new(100), (false, "a".to_owned()), (false, "b".to_owned()));
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
        let (mut turns, key) = (Turns::new(usize::MAX), (true, "g".to_owned()));
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
    #[test]
    fn so_many_run_at_once_and_the_others_wait_for_an_end() {
        let mut turns = Turns::new(2);
        let key = |number: usize| (false, number.to_string());
        for number in 0..4 {
            turns.push(Time::ZERO, key(number), told(&number.to_string()));
        }
        assert_eq!(begin(&mut turns, 5_000), ["0", "1"]);
        assert_eq!(turns.next_deadline(), Time::NEVER);
        turns.handle_end(&key(1));
        assert_eq!(begin(&mut turns, 5_000), ["2"]);
        turns.handle_end(&key(0));
        assert_eq!(begin(&mut turns, 5_000), ["3"]);
        assert!(turns.is_empty());
    }

    #[test]
    fn when_everything_hangs_the_latest_changes_stay_and_the_others_are_counted() {
        let (mut turns, key) = (Turns::new(1), (true, "g".to_owned()));
        for number in 0..GIVEN_UP_MAX + 3 {
            turns.push(Time::ZERO, key.clone(), told(&number.to_string()));
            begin(&mut turns, 0);
        }
        assert_eq!((turns.waiting, turns.poll_given_up()), (GIVEN_UP_MAX, 2));
        turns.handle_end(&key);
        assert_eq!(begin(&mut turns, 0), ["3"]);
    }
}
