//! What an instance makes of adverts, and of time that passes without them (RFC 3768 6.4.2 and
//! 6.4.3, RFC 9568 6.4.2 and 6.4.3).

use core::time::Duration;

use model::control::NoticeKind;
use model::status::VrrpState;
use model::units::{Time, WallTime};
use model::vrrp::Version;

use super::instance::{GOODBYE, Instance, after};
use super::output::{Alarm, Announced, Output};
use super::packet::{self, Advert, Discard, Received};
use super::transition::{Event, Reason};

impl Instance {
    /// An advert arrived.
    pub(super) fn handle_advert(
        &mut self,
        now: Time,
        received: &Received<'_>,
    ) -> Result<(), Discard> {
        match self.state {
            // Keepalived ignores what it hears then, without looking at it.
            VrrpState::Init | VrrpState::Fault => return Ok(()),
            VrrpState::Backup | VrrpState::Master => {}
        }
        let wall = WallTime::from_nanos(now.as_nanos().wrapping_add(self.wall_ahead));
        let advert =
            packet::open(received, &self.plan, &mut self.guard, wall).inspect_err(|discard| {
                self.counters.discarded += 1;
                discard.count(&mut self.counters.errors);
            })?;
        if self.owner() && self.plan.owner_ignore_adverts {
            return Ok(());
        }
        self.counters.received += 1;
        self.counters.zero_received += u64::from(advert.priority == GOODBYE);
        match self.state {
            VrrpState::Init | VrrpState::Fault => {}
            VrrpState::Backup => self.hear_as_backup(now, &advert),
            VrrpState::Master => self.hear_as_master(now, &advert),
        }
        Ok(())
    }

    fn hear_as_backup(&mut self, now: Time, advert: &Advert) {
        let Advert { source, priority, .. } = *advert;
        if priority == GOODBYE {
            self.ready = false;
            self.timer = now.max(self.begin) + self.skew(self.priority);
            self.expiry = Reason::MasterStopped;
            return;
        }
        self.heard = Some((source, priority));
        if priority >= self.priority {
            self.preempt_at = None;
        } else if self.plan.preempt || self.owner() {
            let delay = self.plan.preempt_delay;
            if *self.preempt_at.get_or_insert(now + delay) <= now {
                self.expiry = Reason::Preempted { source, priority };
                return;
            }
        }
        self.learn_interval(advert);
        self.await_master(now);
    }

    /// RFC 9568 6.4.2: a backup keeps the pace of its master. In version 2 both are the same.
    fn learn_interval(&mut self, advert: &Advert) {
        match self.plan.version {
            Version::V2 => {}
            Version::V3 => self.master_interval = advert.interval.duration(),
        }
    }

    fn hear_as_master(&mut self, now: Time, advert: &Advert) {
        let Advert { source, priority, .. } = *advert;
        if priority == GOODBYE {
            self.send(now);
            if self.rival.is(source) {
                self.end_rivalry();
            }
            return;
        }
        self.heard = Some((source, priority));
        self.rival.count(now, source, priority);
        let ours = self.source();
        if priority > self.priority || (priority == self.priority && Some(source) > ours) {
            if self.plan.higher_prio_send_advert {
                self.emit(now, self.priority);
            }
            self.learn_interval(advert);
            let reason = Reason::StrongerAdvert { source, priority };
            self.change(now, Event::StrongerAdvert, reason);
            return;
        }
        self.watch_rival(now, advert);
        // Somebody with our own address would answer us, and so on for ever.
        if self.answer_at <= now && Some(source) != ours {
            self.answer_at = now + self.interval();
            self.answer_weaker(now);
        }
    }

    /// The alarm of two masters. An advert that was on its way while we took over is none.
    fn watch_rival(&mut self, now: Time, advert: &Advert) {
        let Advert { source, priority, interval } = *advert;
        let pace = interval.duration().max(self.interval());
        let silence = pace * u32::from(self.plan.down_timer_adverts) + self.skew(self.priority);
        if now.since(self.since) < self.interval() {
            return;
        }
        if self.rival.begin(source, priority, now + silence) {
            self.say(Output::Alarm(Alarm::Rival { source, priority }));
        }
    }

    /// A weaker master is answered at once, as RFC 9568 6.4.3 asks, and the network is told again
    /// where the addresses are: the weaker one has told it otherwise.
    fn answer_weaker(&mut self, now: Time) {
        if !self.plan.lower_prio_no_advert {
            self.send(now);
        }
        self.announce_after_weaker(now);
        self.heard_weaker = self.grouped;
        self.say(Output::Notice(NoticeKind::MasterRxLowerPri, self.priority));
    }

