//! VRRP routers on one LAN, with a virtual clock.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use model::Time;
use model::status::VrrpState;
use model::vrrp::VrrpInstance;
use proto::vrrp::packet::{GROUP, PROTOCOL, Received};
use proto::vrrp::{Instance, LinkState, Output};

use crate::lan::Lan;
use crate::random::Random;

/// One router of the LAN.
#[derive(Debug)]
struct Station {
    instance: Instance,
    /// Powered on: it hears, and its timers run.
    alive: bool,
    /// It holds the addresses, as told by the instance's outputs.
    holds: bool,
}

/// Routers that share one virtual router, and the LAN between them.
#[derive(Debug)]
pub struct Network {
    /// The LAN, to lose frames and be cut.
    pub lan: Lan,
    now: Time,
    stations: Vec<Station>,
}

impl Network {
    /// Routers with these configurations of the same virtual router; none has started.
    pub fn new(plans: Vec<VrrpInstance>, random: Random) -> Network {
        let station = |plan| Station {
            instance: Instance::new(Arc::new(plan), false),
            alive: false,
            holds: false,
        };
        let stations: Vec<Station> = plans.into_iter().map(station).collect();
        Network { lan: Lan::new(stations.len(), random), now: Time::ZERO, stations }
    }

    /// How many routers there are.
    pub fn stations(&self) -> usize {
        self.stations.len()
    }

    /// The virtual clock.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Starts a router.
    pub fn start(&mut self, station: usize) {
        let now = self.now;
        self.stations[station].alive = true;
        self.stations[station].instance.handle_start(now, link(station), false);
        self.collect(station);
    }

    /// Stops a router in order.
    pub fn stop(&mut self, station: usize) {
        let now = self.now;
        self.stations[station].instance.handle_stop(now);
        self.collect(station);
        self.stations[station].alive = false;
    }

    /// Takes a router's power away: it is silent and holds nothing, without a word.
    pub fn kill(&mut self, station: usize) {
        let plan = self.stations[station].instance.plan().clone();
        let instance = Instance::new(plan, false);
        self.stations[station] = Station { instance, alive: false, holds: false };
    }

    /// Whether a router runs.
    pub fn is_alive(&self, station: usize) -> bool {
        self.stations[station].alive
    }

    /// State of a router.
    pub fn state(&self, station: usize) -> VrrpState {
        self.stations[station].instance.state()
    }

    /// The routers that hold the addresses.
    pub fn holders(&self) -> Vec<usize> {
        (0..self.stations.len()).filter(|&station| self.stations[station].holds).collect()
    }

    /// Longest master-down interval of all routers.
    pub fn master_down_interval(&self) -> Duration {
        let intervals = self.stations.iter().map(|s| s.instance.master_down_interval());
        intervals.max().unwrap_or_default()
    }

    /// Lets the next thing happen, no later than `until`. False when nothing is left before.
    pub fn step(&mut self, until: Time) -> bool {
        let deadlines =
            self.stations.iter().filter(|s| s.alive).map(|s| s.instance.next_deadline());
        let next = deadlines.min().unwrap_or(Time::NEVER).min(self.lan.next_arrival());
        if next > until {
            self.now = until;
            return false;
        }
        self.now = self.now.max(next);
        while let Some(frame) = self.lan.arrive(self.now) {
            let station = &mut self.stations[frame.to];
            if station.alive {
                let received = Received {
                    source: source(frame.from).into(),
                    destination: GROUP.into(),
                    ttl: 255,
                    protocol: PROTOCOL,
                    ipv4_header: &[],
                    payload: &frame.bytes,
                };
                let heard = station.instance.handle_advert(self.now, &received);
                assert_eq!(heard, Ok(()), "an advert of ours is refused by another of us");
                self.collect(frame.to);
            }
        }
        for station in 0..self.stations.len() {
            let Station { instance, alive, .. } = &mut self.stations[station];
            if *alive && instance.next_deadline() <= self.now {
                instance.handle_timeout(self.now);
                self.collect(station);
            }
        }
        true
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while self.step(until) {}
    }

    fn collect(&mut self, from: usize) {
        while let Some(output) = self.stations[from].instance.poll_output() {
            match output {
                Output::SendAdvert(packet) => {
                    self.lan.broadcast(self.now, from, &packet.payload);
                }
                Output::Hold => self.stations[from].holds = true,
                Output::Release => self.stations[from].holds = false,
                Output::Announce { .. } => assert!(self.stations[from].holds),
                Output::Add(_) | Output::Remove(_) | Output::Notice(..) | Output::Alarm(_) => {}
                Output::Transition { to, .. } => {
                    assert_eq!(self.stations[from].holds, to == VrrpState::Master);
                }
            }
        }
    }
}

fn link(station: usize) -> LinkState {
    LinkState { up: true, ipv4: Some(source(station)), ipv6: None }
}

fn source(station: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 0, station as u8 + 1)
}
