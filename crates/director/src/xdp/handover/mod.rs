//! Takes over from maps of another layout, older or newer, without a moment in which a packet of
//! a known connection meets nobody who knows it.
//!
//! Our program is attached in the place of the former one by one update of each link, over maps
//! that know the services and no connection yet. What it does not know it passes to the former
//! program, a tail call further, which answers with its own maps and goes on opening the new
//! connections. Meanwhile the connections are copied, a slice at a time: each one is ours as soon
//! as it is here. Then ours opens the new ones, except those that the former program may have
//! opened since (bpf/handover.h), until a second round has copied these too; and after a third one
//! nobody needs the former program and its maps any more.
//!
//! What another layout is like, its manifest says. The directory of its pins is renamed before
//! anything else, so that whoever starts next knows it for one that is being left, and goes on.

mod arrivals;
mod manifest;
mod ours;
mod source;

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge::bpf::{Map, open_pinned};
use edge::gate::GATE_NAME;
use edge::{bpf_programs, clock};
use model::Time;
use model::vrrp::Family;

use self::arrivals::take;
pub(super) use self::arrivals::{Arrival, TAKE_MAX, packet_of};
pub(super) use self::ours::manifest as our_manifest;
pub(super) use self::source::{
    FoundConnection, FoundDestination, FoundService, Source, write_manifest,
};
use super::layout::LAYOUT;
use super::object::{FORWARD, LINKS, Object};
use super::slots::TICK_SHIFT;
use super::tables::TableState;
use super::tc::PLACES;

/// What the name of a directory begins with whose maps are being left.
const LEFT: &str = "former-";
/// What every packet that is on its way is done after.
const GRACE: Duration = Duration::from_millis(50);
/// Pause between two slices.
const SLICE_EVERY: Duration = Duration::from_millis(4);
/// Pause after a failure.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Slots between two looks at the clock.
const SLICE: u32 = 64;
/// Noted keys forgotten between two looks at the clock.
const FORGET: usize = 256;

/// The forwarding program in XDP: the name of its pin.
pub(super) const PINNED_FORWARD: &str = "program_forward";

/// Who opens new connections: bpf/handover.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Phase {
    None = 0,
    FormerOpens = 1,
    FormerKnows = 2,
    Finish = 3,
    Done = 4,
}

impl Phase {
    pub(super) fn of(number: u32) -> Phase {
        match number {
            1 => Phase::FormerOpens,
            2 => Phase::FormerKnows,
            3 => Phase::Finish,
            4 => Phase::Done,
            _ => Phase::None,
        }
    }
}

/// Maps of other layouts that were found at a start.
pub(super) struct Former {
    sources: Vec<Source>,
    /// What could not be read, for the log.
    pub(super) unreadable: Vec<String>,
}

