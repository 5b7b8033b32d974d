//! Addresses, routes and rules, put in place and taken away in batches.

use std::fmt;
use std::io;

use edge::netlink::address::Assigned;
use edge::netlink::rule::RuleIdentity;
use edge::netlink::virtual_route::RouteIdentity;
use model::vrrp::{
    Holding, IpPrefix, VirtualAddress, VirtualLink, VirtualRoute, VirtualRule, VrrpInstance,
};

use super::Kernel;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::roles::vrrp) enum Direction {
    /// Puts it in place.
    Place,
    /// Takes it away.
    Take,
}

/// One thing, and whose it is.
#[derive(Clone, Copy, Debug)]
pub(in crate::roles::vrrp) struct Item<'a> {
    pub(super) whom: &'a str,
    pub(super) thing: Thing<'a>,
}

/// What can be put in place and taken away.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Thing<'a> {
    /// A virtual interface is up while its instance holds.
    Link(&'a str),
    /// An address of an interface.
    Address(&'a str, &'a VirtualAddress),
    /// A route.
    Route(&'a VirtualRoute),
    /// A rule.
    Rule(&'a VirtualRule),
}

impl<'a> Item<'a> {
    /// Something of an instance.
    pub(super) fn of(plan: &'a VrrpInstance, holding: &'a Holding) -> Item<'a> {
        let thing = match holding {
            Holding::Address(address) => Thing::Address(plan.interface_of(address), address),
            Holding::Route(route) => Thing::Route(route),
            Holding::Rule(rule) => Thing::Rule(rule),
        };
        Item { whom: &plan.name, thing }
    }

    /// Something that stays whatever the state.
    pub(super) fn fixed(holding: &'a Holding) -> Item<'a> {
        let thing = match holding {
            Holding::Address(address) => {
                Thing::Address(address.interface.as_deref().unwrap_or_default(), address)
            }
            Holding::Route(route) => Thing::Route(route),
            Holding::Rule(rule) => Thing::Rule(rule),
        };
        Item { whom: "static", thing }
    }
}

impl Kernel {
    /// Changes everything in one batch, in this order, and returns what failed.
    pub(in crate::roles::vrrp) fn change(
        &mut self,
        direction: Direction,
        items: &[Item<'_>],
    ) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut queued = Vec::with_capacity(items.len());
        self.batch.clear();
        for item in items {
            let before = self.batch.len();
            match self.queue(direction, item.thing) {
                Ok(place) if self.batch.len() > before => queued.push((item, place)),
                Ok(_) => {}
                Err(error) => complaints.push(complaint(direction, item, &error)),
            }
        }
        if let Err(error) = self.requests.run(&mut self.batch) {
            complaints.push(format!("netlink: {error}"));
        }
        let outcomes: Vec<Option<io::Error>> = self.batch.outcomes().collect();
        for ((item, place), outcome) in queued.into_iter().zip(outcomes) {
            match outcome {
                None => self.note(direction, item.thing, place),
                Some(error) if is_no_news(direction, &error) => {}
                Some(error) => complaints.push(complaint(direction, item, &error)),
            }
        }
        complaints
    }

    /// Adds at most one message to the batch; returns the place of an address.
    fn queue(&mut self, direction: Direction, thing: Thing<'_>) -> io::Result<Option<Assigned>> {
        match direction {
            Direction::Place => self.queue_place(thing),
            Direction::Take => self.queue_take(thing),
        }
    }

    fn queue_place(&mut self, thing: Thing<'_>) -> io::Result<Option<Assigned>> {
        let Kernel { batch, interfaces, ours, .. } = self;
        match thing {
            Thing::Link(name) => {
                let link = interfaces.link(name).ok_or_else(|| no_interface(name))?;
                batch.set_link(link.index, true);
            }
            Thing::Address(name, address) => {
                let link = interfaces.link(name).ok_or_else(|| no_interface(name))?;
                let place = Assigned::of(link.index, address);
                ours.addresses.hold(place);
                if !interfaces.has(place) {
                    batch.add_address(link.index, address);
                }
                return Ok(Some(place));
            }
            Thing::Route(route) => {
                ours.routes.hold(RouteIdentity::of(route));
                batch.add_route(route, &|name| Some(interfaces.link(name)?.index))?;
            }
            Thing::Rule(rule) => {
                ours.rules.hold(RuleIdentity::of(rule));
                batch.add_rule(rule);
            }
        }
        Ok(None)
    }

    fn queue_take(&mut self, thing: Thing<'_>) -> io::Result<Option<Assigned>> {
        let place = match thing {
            Thing::Address(name, address) => self.place_of(name, address),
            Thing::Link(_) | Thing::Route(_) | Thing::Rule(_) => None,
        };
        let Kernel { batch, interfaces, ours, .. } = self;
        match thing {
            Thing::Link(name) => {
                if let Some(link) = interfaces.link(name) {
                    batch.set_link(link.index, false);
                }
            }
            Thing::Address(_, address) => {
                if let Some(place) = place {
                    ours.addresses.let_go(&place);
                    batch.remove_address(place.interface, address);
                }
            }
            Thing::Route(route) => {
                ours.routes.let_go(&RouteIdentity::of(route));
                // Where its interface is gone, so is the route.
                let _ = batch.remove_route(route, &|name| Some(interfaces.link(name)?.index));
            }
            Thing::Rule(rule) => {
                ours.rules.let_go(&RuleIdentity::of(rule));
                batch.remove_rule(rule);
            }
        }
        Ok(place)
    }

    /// Where an address of ours is. A reload may have given its instance another interface since.
    fn place_of(&self, name: &str, address: &VirtualAddress) -> Option<Assigned> {
        let on = |index: u32| Assigned::of(index, address);
        let usual = self.interfaces.link(name).map(|link| on(link.index));
        if usual.is_some_and(|place| self.interfaces.has(place))
            || !self.interfaces.has_anywhere(address.address)
        {
            return usual;
        }
        let mut elsewhere = self.ours.addresses.iter().filter(|one| **one == on(one.interface));
        elsewhere.next().copied().or(usual)
    }

    /// A change succeeded.
    fn note(&mut self, direction: Direction, thing: Thing<'_>, place: Option<Assigned>) {
        match (direction, thing) {
            (Direction::Place, Thing::Address(..)) => {
                place.into_iter().for_each(|place| self.interfaces.note(place, true));
            }
            (Direction::Take, Thing::Address(..)) => {
                if let Some(place) = place {
                    self.ours.addresses.expect(place);
                    self.interfaces.note(place, false);
                }
            }
            (Direction::Take, Thing::Route(route)) => {
                self.ours.routes.expect(RouteIdentity::of(route));
            }
            (Direction::Take, Thing::Rule(rule)) => self.ours.rules.expect(RuleIdentity::of(rule)),
            (Direction::Place, Thing::Link(_) | Thing::Route(_) | Thing::Rule(_))
            | (Direction::Take, Thing::Link(_)) => {}
        }
    }
}

/// The virtual interfaces of an instance that are up while it holds: those with a virtual MAC
/// address.
pub(super) fn virtual_links(plan: &VrrpInstance) -> impl Iterator<Item = &str> {
    let own = match &plan.link {
        VirtualLink::Macvlan { name, .. } => Some(&name[..]),
        VirtualLink::None | VirtualLink::Ipvlan { .. } => None,
    };
    own.into_iter().chain(plan.address_links.iter().map(|link| &link.name[..]))
}

fn no_interface(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no interface {name}"))
}

/// It is as it should be already.
fn is_no_news(direction: Direction, error: &io::Error) -> bool {
    match direction {
        Direction::Place => error.raw_os_error() == Some(libc::EEXIST),
        Direction::Take => matches!(
            error.raw_os_error(),
            Some(libc::EADDRNOTAVAIL | libc::ENODEV | libc::ESRCH | libc::ENOENT)
        ),
    }
}

fn complaint(direction: Direction, item: &Item<'_>, error: &io::Error) -> String {
    let verb = match direction {
        Direction::Place => "not added",
        Direction::Take => "not removed",
    };
    format!("{}: {} {verb}: {error}", item.whom, item.thing)
}

impl fmt::Display for Thing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Thing::Link(name) => write!(f, "interface {name}"),
            Thing::Address(name, address) => {
                write!(f, "address {}/{} of {name}", address.address, address.prefix_len)
            }
            Thing::Route(route) => match route.destination {
                Some(IpPrefix { address, length }) => write!(f, "route to {address}/{length}"),
                None => write!(f, "default route"),
            },
            Thing::Rule(rule) => write!(f, "rule {}", rule.preference),
        }
    }
}
