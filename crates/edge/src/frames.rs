//! Many short Ethernet frames at once, as measurements need them.

use std::io;
use std::os::fd::OwnedFd;

use crate::batch::{Address, Batch, Control, HEAD_MAX, Message};
use crate::sockopt;

/// Bytes of a frame here: the least that Ethernet has, without its check sequence.
pub const FRAME: usize = 60;

/// An AF_PACKET socket that sends and receives nothing. Needs CAP_NET_RAW.
pub struct Frames {
    socket: OwnedFd,
    batch: Batch,
    interface: u32,
}

impl Frames {
    /// Opens it in this thread's network namespace, for the interface with this index.
    pub fn open(interface: u32) -> io::Result<Frames> {
        // Protocol 0 receives nothing.
        let socket = sockopt::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
        Ok(Frames { socket, batch: Batch::new(), interface })
    }

    /// Sends whole frames, in their order, with one system call for every 512. Never waits;
    /// returns how many were not taken.
    pub fn send(&mut self, frames: impl Iterator<Item = [u8; FRAME]>) -> usize {
        let interface = self.interface;
        let message = |frame: [u8; FRAME]| {
            let mut head = [0; HEAD_MAX];
            head[..FRAME].copy_from_slice(&frame);
            let protocol = u16::from_be_bytes([frame[12], frame[13]]);
            let mac = [frame[0], frame[1], frame[2], frame[3], frame[4], frame[5]];
            let to = Address::Link { interface, protocol, mac };
            Message { head, head_length: FRAME, payload: &[], to, control: Control::Nothing }
        };
        let mut refused = 0;
        self.batch.send(&self.socket, frames.map(message).enumerate(), |_, _| refused += 1);
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_the_interface_does_not_take_are_counted() {
        let Ok(mut frames) = Frames::open(u32::MAX >> 1) else {
            println!("skipped: no CAP_NET_RAW");
            return;
        };
        assert_eq!(frames.send([[0; FRAME]; 3].into_iter()), 3);
    }
}
