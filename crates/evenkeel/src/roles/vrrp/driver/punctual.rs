//! Adverts and timers. Between a deadline and its advert there is no allocation, no file, no name
//! and no log: whatever else an expired timer asks for is put aside until the adverts have left.

use std::io;
use std::sync::Arc;

use edge::clock;
use edge::poll::Event as Ready;
use model::Time;
use model::control::{Event, TrackerState};
use model::vrrp::{Tracked, VirtualLink, VrrpInstance};
use proto::vrrp::packet::{self, Received};
use proto::vrrp::{Output, Subject, Task};

use super::Driver;
use crate::roles::vrrp::stations::{Leaving, Station};

/// Adverts read from one socket before timers are looked at again; when one is due, as many as
/// have arrived.
const ADVERTS_AT_ONCE: usize = 256;
/// More than one socket holds.
const ADVERTS_WAITING: usize = 4096;
/// Most discarded adverts remembered in one turn; they are counted by the router in any case.
pub(super) const DISCARDED_MAX: usize = 64;

/// Which sockets are read.
enum Which<'a> {
    All,
    Ready(&'a [Ready]),
}

impl Driver {
    /// Reads the adverts that have arrived, and does what they ask for.
    pub(super) fn hear_adverts(&mut self, ready: &[Ready]) {
        self.hear(&Which::Ready(ready));
        self.collect();
        self.memory.note_sequences(self.router.instances());
    }

    /// The same, whichever sockets they are in.
    pub(super) fn hear_all(&mut self) {
        self.hear(&Which::All);
        self.collect();
    }

    /// Does what is due. Adverts come before timers: after a pause of this process, one that
    /// waits in a socket takes back a timer that only seems to have expired.
    pub(super) fn be_punctual(&mut self) {
        let due = self.router.next_deadline().min(self.bfd.next_deadline());
        if due > clock::now() {
            return;
        }
        self.hear(&Which::All);
        let now = clock::now();
        let deadline = self.router.next_deadline();
        if deadline <= now {
            self.lateness.record(now.since(deadline));
            self.router.handle_timeout(now);
        }
        self.collect();
        self.memory.touch(now);
        self.memory.note_sequences(self.router.instances());
        self.hear_bfd();
        self.fire_bfd();
    }

    /// Reads the BFD packets that have arrived, and does what they ask for.
    pub(super) fn hear_bfd(&mut self) {
        self.bfd.hear();
        self.follow_bfd();
    }

    fn fire_bfd(&mut self) {
        let now = clock::now();
        let deadline = self.bfd.next_deadline();
        if deadline <= now {
            self.lateness.record(now.since(deadline));
            self.bfd.handle_timeout(now);
            self.follow_bfd();
        }
    }

    fn follow_bfd(&mut self) {
        while let Some(change) = self.bfd.poll_change() {
            let state = if change.up { TrackerState::Up } else { TrackerState::Down };
            let what = Tracked::Bfd(change.name.to_string());
            self.router.handle_tracker(clock::now(), &what, state);
            self.trackers.insert(what, state);
            self.collect();
            let (word, severity) = if change.up { ("up", 5) } else { ("down", 4) };
            let text = format!("BFD session {} is {word}: {}", change.name, change.reason);
            self.supervisor.tell(Event::Log { severity, text });
            let name = change.name.to_string();
            self.supervisor.tell(Event::Bfd { name, up: change.up });
        }
    }

    fn hear(&mut self, which: &Which<'_>) {
        let now = clock::now();
        self.router.handle_wall_clock(now, clock::wall());
        let until = match which {
            Which::All => now,
            Which::Ready(_) => Time::ZERO,
        };
        for place in 0..self.stations.open.len() {
            let token = self.stations.open[place].token;
            let read = match which {
                Which::All => true,
                Which::Ready(ready) => ready.iter().any(|event| event.token == token),
            };
            if read {
                self.hear_station(place, until);
            }
        }
    }

