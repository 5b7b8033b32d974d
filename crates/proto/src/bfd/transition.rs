//! The state machine (RFC 5880 6.2 and 6.8.6).

use core::fmt;

/// State of a session, ours or the neighbour's, in the numbers of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Held down by an administrator, or stopping.
    AdminDown,
    /// Nothing is heard of the neighbour, or it does not hear us.
    Down,
    /// The neighbour is heard, and does not hear us yet.
    Init,
    /// Both hear each other.
    Up,
}

impl State {
    /// From two bits.
    pub(super) fn from_wire(bits: u8) -> State {
        match bits & 3 {
            0 => State::AdminDown,
            1 => State::Down,
            2 => State::Init,
            _ => State::Up,
        }
    }

    /// To two bits.
    pub(super) fn to_wire(self) -> u8 {
        match self {
            State::AdminDown => 0,
            State::Down => 1,
            State::Init => 2,
            State::Up => 3,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::AdminDown => "AdminDown",
            State::Down => "Down",
            State::Init => "Init",
            State::Up => "Up",
        })
    }
}

/// Why our state last changed, in the numbers of the wire (RFC 5880 4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Diagnostic {
    /// No cause.
    #[default]
    None,
    /// Nothing was heard for a detection time.
    Expired,
    /// The neighbour said that its session is down.
    NeighbourDown,
    /// We are stopping.
    AdminDown,
}

impl Diagnostic {
    /// To five bits.
    pub(super) fn to_wire(self) -> u8 {
        match self {
            Diagnostic::None => 0,
            Diagnostic::Expired => 1,
            Diagnostic::NeighbourDown => 3,
            Diagnostic::AdminDown => 7,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Diagnostic::None => "no diagnostic",
            Diagnostic::Expired => "detection time expired",
            Diagnostic::NeighbourDown => "neighbour signalled session down",
            Diagnostic::AdminDown => "administratively down",
        })
    }
}

/// Our next state after a packet that carries the neighbour's.
pub(super) fn next(ours: State, theirs: State) -> State {
    use State::{AdminDown, Down, Init, Up};
    match (ours, theirs) {
        (AdminDown, AdminDown | Down | Init | Up) => AdminDown,
        (Down, AdminDown) => Down,
        (Down, Down) => Init,
        (Down, Init) => Up,
        // It has not noticed yet that we were down.
        (Down, Up) => Down,
        (Init, AdminDown) => Down,
        (Init, Down) => Init,
        (Init, Init | Up) => Up,
        (Up, AdminDown | Down) => Down,
        (Up, Init | Up) => Up,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table_reads_as_rfc_5880_6_8_6() {
        let states = [State::AdminDown, State::Down, State::Init, State::Up];
        let row = |ours| states.map(|theirs| next(ours, theirs));
        use State::{AdminDown, Down, Init, Up};
        assert_eq!(row(AdminDown), [AdminDown; 4]);
        assert_eq!(row(Down), [Down, Init, Up, Down]);
        assert_eq!(row(Init), [Down, Init, Up, Up]);
        assert_eq!(row(Up), [Down, Down, Up, Up]);
        assert!(states.iter().all(|state| State::from_wire(state.to_wire()) == *state));
    }
}