impl Former {
    /// Those in the directory of the pins, renamed.
    pub(super) fn find(pins: &Path) -> io::Result<Former> {
        let mut former = Former { sources: Vec::new(), unreadable: Vec::new() };
        let Ok(entries) = fs::read_dir(pins) else { return Ok(former) };
        let names = entries.flatten().filter(|entry| entry.path().is_dir());
        let names: Vec<String> =
            names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        let ours = [LAYOUT, LINKS, GATE_NAME];
        for name in names.iter().filter(|name| !ours.contains(&name.as_str())) {
            let directory = leave(pins, name, &names)?;
            let layout = name.strip_prefix(LEFT).unwrap_or(name);
            // A number of ours behind it tells two of the same name apart.
            let layout = layout.split('-').next().unwrap_or(layout);
            match Source::open(&directory, layout) {
                // The one in use comes first; those before it were being left already.
                Ok(source) if name.starts_with(LEFT) => former.sources.push(source),
                Ok(source) => former.sources.insert(0, source),
                Err(reason) => former
                    .unreadable
                    .push(format!("the connections of layout {layout} are lost, for {reason}")),
            }
        }
        Ok(former)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Connections and templates of a family that there may be.
    pub(super) fn room(&self, family: Family) -> u32 {
        self.sources.iter().map(|source| source.room(family)).max().unwrap_or(0)
    }

    /// Its services and destinations: those of the layout that was in use.
    pub(super) fn tables(&self) -> Result<(Vec<FoundService>, Vec<FoundDestination>), String> {
        let Some(source) = self.sources.first() else { return Ok(Default::default()) };
        Ok((source.services()?, source.destinations()?))
    }

    /// Puts the former programs where ours pass on what they do not know. False if there are none
    /// to be had: then nothing was attached, or we may not ask for them.
    pub(super) fn engage(&self, object: &Object) -> io::Result<bool> {
        let Some(source) = self.sources.first() else { return Ok(false) };
        let Some(forward) = program(source, PINNED_FORWARD, FORWARD) else { return Ok(false) };
        let at_tc = PLACES.map(|(pin, name)| program(source, pin, name));
        object.set_former(
            Some(forward.as_fd()),
            at_tc.each_ref().map(|program| program.as_ref().map(AsFd::as_fd)),
        )?;
        Ok(true)
    }
}

/// The new place of the pins of a layout that is being left.
fn leave(pins: &Path, name: &str, names: &[String]) -> io::Result<PathBuf> {
    if name.starts_with(LEFT) {
        return Ok(pins.join(name));
    }
    let mut left = format!("{LEFT}{name}");
    let mut number = 1;
    while names.contains(&left) {
        number += 1;
        left = format!("{LEFT}{name}-{number}");
    }
    fs::rename(pins.join(name), pins.join(&left))?;
    Ok(pins.join(left))
}

/// A program of a layout: pinned beside its maps or, as version 5 did not do that, whichever of
/// that name uses them.
fn program(source: &Source, pin: &str, name: &str) -> Option<OwnedFd> {
    let path = source.directory.join(pin);
    if path.exists() {
        return open_pinned(&path).ok();
    }
    let map = &source.manifest.all("connections").next()?.map;
    let map = Map::open(&source.directory.join(map)).ok()?;
    bpf_programs::user_of(&map, name).ok().flatten()
}

/// The copying.
pub(super) struct Handover {
    sources: Vec<Source>,
    stage: Stage,
    next: Time,
    /// Where the walk over all tables stands.
    at: Place,
    /// Who of each slot was copied, by source and table.
    copied: Vec<Vec<Vec<u32>>>,
    arrivals: Vec<Arrival>,
    /// Those copied last: a packet may have changed them meanwhile.
    recent: Vec<Recent>,
    room: Vec<u64>,
    pub(super) begun: Time,
    /// Connections and templates that are here now, and those that could not be taken.
    pub(super) moved: usize,
    pub(super) lost: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    source: usize,
    table: usize,
    slot: u32,
}

struct Recent {
    place: Place,
    owner: u32,
    state: u8,
    arrival: Arrival,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Waits until all packets know what phase it is, then walks.
    Settling(Phase),
    Walking(Phase),
    Forgetting,
    Over,
}

impl Handover {
    /// Begins in this phase: the links have our programs.
    pub(super) fn new(former: Former, phase: Phase, now: Time) -> Handover {
        let blank = |source: &Source| {
            source.connections.iter().map(|table| vec![0; table.count() as usize]).collect()
        };
        Handover {
            copied: former.sources.iter().map(blank).collect(),
            sources: former.sources,
            stage: Stage::Settling(phase),
            next: now + GRACE,
            at: Place::default(),
            arrivals: Vec::new(),
            recent: Vec::new(),
            room: Vec::new(),
            begun: now,
            moved: 0,
            lost: 0,
        }
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.next
    }

    /// Something failed: tries again in a while.
    pub(super) fn put_off(&mut self, now: Time) {
        self.next = now + RETRY_EVERY;
    }

    /// Goes on for about `budget`, if it is time. True when all is done.
    pub(super) fn handle_timeout(
        &mut self,
        object: &Object,
        state: &TableState,
        now: Time,
        budget: Duration,
    ) -> io::Result<bool> {
        if now < self.next {
            return Ok(false);
        }
        self.next = now + SLICE_EVERY;
        self.look_again(object)?;
        match self.stage {
            Stage::Settling(phase) => self.stage = Stage::Walking(phase),
            Stage::Walking(phase) => {
                if self.walk(object, state, budget)? {
                    self.walked(object, phase, now)?;
                }
            }
            Stage::Forgetting => {
                if object.maps.forget_relayed(FORGET)? {
                    self.end(object)?;
                }
            }
            Stage::Over => {}
        }
        Ok(self.stage == Stage::Over)
    }

    /// A round is over.
    fn walked(&mut self, object: &Object, phase: Phase, now: Time) -> io::Result<()> {
        self.at = Place::default();
        let next = match phase {
            Phase::FormerOpens => Phase::FormerKnows,
            Phase::FormerKnows => Phase::Finish,
            Phase::None | Phase::Finish | Phase::Done => {
                self.stage = Stage::Forgetting;
                self.next = now + GRACE;
                return Ok(());
            }
        };
        object.maps.set_phase(next)?;
        self.stage = Stage::Settling(next);
        self.next = now + GRACE;
        Ok(())
    }

    /// Nobody needs the former maps any more.
    fn end(&mut self, object: &Object) -> io::Result<()> {
        object.maps.set_phase(Phase::Done)?;
        object.set_former(None, [None; 4])?;
        for source in self.sources.drain(..) {
            fs::remove_dir_all(&source.directory)?;
        }
        self.copied = Vec::new();
        self.stage = Stage::Over;
        Ok(())
    }

