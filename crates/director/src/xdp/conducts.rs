//! How services treat their connections: their switches and time-outs, for the program and for
//! those who read the connection tables.

use std::collections::BTreeMap;

use model::layer4::{Conduct, Protocol, State, StateTimeouts, Timeouts};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::object::Maps;
use super::slots::ticks_of;
use crate::EngineError;

const ONE_PACKET: u32 = 1;
const REUSE: u32 = 2;
const REUSE_WAITING: u32 = 4;
const EXPIRE_NODEST: u32 = 8;
const EXPIRE_QUIESCENT: u32 = 16;
const SLOPPY_TCP: u32 = 32;
const SLOPPY_SCTP: u32 = 64;
/// For user space: the program has it in the destinations that left.
const RESET_NODEST: u32 = 128;

/// The bits by their names.
pub(crate) const SWITCHES: [(&str, u32); 8] = [
    ("one_packet", ONE_PACKET),
    ("conn_reuse", REUSE),
    ("conn_reuse_waiting", REUSE_WAITING),
    ("expire_nodest_conn", EXPIRE_NODEST),
    ("expire_quiescent_template", EXPIRE_QUIESCENT),
    ("sloppy_tcp", SLOPPY_TCP),
    ("sloppy_sctp", SLOPPY_SCTP),
    ("reset_nodest_conn", RESET_NODEST),
];

/// Every state's time-out in ticks, as all services have them that have none of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct RawTimeouts {
    ticks: [u32; State::NUMBERS],
    /// Some service has its own.
    own: u32,
    unused: [u32; 3],
}

/// What a service has of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct RawConduct {
    /// 0: that of all services.
    ticks: [u32; State::NUMBERS],
    switches: u32,
    unused: [u32; 3],
}

/// The time-outs in force.
#[derive(Debug)]
pub(crate) struct Conducts {
    all: [u32; State::NUMBERS],
    /// By the service's index.
    own: BTreeMap<u32, [u32; State::NUMBERS]>,
}

impl Default for Conducts {
    /// IPVS's.
    fn default() -> Conducts {
        let mut all = [0; State::NUMBERS];
        for state in State::ALL {
            all[usize::from(state.number)] = ticks_of(state.seconds);
        }
        Conducts { all, own: BTreeMap::new() }
    }
}

impl Conducts {
    /// Ticks without a packet after which a connection of a service in a state ends.
    pub(crate) fn timeout(&self, service: u32, state: usize) -> u32 {
        let own = self.own.get(&service).and_then(|own| own.get(state)).filter(|&&ticks| ticks > 0);
        own.or(self.all.get(state)).copied().unwrap_or_default()
    }

    /// Tells the program what all services have, and whether one has its own.
    pub(crate) fn write(&self, maps: &Maps) -> Result<(), EngineError> {
        let own = u32::from(!self.own.is_empty());
        let raw = RawTimeouts { ticks: self.all, own, unused: [0; 3] };
        maps.timeouts
            .update(0u32.as_bytes(), raw.as_bytes())
            .map_err(EngineError::system("write the timeouts map"))
    }

    /// IPVS's but for those that are set.
    pub(crate) fn set_usual(&mut self, maps: &Maps, set: &Timeouts) -> Result<(), EngineError> {
        let all = usual(set);
        if all == self.all {
            return Ok(());
        }
        self.all = all;
        self.write(maps)
    }

    /// Gives the service with this index its own.
    pub(crate) fn set(
        &mut self,
        maps: &Maps,
        service: u32,
        conduct: &Conduct,
    ) -> Result<(), EngineError> {
        let mut ticks = [0; State::NUMBERS];
        for state in State::ALL {
            let seconds = conduct.timeouts.of(state.number);
            ticks[usize::from(state.number)] = seconds.map_or(0, ticks_of);
        }
        let raw = RawConduct { ticks, switches: switches_number(conduct), unused: [0; 3] };
        maps.conducts
            .update(service.as_bytes(), raw.as_bytes())
            .map_err(EngineError::system("write the conducts map"))?;
        let before = self.own.is_empty();
        match conduct.timeouts.is_empty() {
            true => self.own.remove(&service),
            false => self.own.insert(service, ticks),
        };
        if before != self.own.is_empty() { self.write(maps) } else { Ok(()) }
    }

    /// What an earlier director gave the service with this index.
    pub(crate) fn adopt(&mut self, maps: &Maps, service: u32) -> Result<Conduct, EngineError> {
        let mut raw = RawConduct::new_zeroed();
        maps.conducts
            .lookup(service.as_bytes(), raw.as_mut_bytes())
            .map_err(EngineError::system("read the conducts map"))?;
        let mut timeouts = StateTimeouts::default();
        for state in State::ALL {
            timeouts.set(state.number, seconds_of(raw.ticks[usize::from(state.number)]));
        }
        if !timeouts.is_empty() {
            self.own.insert(service, raw.ticks);
        }
        Ok(conduct_of(raw.switches, timeouts))
    }
}

