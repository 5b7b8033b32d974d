//! Carrying out what checkers want, and telling them what became of it.

use std::hash::Hash;
use std::io;

use edge::connect::{Datagrams, Echo, cause, is_local_shortage};
use edge::poll::Event;
use edge::spawn::Ended;
use model::Time;
use model::vrrp::Command;
use proto::check::{Exit, Output};

use super::channel::{Channel, Happened};
use super::wheel::Line;
use super::{News, Open, PROGRAMS, ProbeSet};

/// Most that one call does at a stretch of each: 128 connections take two or three milliseconds,
/// and starting a program takes about one.
const TIMEOUTS_AT_ONCE: usize = 1024;
const SOCKETS_AT_ONCE: usize = 128;
const PROGRAMS_AT_ONCE: usize = 8;
/// Most that one channel may bring before others have their turn.
const STEPS_AT_ONCE: usize = 16;

impl<K: Clone + Eq + Hash> ProbeSet<K> {
    /// Does what can be done without waiting, but not for long; returns what checkers have to
    /// tell.
    pub(crate) fn run(&mut self, now: Time) -> io::Result<Vec<(K, News)>> {
        let mut events = std::mem::take(&mut self.events);
        self.poll.wait(&mut events, Time::ZERO)?;
        for event in &events {
            match event.token {
                PROGRAMS => self.handle_programs(now)?,
                _ => self.handle_event(now, *event),
            }
        }
        self.events = events;
        // Every program here is asked to end by its checker.
        self.programs.handle_timeout(now);
        self.handle_deadlines(now);
        self.begin(now, Line::Sockets, SOCKETS_AT_ONCE);
        self.begin(now, Line::Programs, PROGRAMS_AT_ONCE);
        Ok(std::mem::take(&mut self.news))
    }

    /// A probe that takes too long fails; one that is due stands in line.
    fn handle_deadlines(&mut self, now: Time) {
        for _ in 0..TIMEOUTS_AT_ONCE {
            let Some(place) = self.wheel.pop_due(now) else { return };
            let Some(entry) = self.entries[place as usize].as_mut() else { continue };
            if entry.probing {
                entry.checker.handle_timeout(now);
                self.follow(now, place);
            } else {
                self.wheel.stand_in_line(entry.line(), place);
            }
        }
    }

    fn begin(&mut self, now: Time, line: Line, most: usize) {
        for _ in 0..most {
            if !self.has_room(line) {
                return;
            }
            let Some(place) = self.wheel.pop_line(line) else { return };
            let Some(entry) = self.entries[place as usize].as_mut() else { continue };
            self.lateness.record(now.since(entry.checker.next_deadline()));
            entry.checker.handle_timeout(now);
            self.follow(now, place);
        }
    }

    fn handle_event(&mut self, now: Time, event: Event) {
        let (place, number) = (event.token as u32, (event.token >> 32) as u32);
        for _ in 0..STEPS_AT_ONCE {
            let Some(Some(entry)) = self.entries.get_mut(place as usize) else { return };
            let channel = match &mut entry.open {
                Open::Channel(its, channel) if *its == number => channel,
                Open::Channel(..) | Open::Nothing | Open::Program(_) => return,
            };
            let checker = &mut entry.checker;
            match channel.next(&mut self.buffer) {
                Happened::Nothing => return,
                Happened::Connected(outcome) => checker.handle_connected(now, outcome),
                Happened::Bytes(range) => checker.handle_bytes(now, &self.buffer[range]),
                Happened::Ended(outcome) => checker.handle_end(now, outcome),
            }
            self.follow(now, place);
        }
        // More is there, and will be told again.
        if let Some(Some(entry)) = self.entries.get(place as usize)
            && let Open::Channel(_, channel) = &entry.open
        {
            // Fails only for a descriptor that is not in the set, and this one is.
            let _ = self.poll.rearm(channel, event.token);
        }
    }

    fn handle_programs(&mut self, now: Time) -> io::Result<()> {
        for ((place, number), ended) in self.programs.handle_ready()? {
            let Some(Some(entry)) = self.entries.get_mut(place as usize) else { continue };
            match entry.open {
                Open::Program(its) if its == number => entry.open = Open::Nothing,
                Open::Program(_) | Open::Channel(..) | Open::Nothing => continue,
            }
            entry.checker.handle_exited(
                now,
                match ended {
                    Ended::Exited(status) => Exit::Status(status),
                    Ended::Signalled(signal) => Exit::Signal(signal),
                },
            );
            self.follow(now, place);
        }
        Ok(())
    }