    /// Reads some adverts, and all those that arrived before `until`: they may take back what is
    /// due, and after a pause of this process there are many.
    fn hear_station(&mut self, place: usize, until: Time) {
        for number in 0..ADVERTS_WAITING {
            let station = &mut self.stations.open[place];
            let protocol = station.protocol();
            let Station { receiver, serves, .. } = station;
            // An interface that is down says so here too; its events say more.
            let Ok(Some(packet)) = receiver.receive() else { return };
            let arrived = packet.arrived;
            let received = Received {
                source: packet.source,
                destination: packet.destination,
                ttl: packet.ttl,
                protocol,
                ipv4_header: packet.ipv4_header,
                payload: packet.payload,
            };
            if let Some(id) = packet::addressee(&received) {
                match &serves[usize::from(id)] {
                    Some(interface) => {
                        let heard = self.router.handle_advert(arrived, interface, &received);
                        if let Err((plan, discard)) = heard
                            && self.discarded.len() < DISCARDED_MAX
                        {
                            self.discarded.push((plan, received.source, discard));
                        }
                    }
                    None => self.strangers.note(id, received.source),
                }
            }
            if number >= ADVERTS_AT_ONCE && arrived >= until {
                return;
            }
        }
    }

    /// Takes what the router asks for: adverts leave now, the rest is put in line.
    pub(super) fn collect(&mut self) {
        let mut begin = self.work.len();
        while let Some(task) = self.router.poll_output() {
            match task {
                Task { subject: Subject::Instance(plan), output: Output::SendAdvert(packet) } => {
                    // An interface that is gone is a fault already, or about to be.
                    if let Some(interface) = self.stations.way(&plan) {
                        self.adverts.push(Leaving { plan, interface, packet });
                    }
                }
                Task { subject, output } => {
                    self.put_in_line(&mut begin, Task { subject, output });
                }
            }
        }
        self.send_adverts();
        self.order_line(begin);
    }

    fn send_adverts(&mut self) {
        if self.adverts.is_empty() {
            return;
        }
        let Driver { stations, adverts, late, supervisor, .. } = self;
        stations.send(adverts, |advert, error| {
            if comes_up_later(&advert.plan, &error) {
                late.push(Leaving {
                    plan: advert.plan.clone(),
                    interface: advert.interface,
                    packet: advert.packet.clone(),
                });
            } else {
                supervisor.warn(not_sent(advert, &error));
            }
        });
        // The sealers write the next adverts in place once nobody has the last ones.
        self.adverts.clear();
    }

    /// Sends the adverts again that found their virtual MAC interface down, now that it is up.
    pub(super) fn send_late(&mut self, plan: &Arc<VrrpInstance>) {
        let Driver { stations, late, supervisor, .. } = self;
        let of_plan = |advert: &mut Leaving| advert.plan.name == plan.name;
        let adverts: Vec<Leaving> = late.extract_if(.., of_plan).collect();
        stations.send(&adverts, |advert, error| supervisor.warn(not_sent(advert, &error)));
    }

    /// Tells of the adverts discarded in this turn.
    pub(super) fn tell_discarded(&mut self) {
        for (id, source) in self.strangers.drain() {
            let text = format!("advert of {source} for virtual router {id}, which nobody has here");
            self.supervisor.warn(text);
        }
        for (plan, source, discard) in self.discarded.drain(..) {
            self.supervisor.warn_of_discard(&plan.name, source, discard);
        }
    }

    /// Sends announcements that may leave now.
    pub(super) fn announce_due(&mut self) {
        let now = clock::now();
        if self.announcements.next_deadline() > now {
            return;
        }
        if let Err(error) = self.announcements.send_due(now) {
            // An interface that went down meanwhile is announced when it is master again.
            if !matches!(error.raw_os_error(), Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV)) {
                self.supervisor.warn(format!("addresses not announced: {error}"));
            }
        }
    }
}

/// A virtual MAC interface is down while its instance is backup, and up a moment after the first
/// advert of a new master.
fn comes_up_later(plan: &VrrpInstance, error: &io::Error) -> bool {
    let own = match plan.link {
        VirtualLink::Macvlan { transmit_on_base, .. } => !transmit_on_base,
        VirtualLink::Ipvlan { .. } => true,
        VirtualLink::None => false,
    };
    own && matches!(error.raw_os_error(), Some(libc::ENETDOWN | libc::ENETUNREACH | libc::ENODEV))
}

fn not_sent(advert: &Leaving, error: &io::Error) -> String {
    let Leaving { plan, .. } = advert;
    format!("{}: advert not sent on {}: {error}", plan.name, plan.interface)
}
