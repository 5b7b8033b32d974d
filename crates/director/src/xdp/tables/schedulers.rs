//! What schedulers need besides the members: where they stand, what they look up.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use model::layer4::{Endpoint, Scheduler, ServiceKey};
use sched::{Candidate, MaglevServer};

use super::super::layout::{LIMITED, RawDestination, SLOTS_MAX, TABLES_MAX};
use super::super::localities;
use super::super::object::Maps;
use super::{TableState, full};
use crate::EngineError;

/// Where a scheduler begins: twos with any number, so that directors draw different ones.
pub(super) fn first_cursor(scheduler: Scheduler) -> u64 {
    if scheduler == Scheduler::TwoChoices { RandomState::new().hash_one(0) } else { 0 }
}

impl TableState {
    /// A place for a prepared table, if the scheduler looks servers up in one.
    pub(super) fn take_table(&mut self, scheduler: Scheduler) -> Result<Option<u32>, EngineError> {
        if !scheduler.has_table() {
            return Ok(None);
        }
        let full = || full("virtual servers with lb_algo dh, sh or mh", TABLES_MAX);
        self.free_tables.pop_first().map(|place| Some(2 * place)).ok_or_else(full)
    }

    pub(super) fn free_table(&mut self, table: Option<u32>) {
        self.free_tables.extend(table.map(|row| row / 2));
    }

    /// Another scheduler begins from nothing; the service is written after this.
    pub(super) fn change_scheduler(
        &mut self,
        maps: &Maps,
        key: ServiceKey,
        former: Scheduler,
        new: Scheduler,
    ) -> Result<(), EngineError> {
        let table = self.take_table(new)?;
        let Some(service) = self.services.get_mut(&key) else { return Ok(()) };
        let (place, former_table) = (service.index, service.table);
        service.table = table;
        self.free_table(former_table);
        self.reset_cursor(maps, place, first_cursor(new))?;
        if former.keeps_localities() {
            localities::forget_service(maps, place)?;
        }
        Ok(())
    }

    /// The prepared table of a service, as the map has it.
    pub(super) fn slots(&self, key: &ServiceKey, scheduler: Scheduler) -> Vec<u8> {
        let members = self.services.get(key).map_or(&[][..], |service| &service.members);
        let raw = |index: &u32| {
            self.destinations.get(index).map_or(RawDestination::EMPTY, |slot| slot.raw)
        };
        let mut slots = match scheduler {
            Scheduler::DestinationHashing => {
                sched::destination_table(members.len()).slots().to_vec()
            }
            Scheduler::SourceHashing(_) => {
                let weight = |index| Candidate { weight: raw(index).weight, ..Default::default() };
                let candidates: Vec<Candidate> = members.iter().map(weight).collect();
                sched::source_table(&candidates).slots().to_vec()
            }
            Scheduler::MaglevHashing(_) => {
                let server = |index| {
                    let raw = raw(index);
                    let Endpoint { address, port } = raw.endpoint();
                    MaglevServer { address, port, weight: raw.last_weight }
                };
                let servers: Vec<MaglevServer> = members.iter().map(server).collect();
                sched::maglev_table(&servers).slots().to_vec()
            }
            Scheduler::RoundRobin
            | Scheduler::WeightedRoundRobin
            | Scheduler::LeastConnection
            | Scheduler::WeightedLeastConnection
            | Scheduler::ShortestExpectedDelay
            | Scheduler::NeverQueue
            | Scheduler::WeightedFailover
            | Scheduler::WeightedOverflow
            | Scheduler::LocalityBased
            | Scheduler::LocalityBasedReplicated
            | Scheduler::TwoChoices => Vec::new(),
        };
        slots.resize(SLOTS_MAX, 0);
        slots
    }

    /// After any change of its destinations weighted round robin begins at the head again, with
    /// its current weight kept where the new weights allow. Kernel: ip_vs_wrr_dest_changed.
    pub(super) fn restart_weighted(
        &mut self,
        maps: &Maps,
        key: ServiceKey,
    ) -> Result<(), EngineError> {
        let Some(service) = self.services.get(&key) else { return Ok(()) };
        let scheduler = self.tables.get(&key).map(|table| table.settings.scheduler);
        if scheduler != Some(Scheduler::WeightedRoundRobin) {
            return Ok(());
        }
        let (place, (most, divisor)) =
            (service.index, service.weights.of(Scheduler::WeightedRoundRobin));
        let current = (self.cursor(maps, place)? >> 32) as u32;
        let current = match current {
            0 => most,
            current if current > most => most,
            current if divisor > 1 => current / divisor * divisor + 1,
            current => current,
        };
        self.move_later(place, u64::from(current) << 32);
        Ok(())
    }

    /// Moves round robin, for the end of the batch.
    pub(super) fn move_cursor(
        &mut self,
        maps: &Maps,
        key: ServiceKey,
        to: impl Fn(u32) -> u32,
    ) -> Result<(), EngineError> {
        let Some(place) = self.services.get(&key).map(|service| service.index) else {
            return Ok(());
        };
        match self.tables.get(&key).map(|table| table.settings.scheduler) {
            Some(Scheduler::RoundRobin | Scheduler::WeightedRoundRobin) => {}
            Some(_) | None => return Ok(()),
        }
        let cursor = self.cursor(maps, place)?;
        self.move_later(place, cursor & !0xffff_ffff | u64::from(to(cursor as u32)));
        Ok(())
    }

    /// Looks at the weights of a service anew.
    pub(super) fn weigh(&mut self, key: &ServiceKey) {
        let destinations = &self.destinations;
        let Some(service) = self.services.get_mut(key) else { return };
        service.weights = Weights::default();
        for index in &service.members {
            service.weights.add(destinations.get(index).map_or(0, |slot| slot.raw.weight));
        }
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// What schedulers want to know of all weights of a service.
#[derive(Clone, Copy, Default)]
pub(super) struct Weights {
    most: u32,
    divisor: u32,
}

impl Weights {
    pub(super) fn add(&mut self, weight: u32) {
        let weight = weight & !LIMITED;
        self.most = self.most.max(weight);
        self.divisor = greatest_common_divisor(self.divisor, weight);
    }

    /// wrr's greatest weight less what the steps cannot tell apart, and the steps. Kernel:
    /// ip_vs_wrr_max_weight, ip_vs_wrr_gcd_weight.
    pub(super) fn of(self, scheduler: Scheduler) -> (u32, u32) {
        let Weights { most, divisor } = self;
        if scheduler == Scheduler::WeightedRoundRobin {
            (most - divisor.saturating_sub(1), divisor.max(1))
        } else {
            (most, divisor.max(1))
        }
    }
}
