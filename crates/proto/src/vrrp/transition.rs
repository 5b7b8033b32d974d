//! The state machine of RFC 3768 6.4 and RFC 9568 6.4, with Keepalived's FAULT and groups: every
//! state with every event.

use core::fmt;
use core::net::IpAddr;

use model::status::VrrpState::{self, Backup, Fault, Init, Master};

use super::faults::Fault as Cause;

/// What can make an instance change state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Starts, everything ready.
    Start,
    /// Starts as owner of the addresses, everything ready.
    StartOwner,
    /// Starts with a fault.
    StartFaulty,
    /// Starts as successor of a master that was killed and whose addresses are still there.
    Resume,
    /// Something that it needs failed.
    Fail,
    /// The last fault is gone.
    Recover,
    /// The last fault of the addresses' owner is gone.
    RecoverOwner,
    /// No master was heard in time.
    MasterDownExpired,
    /// An advert won the election against us.
    StrongerAdvert,
    /// What it holds was taken away.
    Lost,
    /// It ran so late that another may be master (`timer_expired_backup`).
    RanLate,
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
        Fail, GroupBackup, GroupFault, GroupMaster, Lost, MasterDownExpired, RanLate, Recover,
        RecoverOwner, Resume, Start, StartFaulty, StartOwner, Stop, StrongerAdvert,
    };
    match (state, event) {
        (Init, Start) => Backup,
        (Init, StartOwner | Resume) => Master,
        (Init, StartFaulty) => Fault,
        (Init, Fail | Recover | RecoverOwner | MasterDownExpired | StrongerAdvert) => Init,
        (Init, Lost | RanLate | GroupMaster | GroupBackup | GroupFault | Stop) => Init,

        (Backup, MasterDownExpired | GroupMaster) => Master,
        (Backup, Fail | GroupFault) => Fault,
        (Backup, Start | StartOwner | StartFaulty | Resume) => Backup,
        (Backup, Recover | RecoverOwner | StrongerAdvert | Lost | RanLate | GroupBackup) => Backup,
        (Backup, Stop) => Init,

        (Master, StrongerAdvert | Lost | RanLate | GroupBackup) => Backup,
        (Master, Fail | GroupFault) => Fault,
        (Master, Start | StartOwner | StartFaulty | Resume) => Master,
        (Master, Recover | RecoverOwner | MasterDownExpired | GroupMaster) => Master,
        (Master, Stop) => Init,

        (Fault, Recover | GroupBackup) => Backup,
        (Fault, RecoverOwner) => Master,
        (Fault, Start | StartOwner | StartFaulty | Resume) => Fault,
        (Fault, Fail | MasterDownExpired | StrongerAdvert | Lost | RanLate) => Fault,
        (Fault, GroupMaster | GroupFault) => Fault,
        (Fault, Stop) => Init,
    }
}

/// Why a state changed, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was started.
    Started,
    /// It owns the addresses (priority 255).
    Owner,
    /// It goes on where its killed predecessor was.
    Resumed,
    /// Something that it needs failed.
    Fault(Cause),
    /// Nothing that it needs is missing any more.
    Recovered,
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
    /// Somebody removed an address, route or rule of the master, and it could not be put back.
    HoldingLost,
    /// It ran so late that another may have become master (`timer_expired_backup`).
    RanLate,
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
            Reason::Fault(cause) => cause.fmt(f),
            Reason::Recovered => f.write_str("recovered"),
            Reason::MasterDownTimer => f.write_str("master down timer"),
            Reason::MasterStopped => f.write_str("the master stopped"),
            Reason::Preempted { source, priority } => {
                write!(f, "preempted {source} with priority {priority}")
            }
            Reason::StrongerAdvert { source, priority } => {
                write!(f, "advert of {source} with priority {priority}")
            }
            Reason::HoldingLost => f.write_str("an address, route or rule was removed"),
            Reason::RanLate => f.write_str("ran too late, another may be master"),
            Reason::Group => f.write_str("sync group"),
            Reason::Stopped => f.write_str("stopped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 15] = [
        Event::Start,
        Event::StartOwner,
        Event::StartFaulty,
        Event::Resume,
        Event::Fail,
        Event::Recover,
        Event::RecoverOwner,
        Event::MasterDownExpired,
        Event::StrongerAdvert,
        Event::Lost,
        Event::RanLate,
        Event::GroupMaster,
        Event::GroupBackup,
        Event::GroupFault,
        Event::Stop,
    ];

    #[test]
    fn the_whole_table_reads_as_intended() {
        let row = |state| EVENTS.map(|event| next(state, event).to_string().as_bytes()[0] as char);
        // In the order of EVENTS: start, owner, faulty, resume | fail, recover, as owner | timer,
        // stronger, lost, late | group master, backup, fault | stop.
        let table = [(Init, "BMFMIIIIIIIIIII"), (Backup, "BBBBFBBMBBBMBFI")];
        let table =
            table.into_iter().chain([(Master, "MMMMFMMMBBBMBFI"), (Fault, "FFFFFBMFFFFFBFI")]);
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
