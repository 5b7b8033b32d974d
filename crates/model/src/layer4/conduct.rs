//! How a service treats its connections beyond choosing for them: IPVS's switches, and time-outs.

use serde::{Deserialize, Serialize};

use super::Protocol;

/// Settings of a service by the names that IPVS has for them under `net.ipv4.vs`; there they are
/// switches for all services of a machine. The defaults are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Conduct {
    /// Every UDP packet is scheduled by itself and leaves no connection behind (`ops`).
    pub one_packet: bool,
    /// Bits (`conn_reuse_mode`). Not 0: a new connection from the port of one that has ended is
    /// scheduled anew. 2: also while that one waits in FIN_WAIT and its answers are not seen.
    pub conn_reuse_mode: u8,
    /// Connections whose server left end at once, and new ones at the port of one whose server has
    /// weight 0 are scheduled anew (`expire_nodest_conn`).
    pub expire_nodest_conn: bool,
    /// Whoever sends a packet of a TCP connection whose server left gets an RST.
    pub reset_nodest_conn: bool,
    /// Templates end whose server has weight 0 (`expire_quiescent_template`).
    pub expire_quiescent_template: bool,
    /// TCP connections may begin with any segment but RST (`sloppy_tcp`).
    pub sloppy_tcp: bool,
    /// SCTP associations may begin with any chunk (`sloppy_sctp`).
    pub sloppy_sctp: bool,
    /// Time-outs of its own.
    pub timeouts: StateTimeouts,
}

impl Conduct {
    /// Greatest `conn_reuse_mode`.
    pub const REUSE_MODE_MAX: u8 = 3;
}

impl Default for Conduct {
    fn default() -> Conduct {
        Conduct {
            one_packet: false,
            conn_reuse_mode: 1,
            expire_nodest_conn: false,
            reset_nodest_conn: false,
            expire_quiescent_template: false,
            sloppy_tcp: false,
            sloppy_sctp: false,
            timeouts: StateTimeouts::default(),
        }
    }
}

/// A state of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Whose it is.
    pub protocol: Protocol,
    /// IPVS's name for it, as `ipvsadm -Lnc` shows it.
    pub name: &'static str,
    /// The number under which tables know it, below [`State::NUMBERS`].
    pub number: u8,
    /// Seconds without a packet after which a connection in it ends, as in IPVS.
    pub seconds: u32,
}

const fn state(protocol: Protocol, number: u8, name: &'static str, seconds: u32) -> State {
    State { protocol, name, number, seconds }
}

impl State {
    /// Bound of the numbers.
    pub const NUMBERS: usize = 32;
    /// Longest time-out in seconds: IPVS's bound for those of ipvsadm, 24 days.
    pub const SECONDS_MAX: u32 = 2_147_483;

    /// Every state. Kernel: net/netfilter/ipvs/ip_vs_proto_tcp.c, ip_vs_proto_udp.c and
    /// ip_vs_proto_sctp.c.
    pub const ALL: [State; 26] = [
        state(Protocol::Tcp, 0, "NONE", 2),
        state(Protocol::Tcp, 1, "ESTABLISHED", 900),
        state(Protocol::Tcp, 2, "SYN_SENT", 120),
        state(Protocol::Tcp, 3, "SYN_RECV", 60),
        state(Protocol::Tcp, 4, "FIN_WAIT", 120),
        state(Protocol::Tcp, 5, "TIME_WAIT", 120),
        state(Protocol::Tcp, 6, "CLOSE", 10),
        state(Protocol::Tcp, 7, "CLOSE_WAIT", 60),
        state(Protocol::Tcp, 8, "LAST_ACK", 30),
        state(Protocol::Tcp, 9, "LISTEN", 120),
        state(Protocol::Tcp, 10, "SYNACK", 120),
        state(Protocol::Udp, 11, "UDP", 300),
        state(Protocol::Sctp, 16, "NONE", 2),
        state(Protocol::Sctp, 17, "INIT1", 4),
        state(Protocol::Sctp, 18, "INIT", 61),
        state(Protocol::Sctp, 19, "C-SENT", 61),
        state(Protocol::Sctp, 20, "C-REPLIED", 61),
        state(Protocol::Sctp, 21, "C-WAIT", 61),
        state(Protocol::Sctp, 22, "COOKIE", 61),
        state(Protocol::Sctp, 23, "C-ECHOED", 61),
        state(Protocol::Sctp, 24, "ESTABLISHED", 900),
        state(Protocol::Sctp, 25, "S-SENT", 61),
        state(Protocol::Sctp, 26, "S-RECEIVED", 61),
        state(Protocol::Sctp, 27, "S-ACK-SENT", 61),
        state(Protocol::Sctp, 28, "REJECTED", 4),
        state(Protocol::Sctp, 29, "CLOSED", 61),
    ];

    /// The one with a name, in any case.
    pub fn named(protocol: Protocol, name: &str) -> Option<State> {
        let fits = |one: &State| one.protocol == protocol && one.name.eq_ignore_ascii_case(name);
        State::ALL.into_iter().find(fits)
    }

    /// The one with a number.
    pub fn numbered(number: u8) -> Option<State> {
        State::ALL.into_iter().find(|one| one.number == number)
    }
}

/// Seconds by state, where they are other ones than usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StateTimeouts([u32; State::NUMBERS]);

impl StateTimeouts {
    /// Those of a state, if it has its own.
    pub fn of(&self, number: u8) -> Option<u32> {
        self.0.get(usize::from(number)).copied().filter(|&seconds| seconds > 0)
    }

    /// Gives a state its own. 0 takes them away.
    pub fn set(&mut self, number: u8, seconds: u32) {
        if let Some(own) = self.0.get_mut(usize::from(number)) {
            *own = seconds;
        }
    }

    /// No state has its own.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&seconds| seconds == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_found_by_name_within_their_protocol_and_by_number() {
        for one in State::ALL {
            assert!(usize::from(one.number) < State::NUMBERS);
            assert_eq!(State::numbered(one.number), Some(one));
            assert_eq!(State::named(one.protocol, &one.name.to_lowercase()), Some(one));
        }
        assert_eq!(State::named(Protocol::Udp, "ESTABLISHED"), None);
    }

    #[test]
    fn a_time_out_of_its_own_is_one_above_zero() {
        let mut own = StateTimeouts::default();
        assert!(own.is_empty());
        own.set(24, 3600);
        assert_eq!((own.of(24), own.of(1)), (Some(3600), None));
        own.set(24, 0);
        assert!(own.is_empty() && own.of(24).is_none());
    }
}
