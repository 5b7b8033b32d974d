//! Connections on their way into our tables: Rust's side of bpf/take.h.

use std::io;

use model::vrrp::Family;
use zerocopy::big_endian::U16;
use zerocopy::{Immutable, IntoBytes};

use super::super::layout::wide;
use super::super::object::Object;
use super::source::FoundConnection;

/// Records of one run of the program.
pub(crate) const TAKE_MAX: usize = 32;

const TEMPLATE: u8 = 1;
const THROUGH: u8 = 2;
const CHANGED: u8 = 4;

/// One connection or template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoBytes, Immutable)]
#[repr(C)]
pub(crate) struct Arrival {
    client: [u8; 16],
    address: [u8; 16],
    template_client: [u8; 16],
    client_port: U16,
    port: U16,
    template_port: U16,
    protocol: u8,
    state: u8,
    was: u8,
    flags: u8,
    unused: u16,
    destination: u32,
    service: u32,
    age: u32,
}

impl Arrival {
    /// What was found, going to a destination here, last seen so many ticks ago; of a template,
    /// its time is over in so many seconds.
    pub(crate) fn new(
        found: &FoundConnection,
        destination: u32,
        service: u32,
        age: u32,
    ) -> Arrival {
        Arrival {
            client: wide(found.client),
            address: wide(found.address),
            template_client: [0; 16],
            client_port: found.client_port.into(),
            port: found.port.into(),
            template_port: U16::ZERO,
            protocol: found.protocol,
            state: found.state,
            was: found.state,
            flags: if found.is_template { TEMPLATE } else { 0 },
            unused: 0,
            destination,
            service,
            age,
        }
    }

    /// The same, made through a template.
    pub(crate) fn through(self, template: &FoundConnection) -> Arrival {
        let template_client = wide(template.client);
        let template_port = template.port.into();
        Arrival { template_client, template_port, flags: self.flags | THROUGH, ..self }
    }

    /// It arrived like this, and is in another state by now.
    pub(crate) fn changed_to(self, state: u8) -> Arrival {
        Arrival { state, flags: CHANGED, ..self }
    }
}

/// The packet by which the program gets to know them: [`TAKE_MAX`] at most.
pub(crate) fn packet_of(arrivals: &[Arrival]) -> Vec<u8> {
    let mut packet = vec![0; 12];
    packet.extend_from_slice((arrivals.len() as u32).as_bytes());
    packet.extend_from_slice(arrivals.as_bytes());
    packet
}

/// Lets the program take those that arrive, and empties the list. How many are here now.
pub(super) fn take(
    object: &Object,
    family: Family,
    arrivals: &mut Vec<Arrival>,
) -> io::Result<usize> {
    let packet = packet_of(arrivals);
    arrivals.clear();
    Ok(object.take(family, &packet)?.action as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrival_is_as_large_as_on_the_c_side() {
        assert_eq!(size_of::<Arrival>(), 72);
        // A run's packet is one page with its headroom.
        assert!(16 + TAKE_MAX * size_of::<Arrival>() < 3000);
    }
}
