//! What the router asks for besides adverts. It is done in small pieces, and whatever is due
//! meanwhile comes first.

use std::io;
use std::sync::Arc;

use edge::announce::Announcement;
use edge::clock;
use model::control::{Event, Notice, NoticeKind};
use model::status::VrrpState;
use model::vrrp::{Holding, VirtualAddress, VirtualLink, VrrpInstance};
use proto::vrrp::{Alarm, Announced, Output, Subject, Task};

use super::Driver;
use crate::roles::vrrp::kernel::addresses;

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
            if let Err(error) = self.apply(&task) {
                self.supervisor.warn(format!("{}: {error}", task.subject.name()));
            }
            self.be_punctual();
        }
        if changed {
            self.memory.write(clock::now(), self.router.instances());
        }
    }

    fn apply(&mut self, task: &Task) -> io::Result<()> {
        match (&task.subject, &task.output) {
            (Subject::Instance(plan), output) => self.apply_to_instance(plan, output),
            (Subject::Group(group), Output::Notice(kind, priority)) => {
                self.notify(true, &group.name, *kind, *priority);
                Ok(())
            }
            (Subject::Group(_), _) => Ok(()),
        }
    }

    fn apply_to_instance(&mut self, plan: &Arc<VrrpInstance>, output: &Output) -> io::Result<()> {
        match output {
            Output::SendAdvert(_) => Ok(()),
            Output::Hold => {
                let done = self.add(plan, &addresses(plan).collect::<Vec<_>>());
                self.send_late(plan);
                done
            }
            Output::Add(holdings) => self.add(plan, &only_addresses(holdings)),
            Output::Release => {
                self.announcements.forget(plan);
                self.late.retain(|advert| advert.plan.name != plan.name);
                self.remove(plan, &addresses(plan).collect::<Vec<_>>())
            }
            Output::Remove(holdings) => {
                self.announcements.forget(plan);
                self.remove(plan, &only_addresses(holdings))
            }
            Output::Announce { addresses: announced, repeat } => {
                self.announce(plan, announced, *repeat);
                Ok(())
            }
            Output::Transition { from, to, reason, priority: _ } => {
                for address in addresses(plan) {
                    self.kernel.set_gate(address.address, *to == VrrpState::Master);
                }
                let (instance, reason) = (plan.name.clone(), reason.to_string());
                self.supervisor.tell(Event::VrrpState { instance, from: *from, to: *to, reason });
                Ok(())
            }
            Output::Notice(kind, priority) => {
                self.notify(false, &plan.name, *kind, *priority);
                Ok(())
            }
            Output::Alarm(alarm) => {
                self.supervisor.tell(alarm_event(plan, alarm));
                Ok(())
            }
        }
    }

    fn notify(&mut self, group: bool, name: &str, kind: NoticeKind, priority: u8) {
        self.supervisor.notify(Notice { group, name: name.to_owned(), kind, priority });
    }

    fn add(&mut self, plan: &VrrpInstance, list: &[&VirtualAddress]) -> io::Result<()> {
        self.in_pieces(list, |driver, address| {
            if driver.kernel.holds(plan, address) {
                driver.kernel.set_gate(address.address, true);
                return Ok(());
            }
            explained(driver.kernel.add(plan, address), || {
                format!("address {} not added", address.address)
            })
        })
    }

    fn remove(&mut self, plan: &VrrpInstance, list: &[&VirtualAddress]) -> io::Result<()> {
        self.in_pieces(list, |driver, address| {
            explained(driver.kernel.remove(plan, address).map(drop), || {
                format!("address {} not removed", address.address)
            })
        })
    }

    /// Does it for every one, whatever fails, and returns the first error.
    fn in_pieces<T>(
        &mut self,
        list: &[T],
        mut work: impl FnMut(&mut Driver, &T) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut result = Ok(());
        for piece in list.chunks(HOLDINGS_AT_ONCE) {
            for one in piece {
                result = result.and(work(self, one));
            }
            self.be_punctual();
        }
        result
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
    let name = &plan.name;
    match alarm {
        Alarm::Rival { source, priority } => Event::Log {
            severity: 2,
            text: format!("{name}: two masters: {source} with priority {priority} is one as well"),
        },
        Alarm::RivalGone { source, priority } => Event::Log {
            severity: 5,
            text: format!("{name}: the other master {source} with priority {priority} is gone"),
        },
    }
}

fn only_addresses(holdings: &[Holding]) -> Vec<&VirtualAddress> {
    let mut list = Vec::with_capacity(holdings.len());
    for holding in holdings {
        match holding {
            Holding::Address(address) => list.push(address),
            Holding::Route(_) | Holding::Rule(_) => {}
        }
    }
    list
}

fn explained(result: io::Result<()>, what: impl FnOnce() -> String) -> io::Result<()> {
    result.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", what())))
}
