//! What a reload changes of a [`Layer4Plan`], as the director is told: of forty thousand real
//! servers it hears the one whose weight is another.
//!
//! Both lists, of virtual servers and of the real servers of one of them, are written as runs of
//! the former list and what stands between them, so that any change of contents and order has its
//! words.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::layer4::{Layer4Plan, Outside, RealServer, Timeouts, VirtualServer};
use crate::pair::pair;
use crate::shared::Shared;

/// How one plan becomes another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer4Delta {
    /// Number of the configuration that it changes: it fits no other one.
    pub base: u64,
    /// The virtual servers, in the order of the new plan.
    virtual_servers: Vec<Part<ServerChange>>,
    /// All interfaces, if they are others.
    interfaces: Option<Vec<String>>,
    /// The surroundings, if they are others.
    outside: Option<Outside>,
    /// The time-outs, if they are others.
    timeouts: Option<Timeouts>,
}

/// Some of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Part<T> {
    /// This many of the former list, unchanged, from this place on.
    Keep(usize, usize),
    /// One that the former list has not as it is.
    New(T),
}

/// A virtual server that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ServerChange {
    /// Everything but its real servers.
    settings: VirtualServer,
    /// Its place in the former list; absent when it is new.
    former: Option<usize>,
    /// Its real servers.
    real_servers: Vec<Part<RealServer>>,
}

/// The plan at hand is not the one that the delta was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misfit;

impl Layer4Delta {
    /// What leads from the plan of configuration `base` to another one. Nothing when they are
    /// equal. Takes one look at everything; what is equal is not copied.
    pub fn between(base: u64, old: &Layer4Plan, new: &Layer4Plan) -> Option<Layer4Delta> {
        let virtual_servers = parts(
            &old.virtual_servers,
            &new.virtual_servers,
            |one| &one.id,
            |one, former| ServerChange::of(one, former.map(|at| (at, &old.virtual_servers[at]))),
        );
        let interfaces = (old.interfaces != new.interfaces).then(|| new.interfaces.clone());
        let outside = (old.outside != new.outside).then(|| new.outside.clone());
        let timeouts = (old.timeouts != new.timeouts).then_some(new.timeouts);
        let same = match virtual_servers.as_slice() {
            [] => old.virtual_servers.is_empty(),
            [Part::Keep(0, count)] => *count == old.virtual_servers.len(),
            _ => false,
        };
        if same && interfaces.is_none() && outside.is_none() && timeouts.is_none() {
            return None;
        }
        Some(Layer4Delta { base, virtual_servers, interfaces, outside, timeouts })
    }

    /// The new plan, made of the former one.
    pub fn apply(self, former: &Layer4Plan) -> Result<Layer4Plan, Misfit> {
        let virtual_servers = assemble(self.virtual_servers, &former.virtual_servers, |change| {
            let servers = match change.former {
                Some(at) => former.virtual_servers.get(at).ok_or(Misfit)?.real_servers.as_slice(),
                None => &[],
            };
            let real_servers = assemble(change.real_servers, servers, Ok)?.into();
            Ok(VirtualServer { real_servers, ..change.settings })
        })?;
        Ok(Layer4Plan {
            virtual_servers,
            interfaces: self.interfaces.unwrap_or_else(|| former.interfaces.clone()),
            outside: self.outside.unwrap_or_else(|| former.outside.clone()),
            timeouts: self.timeouts.unwrap_or(former.timeouts),
        })
    }
}

impl ServerChange {
    fn of(new: &VirtualServer, former: Option<(usize, &VirtualServer)>) -> ServerChange {
        let servers = former.map_or(&[][..], |(_, former)| former.real_servers.as_slice());
        let real_servers =
            parts(servers, &new.real_servers, |one| one.endpoint, |one, _| one.clone());
        ServerChange {
            settings: without_servers(new),
            former: former.map(|(at, _)| at),
            real_servers,
        }
    }
}

/// The settings of a virtual server.
fn without_servers(one: &VirtualServer) -> VirtualServer {
    VirtualServer {
        id: one.id.clone(),
        services: one.services.clone(),
        scheduler: one.scheduler,
        persistence: one.persistence,
        conduct: one.conduct,
        real_servers: Shared::default(),
        quorum: one.quorum.clone(),
        ha_suspend: one.ha_suspend,
        alpha: one.alpha,
        omega: one.omega,
        smtp_alert: one.smtp_alert,
    }
}