    /// Does what the checker wants, then counts and schedules it anew.
    pub(super) fn follow(&mut self, now: Time, place: u32) {
        while let Some(Some(entry)) = self.entries.get_mut(place as usize)
            && let Some(output) = entry.checker.poll_output()
        {
            match output {
                Output::Connect { target, source, tls } => {
                    let channel = Channel::connect(target, &source, tls, &self.tls);
                    self.open(now, place, channel);
                }
                Output::OpenUdp { target, source } => {
                    let channel = Datagrams::open(target, &source).map(Channel::Datagrams);
                    self.open(now, place, channel);
                }
                Output::OpenEcho { target, source } => {
                    // The kernel's numbers for processes have as little meaning.
                    let identifier = self.opened as u16;
                    let echo = Echo::open(target, &source, identifier);
                    self.open(now, place, echo.map(Channel::Echo));
                }
                Output::Run { command } => self.start_program(now, place, &command),
                Output::Send(bytes) => {
                    if let Open::Channel(_, channel) = &mut entry.open
                        && let Err(error) = channel.send(bytes)
                    {
                        let cause = channel.cause(&error);
                        entry.checker.handle_end(now, Err(cause));
                    }
                }
                Output::Close => match std::mem::replace(&mut entry.open, Open::Nothing) {
                    Open::Program(number) => self.end_program(place, number),
                    Open::Channel(..) | Open::Nothing => {}
                },
                Output::Verdict(verdict) => {
                    self.news.push((entry.key.clone(), News::Verdict(verdict)));
                }
                Output::Weight(weight) => {
                    self.news.push((entry.key.clone(), News::Weight(weight)));
                }
                Output::Failure(cause) => {
                    self.news.push((entry.key.clone(), News::Failure(cause)));
                }
            }
        }
        self.count_and_schedule(place);
    }

    fn count_and_schedule(&mut self, place: u32) {
        let Some(Some(entry)) = self.entries.get_mut(place as usize) else { return };
        let probing = entry.checker.is_probing();
        match (entry.line(), entry.probing, probing) {
            (Line::Sockets, false, true) => self.under_way += 1,
            (Line::Sockets, true, false) => self.under_way -= 1,
            (Line::Sockets, false, false)
            | (Line::Sockets, true, true)
            | (Line::Programs, _, _) => {}
        }
        entry.probing = probing;
        self.wheel.schedule(place, entry.checker.next_deadline());
    }

    /// The channel that a checker asked for is open, or begins to be, or cannot be.
    fn open(&mut self, now: Time, place: u32, channel: io::Result<Channel>) {
        let Some(entry) = self.entries[place as usize].as_mut() else { return };
        self.opened = self.opened.wrapping_add(1);
        let token = u64::from(self.opened) << 32 | u64::from(place);
        let added = channel.and_then(|channel| {
            self.poll.add_edge(&channel, token)?;
            Ok(channel)
        });
        match added {
            Ok(channel) => {
                let is_open = channel.is_connectionless();
                entry.open = Open::Channel(self.opened, channel);
                if is_open {
                    entry.checker.handle_connected(now, Ok(()));
                }
            }
            Err(error) if is_local_shortage(&error) => {
                entry.checker.handle_postponed(now);
                self.shortage.handle(now, error.to_string());
            }
            Err(error) => entry.checker.handle_connected(now, Err(cause(&error))),
        }
    }

    fn start_program(&mut self, now: Time, place: u32, command: &Command) {
        let Some(entry) = self.entries[place as usize].as_mut() else { return };
        self.opened = self.opened.wrapping_add(1);
        // Its checker says when its time is over.
        match self.programs.try_start(now, command, &[], (place, self.opened), None) {
            Ok(()) => entry.open = Open::Program(self.opened),
            Err(not) if not.shortage => {
                entry.checker.handle_postponed(now);
                self.shortage.handle(now, not.text);
            }
            Err(not) => entry.checker.handle_exited(now, Exit::NotStarted(not.text)),
        }
    }

    pub(super) fn end_program(&mut self, place: u32, number: u32) {
        let now = edge::clock::now();
        self.programs.terminate(now, |purpose| *purpose == (place, number));
    }
}
