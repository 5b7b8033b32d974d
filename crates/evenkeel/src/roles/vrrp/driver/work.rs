//! What the router asks for besides adverts. It is done in small pieces, and whatever is due
//! meanwhile comes first.

use std::sync::Arc;

use edge::announce::Announcement;
use edge::clock;
use model::control::{Event, Notice, NoticeKind};
use model::vrrp::{VirtualAddress, VirtualLink, VrrpInstance};
use proto::vrrp::{Alarm, Announced, Output, Subject, Task};

use super::Driver;
use crate::roles::vrrp::kernel::{
    Direction, Item, addresses, everything, everything_to_take, has_virtual_links,
};

/// Most holdings that are changed before timers are looked at again: the kernel takes some ten
/// microseconds for each.
const HOLDINGS_AT_ONCE: usize = 32;

impl Driver {
    /// Puts a task in line. What is taken away must not come before what was put there for the
    /// same instance, so such a task begins a part of the line of its own.
    pub(super) fn put_in_line(&mut self, begin: &mut usize, task: Task) {
        if matches!(task.output, Output::Release) {
            let name = task.subject.name();
            let held = |earlier: &Task| {
                matches!(earlier.output, Output::Hold) && earlier.subject.name() == name
            };
            if self.work.range(*begin..).any(held) {
                self.order_line(*begin);
                *begin = self.work.len();
            }
        }
        self.work.push_back(task);
    }

    /// Orders what was put in line since `begin`: what is taken away, what is put there, what is
    /// announced, what is told. An address that moves from one master to another must not be
    /// taken away last.
    pub(super) fn order_line(&mut self, begin: usize) {
        if self.work.len() - begin > 1 {
            self.work.make_contiguous()[begin..].sort_by_key(|task| class(&task.output));
        }
    }

    /// Does everything in line.
    pub(super) fn work_off(&mut self) {
        let mut changed = false;
        while let Some(task) = self.work.pop_front() {
            changed |= matches!(task.output, Output::Transition { .. });
            self.apply(&task);
            self.be_punctual();
        }
        if changed {
            self.memory.write(clock::now(), self.router.instances());
        }
    }

    fn apply(&mut self, task: &Task) {
        match (&task.subject, &task.output) {
            (Subject::Instance(plan), output) => self.apply_to_instance(plan, output),
            (Subject::Group(group), Output::Notice(kind, priority)) => {
                self.notify(true, &group.name, *kind, *priority);
            }
            (Subject::Group(_), _) => {}
        }
    }

    fn apply_to_instance(&mut self, plan: &Arc<VrrpInstance>, output: &Output) {
        match output {
            Output::SendAdvert(_) => {}
            Output::Hold => {
                self.kernel.begin_hold(plan);
                self.in_pieces(Direction::Place, &everything(&[plan]));
                self.send_late(plan);
            }
            Output::Add(holdings) => {
                let items = self.kernel.begin_add(plan, holdings);
                self.in_pieces(Direction::Place, &items);
            }
            Output::Release => {
                self.announcements.forget(plan);
                self.late.retain(|advert| advert.plan.name != plan.name);
                self.kernel.begin_release(plan);
                if has_virtual_links(plan) {
                    // To take one down takes the kernel a grace period.
                    let plan = plan.clone();
                    let complaints = self.aside(move |kernel| kernel.take_down(&plan));
                    complaints.into_iter().for_each(|text| self.supervisor.warn(text));
                }
                self.in_pieces(Direction::Take, &everything_to_take(&[plan]));
            }
            Output::Remove(holdings) => {
                self.announcements.forget(plan);
                let items = self.kernel.begin_remove(plan, holdings);
                self.in_pieces(Direction::Take, &items);
            }
            Output::Announce { addresses: announced, repeat } => {
                self.announce(plan, announced, *repeat);
            }
            Output::Transition { from, to, reason, priority: _ } => {
                let (instance, reason) = (plan.name.clone(), reason.to_string());
                self.supervisor.tell(Event::VrrpState { instance, from: *from, to: *to, reason });
            }
            Output::Notice(kind, priority) => self.notify(false, &plan.name, *kind, *priority),
            Output::Alarm(alarm) => self.supervisor.tell(alarm_event(plan, alarm)),
        }
    }

    fn notify(&mut self, group: bool, name: &str, kind: NoticeKind, priority: u8) {
        self.supervisor.notify(Notice { group, name: name.to_owned(), kind, priority });
    }

    /// Changes the kernel, all of it whatever fails.
    fn in_pieces(&mut self, direction: Direction, items: &[Item<'_>]) {
        for piece in items.chunks(HOLDINGS_AT_ONCE) {
            for complaint in self.kernel.change(direction, piece) {
                self.supervisor.warn(complaint);
            }
            self.be_punctual();
        }
    }

    /// Puts addresses in line to be announced.
    pub(super) fn announce(&mut self, plan: &Arc<VrrpInstance>, which: &Announced, times: u8) {
        match which {
            Announced::All => {
                for address in addresses(plan) {
                    self.announce_one(plan, address, times);
                }
            }
            Announced::These(list) => {
                for address in list {
                    self.announce_one(plan, address, times);
                }
            }
            Announced::ExtraInterfaces => {
                for address in addresses(plan).filter(|address| is_elsewhere(plan, address)) {
                    self.announce_one(plan, address, times);
                }
            }
        }
    }

    /// Links without Ethernet addresses need no telling.
    fn announce_one(&mut self, plan: &Arc<VrrpInstance>, address: &VirtualAddress, times: u8) {
        let name = plan.interface_of(address);
        let Some(link) = self.kernel.interfaces.link(name) else { return };
        let Some(mac) = link.mac else { return };
        let announcement = Announcement {
            interface: link.index,
            mac,
            address: address.address,
            router: address.address.is_ipv6() && self.routers.contains(&link.index),
        };
        self.announcements.push(plan, name, announcement, times);
    }
}

/// Place in the line of one burst.
fn class(output: &Output) -> u8 {
    match output {
        Output::SendAdvert(_) => 0,
        Output::Release | Output::Remove(_) => 1,
        Output::Hold | Output::Add(_) => 2,
        Output::Announce { .. } => 3,
        Output::Transition { .. } | Output::Notice(..) | Output::Alarm(_) => 4,
    }
}

/// `garp_extra_if`: the address is on another interface than the one that adverts leave by; with
/// `all` on any, otherwise on a virtual MAC interface.
fn is_elsewhere(plan: &VrrpInstance, address: &VirtualAddress) -> bool {
    let (adverts, virtual_mac) = match &plan.link {
        VirtualLink::Macvlan { name, transmit_on_base: false, .. } => (name, true),
        VirtualLink::Macvlan { .. } => (&plan.interface, true),
        VirtualLink::Ipvlan { name, .. } => (name, false),
        VirtualLink::None => (&plan.interface, false),
    };
    let on_virtual_mac =
        if address.interface.is_some() { address.virtual_mac } else { virtual_mac };
    let all = plan.garp.extra.is_some_and(|extra| extra.all);
    plan.interface_of(address) != adverts && (all || on_virtual_mac)
}

fn alarm_event(plan: &VrrpInstance, alarm: &Alarm) -> Event {
    let (rival, priority, over) = match *alarm {
        Alarm::Rival { source, priority } => (source, priority, false),
        Alarm::RivalGone { source, priority } => (source, priority, true),
    };
    Event::TwoMasters { instance: plan.name.clone(), rival, priority, over }
}
