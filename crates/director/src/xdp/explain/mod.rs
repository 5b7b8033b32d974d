//! What the data plane would do with a packet: its own program, over a copy of the tables as they
//! are, in the process of whoever asks. Nothing is sent, counted or changed.

mod copy;
mod frame;
mod live;
mod outgoing;
mod words;

use std::path::Path;

use model::vrrp::Family;

use self::copy::Copy;
pub use self::frame::Question;
use self::live::Live;
use super::object::Object;
use crate::EngineError;

/// What would become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketFate {
    /// It goes on, to a server or a client, or its sender is answered.
    Forwarded,
    /// The kernel gets it.
    Passed,
    /// It ends here.
    Dropped,
}

/// The way of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Interface that it comes in by.
    pub interface: String,
    /// What happens to it, in order, a sentence each.
    pub steps: Vec<String>,
    /// How it ends.
    pub fate: PacketFate,
    /// Why: the data plane's counter that it would move, and what that means.
    pub reason: String,
    /// The packet as it goes on: a line for each header.
    pub packet: Vec<String>,
}

/// Runs the program on a packet over a copy of the tables pinned in `pins`. It comes in by the
/// interface `on`, or else by the one that leads to where it comes from. An error is that there is
/// no data plane, that we may not look at it, or that there is no such interface.
pub fn explain(
    pins: &Path,
    question: &Question,
    on: Option<&str>,
) -> Result<Explanation, EngineError> {
    let family = if question.to.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 };
    let mut live = Live::open(pins, question.from, on)?;
    let interface = live.interface_name(live.interface);
    if live.entry.takes_part == 0 {
        let reason = format!("the data plane takes no part on {interface}");
        let (steps, packet) = Default::default();
        return Ok(Explanation { interface, steps, fate: PacketFate::Passed, reason, packet });
    }
    let copy = Copy::load(pins, family, live.interface)?;
    copy.fill(&mut live, question)?;
    let before = copy.counters()?;
    let run = copy.forward(&frame::frame(question, live.entry.mac))?;
    let after = copy.counters()?;
    let moved = Object::counters_explained()
        .zip(before.iter().zip(&after))
        .filter(|(_, (before, after))| before != after)
        .map(|(counter, _)| counter);
    let reason = words::reason(moved.collect());
    let told = copy.told()?;
    let (fate, packet) = match run.action {
        XDP_DROP => (PacketFate::Dropped, Vec::new()),
        XDP_PASS => (PacketFate::Passed, outgoing::changed(question, &run.packet)),
        _ => (PacketFate::Forwarded, outgoing::lines(&run.packet)),
    };
    let steps = words::steps(&live, &told);
    Ok(Explanation { interface, steps, fate, reason, packet })
}

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