    /// What a weaker master heard by it or by a member of its group asks for.
    pub(super) fn announce_after_weaker(&mut self, now: Time) {
        let garp = self.plan.garp;
        if garp.lower_prio_repeat > 0 && self.state == VrrpState::Master {
            self.announce(Announced::All, garp.lower_prio_repeat);
            self.bursts.lower = after(now, garp.lower_prio_delay);
        }
    }

    /// The rival gave way: everything that may have believed it is told again who is master.
    fn end_rivalry(&mut self) {
        if let Some((source, priority)) = self.rival.end() {
            self.say(Output::Alarm(Alarm::RivalGone { source, priority }));
            self.announce(Announced::All, self.plan.garp.repeat);
            self.say(Output::Notice(NoticeKind::Master, self.priority));
        }
    }

    /// Time passed: does all that is due.
    pub(super) fn handle_timeout(&mut self, now: Time) {
        if self.look_at() <= now {
            self.look(now);
        }
        if self.timer <= now {
            match self.state {
                VrrpState::Init | VrrpState::Fault => self.timer = Time::NEVER,
                VrrpState::Backup if self.was_held_up(now) => {
                    self.held_up = true;
                    self.timer = now + self.master_interval + self.skew(self.priority);
                    self.look_at = now + self.master_interval;
                }
                VrrpState::Backup if self.grouped => {
                    self.ready = true;
                    self.timer = Time::NEVER;
                }
                VrrpState::Backup => {
                    let reason = self.expiry.clone();
                    self.change(now, Event::MasterDownExpired, reason);
                }
                VrrpState::Master if self.ran_late(now) => {
                    self.change(now, Event::RanLate, Reason::RanLate);
                }
                VrrpState::Master => {
                    let due = self.timer + self.interval();
                    self.send(now);
                    // Adverts keep their rhythm unless a whole one was missed.
                    self.timer = if due > now { due } else { self.timer };
                }
            }
        }
        self.announce_due(now);
        if self.rival.until() <= now {
            self.end_rivalry();
        }
    }

    /// When it has to look whether it is awake: as backup, from half an interval after the
    /// master's next advert was due, until the master counts as down.
    pub(super) fn look_at(&self) -> Time {
        let awaits = self.state == VrrpState::Backup
            && matches!(self.expiry, Reason::MasterDownTimer)
            && self.look_at < self.timer
            && self.timer != Time::NEVER;
        if awaits { self.look_at } else { Time::NEVER }
    }

    /// A master's silence counts while we are awake. Whoever was suspended, starved or stopped
    /// together with its machine heard nothing in that time because it did not listen, or because
    /// the master was stopped with it: the master-down interval is longer by that time.
    fn look(&mut self, now: Time) {
        let late = now.since(self.look_at);
        if late >= self.tolerance() {
            self.timer = self.timer + late;
        }
        self.look_at = now + self.master_interval / 2;
    }

    /// The timer itself ran late: what came before it was seen awake, so that one more advert is
    /// enough to wait for. Once in a row.
    fn was_held_up(&self, now: Time) -> bool {
        !self.held_up
            && matches!(self.expiry, Reason::MasterDownTimer)
            && now.since(self.timer) >= self.tolerance()
    }

    /// How late a timer may run before it counts as having slept.
    fn tolerance(&self) -> Duration {
        self.master_interval / 4
    }

    /// `timer_expired_backup`: so late that a backup of that priority has taken over, which we,
    /// not preempting, would not take back.
    fn ran_late(&self, now: Time) -> bool {
        let Some(rival) = self.plan.timer_expired_backup else { return false };
        let patience = self.interval() * 3 + self.skew(rival.number());
        !self.plan.preempt && self.last_sent + patience <= now
    }

    fn announce_due(&mut self, now: Time) {
        let garp = self.plan.garp;
        if self.bursts.second <= now {
            self.bursts.second = Time::NEVER;
            self.announce(Announced::All, garp.repeat);
        }
        if self.bursts.lower <= now {
            self.bursts.lower = Time::NEVER;
            self.announce(Announced::All, garp.lower_prio_repeat);
        }
        if self.bursts.refresh <= now {
            self.bursts.refresh = after(now, garp.refresh);
            self.announce(Announced::All, garp.refresh_repeat);
        }
        if self.bursts.extra <= now {
            self.bursts.extra = garp.extra.map_or(Time::NEVER, |extra| after(now, extra.interval));
            self.announce(Announced::ExtraInterfaces, 1);
        }
    }

    /// What it holds was taken away and cannot be put back.
    pub(super) fn handle_lost(&mut self, now: Time) {
        if self.state == VrrpState::Master {
            self.change(now, Event::Lost, Reason::HoldingLost);
        }
    }
}