/// Writes the new list in terms of the former one. Elements are the same one when their identity
/// is; `change` gets those that are different, with the place of the former one.
fn parts<'a, T: PartialEq, K: Ord, C>(
    old: &'a [T],
    new: &'a [T],
    identity: impl Fn(&'a T) -> K,
    change: impl Fn(&T, Option<usize>) -> C,
) -> Vec<Part<C>> {
    let mut parts: Vec<Part<C>> = Vec::new();
    for (one, former) in new.iter().zip(pair(old, new, identity)) {
        match (former.filter(|&at| old[at] == *one), parts.last_mut()) {
            (Some(at), Some(Part::Keep(from, count))) if *from + *count == at => *count += 1,
            (Some(at), _) => parts.push(Part::Keep(at, 1)),
            (None, _) => parts.push(Part::New(change(one, former))),
        }
    }
    parts
}

fn assemble<T: Clone, C>(
    parts: Vec<Part<C>>,
    former: &[T],
    make: impl Fn(C) -> Result<T, Misfit>,
) -> Result<Vec<T>, Misfit> {
    let mut all = Vec::with_capacity(former.len());
    for part in parts {
        match part {
            Part::Keep(from, count) => {
                let end = from.checked_add(count).ok_or(Misfit)?;
                all.extend_from_slice(former.get(from..end).ok_or(Misfit)?);
            }
            Part::New(change) => all.push(make(change)?),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer4::{Endpoint, Protocol, Scheduler, ServiceKey};
    use core::net::{IpAddr, Ipv4Addr};
    use proptest::prelude::*;

    fn server(last: u8, weight: u32) -> RealServer {
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        RealServer { weight, ..RealServer::new(Endpoint { address, port: 80 }) }
    }

    fn service(last: u8, algorithm: bool, real_servers: Vec<RealServer>) -> VirtualServer {
        let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
        let key = ServiceKey::Address { address, port: 80, protocol: Protocol::Tcp };
        let scheduler =
            if algorithm { Scheduler::RoundRobin } else { Scheduler::WeightedLeastConnection };
        let real_servers = real_servers.into();
        VirtualServer { scheduler, real_servers, ..VirtualServer::new(key) }
    }

    fn plan(virtual_servers: Vec<VirtualServer>) -> Layer4Plan {
        Layer4Plan { virtual_servers, ..Layer4Plan::default() }
    }

    /// Of few identities, so that two of them have much in common, in another order.
    fn any_plan() -> impl Strategy<Value = Layer4Plan> {
        let numbers = || Just((1..=5u8).collect::<Vec<u8>>()).prop_shuffle();
        let some = (0..=5usize, numbers());
        let servers = (some.clone(), 1..3u32).prop_map(|((count, numbers), weight)| {
            numbers[..count].iter().map(|&last| server(last, weight)).collect::<Vec<_>>()
        });
        let services = proptest::collection::vec((servers, any::<bool>()), 5);
        (some, services, any::<bool>()).prop_map(|((count, numbers), contents, interface)| {
            let one = |(last, (servers, algorithm)): (&u8, (Vec<RealServer>, bool))| {
                service(*last, algorithm, servers)
            };
            let interfaces = if interface { vec!["eth0".into()] } else { Vec::new() };
            let virtual_servers = numbers[..count].iter().zip(contents).map(one).collect();
            Layer4Plan { virtual_servers, interfaces, ..Layer4Plan::default() }
        })
    }

    proptest! {
        #[test]
        fn a_delta_leads_from_any_plan_to_any_other(old in any_plan(), new in any_plan()) {
            match Layer4Delta::between(7, &old, &new) {
                None => prop_assert_eq!(old, new),
                Some(delta) => {
                    prop_assert_ne!(&old, &new);
                    prop_assert_eq!(delta.apply(&old), Ok(new));
                }
            }
        }
    }

    #[test]
    fn one_weight_among_many_is_all_that_is_told() {
        let many = |weight| {
            let mut servers: Vec<RealServer> = (0..200).map(|last| server(last, 1)).collect();
            servers[100].weight = weight;
            plan(vec![service(1, true, servers), service(2, true, Vec::new())])
        };
        let delta = Layer4Delta::between(1, &many(1), &many(5)).expect("a difference");
        let [Part::New(change), Part::Keep(1, 1)] = &delta.virtual_servers[..] else {
            panic!("{delta:?}")
        };
        let [Part::Keep(0, 100), Part::New(told), Part::Keep(101, 99)] = &change.real_servers[..]
        else {
            panic!("{change:?}")
        };
        assert_eq!(told.weight, 5);
    }

    #[test]
    fn a_delta_of_another_plan_is_refused_where_that_can_be_seen() {
        let (one, two) = (service(1, true, Vec::new()), service(2, true, Vec::new()));
        let old = plan(vec![one.clone(), two.clone()]);
        let delta = Layer4Delta::between(1, &old, &plan(vec![two])).expect("a difference");
        assert_eq!(delta.apply(&plan(vec![one])), Err(Misfit));
    }
}