    /// Walks on for about `budget`. True at the end of the last table.
    fn walk(&mut self, object: &Object, state: &TableState, budget: Duration) -> io::Result<bool> {
        let begun = clock::now();
        loop {
            for _ in 0..SLICE {
                let Some(source) = self.sources.get(self.at.source) else {
                    self.hand_over(object)?;
                    return Ok(true);
                };
                match source.connections.get(self.at.table) {
                    None => self.at = Place { source: self.at.source + 1, ..Place::default() },
                    Some(table) if self.at.slot >= table.count() => {
                        self.hand_over(object)?;
                        self.at = Place { table: self.at.table + 1, slot: 0, ..self.at };
                    }
                    Some(_) => {
                        self.copy(state, self.at);
                        self.at.slot += 1;
                    }
                }
                // A connection may bring its template.
                if self.arrivals.len() + 2 > TAKE_MAX {
                    self.hand_over(object)?;
                }
            }
            if clock::now().since(begun) >= budget {
                self.hand_over(object)?;
                return Ok(false);
            }
        }
    }

    fn hand_over(&mut self, object: &Object) -> io::Result<()> {
        let count = self.arrivals.len();
        if count == 0 {
            return Ok(());
        }
        let family = self.sources[self.at.source].connections[self.at.table].family;
        let taken = take(object, family, &mut self.arrivals)?;
        self.moved += taken;
        self.lost += count.saturating_sub(taken);
        Ok(())
    }

    /// Who has a slot, if it was not copied yet.
    fn copy(&mut self, state: &TableState, place: Place) {
        let source = &mut self.sources[place.source];
        let table = &source.connections[place.table];
        let Some(found) = table.read(place.slot, &mut self.room) else { return };
        let copied = &mut self.copied[place.source][place.table];
        if copied[place.slot as usize] == found.owner {
            return;
        }
        copied[place.slot as usize] = found.owner;
        let template = found
            .template
            .and_then(|slot| table.read(slot, &mut self.room).map(|found| (slot, found)));
        let tick = source.manifest.tick;
        let Some(arrival) = arrival(source, state, &found, tick) else {
            self.lost += 1;
            return;
        };
        let arrival = match template {
            Some((slot, template)) if template.is_template => {
                // First itself, if its turn has not come yet.
                if copied[slot as usize] != template.owner {
                    copied[slot as usize] = template.owner;
                    self.arrivals.extend(self::arrival(source, state, &template, tick));
                }
                arrival.through(&template)
            }
            Some(_) | None => arrival,
        };
        self.arrivals.push(arrival);
        if !found.is_template {
            let (owner, state) = (found.owner, found.state);
            self.recent.push(Recent { place, owner, state, arrival });
        }
    }

    /// The states of those copied a slice ago.
    fn look_again(&mut self, object: &Object) -> io::Result<()> {
        let mut changed = Vec::new();
        for recent in self.recent.drain(..) {
            let table = &self.sources[recent.place.source].connections[recent.place.table];
            let found = table.read(recent.place.slot, &mut self.room);
            if let Some(found) = found
                && found.owner == recent.owner
                && found.state != recent.state
            {
                changed.push((table.family, recent.arrival.changed_to(found.state)));
            }
        }
        for family in [Family::Ipv4, Family::Ipv6] {
            let of_it = changed.iter().filter(|(of, _)| *of == family);
            let of_it: Vec<Arrival> = of_it.map(|(_, arrival)| *arrival).collect();
            for some in of_it.chunks(TAKE_MAX) {
                take(object, family, &mut some.to_vec())?;
            }
        }
        Ok(())
    }
}

/// A connection as it is to arrive here; none if its server is unknown here.
fn arrival(
    source: &mut Source,
    state: &TableState,
    found: &FoundConnection,
    tick: u32,
) -> Option<Arrival> {
    let (service, endpoint) = source.destination(found.destination)?;
    let destination = state.index_of(service, endpoint)?;
    let now = clock::now();
    let theirs = (now.as_nanos() >> tick) as u32;
    let age = if found.is_template {
        let left = found.seen.wrapping_sub(theirs) as i32;
        let left = u64::try_from(left).unwrap_or(0) << tick;
        u32::try_from(left.div_ceil(1_000_000_000)).unwrap_or(u32::MAX)
    } else {
        let since = theirs.wrapping_sub(found.seen) as i32;
        let since = u64::try_from(since).unwrap_or(0) << tick;
        u32::try_from(since >> TICK_SHIFT).unwrap_or(u32::MAX)
    };
    let service = state.service_index(service).unwrap_or(0);
    Some(Arrival::new(found, destination, service, age))
}