/// IPVS's but for those that are set: of TCP and UDP alone, as there.
fn usual(set: &Timeouts) -> [u32; State::NUMBERS] {
    let mut all = Conducts::default().all;
    for (protocol, name, span) in [
        (Protocol::Tcp, "ESTABLISHED", set.tcp),
        (Protocol::Tcp, "FIN_WAIT", set.tcp_fin),
        (Protocol::Udp, "UDP", set.udp),
    ] {
        if let Some(state) = State::named(protocol, name) {
            all[usize::from(state.number)] = ticks_of(span.0);
        }
    }
    all
}

/// Whole seconds: ticks are rounded down when they are made.
fn seconds_of(ticks: u32) -> u32 {
    ((u64::from(ticks) << super::slots::TICK_SHIFT).div_ceil(super::slots::SECOND)) as u32
}

/// The switches as the program has them.
pub(crate) fn switches_number(conduct: &Conduct) -> u32 {
    let bit = |on: bool, bit: u32| if on { bit } else { 0 };
    bit(conduct.one_packet, ONE_PACKET)
        | bit(conduct.conn_reuse_mode != 0, REUSE)
        | bit(conduct.conn_reuse_mode & 2 != 0, REUSE_WAITING)
        | bit(conduct.expire_nodest_conn, EXPIRE_NODEST)
        | bit(conduct.reset_nodest_conn, RESET_NODEST)
        | bit(conduct.expire_quiescent_template, EXPIRE_QUIESCENT)
        | bit(conduct.sloppy_tcp, SLOPPY_TCP)
        | bit(conduct.sloppy_sctp, SLOPPY_SCTP)
}

/// The other way. Mode 3 says no more than 2.
pub(crate) fn conduct_of(switches: u32, timeouts: StateTimeouts) -> Conduct {
    let is_set = |bit: u32| switches & bit != 0;
    Conduct {
        one_packet: is_set(ONE_PACKET),
        conn_reuse_mode: match (is_set(REUSE), is_set(REUSE_WAITING)) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => 2,
        },
        expire_nodest_conn: is_set(EXPIRE_NODEST),
        reset_nodest_conn: is_set(RESET_NODEST),
        expire_quiescent_template: is_set(EXPIRE_QUIESCENT),
        sloppy_tcp: is_set(SLOPPY_TCP),
        sloppy_sctp: is_set(SLOPPY_SCTP),
        timeouts,
    }
}

#[cfg(test)]
mod tests {
    use model::units::Seconds;

    use super::*;

    #[test]
    fn the_sizes_are_those_of_the_c_side() {
        assert_eq!((size_of::<RawTimeouts>(), size_of::<RawConduct>()), (144, 144));
    }

    #[test]
    fn switches_come_back_from_their_number() {
        for bits in 0..256 {
            let conduct = conduct_of(bits, StateTimeouts::default());
            let again = conduct_of(switches_number(&conduct), StateTimeouts::default());
            assert_eq!(again, conduct, "{bits}");
        }
        assert_eq!(switches_number(&Conduct::default()), REUSE);
    }

    #[test]
    fn whole_seconds_come_back_from_ticks() {
        for seconds in [1, 2, 3, 7, 60, 61, 299, 900, 86_400, State::SECONDS_MAX] {
            assert_eq!(seconds_of(ticks_of(seconds)), seconds);
        }
        assert_eq!(seconds_of(0), 0);
    }

    #[test]
    fn time_outs_that_are_set_for_all_are_of_the_states_that_ipvsadm_sets() {
        let set = Timeouts { tcp: Seconds(7), tcp_fin: Seconds(8), udp: Seconds(9) };
        let (all, before) = (usual(&set), Conducts::default().all);
        for state in State::ALL {
            let number = usize::from(state.number);
            let expected = match number {
                1 => ticks_of(7),
                4 => ticks_of(8),
                11 => ticks_of(9),
                _ => before[number],
            };
            assert_eq!(all[number], expected, "{} of {}", state.name, state.protocol);
        }
    }

    #[test]
    fn a_service_has_its_own_time_where_it_says_so_and_the_usual_one_elsewhere() {
        let mut conducts = Conducts::default();
        let mut own = [0; State::NUMBERS];
        own[11] = ticks_of(30);
        conducts.own.insert(7, own);
        assert_eq!(conducts.timeout(7, 11), ticks_of(30));
        assert_eq!(conducts.timeout(7, 1), ticks_of(900));
        assert_eq!(conducts.timeout(8, 11), ticks_of(300));
    }
}
