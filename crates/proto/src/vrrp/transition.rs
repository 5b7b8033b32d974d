//! The state machine of RFC 3768 6.4, with Keepalived's FAULT and groups: every state with every
//! event.

use core::fmt;
use core::net::IpAddr;

use model::status::VrrpState::{self, Backup, Fault, Init, Master};

/// What can make an instance change state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Starts, its interface ready.
    Start,
    /// Starts as owner of the addresses, its interface ready.
    StartOwner,
    /// Starts without a usable interface.
    StartDown,
    /// Starts as successor of a master that was killed and whose addresses are still there.
    Resume,
    /// The interface went down, vanished or lost its address.
    LinkDown,
    /// The interface is usable again.
    LinkUp,
    /// The interface of the addresses' owner is usable again.
    LinkUpOwner,
    /// No master was heard in time.
    MasterDownExpired,
    /// An advert won the election against us.
    StrongerAdvert,
    /// Every member of the group is ready to be master.
    GroupMaster,
    /// A member of the group stepped back, or the last faulty one recovered.
    GroupBackup,
    /// A member of the group is faulty.
    GroupFault,
    /// Told to stop.
    Stop,
}

/// The state after `event` in `state`.
pub fn next(state: VrrpState, event: Event) -> VrrpState {
    use Event::{
        GroupBackup, GroupFault, GroupMaster, LinkDown, LinkUp, LinkUpOwner, MasterDownExpired,
        Resume, Start, StartDown, StartOwner, Stop, StrongerAdvert,
    };
    match (state, event) {
        (Init, Start) => Backup,
        (Init, StartOwner | Resume) => Master,
        (Init, StartDown) => Fault,
        (Init, LinkDown | LinkUp | LinkUpOwner | MasterDownExpired | StrongerAdvert) => Init,
        (Init, GroupMaster | GroupBackup | GroupFault | Stop) => Init,

        (Backup, MasterDownExpired | GroupMaster) => Master,
        (Backup, LinkDown | GroupFault) => Fault,
        (Backup, Start | StartOwner | StartDown | Resume) => Backup,
        (Backup, LinkUp | LinkUpOwner | StrongerAdvert | GroupBackup) => Backup,
        (Backup, Stop) => Init,

        (Master, StrongerAdvert | GroupBackup) => Backup,
        (Master, LinkDown | GroupFault) => Fault,
        (Master, Start | StartOwner | StartDown | Resume) => Master,
        (Master, LinkUp | LinkUpOwner | MasterDownExpired | GroupMaster) => Master,
        (Master, Stop) => Init,

        (Fault, LinkUp | GroupBackup) => Backup,
        (Fault, LinkUpOwner) => Master,
        (Fault, Start | StartOwner | StartDown | Resume) => Fault,
        (Fault, LinkDown | MasterDownExpired | StrongerAdvert | GroupMaster | GroupFault) => Fault,
        (Fault, Stop) => Init,
    }
}

/// Why a state changed, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was started.
    Started,
    /// It owns the addresses (priority 255).
    Owner,
    /// It goes on where its killed predecessor was.
    Resumed,
    /// The interface is down, gone, or without an IPv4 address.
    InterfaceDown,
    /// The interface is usable again.
    InterfaceUp,
    /// No advert of a master arrived within the master-down interval.
    MasterDownTimer,
    /// The master said that it stops, and nobody better took over.
    MasterStopped,
    /// The master has a lower priority, and we preempt.
    Preempted {
        /// The former master.
        source: IpAddr,
        /// Its priority.
        priority: u8,
    },
    /// Another master won the election.
    StrongerAdvert {
        /// Its address.
        source: IpAddr,
        /// Its priority.
        priority: u8,
    },
    /// The group it belongs to changed.
    Group,
    /// It was told to stop.
    Stopped,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Started => f.write_str("started"),
            Reason::Owner => f.write_str("owner of the addresses"),
            Reason::Resumed => f.write_str("resumed where a killed predecessor was"),
            Reason::InterfaceDown => f.write_str("interface down"),
            Reason::InterfaceUp => f.write_str("interface up"),
            Reason::MasterDownTimer => f.write_str("master down timer"),
            Reason::MasterStopped => f.write_str("the master stopped"),
            Reason::Preempted { source, priority } => {
                write!(f, "preempted {source} with priority {priority}")
            }
            Reason::StrongerAdvert { source, priority } => {
                write!(f, "advert of {source} with priority {priority}")
            }
            Reason::Group => f.write_str("sync group"),
            Reason::Stopped => f.write_str("stopped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 13] = [
        Event::Start,
        Event::StartOwner,
        Event::StartDown,
        Event::Resume,
        Event::LinkDown,
        Event::LinkUp,
        Event::LinkUpOwner,
        Event::MasterDownExpired,
        Event::StrongerAdvert,
        Event::GroupMaster,
        Event::GroupBackup,
        Event::GroupFault,
        Event::Stop,
    ];

    #[test]
    fn the_whole_table_reads_as_intended() {
        let row = |state| EVENTS.map(|event| next(state, event).to_string().as_bytes()[0] as char);
        // In the order of EVENTS: start, owner, down, resume | link down, up, up as owner |
        // timer, stronger | group master, backup, fault | stop.
        let table = [(Init, "BMFMIIIIIIIII"), (Backup, "BBBBFBBMBMBFI")];
        let table = table.into_iter().chain([(Master, "MMMMFMMMBMBFI"), (Fault, "FFFFFBMFFFBFI")]);
        for (state, expected) in table {
            assert_eq!(row(state).iter().collect::<String>(), expected, "{state}");
        }
    }

    #[test]
    fn nothing_but_a_start_leaves_init() {
        for event in &EVENTS[4..] {
            assert_eq!(next(Init, *event), Init);
        }
    }

    #[test]
    fn a_faulty_instance_is_never_made_master_by_a_timer_or_its_group() {
        for event in [Event::MasterDownExpired, Event::GroupMaster, Event::StrongerAdvert] {
            assert_eq!(next(Fault, event), Fault);
        }
    }
}
